"""A running stack as other commands see it: `stack.json` in its data folder, written by the supervisor alone.

Whether a stack runs is never read from that file but from the lock: the kernel drops it with its holder, however that
one ends, so a file left by `kill -9` misleads nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

from deploy.errors import NotRunningError, RefusedError
from deploy.files import read_json, write_json
from schemas.folder_lock import FolderLock, FolderTaken, holder_of
from schemas.settings import Settings, load_settings

STACK = "stack.json"
LOCK = "stack.lock"


class ProcessState(StrEnum):
    """Closed list of what a supervised process may be doing."""

    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    STOPPED_FOR_GOOD = "stopped_for_good"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """One supervised process. `said` is the last line of its log, where it ended by itself."""

    name: str
    state: ProcessState
    address: str
    pid: int | None = None
    restarts: int = 0
    said: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """A rebuild that was asked for: how far it is, and why it failed if it did."""

    id: str
    step: str
    done: bool = False
    error: str = ""


@dataclass(frozen=True, slots=True)
class Stack:
    """Where the parts of a stack are, and how they do. `settled`: each part is ready or has stopped for good."""

    data: str
    port_base: int
    bootstrap: str
    operator_key: str
    prefix: str
    partitions: int
    keyless_partitions: int
    replication: int
    act_delay_ms: int
    page: str
    gateway: str
    metrics: str
    supervisor_pid: int
    settled: bool = False
    processes: tuple[ProcessStatus, ...] = ()
    rebuild: Request | None = None

    @property
    def ready(self) -> bool:
        """Every part does its work."""
        return self.settled and all(process.state is ProcessState.READY for process in self.processes)

    def ready_line(self) -> str:
        """The one line that `up` prints when every part is healthy."""
        places = f"page {self.page}  gateway {self.gateway}  kafka {self.bootstrap}  metrics {self.metrics}"
        return f"ready: {places}  data {self.data}"

    def unready_lines(self) -> list[str]:
        """A line for each part that is not ready."""
        return [
            f"not ready: {process.name} is {process.state.value}{': ' if process.said else ''}{process.said}"
            for process in self.processes
            if process.state is not ProcessState.READY
        ]

    def process(self, name: str) -> ProcessStatus:
        """The status of one process. Raises KeyError for a name that is none."""
        return {process.name: process for process in self.processes}[name]

    def settings(self, **given: object) -> Settings:
        """What a command that works on this stack needs to know."""
        return load_settings(
            data=Path(self.data),
            bootstrap=self.bootstrap,
            operator_key=self.operator_key,
            prefix=self.prefix,
            partitions=self.partitions,
            keyless_partitions=self.keyless_partitions,
            replication=self.replication,
            act_delay_ms=self.act_delay_ms,
            **given,
        )

    def save(self) -> None:
        """Write it into its data folder."""
        write_json(Path(self.data) / STACK, asdict(self), durable=False)


def read_stack(data: Path) -> Stack | None:
    """What `stack.json` says, running or not; None without one, or where another version of the product wrote it."""
    raw = read_json(data / STACK)
    return None if raw is None or not _as_now(raw) else _stack(raw)


def running_stack(data: Path) -> Stack:
    """The stack that runs on this folder. Raises NotRunningError."""
    pid = holder(data)
    if pid is None:
        raise NotRunningError(f"no stack runs on {data}: start one with `chungsuc up --data {data}`")
    stack = read_stack(data)
    if stack is None or stack.supervisor_pid != pid:
        raise NotRunningError(
            f"the stack on {data} (process {pid}) is only starting: wait for its ready line; "
            f"or another version started it: `chungsuc down --data {data}`, then start it with this one"
        )
    return stack


class DataLock:
    """The exclusive right to run a stack on a data folder, until `release` or the end of this process."""

    def __init__(self, data: Path) -> None:
        """Take it. Raises RefusedError naming the process that has it."""
        data.mkdir(parents=True, exist_ok=True)
        try:
            self._lock = FolderLock(data / LOCK)
        except FolderTaken as taken:
            raise RefusedError(
                f"a stack already runs on {data} (process {taken.process or 'another'}): stop it with "
                f"`chungsuc down --data {data}`, or choose another folder with --data"
            ) from None

    def release(self) -> None:
        """Let the next one in."""
        self._lock.release()


def holder(data: Path) -> int | None:
    """The process that runs a stack on this folder, None when none does."""
    return holder_of(data / LOCK)


def _as_now(raw: Mapping[str, Any]) -> bool:
    """Whether each part has the fields that this version writes."""
    parts = [(raw, Stack), *((process, ProcessStatus) for process in raw.get("processes", ()))]
    if raw.get("rebuild"):
        parts.append((raw["rebuild"], Request))
    return all(part.keys() == {field.name for field in fields(of)} for part, of in parts)


def _stack(raw: Mapping[str, Any]) -> Stack:
    processes = tuple(ProcessStatus(**{**p, "state": ProcessState(p["state"])}) for p in raw["processes"])
    rebuild = Request(**raw["rebuild"]) if raw["rebuild"] else None
    return Stack(**{**raw, "processes": processes, "rebuild": rebuild})
