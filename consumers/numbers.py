"""Numbers of units for checks and indicators: terms answered from figures, blank with a reason where there is none.

Everything is asked of the read model's totals and reports, by each measure's own rules over units and time; nothing is
added here that a form says must not be added. Blank is not zero, and a nil report is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from schemas.catalogue import Catalogue
from schemas.form import AcrossUnits, Form, FormId, Measure, OverTime
from schemas.read_model import Axis, FigureQuery, FigureRow, ReadModel, RowKind
from schemas.report import Millis
from schemas.term import Over, Term
from schemas.unit import LineName, UnitCode, Units

Key = tuple[str, ...]
_WEEK = timedelta(days=6)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Blank:
    """Why there is no number."""

    reason_vi: str
    reason_en: str


Number = int | Blank


@dataclass(frozen=True, slots=True)
class Span:
    """Days, inclusive; `first` None: from the beginning."""

    first: date | None
    last: date

    def of(self, over: Over) -> Span:
        """The days that a term covers where these are asked about."""
        match over:
            case Over.DAYS:
                return self
            case Over.TO_DATE:
                return Span(None, self.last)
            case Over.BEFORE:
                return Span(None, (self.first or self.last) - _DAY)
            case Over.WEEK:
                return Span(self.last - _WEEK, self.last)


@dataclass(frozen=True, slots=True)
class Table:
    """One unit's figures over some days: by row its measures in the form's order. No rows: all was nil."""

    form: Form
    rows: Mapping[Key, Sequence[int | None]]
    units_reported: int


class Numbers:
    """Asks one read model as of one moment."""

    def __init__(self, model: ReadModel, as_of: Millis | None = None, axis: Axis = Axis.ACCEPTED) -> None:
        self.model = model
        self.catalogue: Catalogue = model.catalogue()
        self.units: Units = self.catalogue.units
        self.as_of = as_of
        self.axis = axis
        self._tables: dict[FigureQuery, Table | None] = {}
        self._below: dict[tuple[UnitCode, LineName, date], frozenset[UnitCode]] = {}

    def query(self, unit: UnitCode, term: Term, span: Span, kind: RowKind) -> FigureQuery:
        """What a term asks about one unit."""
        return FigureQuery(unit, term.form, span.first, span.last, kind, sum=True, as_of=self.as_of, axis=self.axis,
                           line=term.line, of=term.period)  # fmt: skip

    def table(self, query: FigureQuery) -> Table | None:
        """The table of a summed query, None where nothing (that still stands) was reported."""
        if query not in self._tables:
            found = self.model.figures(query)
            if query.sum and any(measure.over_time is OverTime.NONE for measure in found.form.measures):
                # A sum blanks what must not be added over time; of one period there is nothing to add.
                each = self.model.figures(replace(query, sum=False))
                found = each if len({row.period for row in each.rows}) == 1 else found
            counted = [row for row in found.rows if row.units_reported]
            nil = ("",) * len(found.form.dimensions) if found.form.dimensions else None
            rows = {row.dims: row.measures for row in counted if row.dims != nil}
            self._tables[query] = Table(found.form, rows, counted[0].units_reported) if counted else None
        return self._tables[query]

    def values(
        self, term: Term, unit: UnitCode, span: Span, by: Sequence[str] = (), kind: RowKind = RowKind.TOTAL
    ) -> Mapping[Key, Number] | Blank:
        """A term by the codes of some dimensions, over one unit; Blank where it did not report at all."""
        wanted = span.of(term.over)
        bearers = self.bearers(unit, term.line, wanted.last)
        tables = [table for one in bearers if (table := self.table(self.query(one, term, wanted, kind))) is not None]
        if not tables:
            return Blank("chưa có báo cáo", "not reported")
        leaf = not any(self.units.has_children(one, wanted.last, term.line) for one in bearers)
        found: dict[Key, Number] = {}
        for table in tables:
            names = [dimension.name for dimension in table.form.dimensions]
            places = [names.index(name) for name in by if name in names]
            for dims, cells in table.rows.items():
                if all(dims[names.index(name)] in codes for name, codes in term.where.items() if name in names):
                    key = tuple(dims[place] for place in places)
                    found[key] = _plus(found.get(key, 0), _value(term, table.form, cells, leaf=leaf))
        if not by:
            found.setdefault((), 0)
        return found

    def value(self, term: Term, unit: UnitCode, span: Span, kind: RowKind = RowKind.TOTAL) -> Number:
        """A term over all rows."""
        found = self.values(term, unit, span, (), kind)
        return found if isinstance(found, Blank) else found[()]

    def reported(self, term: Term, unit: UnitCode, span: Span) -> int:
        """How many reports (unit × period) a term's total counts."""
        wanted = span.of(term.over)
        tables = (self.table(self.query(one, term, wanted, RowKind.TOTAL))
                  for one in self.bearers(unit, term.line, wanted.last))  # fmt: skip
        return sum(table.units_reported for table in tables if table is not None)

    def bearers(self, unit: UnitCode, line: LineName, day: date) -> tuple[UnitCode, ...]:
        """Who stands for a unit on a line: itself, or the highest of the organisations placed in it."""
        if self.units.stands_on(line, unit, day):
            return (unit,)
        placed = [one.code for one in self.units.placed_in(unit, day) if self.units.stands_on(line, one.code, day)]
        return tuple(code for code in placed if self.units.superior(code, day, line) not in placed)

    def reporting(self, forms: Iterable[Term], unit: UnitCode, span: Span) -> list[UnitCode]:
        """`unit` and those below it with anything to ask about, superiors first, without branches that are silent."""
        terms = list(forms)
        found: list[UnitCode] = []
        waiting = [*self.bearers(unit, terms[0].line, span.last)]
        while waiting:
            code = waiting.pop(0)
            if any(self.table(self.query(code, term, span.of(term.over), RowKind.TOTAL)) for term in terms):
                found.append(code)
                waiting += self.units.children(code, span.last, terms[0].line)
        return found

    def below(self, unit: UnitCode, line: LineName, day: date) -> frozenset[UnitCode]:
        """`unit` and everything below it that day."""
        key = (unit, line, day)
        if key not in self._below:
            self._below[key] = frozenset(self.units.subtree(unit, day, line))
        return self._below[key]

    def name(self, code: UnitCode, day: date) -> str:
        """The unit's name that day, its code where it has none."""
        unit = self.units.unit(code, day)
        return unit.name if unit else str(code)

    def label(self, form: FormId, dims: Mapping[str, str]) -> str:
        """A row in words: the Vietnamese label of each code."""
        lists = {d.name: d.code_list for version in self.catalogue.forms if version.id == form
                 for d in version.dimensions}  # fmt: skip
        labels = []
        for name, code in dims.items():
            entry = self.catalogue.codes.get(lists.get(name, ""), {}).get(code)
            labels.append(entry.label_vi if entry else code)
        return ", ".join(labels)


