"""A report: one unit's whole table for one form and period, absolute and never a delta (design decision 1)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from json.encoder import encode_basestring
from typing import NewType

from schemas.form import FormId
from schemas.period import PeriodText
from schemas.unit import LineName, UnitCode

Revision = NewType("Revision", int)
Offset = NewType("Offset", int)
Millis = NewType("Millis", int)
"""Milliseconds since 1970, UTC."""
KeyId = NewType("KeyId", str)
Digest = NewType("Digest", bytes)

Cell = int | str | None
Row = Mapping[str, Cell]

REPORT_TYPE = "vn.chungsuc.report.v1"


class Kind(StrEnum):
    """What a report says: a table, nothing to report (không phát sinh), or that it is taken back (rút báo cáo)."""

    REPORT = "report"
    NIL = "nil"
    WITHDRAWAL = "withdrawal"


class Scope(StrEnum):
    """Whether the table is the unit's own, or its claim for everything below it."""

    OWN = "own"
    SUBTREE = "subtree"


@dataclass(frozen=True, slots=True, order=True)
class Source:
    """Where a report stands in `reports`: its identity for ever."""

    partition: int
    offset: Offset

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"


@dataclass(frozen=True, slots=True)
class Header:
    """The header that all forms share, field by field as in `records/header.avsc`."""

    unit: UnitCode
    period: PeriodText
    kind: Kind
    revision: Revision
    sequence: int
    issued_at: Millis
    unit_name: str | None = None
    line: LineName = LineName("ubnd")
    scope: Scope = Scope.OWN
    entered_by: UnitCode | None = None
    principal: str | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """What a revision counts within, with who entered it: one series per (line, unit, form, period)."""

    line: LineName
    unit: UnitCode
    form: FormId
    period: PeriodText
    entered_by: UnitCode | None = None
    scope: Scope = Scope.OWN


@dataclass(frozen=True, slots=True)
class Report:
    """A report as its sender wrote it."""

    form: FormId
    header: Header
    rows: Sequence[Row] = ()
    narrative: Mapping[str, str] | None = None

    @property
    def series(self) -> Series:
        """The series that this report is a revision of."""
        h = self.header
        return Series(h.line, h.unit, self.form, h.period, h.entered_by, h.scope)

    @property
    def event_id(self) -> str:
        """The CloudEvents id: `form/unit/line/period/entered_by or -/revision`."""
        h = self.header
        return f"{self.form}/{h.unit}/{h.line}/{h.period}/{h.entered_by or '-'}/{h.revision}"

    def digest(self, dimensions: Sequence[str]) -> Digest:
        """SHA-256 of the content: the same table uploaded again has the same digest (contract 1).

        Issue time, revision, sequence and form version are not in it. `dimensions` are the form's, in its order.

        The canonical JSON is put together by hand: a general encoder, which sender and ingest would each call for every
        report, takes four times as long.
        """
        h = self.header
        rows = self.rows
        if len(rows) > 1:
            rows = sorted(rows, key=lambda row: [str(row[name]) for name in dimensions])
        narrative = self.narrative or {}
        words = ",".join(
            [f"{encode_basestring(name)}:{encode_basestring(narrative[name])}" for name in sorted(narrative)]
        )
        text = (
            f'{{"entered_by":{"null" if h.entered_by is None else _quoted(h.entered_by)},"form":{_quoted(self.form)},'
            f'"kind":"{h.kind.value}","line":{_quoted(h.line)},"narrative":{{{words}}},"period":{_quoted(h.period)},'
            f'"rows":[{",".join(map(_canonical, rows))}],"scope":"{h.scope.value}","unit":{_quoted(h.unit)}}}'
        )
        return Digest(hashlib.sha256(text.encode()).digest())


_quoted = lru_cache(maxsize=4096)(encode_basestring)
"""Codes and periods repeat a thousand times."""


@lru_cache(maxsize=256)
def _columns(names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """(quoted name and colon, name) of each column, sorted."""
    return tuple((f"{encode_basestring(name)}:", name) for name in sorted(names))


def _canonical(row: Row) -> str:
    """A row as canonical JSON, blank measures left out."""
    cells = [
        f"{quoted}{_quoted(cell) if isinstance(cell, str) else cell}"
        for quoted, name in _columns(tuple(row))
        if (cell := row[name]) is not None
    ]
    return f"{{{','.join(cells)}}}"
