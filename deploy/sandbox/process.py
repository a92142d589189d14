"""The sandbox as a process: a stack of its own, accounts with tokens, and the door with its faults, until SIGTERM.

Its folder holds everything, so `reset` is to delete it. It is told from any other folder by `sandbox.json`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.cli.principal_commands import opened
from deploy.detached import UpFailedError
from deploy.errors import NotRunningError, RefusedError, TimedOutError
from deploy.files import read_json, write_bytes, write_json
from deploy.parts import CHECKOUT, last_line
from deploy.ports import Ports
from deploy.sandbox.door import SandboxDoor
from deploy.sandbox.faults import Fault, Faults
from deploy.stack import DataLock, Stack, holder, running_stack
from deploy.throwaway import end_on_sigterm, stack_at, stop_stack
from producers.principals import read_principals

FILE, TOKENS, STACK = "sandbox.json", "tokens", "stack"
ACCOUNTS = """principal,unit,role,forms,valid_from,valid_to,name,contact
03390-vp-1,03390,clerk,*,,,Văn phòng thị trấn Tam Đường,
03394-vp-1,03394,clerk,*,,,Văn phòng xã Thèn Sin,
tam-duong-1,106,superior,*,,,Văn phòng huyện Tam Đường,
"""
_START_WITHIN_S = 360.0
_LOOK_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A ready sandbox. `accounts`: the file with each one's token."""

    pid: int
    url: str
    page: str
    folder: str
    port_base: int
    accounts: dict[str, str]

    def lines(self) -> list[str]:
        """What `up` prints."""
        tokens = [
            f"account {name}  token {Path(file).read_text(encoding='ascii').strip()}"
            for name, file in sorted(self.accounts.items())
        ]
        return [*tokens, f"ready: gateway {self.url}  page {self.page}  folder {self.folder}"]


def running_sandbox(folder: Path) -> Sandbox:
    """The sandbox that runs on this folder. Raises NotRunningError."""
    pid, raw = holder(folder), read_json(folder / FILE)
    if pid is None or raw is None or raw["pid"] != pid:
        raise NotRunningError(f"no sandbox runs on {folder}: start one with `chungsuc sandbox up --folder {folder}`")
    return Sandbox(**raw)


def run(folder: Path, port_base: int) -> None:
    """Start and stay until SIGTERM or Ctrl-C. Raises StackError."""
    end_on_sigterm()
    if folder.exists() and any(folder.iterdir()) and not (folder / FILE).exists():
        raise RefusedError(f"{folder} is not a sandbox's: choose another folder with --folder")
    folder.mkdir(parents=True, exist_ok=True)
    if (pid := holder(folder)) is not None:
        raise RefusedError(f"a sandbox already runs on {folder} (process {pid})")
    write_json(folder / FILE, read_json(folder / FILE) or {"pid": 0})
    lock = DataLock(folder)
    Faults(folder).clear()
    try:
        with stack_at(folder / STACK, port_base=port_base) as stack, suppress(KeyboardInterrupt):
            sandbox = Sandbox(
                os.getpid(), f"http://127.0.0.1:{Ports(port_base).sandbox}", stack.page, str(folder), port_base,
                made_accounts(folder),
            )  # fmt: skip
            asyncio.run(_play(sandbox, stack))
    finally:
        lock.release()


def up_detached(folder: Path, port_base: int) -> Sandbox:
    """Start one that goes on when this process ends. Raises StackError."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder.with_name(f"{folder.name}.log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "deploy.cli.main", "sandbox", "up", "--folder", str(folder), "--port-base",
             str(port_base)],
            cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    deadline = time.monotonic() + _START_WITHIN_S
    while time.monotonic() < deadline:
        if (code := process.poll()) is not None:
            raise UpFailedError(last_line(log) or f"the sandbox ended with {code}", code)
        with suppress(NotRunningError):
            return running_sandbox(folder)
        time.sleep(_LOOK_EVERY_S)
    raise TimedOutError(f"the sandbox is not ready after {_START_WITHIN_S:.0f} s; its log is {log}")


def down(folder: Path) -> None:
    """Stop it. Raises NotRunningError."""
    if stop_stack(folder) is None:
        raise NotRunningError(f"no sandbox runs on {folder}")


def reset(folder: Path) -> Sandbox:
    """Stop it, forget all reports and accounts, start anew on the same ports. Raises StackError."""
    raw = read_json(folder / FILE)
    if raw is None or "port_base" not in raw:
        raise NotRunningError(f"there is no sandbox in {folder}")
    stop_stack(folder)
    shutil.rmtree(folder)
    return up_detached(folder, int(raw["port_base"]))


def made_accounts(folder: Path) -> dict[str, str]:
    """The accounts with the file of each one's token, made at the first start."""
    kept = folder / TOKENS
    with opened(folder / STACK) as (changing, registers, _):
        catalogue = registers.newest_catalogue()
        if catalogue is None:
            raise NotRunningError("no catalogue has been released yet")
        wanted, problems = read_principals(ACCOUNTS, catalogue)
        if problems:
            raise RefusedError(str(problems[0]))
        for name, token in changing.apply(changing.plan(wanted)).items():
            write_bytes(kept / name, f"{token}\n".encode(), 0o600)
    return {path.name: str(path) for path in sorted(kept.iterdir())}


async def _play(sandbox: Sandbox, stack: Stack) -> None:
    """Serve the door and the faults that are not on the way but in the stack."""
    folder = Path(sandbox.folder)
    faults = Faults(folder)
    host, port = stack.gateway.rpartition("/")[2].split(":")
    server = await SandboxDoor(faults, host, int(port)).serve(Ports(sandbox.port_base).sandbox)
    write_json(folder / FILE, asdict(sandbox))
    print("\n".join(sandbox.lines()), flush=True)
    standing = 0
    async with server:
        try:
            while True:
                on = faults.active(time.time())
                if Fault.BROKER_AWAY in on and not standing:
                    standing = _signalled(folder, "broker", signal.SIGSTOP)
                elif standing and Fault.BROKER_AWAY not in on:
                    os.kill(standing, signal.SIGCONT)
                    standing = 0
                if Fault.GATEWAY_KILLED in on:
                    faults.switch(Fault.GATEWAY_KILLED, 0)
                    _signalled(folder, "gateway", signal.SIGKILL)
                await asyncio.sleep(_LOOK_EVERY_S)
        finally:
            if standing:
                os.kill(standing, signal.SIGCONT)


def _signalled(folder: Path, name: str, number: signal.Signals) -> int:
    """Signal one process of the stack; which, 0 where it has none now."""
    pid = running_stack(folder / STACK).process(name).pid
    if pid is None:
        return 0
    with suppress(ProcessLookupError):
        os.kill(pid, number)
    return pid
