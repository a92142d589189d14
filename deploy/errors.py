"""What can keep a command or the stack from doing its work, each in one line and with its exit code (contract 12)."""

from __future__ import annotations

from schemas.exit import Exit


class StackError(Exception):
    """One line for people, and what the command exits with."""

    exit = Exit.FAILED

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class NotRunningError(StackError):
    """No stack runs on the data folder, or its cluster does not answer."""

    exit = Exit.UNREACHABLE


class RefusedError(StackError):
    """A configuration, catalogue or data folder that must not be used so."""

    exit = Exit.REFUSED


class TimedOutError(StackError):
    """It did not happen in the time given."""

    exit = Exit.TIMEOUT


class UsageError(StackError):
    """Something asked for that does not exist."""

    exit = Exit.USAGE
