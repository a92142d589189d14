"""Figures: contributions and totals as they travel in `figures`, one fixed schema for all forms (contract 9).

The numbers come first as little-endian `fixed`, so that the heads of a whole batch are one numpy structured array
(`HEAD`); the page's and the slot's identity follow as contiguous runs of bytes; the table is one `values`. fastavro
reads and writes the same bytes, which is the oracle of the tests.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import IntEnum
from functools import lru_cache

import numpy as np

from schemas.form import Fingerprint, Form, FormId
from schemas.period import PeriodText
from schemas.report import Digest, Millis, Offset, Revision, Row
from schemas.unit import LineName, UnitCode

ABSENT = -1
_EPOCH_DAY = date(1970, 1, 1)


class FigureKind(IntEnum):
    """A unit's own report, the total a unit gives to its superior, or a root's total (published, not folded again)."""

    OWN = 0
    TOTAL = 1
    ROOT = 2


class State(IntEnum):
    """What the contribution says; a total that lost its last child is a withdrawal."""

    REPORT = 0
    NIL = 1
    WITHDRAWAL = 2


class Slot(IntEnum):
    """Where a contribution is kept at its receiver."""

    OWN = 0
    ENTERED = 1
    TOTAL = 2


class ScopeCode(IntEnum):
    """`Scope` as a number."""

    OWN = 0
    SUBTREE = 1


HEAD = np.dtype(
    [
        ("version", "<i8"),
        ("revision", "<i8"),
        ("source_offset", "<i8"),
        ("accepted_at", "<i8"),
        ("issued_at", "<i8"),
        ("first_accepted", "<i8"),
        ("newest_accepted", "<i8"),
        ("digest", "V32"),
        ("form_version", "V8"),
        ("source_partition", "<i4"),
        ("epoch", "<i4"),
        ("catalogue", "<i4"),
        ("reported", "<i4"),
        ("nil", "<i4"),
        ("entered", "<i4"),
        ("kind", "u1"),
        ("state", "u1"),
    ]
)
"""The fixed numbers at the start of every figure's body, in the order of `records/figure.avsc`."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One contribution or total, decoded. Times in ms since 1970, `valid_from` in days since 1970, ABSENT = -1."""

    kind: FigureKind
    state: State
    form: FormId
    scope: ScopeCode
    line: LineName
    period: PeriodText
    slot: Slot
    unit: UnitCode
    valid_from: int
    form_version: Fingerprint
    epoch: int
    catalogue: int
    values: bytes = b""
    given: bytes = b""
    dims: tuple[str, ...] = ()
    version: int = ABSENT
    revision: Revision = Revision(ABSENT)
    source_partition: int = ABSENT
    source_offset: Offset = Offset(ABSENT)
    accepted_at: Millis = Millis(ABSENT)
    issued_at: Millis = Millis(ABSENT)
    first_accepted: Millis = Millis(ABSENT)
    newest_accepted: Millis = Millis(ABSENT)
    digest: Digest = Digest(bytes(32))
    reported: int = 0
    nil: int = 0
    entered: int = 0
    entered_by: str = ""
    kid: str = ""


Table = dict[tuple[str, ...], tuple[int | None, ...]]
"""A table by its dimensions: the measures in the form's order, None where no unit gave an optional one."""


def days_since_1970(day: date) -> int:
    """The number under which a day travels in figures."""
    return (day - _EPOCH_DAY).days


def day_of(days: int) -> date:
    """Inverse of `days_since_1970`."""
    return _EPOCH_DAY + timedelta(days=days)


def pack_table(form: Form, rows: Sequence[Row]) -> tuple[bytes, bytes, tuple[str, ...]]:
    """`values`, `given` and `dims` of a report's rows, sorted by dimensions, in the columns of `form`.

    A measure that a row lacks is 0, and not given where it is optional. Units of measure as the form says.
    """
    dimensions, measures, optional = _columns(form)
    ordered = rows if len(rows) < 2 else sorted(rows, key=lambda row: [str(row[name]) for name in dimensions])
    values = [int(row.get(name) or 0) for row in ordered for name in measures]
    given = [int(row.get(name) is not None) for row in ordered for name in optional]
    dims = tuple(str(row[name]) for row in ordered for name in dimensions)
    return struct.pack(f"<{len(values)}q", *values), struct.pack(f"<{len(given)}i", *given), dims


@lru_cache(maxsize=256)
def _columns(form: Form) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Names of the dimensions, the measures, and the measures that may be blank."""
    measures = form.measures
    return (
        tuple(dimension.name for dimension in form.dimensions),
        tuple(measure.name for measure in measures),
        tuple(measure.name for measure in measures if measure.optional),
    )


def unpack_table(form: Form, values: bytes, given: bytes, dims: tuple[str, ...]) -> Table:
    """The table of a figure whose columns are those of `form`."""
    measures, optional, dimensions = len(form.measures), form.optional, len(form.dimensions)
    numbers = np.frombuffer(values, "<i8").reshape(-1, measures).tolist()
    counts = np.frombuffer(given, "<i4").reshape(-1, len(optional)).tolist() if optional else [[]] * len(numbers)
    table: Table = {}
    for index, row in enumerate(numbers):
        cells: list[int | None] = list(row)
        for position, count in zip(optional, counts[index], strict=True):
            if not count:
                cells[position] = None
        table[dims[index * dimensions : (index + 1) * dimensions]] = tuple(cells)
    return table
