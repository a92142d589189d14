"""How large processes and folders become while a segment runs: at most, and minute by minute.

The largest says what a machine must have; the minutes say whether it would have ended there, had the segment gone on.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from deploy.errors import StackError
from tests.faults.campaign.growth import ON_DISK
from tests.faults.campaign.office import AGENT
from tests.faults.campaign.politeness import stand_back
from tests.faults.campaign.results import Result
from tests.faults.campaign.site import Site
from tests.faults.harness import peak_mb, resident_mb

log = logging.getLogger("campaign")

_SAMPLE_EVERY_S = 5.0


class Sizes:
    """The largest that each process and folder ever was, and the largest it was in each minute."""

    def __init__(self, here: Site, result: Result) -> None:
        self._here = here
        self._result = result
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sizes", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        stand_back()
        began = time.monotonic()
        while not self._over.wait(_SAMPLE_EVERY_S):
            minute = int((time.monotonic() - began) / 60)
            for name, pid in _pids(self._here).items():
                try:
                    peak, now = peak_mb(pid), resident_mb(pid)
                except (FileNotFoundError, ProcessLookupError):
                    continue
                _keep(self._result.peak_mb, name, peak)
                _keep_minute(self._result.minutes_mb, name, minute, now)
            for name, folder in _folders(self._here).items():
                size = _size_mb(folder)
                _keep(self._result.disk_mb, name, size)
                _keep_minute(self._result.minutes_mb, name + ON_DISK, minute, size)


def _keep(largest: dict[str, float], name: str, value: float) -> None:
    largest[name] = round(max(value, largest.get(name, 0.0)), 1)


def _keep_minute(minutes: dict[str, list[float]], name: str, minute: int, value: float) -> None:
    """A minute in which a process did not run has a 0."""
    found = minutes.setdefault(name, [])
    found += [0.0] * (minute + 1 - len(found))
    found[minute] = round(max(value, found[minute]), 1)


def _pids(here: Site) -> dict[str, int]:
    found: dict[str, int] = {}
    try:
        found |= here.running.pids()
    except StackError as error:
        log.debug("no stack now: %s", error)
    found |= {node.name: node.pid for node in here.nodes.all}
    found[AGENT] = here.office.agent.pid
    if here.cluster is not None:
        found |= {f"broker-{broker}": pid for broker, pid in here.cluster.pids.items()}
    return found


def _folders(here: Site) -> dict[str, Path]:
    kafka = here.folder / "kafka" if here.cluster else here.data / "kafka"
    return {
        "kafka": kafka,
        "checkpoints": here.data / "checkpoints",
        "read model": here.data,
        "outbox": here.folder / "node-0" / "data",
        "agent's folder": here.office.agent.folder,
    }


def _size_mb(folder: Path) -> float:
    total = 0
    names = folder.glob("*.sqlite*") if (folder / "stack.lock").exists() else _below(folder)
    for path in names:
        with suppress(FileNotFoundError):  # it has just been deleted
            total += path.stat().st_blocks * 512
    return total / 2**20


def _below(folder: Path) -> Iterator[Path]:
    """All files; folders that go away meanwhile are passed over."""
    for here, _, names in os.walk(folder):
        yield from (Path(here, name) for name in names)
