"""How an agent does: what waits and since when, what was refused, whether anything can be kept at all."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import Gauge

from producers.agent.folder import IN
from producers.agent.held_catalogue import FILE as CATALOGUE_FILE
from producers.agent.judge import ENDINGS
from producers.agent.store import AgentStore
from schemas.folder_lock import holder_of
from schemas.report import Millis

WAITING = Gauge("chungsuc_agent_waiting_reports", "Reports on this disk that the broker does not have yet.")
OLDEST = Gauge("chungsuc_agent_oldest_waiting_seconds", "How long the oldest of them has been waiting.")
HELD = Gauge("chungsuc_agent_held_reports", "Of these, held back for a reason that somebody has to mend.")
UNSETTLED = Gauge("chungsuc_agent_unsettled_reports", "Reports that the broker has and no receipt has named yet.")
REFUSING = Gauge("chungsuc_agent_refusing", "1 while nothing can be kept: no space, no catalogue.")

LOCK = "agent.lock"
LEAST_FREE_BYTES = 32 * 1024 * 1024
"""Below this nothing new is promised: the outbox needs room to note what happened to what it has."""


@dataclass(frozen=True, slots=True)
class Status:
    """One look. Times in seconds; `refusing` and `last_error` are empty where all is well."""

    unit: str
    kid: str
    pid: int | None
    waiting: int
    oldest_waiting_s: int
    held: int
    unsettled: int
    wrong: int
    files_in: int
    clock_ahead_s: int
    last_contact: int
    last_error: str
    held_said: list[str]
    refusing: str


def look(store: AgentStore, folder: Path, now: Millis, refusing: str = "") -> Status:
    """The status of the agent in `folder`; also sets the metrics."""
    key, counts = store.key(), store.counts()
    oldest_s = 0 if counts.oldest_put_at is None else max(0, (now - counts.oldest_put_at) // 1000)
    refusing = refusing or lacking_space(folder) or lacking_catalogue(folder)
    WAITING.set(counts.waiting)
    OLDEST.set(oldest_s)
    HELD.set(counts.held)
    UNSETTLED.set(counts.unsettled)
    REFUSING.set(bool(refusing))
    return Status(
        unit="" if key is None else key.unit,
        kid="" if key is None else key.kid,
        pid=holder_of(folder / LOCK),
        waiting=counts.waiting,
        oldest_waiting_s=oldest_s,
        held=counts.held,
        unsettled=counts.unsettled,
        wrong=counts.wrong,
        files_in=_files(folder / IN),
        clock_ahead_s=int(store.noted("clock_ahead_s", "0")),
        last_contact=int(store.noted("contact", "0")) // 1000,
        last_error=store.noted("last_error"),
        held_said=store.held_said(3),
        refusing=refusing,
    )


def lacking_space(folder: Path) -> str:
    """Why nothing can be kept on this disk, empty where there is room."""
    free = shutil.disk_usage(folder).free
    return "" if free >= LEAST_FREE_BYTES else f"no space: only {free // 1024:,} KiB are free on the disk of {folder}"


def lacking_catalogue(folder: Path) -> str:
    """Why nothing can be judged yet, empty where it can."""
    return "" if (folder / CATALOGUE_FILE).exists() else "no catalogue yet: the other side was never reached"


def _files(folder: Path) -> int:
    return sum(path.name.lower().endswith(ENDINGS) for path in folder.iterdir()) if folder.exists() else 0
