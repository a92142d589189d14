"""Tables as the verifier adds them: plain integers, one vector a row, and what a total made of them must say.

A vector holds the measures in the form's order, then for each optional one how many units gave it, so adding and taking
away are the same for every column. What must not be added over units is nought in a total.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from schemas.figure import Figure, State
from schemas.form import AcrossUnits, Form, Measure
from schemas.report import Cell

Dims = tuple[str, ...]
Vector = tuple[int, ...]
Table = dict[Dims, Vector]
Rows = tuple[tuple[Dims, tuple[int | None, ...]], ...]
"""As people see a table: sorted, None where there is no number, rows without any number other than 0 left out."""


def table_of_rows(form: Form, rows: Iterable[Mapping[str, Cell]]) -> Table:
    """A report's rows in the columns of `form`, by name: what they lack is 0, or not given where optional."""
    found: Table = {}
    for row in rows:
        cells = [row.get(measure.name) for measure in form.measures]
        given = [int(cells[at] is not None) for at in form.optional]
        found[tuple(str(row[d.name]) for d in form.dimensions)] = (*(int(cell or 0) for cell in cells), *given)
    return found


def table_of_figure(form: Form, figure: Figure) -> Table:
    """A figure's table, from its bytes."""
    wide, optional, deep = len(form.measures), len(form.optional), len(form.dimensions)
    numbers = _integers(figure.values, 8)
    given = _integers(figure.given, 4)
    count = len(numbers) // wide
    return {
        figure.dims[at * deep : (at + 1) * deep]: (
            *numbers[at * wide : (at + 1) * wide],
            *given[at * optional : (at + 1) * optional],
        )
        for at in range(count)
    }


def _integers(packed: bytes, size: int) -> list[int]:
    return [int.from_bytes(packed[at : at + size], "little", signed=True) for at in range(0, len(packed), size)]


def text_of(table: Table) -> str:
    """For the working database."""
    return json.dumps(sorted(table.items()), ensure_ascii=False, separators=(",", ":"))


def table_of_text(text: str) -> Table:
    """Inverse of `text_of`."""
    return {tuple(about): tuple(vector) for about, vector in json.loads(text)}


@dataclass(slots=True)
class Total:
    """What one unit counts: the sum of some tables, and how many reports make it."""

    table: dict[Dims, list[int]] = field(default_factory=dict)
    reported: int = 0
    nil: int = 0
    entered: int = 0

    def add(self, table: Mapping[Dims, Sequence[int]], sign: int = 1) -> None:
        """Add a table, or take it away."""
        for about, vector in table.items():
            into = self.table.get(about)
            if into is None:
                self.table[about] = [sign * number for number in vector]
            else:
                for at, number in enumerate(vector):
                    into[at] += sign * number

    def count(self, reported: int, nil: int, entered: int, sign: int = 1) -> None:
        """Count reports in, or out."""
        self.reported += sign * reported
        self.nil += sign * nil
        self.entered += sign * entered

    @property
    def state(self) -> State:
        """Withdrawal where nobody is counted, nil where all are nil."""
        if not self.reported:
            return State.WITHDRAWAL
        return State.NIL if self.nil == self.reported else State.REPORT

    def said(self, form: Form) -> Said:
        """What a published total of this must say."""
        return Said(wire(form, self.table), self.reported, self.nil, self.entered)


@dataclass(frozen=True, slots=True)
class Said:
    """What a total says: its table as published, and its coverage."""

    table: tuple[tuple[Dims, Vector], ...]
    reported: int
    nil: int
    entered: int

    def differs_from(self, truth: Said) -> str:
        """In words, empty where it does not."""
        mine = (self.reported, self.nil, self.entered)
        theirs = (truth.reported, truth.nil, truth.entered)
        words = [] if mine == theirs else [f"counts {mine} reports, nil, entered instead of {theirs}"]
        if self.table != truth.table:
            said, true = dict(self.table), dict(truth.table)
            wrong = sorted(about for about in said.keys() | true.keys() if said.get(about) != true.get(about))
            shown = ", ".join(f"{about} {said.get(about)} instead of {true.get(about)}" for about in wrong[:3])
            words.append(f"{len(wrong)} rows differ: {shown}")
        return "; ".join(words)

    def minus(self, other: Said) -> Said:
        """This without the other."""
        left = Total()
        left.add(dict(self.table))
        left.add(dict(other.table), -1)
        rows = tuple(sorted((about, tuple(v)) for about, v in left.table.items() if any(v)))
        return Said(rows, self.reported - other.reported, self.nil - other.nil, self.entered - other.entered)


def wire(form: Form, table: Mapping[Dims, Sequence[int]]) -> tuple[tuple[Dims, Vector], ...]:
    """A total's table as it is published: sorted, what is not added up is 0, rows of nothing but noughts dropped.

    Whether an optional measure that is not added up was given says nothing, and is left out of the comparison.
    """
    wide = len(form.measures)
    none = {at for at, measure in enumerate(form.measures) if measure.across_units is AcrossUnits.NONE}
    none |= {wide + place for place, at in enumerate(form.optional) if at in none}
    rows = (
        (about, tuple(0 if at in none else number for at, number in enumerate(vector)))
        for about, vector in table.items()
    )
    return tuple(sorted((about, vector) for about, vector in rows if any(vector)))


def seen(form: Form, table: Mapping[Dims, Sequence[int]], columns: Sequence[Measure], *, total: bool) -> Rows:
    """The same as people see it, in the columns of whatever version of the form was shown.

    `total` False: a unit's own report, where everything has a number. A column that `form` lacks is empty: nobody was
    asked for it, and blank is not zero.
    """
    wide = len(form.measures)
    places = {measure.name: at for at, measure in enumerate(form.measures)}
    given = {at: wide + place for place, at in enumerate(form.optional)}

    def cell(vector: Sequence[int], column: Measure) -> int | None:
        at = places.get(column.name)
        if total and column.across_units is AcrossUnits.NONE:
            return None
        if at is None:
            return None
        return None if at in given and not vector[given[at]] else vector[at]

    rows = ((about, tuple(cell(vector, column) for column in columns)) for about, vector in table.items())
    return tuple(sorted((about, cells) for about, cells in rows if any(cells)))


def mark(*parts: object) -> bytes:
    """Sixteen bytes that stand for some values."""
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).digest()
