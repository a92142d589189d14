"""`up --detach`: the supervisor in a session of its own, and this process until that one is ready or has failed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from deploy.bound import bound_to_this_process
from deploy.errors import RefusedError, StackError, TimedOutError
from deploy.parts import CHECKOUT, last_line
from deploy.plan import LOGS
from deploy.stack import ProcessState, Stack, read_stack
from deploy.supervisor import SETTLE_WITHIN_S
from schemas.exit import Exit

_START_WITHIN_S = SETTLE_WITHIN_S + 240
"""The first start on a machine fetches Kafka's jars."""
_LOOK_EVERY_S = 0.05


class UpFailedError(StackError):
    """The supervisor ended before its stack was up, with this line and exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.exit = Exit(code) if code in set(Exit) else Exit.FAILED


def up_detached(data: Path, arguments: Sequence[str]) -> Stack:
    """Start `chungsuc up ARGUMENTS`, whose paths are absolute, and return its stack when every part is ready.

    It goes on when this process ends. Raises UpFailedError when it ended, RefusedError or TimedOutError when a part is
    not ready; the rest runs then.
    """
    return _up(data, arguments, ())[0]


def up_bound(data: Path, arguments: Sequence[str]) -> tuple[Stack, subprocess.Popen[bytes]]:
    """The same, and its process, to be waited for: it ends with this process, however this one ends."""
    return _up(data, arguments, bound_to_this_process())


def _up(data: Path, arguments: Sequence[str], bound: Sequence[str]) -> tuple[Stack, subprocess.Popen[bytes]]:
    log = data / LOGS / "up.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    start = log.stat().st_size if log.exists() else 0
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*bound, sys.executable, "-m", "deploy.cli.main", "up", *arguments],
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    deadline = time.monotonic() + _START_WITHIN_S
    while time.monotonic() < deadline:
        if (code := process.poll()) is not None:
            said = last_line(log, start).removeprefix("chungsuc: ")
            raise UpFailedError(said or f"`up` ended with {code}; its log is {log}", code)
        stack = read_stack(data)
        if stack is not None and stack.supervisor_pid == process.pid and stack.settled:
            return _healthy(stack), process
        time.sleep(_LOOK_EVERY_S)
    raise TimedOutError(f"`up` (process {process.pid}) is not ready after {_START_WITHIN_S:.0f} s; its log is {log}")


def _healthy(stack: Stack) -> Stack:
    if stack.ready:
        return stack
    lines = "; ".join(stack.unready_lines())
    if any(process.state is ProcessState.STOPPED_FOR_GOOD for process in stack.processes):
        raise RefusedError(f"{lines}. The rest runs: `chungsuc rebuild` or `chungsuc down`")
    raise TimedOutError(f"{lines}. The rest runs: look at `chungsuc status`")
