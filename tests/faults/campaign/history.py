"""What happened in one segment of the fault campaign: who sent what, what was acknowledged, what observers saw.

The history is the only thing that the generator, the observers and the verifier share. It is written while faults
happen and never changed, one JSON object a line, so that a segment can be verified again alone, on another machine or
by a later verifier. A send without an acknowledgement is indeterminate: it may be in the log or not.

    history = History(folder / "history.jsonl")
    history.append(Sent.of(1, form, report, now_ms()))
    history.append(Acked(1, partition, offset, now_ms()))
    history.close()
    for event in read_history(folder / "history.jsonl"): ...

All moments are ms since 1970 by the clock of whoever runs the campaign, never by a node's, which a fault may turn.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from schemas.form import Form
from schemas.report import Cell, Millis, Report

FILE = "history.jsonl"
NO_VERSION = -1
"""Epoch and version of a figure that bears none: a leaf's, or coverage 0."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A report handed over to be sent. `send` numbers the sends of a history; `event` is the CloudEvents id.

    `rows` as the sender wrote them, in the columns of version `form_version` of the form; `digest` in hex. `refused`
    names the reason for which it must be rejected; empty for what must be counted. Bytes that are no report bear no
    event, and the SHA-256 of themselves as digest.
    """

    send: int
    moment: Millis
    event: str
    digest: str
    unit: str
    form: str
    form_version: int
    line: str
    scope: str
    period: str
    kind: str
    revision: int
    entered_by: str
    rows: tuple[Mapping[str, Cell], ...]
    refused: str = ""

    @classmethod
    def of(cls, send: int, form: Form, report: Report, moment: Millis, *, refused: str = "") -> Sent:
        """A report of `form`, with the revision that its outbox gave it."""
        h = report.header
        digest = report.digest([dimension.name for dimension in form.dimensions]).hex()
        return cls(
            send, moment, report.event_id, digest, h.unit, form.id, form.version, h.line, h.scope.value, h.period,
            h.kind.value, h.revision, h.entered_by or "", tuple(dict(row) for row in report.rows), refused,
        )  # fmt: skip

    @classmethod
    def garbage(cls, send: int, unit: str, value: bytes, moment: Millis, *, refused: str) -> Sent:
        """Bytes that no form can read, sent under the key of `unit`."""
        return cls(send, moment, "", hashlib.sha256(value).hexdigest(), unit, "", 0, "", "", "", "", 0, "", (), refused)


@dataclass(frozen=True, slots=True)
class Acked:
    """The broker acknowledged a send. `offset` is -1 where a retry was acknowledged without its offset."""

    send: int
    partition: int
    offset: int
    moment: Millis


@dataclass(frozen=True, slots=True)
class Seen:
    """A superior's figure as an observer read it; written when it differs from what this observer read before.

    `measures` names the columns; an answer about several periods has those of the newest. `rows`: dimensions and
    measures, None where a measure is not added up or nobody gave it; rows without a number other than 0 left out.
    """

    observer: str
    moment: Millis
    unit: str
    form: str
    line: str
    period: str
    epoch: int
    version: int
    reported: int
    measures: tuple[str, ...]
    rows: tuple[tuple[tuple[str, ...], tuple[int | None, ...]], ...]


@dataclass(frozen=True, slots=True)
class SeenReceipt:
    """What an observer was told of one source. `counted`: levels whose totals cover it, -1 where it was not asked."""

    observer: str
    moment: Millis
    partition: int
    offset: int
    outcome: str
    figures_offset: int
    counted: int = -1


@dataclass(frozen=True, slots=True)
class Outage:
    """An observer could not read from `moment` to `ended`; `ended` -1: not again before it was stopped."""

    observer: str
    moment: Millis
    ended: Millis
    why: str


@dataclass(frozen=True, slots=True)
class Ended:
    """An observer's last look, after everything had settled, was complete: what it saw last is what it shows now.

    `looks` is how often it looked.
    """

    observer: str
    moment: Millis
    looks: int


Event = Sent | Acked | Seen | SeenReceipt | Outage | Ended
_TYPES: dict[str, type[Event]] = {t.__name__: t for t in (Sent, Acked, Seen, SeenReceipt, Outage, Ended)}


class History:
    """The file of one segment, appended to by several threads; each event reaches the file at once."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file = path.open("a", encoding="utf-8", buffering=1)
        self._lock = threading.Lock()

    def append(self, *events: Event) -> None:
        """Write events, in this order and next to one another."""
        text = "".join(_line(event) for event in events)
        with self._lock:
            self._file.write(text)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()


def read_history(path: Path) -> Iterator[Event]:
    """The events in the order in which they were written. Raises ValueError with the line that can't be read."""
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                yield _event(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"{path.name} line {number}: {error}") from error


def _line(event: Event) -> str:
    named = {field.name: getattr(event, field.name) for field in fields(event)}
    return json.dumps([type(event).__name__, named], ensure_ascii=False, separators=(",", ":")) + "\n"


def _event(read: tuple[str, dict[str, Any]]) -> Event:
    name, named = read
    if name == Sent.__name__:
        named["rows"] = tuple(named["rows"])
    elif name == Seen.__name__:
        named["measures"] = tuple(named["measures"])
        named["rows"] = tuple((tuple(about), tuple(cells)) for about, cells in named["rows"])
    return _TYPES[name](**named)
