"""A full disk under the supervisor: parts are started again all the same, and what is known is written later."""

from __future__ import annotations

import asyncio
from pathlib import Path

from deploy.plan import Plan
from deploy.ports import Ports
from deploy.stack import ProcessState, read_stack
from deploy.supervisor import Supervisor
from deploy.watch import Watch
from schemas.settings import load_settings


class Part:
    """One that can't be started at first, as where its log can't be opened."""

    name = "part-of-a-test"
    address = ""
    pid = None

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.ended = asyncio.Event()

    async def start(self) -> None:
        if self.failures:
            self.failures -= 1
            raise OSError(28, "No space left on device")

    async def until_ready(self) -> None:
        """At once."""

    async def until_ended(self) -> int:
        await self.ended.wait()
        return 0

    async def stop(self, timeout_s: float) -> bool:
        self.ended.set()
        return True

    def last_words(self) -> str:
        return ""


async def test_part_that_cannot_be_started_for_want_of_space_is_started_again() -> None:
    said: list[str] = []
    watch = Watch(Part(failures=1), lambda: said.append(watch.status.said) if said else said.append(""))
    watch.begin()
    await asyncio.wait_for(watch.settled(), 10)
    assert (watch.state, watch.restarts) == (ProcessState.READY, 1)
    assert any("No space left" in words for words in said)
    await watch.stop(1)


def test_stack_file_that_cannot_be_written_ends_nothing_and_is_written_later(tmp_path: Path) -> None:
    data = tmp_path / "data"
    plan = Plan(data, Ports(27000), settings=load_settings(data=data))
    supervisor = Supervisor(plan)
    supervisor._stack = plan.stack("127.0.0.1:1", "", 1)
    data.touch()  # no folder: nothing can be written below it
    supervisor._publish()
    assert supervisor._unwritten
    data.unlink()
    supervisor._publish()
    assert not supervisor._unwritten
    assert read_stack(data) is not None
