"""A TCP proxy between clients and brokers, as a process of its own, whose line can be made bad while it runs.

    python -m tests.faults.campaign.proxy 26013:26010 26014:26011 26015:26012

One listener per broker. A line of JSON on stdin sets the state of the line to some of them; the answer is one line
`ok`. It ends with its stdin. In the state `half_open` neither side is told anything: connections stay, bytes vanish.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from types import TracebackType
from typing import Self

from deploy.bound import bound_to_this_process
from deploy.parts import CHECKOUT
from tests.support.waiting import eventually

_CHUNK = 64 * 1024
_REFUSED_AFTER_S = 0.2


class Line(StrEnum):
    """What a line may do to the bytes on it."""

    OPEN = "open"
    CUT = "cut"
    HALF_OPEN = "half_open"
    DEAF = "deaf"


@dataclass(frozen=True, slots=True)
class State:
    """One listener's line. `cut`: connections are reset and new ones refused; `deaf`: only the answers vanish."""

    line: Line = Line.OPEN
    delay_s: float = 0.0
    bytes_per_s: float = 0.0


OPEN = State()


class _Listener:
    def __init__(self, port: int, target: int) -> None:
        self.port = port
        self._target = target
        self.state = State()
        self._writers: set[asyncio.StreamWriter] = set()

    async def listen(self) -> None:
        await asyncio.start_server(self._accept, "127.0.0.1", self.port, limit=_CHUNK)

    def set(self, state: State) -> None:
        """A connection whose bytes have vanished is of no use any more: when the line opens again it is reset."""
        lost = self.state.line is not Line.OPEN
        self.state = state
        if state.line is Line.CUT or (lost and state.line is Line.OPEN):
            for writer in list(self._writers):
                writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.state.line is Line.CUT:
            await self._refuse(writer)
            return
        try:
            there_reader, there = await asyncio.open_connection("127.0.0.1", self._target, limit=_CHUNK)
        except OSError:
            await self._refuse(writer)
            return
        self._writers |= {writer, there}
        try:
            ways = self._carry(reader, there, Line.HALF_OPEN), self._carry(there_reader, writer, Line.DEAF)
            await asyncio.gather(*ways)
        finally:
            for end in (writer, there):
                self._writers.discard(end)
                end.transport.abort()

    async def _refuse(self, writer: asyncio.StreamWriter) -> None:
        """The kernel has accepted already, and kafka-python tries again at once after a connection that it had."""
        await asyncio.sleep(_REFUSED_AFTER_S)
        writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, lost: Line) -> None:
        """Carry bytes one way until either end closes."""
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                state = self.state
                if state.line is Line.HALF_OPEN or state.line is lost:
                    continue
                pause_s = state.delay_s + (len(data) / state.bytes_per_s if state.bytes_per_s else 0.0)
                if pause_s:
                    await asyncio.sleep(pause_s)
                writer.write(data)
                await writer.drain()
        writer.transport.abort()


async def serve(pairs: Sequence[tuple[int, int]]) -> None:
    """Carry until stdin ends."""
    listeners = [_Listener(port, target) for port, target in pairs]
    for listener in listeners:
        await listener.listen()
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    print("ok", flush=True)
    while line := await orders.readline():
        order = json.loads(line)
        state = State(Line(order["line"]), order["delay_s"], order["bytes_per_s"])
        for index in order["brokers"]:
            listeners[index].set(state)
        print("ok", flush=True)


class Proxy:
    """The process, and what it is told. `pairs`: (port to listen at, port of the broker's PROXY listener)."""

    def __init__(self, pairs: Sequence[tuple[int, int]]) -> None:
        self._count = len(pairs)
        self._process = subprocess.Popen(
            [*bound_to_this_process(), sys.executable, "-m", __name__, *(f"{port}:{to}" for port, to in pairs)],
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.bootstrap = ",".join(f"127.0.0.1:{port}" for port, _ in pairs)
        self._confirmed()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def set(self, state: State, brokers: Sequence[int] | None = None) -> None:
        """Give the line to some brokers (counted from 0; all of them without a list) a state."""
        assert self._process.stdin is not None
        chosen = list(range(self._count)) if brokers is None else list(brokers)
        self._process.stdin.write(json.dumps({**asdict(state), "brokers": chosen}) + "\n")
        self._process.stdin.flush()
        self._confirmed()

    def close(self) -> None:
        """End it."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()
        eventually(lambda: self._process.poll() is not None, 10)

    def _confirmed(self) -> None:
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        assert said == "ok\n", f"the proxy said {said!r} and ended with {self._process.poll()}"


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(serve([(int(port), int(to)) for port, _, to in (pair.partition(":") for pair in sys.argv[1:])]))
