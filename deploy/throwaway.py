"""A stack for the length of a block: for the demo, the run on real data, and tests."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from deploy.detached import up_bound
from deploy.errors import RefusedError, TimedOutError
from deploy.kafka_config import HOST, BrokerSettings
from deploy.ports import DEFAULT_BASE, STEP, Ports
from deploy.stack import Stack, holder

_HIGHEST_BASE = 25_000
_STOPS_WITHIN_S = 90.0
_LOOK_EVERY_S = 0.05


@contextmanager
def stack_at(
    data: Path,
    *,
    port_base: int | None = None,
    trees: Sequence[Path] = (),
    catalogues: Sequence[Path] = (),
    workers: int = 1,
) -> Iterator[Stack]:
    """A ready stack on `data`, stopped cleanly at the end of the block; it also ends if this process is killed.

    `catalogues`: folders whose files join the released catalogue.
    """
    where = data.absolute()
    base = free_base() if port_base is None else port_base
    arguments = ["--data", str(where), "--port-base", str(base), "--workers", str(workers)]
    for tree in trees:
        arguments += ["--units", str(tree.absolute())]
    for folder in catalogues:
        arguments += ["--catalogue", str(folder.absolute())]
    process: subprocess.Popen[bytes] | None = None
    try:
        stack, process = up_bound(where, arguments)
        yield stack
    finally:
        stop_stack(where)
        if process is not None:
            process.wait(_STOPS_WITHIN_S)


def stop_stack(data: Path, timeout_s: float = _STOPS_WITHIN_S) -> int | None:
    """Stop the stack on a folder and wait until it is gone. Returns its process, None when none ran."""
    pid = holder(data)
    if pid is None:
        return None
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + timeout_s
    while holder(data) is not None:
        if time.monotonic() > deadline:
            raise TimedOutError(f"the stack on {data} (process {pid}) has not stopped after {timeout_s:.0f} s")
        time.sleep(_LOOK_EVERY_S)
    return pid


def end_on_sigterm() -> None:
    """Let SIGTERM unwind this process like Ctrl-C, so that stacks are stopped and temporary folders removed."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def free_base(first: int = DEFAULT_BASE) -> int:
    """The first base from `first` on, in steps of a hundred, none of whose ports is taken."""
    for base in range(first, _HIGHEST_BASE, STEP):
        broker = BrokerSettings(data_dir=Path(), port=base).ports(1)
        if all(_is_free(port) for port in (*broker, *Ports(base).without_broker(1))):
            return base
    raise RefusedError(f"no free ports between {first} and {_HIGHEST_BASE}: stop another stack first")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
