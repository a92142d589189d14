"""How large processes and folders become while a segment runs."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from deploy.errors import StackError
from tests.faults.campaign.results import Result
from tests.faults.campaign.site import Site
from tests.faults.harness import peak_mb

log = logging.getLogger("campaign")

_SAMPLE_EVERY_S = 5.0


class Sizes:
    """The largest that each process and folder ever was."""

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
        while not self._over.wait(_SAMPLE_EVERY_S):
            for name, pid in _pids(self._here).items():
                try:
                    _keep(self._result.peak_mb, name, peak_mb(pid))
                except (FileNotFoundError, ProcessLookupError):
                    continue
            for name, folder in _folders(self._here).items():
                _keep(self._result.disk_mb, name, _size_mb(folder))


def _keep(largest: dict[str, float], name: str, value: float) -> None:
    largest[name] = round(max(value, largest.get(name, 0.0)), 1)


def _pids(here: Site) -> dict[str, int]:
    found: dict[str, int] = {}
    try:
        found |= here.running.pids()
    except StackError as error:
        log.debug("no stack now: %s", error)
    found |= {node.name: node.pid for node in here.nodes.all}
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
    }


def _size_mb(folder: Path) -> float:
    total = 0
    paths = folder.glob("*.sqlite*") if (folder / "stack.lock").exists() else folder.rglob("*")
    for path in paths:
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        total += status.st_blocks * 512
    return total / 2**20
