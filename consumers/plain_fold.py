"""The independent fold behind `verify`: one report at a time, plain dictionaries, cells by the names of their columns.

It shares with the ledgers the rules that are written down once (admission, the units of a day) and nothing else: no
numpy, no pages, no slots, no differences, no versions. Were a total wrong in the same way here and there, the rule
itself would have to be wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date

from schemas.admission import Admitted
from schemas.catalogue import Catalogue
from schemas.form import AcrossUnits, Form, FormId
from schemas.period import parse_period
from schemas.report import Kind, Scope, Source
from schemas.unit import LineName, UnitCode

Cells = tuple[int | None, ...]
Table = dict[tuple[str, ...], Cells]


@dataclass(frozen=True, slots=True, order=True)
class About:
    """What one figure is about: the page's identity and the unit's."""

    form: str
    line: str
    period: str
    scope: str
    unit: str
    valid_from: date


@dataclass(frozen=True, slots=True)
class Standing:
    """The report that stands in a slot."""

    revision: int
    source: Source
    kind: Kind
    accepted_at: int
    table: Table

    def beats(self, other: Standing) -> bool:
        """Higher revision, then lower source (contract 2)."""
        if self.revision != other.revision:
            return self.revision > other.revision
        return (self.source.partition, self.source.offset) < (other.source.partition, other.source.offset)


@dataclass(slots=True)
class Made:
    """A total as it must be: rows that are nothing but zeros left out, and its coverage."""

    table: Table = field(default_factory=dict)
    reported: int = 0
    nil: int = 0
    entered: int = 0
    first_accepted: int = -1
    newest_accepted: int = -1

    def differs_from(self, other: Made) -> str:
        """What is different, in words; empty where nothing is."""
        if self == other:
            return ""
        words = [
            f"{name} {mine} instead of {theirs}"
            for name in ("reported", "nil", "entered", "first_accepted", "newest_accepted")
            if (mine := getattr(self, name)) != (theirs := getattr(other, name))
        ]
        for dims in sorted(self.table.keys() | other.table.keys()):
            if self.table.get(dims) != other.table.get(dims):
                words.append(
                    f"row {'/'.join(dims) or '(all)'} {self.table.get(dims)} instead of {other.table.get(dims)}"
                )
        return "; ".join(words[:4])


class PlainFold:
    """All admitted reports, folded. `catalogue` is the newest: no catalogue moves units on days already reported."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.own: dict[tuple[About, bool], Standing] = {}
        """By unit's page and whether it was entered by another: what stands."""

    def add(self, admitted: Admitted, source: Source, accepted_at: int) -> None:
        """Fold one admitted report."""
        header = admitted.report.header
        about = About(admitted.form.id, header.line, header.period, header.scope.value, header.unit,
                      admitted.unit.valid_from)  # fmt: skip
        new = Standing(header.revision, source, header.kind, accepted_at, _own_table(admitted))
        slot = (about, header.entered_by is not None)
        old = self.own.get(slot)
        if old is None or new.beats(old):
            self.own[slot] = new

    def totals(self) -> dict[About, Made]:
        """The total of every unit with units below it, and of every root, that anything was reported to."""
        made: dict[About, Made] = {}
        for about, by_other in sorted(self.own, key=lambda slot: (slot[0], slot[1])):
            if about.scope == Scope.SUBTREE.value:
                continue  # a claim is compared, never added
            standing = self._counting(about, by_other)
            for unit, valid_from in self._upwards(about):
                total = made.setdefault(
                    About(about.form, about.line, about.period, about.scope, unit, valid_from), Made()
                )
                if standing is not None:
                    _count(total, standing, by_other=by_other)
                    _add(self._form(about), total.table, standing.table)
        for about, total in made.items():
            total.table = shown(self._form(about), total.table)
        return made

    def _counting(self, about: About, by_other: bool) -> Standing | None:
        """What a slot gives: nothing when withdrawn, and an entered report nothing while the unit's own stands."""
        standing = self.own[about, by_other]
        if standing.kind is Kind.WITHDRAWAL:
            return None
        own = self.own.get((about, False))
        return None if by_other and own is not None and own.kind is not Kind.WITHDRAWAL else standing

    def _upwards(self, about: About) -> Iterator[tuple[str, date]]:
        units, day, line = self.catalogue.units, parse_period(about.period).last_day, LineName(about.line)
        here: UnitCode | None = UnitCode(about.unit)
        first = True
        while here is not None:
            above = units.superior(here, day, line)
            unit = units.unit(here, day)
            if unit is not None and (not first or above is None or units.has_children(here, day, line)):
                yield here, unit.valid_from
            here, first = above, False

    def _form(self, about: About) -> Form:
        form = self.catalogue.form_in_force(FormId(about.form), parse_period(about.period).last_day)
        if form is None:
            raise ValueError(f"form {about.form} was admitted for {about.period} and is not in force then")
        return form


def shown(form: Form, table: Mapping[tuple[str, ...], Cells]) -> Table:
    """What of a total can be compared: measures that are added over units, and no rows of nothing but zeros."""
    result: Table = {}
    for dims, cells in table.items():
        kept = tuple(cell if measure.across_units is AcrossUnits.SUM else None
                     for measure, cell in zip(form.measures, cells, strict=True))  # fmt: skip
        if any(cell if not measure.optional else cell is not None
               for measure, cell in zip(form.measures, kept, strict=True)):  # fmt: skip
            result[dims] = kept
    return result


def _own_table(admitted: Admitted) -> Table:
    """The report's rows in the columns of the form in force on the period's last day, by name."""
    form = admitted.form
    table: Table = {}
    for row in admitted.rows:
        dims = tuple(str(row.get(dimension.name, "")) for dimension in form.dimensions)
        cells: list[int | None] = []
        for measure in form.measures:
            cell = row.get(measure.name)
            cells.append(int(cell) if cell is not None else None if measure.optional else 0)
        table[dims] = tuple(cells)
    return table


def _count(total: Made, standing: Standing, *, by_other: bool) -> None:
    total.reported += 1
    total.nil += standing.kind is Kind.NIL
    total.entered += by_other
    at = standing.accepted_at
    total.first_accepted = at if total.first_accepted < 0 else min(total.first_accepted, at)
    total.newest_accepted = max(total.newest_accepted, at)


def _add(form: Form, total: Table, table: Table) -> None:
    for dims, cells in table.items():
        held = total.get(dims)
        if held is None:
            total[dims] = cells
        else:
            total[dims] = tuple(
                old if new is None else new if old is None else old + new
                for old, new in zip(held, cells, strict=True))  # fmt: skip