def _value(term: Term, form: Form, cells: Sequence[int | None], *, leaf: bool) -> Number:
    at = {measure.name: position for position, measure in enumerate(form.measures)}
    values: dict[str, int] = {}
    for name in term.value.names:
        if name not in at:
            return Blank(f"biểu mẫu chưa có cột {name}", f"this version of the form has no {name}")
        cell, measure = cells[at[name]], form.measures[at[name]]
        if cell is None:
            return _why(measure, leaf=leaf)
        values[name] = cell
    return int(term.value(values))


def _why(measure: Measure, *, leaf: bool) -> Blank:
    label, name = measure.label_vi, measure.name
    if measure.across_units is AcrossUnits.NONE and not leaf:
        return Blank(f"“{label}” không được cộng giữa các đơn vị", f"{name} must not be added over units")
    if measure.over_time is OverTime.NONE:
        return Blank(f"“{label}” không được cộng theo thời gian", f"{name} must not be added over time")
    return Blank(f"không đơn vị nào báo cáo “{label}”", f"nobody gave {name}")


def _plus(one: Number, other: Number) -> Number:
    if isinstance(one, Blank):
        return one
    return other if isinstance(other, Blank) else one + other


def periods_in(model_rows: Iterable[FigureRow]) -> list[str]:
    """Texts of the periods of some rows, in order, once each."""
    return list(dict.fromkeys(row.period for row in model_rows))
