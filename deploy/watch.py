"""One part under watch: started, started again when it ends by itself, left alone when it says that it must stop.

The exit code decides (contract 12): 5 means refused, a state that another start would only repeat, so the part has
stopped for good and somebody must look. Everything else is started again after a pause that doubles.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from signal import Signals

from prometheus_client import Counter, Enum, Gauge

from deploy.backoff import Backoff
from deploy.kafka import BrokerError
from deploy.parts import Part
from deploy.stack import ProcessState, ProcessStatus
from schemas.exit import Exit

RESTARTS = Counter("chungsuc_process_restarts_total", "Starts of a process after it ended by itself.", ["process"])
STATE = Enum(
    "chungsuc_process_state", "What a process is doing.", ["process"], states=[state.value for state in ProcessState]
)
STOPPED_FOR_GOOD = Gauge(
    "chungsuc_process_stopped_for_good", "1 when a process refused to go on: somebody must look.", ["process"]
)


class Watch:
    """Keeps one part going until `stop`. `changed` is called after every change of its status."""

    def __init__(self, part: Part, changed: Callable[[], None]) -> None:
        self.part = part
        self.state = ProcessState.STOPPED
        self.restarts = 0
        self._changed = changed
        self._said = ""
        self._task: asyncio.Task[None] | None = None
        self._settled = asyncio.Event()
        RESTARTS.labels(part.name)
        self._enter(ProcessState.STOPPED)

    @property
    def status(self) -> ProcessStatus:
        """As `status` shows it."""
        return ProcessStatus(self.part.name, self.state, self.part.address, self.part.pid, self.restarts, self._said)

    def begin(self, *, started: bool = False) -> None:
        """Start the part, unless it was started already, and keep it going."""
        self._settled.clear()
        self._said = ""
        self._task = asyncio.create_task(self._keep(started), name=self.part.name)

    async def settled(self) -> None:
        """Return when the part was ready once, or has stopped for good."""
        await self._settled.wait()

    async def stop(self, timeout_s: float) -> None:
        """End the part and the watch over it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        if not await self.part.stop(timeout_s):
            self._said = f"did not stop within {timeout_s:.0f} s and was killed"
        self._enter(ProcessState.STOPPED)

    async def _keep(self, started: bool) -> None:
        loop, backoff = asyncio.get_running_loop(), Backoff()
        self._enter(ProcessState.STARTING)
        while True:
            born = loop.time()
            code = await self._live(started)
            started = False
            if code == Exit.REFUSED:
                self._enter(ProcessState.STOPPED_FOR_GOOD)
                self._settled.set()
                return
            self._enter(ProcessState.RESTARTING)
            await asyncio.sleep(backoff.after(loop.time() - born))
            self.restarts += 1
            RESTARTS.labels(self.part.name).inc()

    async def _live(self, started: bool) -> int:
        """One life of the part, from its start to its end."""
        try:
            if not started:
                await self.part.start()
        except (BrokerError, OSError) as error:  # a full disk too: the next start finds it again, or finds space
            self._said = str(error)
            return Exit.FAILED
        self._changed()
        ready = asyncio.create_task(self._until_ready())
        try:
            code = await self.part.until_ended()
        finally:
            ready.cancel()
        words = self.part.last_words()
        self._said = words if code == Exit.REFUSED and words else f"{ending(code)}; {words}".removesuffix("; ")
        return code

    async def _until_ready(self) -> None:
        await self.part.until_ready()
        self._enter(ProcessState.READY)
        self._settled.set()

    def _enter(self, state: ProcessState) -> None:
        self.state = state
        STATE.labels(self.part.name).state(state.value)
        STOPPED_FOR_GOOD.labels(self.part.name).set(state is ProcessState.STOPPED_FOR_GOOD)
        self._changed()


def ending(code: int) -> str:
    """An exit code in words; negative for the signal that ended the process."""
    return f"ended with exit code {code}" if code >= 0 else f"killed by {Signals(-code).name}"
