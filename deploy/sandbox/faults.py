"""Faults on demand: which there are, and until when each is on, in one file that the door and the command share.

Every fault is one that an office's system meets sooner or later. Times are the host's, in seconds since 1970.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from deploy.files import read_json, write_json

FILE = "faults.json"


class Fault(StrEnum):
    """Closed list, with what each does in `said`."""

    BUSY = "busy"
    TOO_MANY = "too-many"
    SLOW = "slow"
    LOST_ANSWER = "lost-answer"
    TWICE = "twice"
    NO_LINE = "no-line"
    BROKER_AWAY = "broker-away"
    GATEWAY_KILLED = "gateway-killed"

    @property
    def said(self) -> str:
        """In one line."""
        return _SAID[self]


_SAID = {
    Fault.BUSY: "every request is answered 503 with Retry-After",
    Fault.TOO_MANY: "every request is answered 429 with Retry-After",
    Fault.SLOW: "every answer comes after three seconds",
    Fault.LOST_ANSWER: "requests are worked on, and the line is cut before the answer",
    Fault.TWICE: "something on the way sends every request twice",
    Fault.NO_LINE: "connections are closed at once",
    Fault.BROKER_AWAY: "the real broker stands still: the gateway answers 503",
    Fault.GATEWAY_KILLED: "the real gateway is killed now, and is back in some seconds",
}


class Faults:
    """The faults of one sandbox."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE

    def switch(self, fault: Fault, until_s: float) -> None:
        """Let it be on until then; a time that has passed ends it."""
        write_json(self._path, {**(read_json(self._path) or {}), fault.value: until_s}, durable=False)

    def active(self, now_s: float) -> set[Fault]:
        """Those that are on."""
        held = read_json(self._path) or {}
        return {fault for fault in Fault if float(held.get(fault.value, 0)) > now_s}

    def clear(self) -> None:
        """End all."""
        write_json(self._path, {}, durable=False)
