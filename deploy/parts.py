"""The parts of a stack as its supervisor holds them: the embedded broker, and each worker as a child process.

A part can be started again after it ended. Its old process is gone before a new one starts, and no process of a part
outlives this one.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGTERM
from typing import Protocol

from deploy.bound import bound_to_this_process
from deploy.kafka import BrokerError, Cluster

CHECKOUT = Path(__file__).resolve().parent.parent
"""Where workers run, so that `-m` finds the code that this process runs, whatever lies in the caller's folder."""
_ASK_EVERY_S = 0.1
"""A look at metrics costs the starting process some milliseconds, and with two cores all start at once."""
_LOG_ROTATED_AT = 10 * 1024 * 1024
_TAIL_BYTES = 64 * 1024
_LINE_LENGTH = 400
_READY_LINE = b"\nchungsuc_ready 1"


class Part(Protocol):
    """Something that is started, becomes ready, and ends."""

    name: str
    address: str

    @property
    def pid(self) -> int | None:
        """Its process, None while it has none."""

    async def start(self) -> None:
        """Start it; raises BrokerError where it says why it can't."""

    async def until_ready(self) -> None:
        """Return when it does its work."""

    async def until_ended(self) -> int:
        """Return its exit code, negative for the signal that ended it."""

    async def stop(self, timeout_s: float) -> bool:
        """End it: politely, and by force after the bound. Returns whether it needed no force."""

    def last_words(self) -> str:
        """The last line it left behind."""


class Worker:
    """One of our own processes, `python -m MODULE`, its output in a log, its readiness told by its metrics."""

    def __init__(
        self, name: str, module: str, environment: Mapping[str, str], *, metrics_port: int, log: Path, address: str = ""
    ) -> None:
        self.name = name
        self.log = log
        self.address = address or f"http://127.0.0.1:{metrics_port}/metrics"
        self._module = module
        self._environment = {**os.environ, **environment, "CHUNGSUC_METRICS_PORT": str(metrics_port)}
        self._port = metrics_port
        self._process: subprocess.Popen[bytes] | None = None
        self._handle = -1
        self._log_start = 0

    @property
    def pid(self) -> int | None:
        """Its process, None while it has none."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    async def start(self) -> None:
        """Start it, bound to this process; its log goes on where it was, or anew when it has grown large."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > _LOG_ROTATED_AT:
            self.log.replace(self.log.with_suffix(".log.1"))
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as output:
            # Without awaiting, so that a stop never meets a process that is half started and that nobody holds.
            self._process = subprocess.Popen(
                [*bound_to_this_process(), sys.executable, "-m", self._module],
                cwd=CHECKOUT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        if self._handle >= 0:
            os.close(self._handle)
        self._handle = os.pidfd_open(self._process.pid)

    async def until_ready(self) -> None:
        """Return when its metrics say `chungsuc_ready 1`."""
        while not await says_ready(self._port):
            await asyncio.sleep(_ASK_EVERY_S)

    async def until_ended(self) -> int:
        """Return its exit code, negative for the signal that ended it."""
        if self._process is None:
            raise RuntimeError(self.name)
        await _ended(self._handle)
        return self._process.wait()

    async def stop(self, timeout_s: float) -> bool:
        """SIGTERM, and SIGKILL after the bound; returns when it is gone."""
        process = self._process
        if process is None or process.poll() is not None:
            return True
        process.send_signal(SIGTERM)
        process.send_signal(SIGCONT)  # a stopped process takes no SIGTERM
        try:
            await asyncio.wait_for(_ended(self._handle), timeout_s)
        except TimeoutError:
            process.send_signal(SIGKILL)
            await _ended(self._handle)
        return process.wait() != -SIGKILL

    def last_words(self) -> str:
        """The last line of its log since it was started."""
        return last_line(self.log, self._log_start)


class Broker:
    """The embedded broker (or three) as one part."""

    name = "broker"

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.address = cluster.bootstrap
        self._one_at_a_time = threading.Lock()

    @property
    def pid(self) -> int | None:
        """The first broker's process."""
        return next(iter(self.cluster.pids.values()), None)

    async def start(self) -> None:
        """Start every broker that does not run, and wait until they answer. Raises BrokerError."""
        await asyncio.to_thread(self._start)

    async def until_ready(self) -> None:
        """Nothing to wait for: `start` returns when it is."""

    async def until_ended(self) -> int:
        """Return when a broker ended."""
        while self.cluster.is_alive():
            await asyncio.sleep(_ASK_EVERY_S)
        return 1

    async def stop(self, timeout_s: float) -> bool:
        """Controlled shutdown, by force after the bound."""
        return not await asyncio.to_thread(self._stop, timeout_s)

    def last_words(self) -> str:
        """Why it ended."""
        deaths = (self.cluster.death(broker) for broker in self.cluster.settings.broker_ids)
        return next((str(death) for death in deaths if isinstance(death, BrokerError)), "")

    def _start(self) -> None:
        with self._one_at_a_time:
            self.cluster.start()

    def _stop(self, timeout_s: float) -> list[int]:
        with self._one_at_a_time:
            return self.cluster.stop(timeout_s)


async def _ended(handle: int) -> None:
    """Return when the process of a pidfd has ended. For one caller at a time."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(handle, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(handle)


def last_line(log: Path, start: int = 0) -> str:
    """The last line of a log that holds anything, written at `start` or later."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(start, size - _TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").split("\n")
    except FileNotFoundError:
        return ""
    return next((line.strip()[:_LINE_LENGTH] for line in reversed(lines) if line.strip()), "")


async def says_ready(port: int) -> bool:
    """Whether the process that serves metrics on a loopback port says that it does its work."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    try:
        writer.write(b"GET /metrics HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
        return _READY_LINE in await asyncio.wait_for(reader.read(-1), 2)
    except (OSError, TimeoutError):
        return False
    finally:
        writer.close()
