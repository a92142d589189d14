"""Failpoints: places where a fault test ends the process as a power cut would.

Off by default. `CHUNGSUC_FAILPOINT=rollup.after_produce:3` kills the process with SIGKILL when it passes that point for
the third time. `NAME:3:raise` raises instead, as a programming error would.
"""

from __future__ import annotations

import os
import signal

VARIABLE = "CHUNGSUC_FAILPOINT"

_passed: dict[str, int] = {}


class Failpoint(RuntimeError):
    """Raised by a failpoint of kind `raise`."""


def failpoint(name: str) -> None:
    """Pass the point `name`: nothing, unless the environment names it and its count is reached."""
    wanted = os.environ.get(VARIABLE)
    if not wanted:
        return
    point, _, rest = wanted.partition(":")
    if point != name:
        return
    count, _, kind = rest.partition(":")
    _passed[name] = _passed.get(name, 0) + 1
    if _passed[name] != int(count or 1):
        return
    if kind == "raise":
        raise Failpoint(name)
    os.kill(os.getpid(), signal.SIGKILL)
