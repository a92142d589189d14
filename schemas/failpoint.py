"""Failpoints: places where a fault test ends the process as a power cut would.

Off by default. `CHUNGSUC_FAILPOINT=rollup.after_produce:3` kills the process with SIGKILL when it passes that point for
the third time. `NAME:3:raise` raises instead, as a programming error would. `NAME@0:17` is passed only at record 17 of
partition 0, and each time it is: a fault that stays with one record over restarts. `NAME:3:sleep=12` stands still for
12 s, as a slow disk or a long restore would.
"""

from __future__ import annotations

import os
import signal
import time

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
    if kind == "raise":
        raise Failpoint(name)
    if kind.startswith("sleep="):
        time.sleep(float(kind.removeprefix("sleep=")))
        return
    os.kill(os.getpid(), signal.SIGKILL)
