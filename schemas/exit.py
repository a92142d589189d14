"""Exit codes of every command and process (contract 12)."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What a process says when it ends. A supervisor restarts after BUG and signals, never after REFUSED."""

    FINE = 0
    FAILED = 1
    USAGE = 2
    TIMEOUT = 3
    UNREACHABLE = 4
    REFUSED = 5
    BUG = 70
