"""Failpoints: places where a fault test ends the process as a power cut would.

Off by default. `CHUNGSUC_FAILPOINT=rollup.after_produce:3` kills the process with SIGKILL when it passes that point for
the third time. `NAME:3:raise` raises instead, as a programming error would. `NAME@0:17` is passed only at record 17 of
partition 0, and each time it is: a fault that stays with one record over restarts. `NAME:3:sleep=12` stands still for
12 s, as a slow disk or a long restore would.

A value that is an absolute path is a folder: a file in it named like a point arms that point, with the same `3`,
`3:raise` or `3:sleep=12` as content, in every process that has the folder. It goes off once: the first process that
gets there takes the file away. So a campaign chooses its points while the processes run, and a process that was killed
at one is not killed there again after its restart.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

VARIABLE = "CHUNGSUC_FAILPOINT"

_passed: dict[str, int] = {}


class Failpoint(RuntimeError):
    """Raised by a failpoint of kind `raise`."""


def _when_and_kind(rest: str) -> tuple[str, str]:
    """`3` or `0:17`, and what then happens: `raise`, `sleep=S`, or nothing for a kill."""
    when, _, kind = rest.rpartition(":")
    return (when, kind) if kind == "raise" or kind.startswith("sleep=") else (rest, "")


def failpoint(name: str, place: object = None) -> None:
    """Pass the point `name` at `place`: nothing, unless the environment names it and its count or place is reached."""
    wanted = os.environ.get(VARIABLE)
    if not wanted:
        return
    if wanted.startswith("/"):
        _armed(Path(wanted, name))
        return
    point, at, rest = wanted.partition("@")
    if not at:
        point, _, rest = wanted.partition(":")
    if point != name:
        return
    when, kind = _when_and_kind(rest)
    if at:
        if str(place) != when:
            return
    else:
        _passed[name] = _passed.get(name, 0) + 1
        if _passed[name] != int(when or 1):
            return
    _go_off(name, kind)


def _armed(file: Path) -> None:
    """Pass a point that a file in the folder may have armed."""
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError:
        _passed.pop(file.name, None)
        return
    when, kind = _when_and_kind(text.strip())
    _passed[file.name] = _passed.get(file.name, 0) + 1
    if _passed[file.name] < int(when or 1):
        return
    try:
        file.unlink()
    except FileNotFoundError:
        return  # it went off in another process
    _passed.pop(file.name)
    _go_off(file.name, kind)


def _go_off(name: str, kind: str) -> None:
    if kind == "raise":
        raise Failpoint(name)
    if kind.startswith("sleep="):
        time.sleep(float(kind.removeprefix("sleep=")))
        return
    os.kill(os.getpid(), signal.SIGKILL)
