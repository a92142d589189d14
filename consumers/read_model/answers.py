"""Figures as they are printed (contract 8): which contributions make a figure, and which cells stay empty.

At present a superior's figure is the ledger's total as stored; as of a moment, and for sums over time with a stock, it
is the fold of own reports over the tree of each period's last day (design decisions 3, 4, 22). A leaf's figure is its
standing report either way.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from consumers.read_model.standing import About, Contribution, Moment, Page, pages, standing_on
from consumers.read_model.tables import Adder, Summed
from consumers.read_model.trees import Trees
from schemas.catalogue import Catalogue
from schemas.figure import ScopeCode, Slot, State
from schemas.form import AcrossUnits, Form, FormId, OverTime
from schemas.period import parse_period
from schemas.read_model import FigureQuery, FigureRow, Figures, OverlappingPeriods, RowKind, UnknownForm, UnknownUnit
from schemas.report import Scope
from schemas.unit import UnitCode

_TOTAL = """SELECT unit, 2, state, newest_accepted, form_version, "values", given, dims, epoch, version, reported, nil
FROM totals WHERE page = ? AND unit = ?"""


@dataclass(frozen=True, slots=True)
class Counted:
    """What makes one unit's figure on one page. `known` without `reported`: all of it was withdrawn."""

    page: Page
    contributions: Sequence[Contribution]
    reported: int
    nil: int
    known: bool
    leaf: bool
    version: str = ""


def form_for(catalogue: Catalogue, form: FormId, found: Sequence[Page]) -> Form:
    """The version of a form in force on the newest page's last day. Raises UnknownForm."""
    versions = [version for version in catalogue.forms if version.id == form]
    if not versions:
        raise UnknownForm(f"no form {form} in the catalogue; there are: "
                          f"{', '.join(sorted({version.id for version in catalogue.forms}))}")  # fmt: skip
    in_force = catalogue.form_in_force(form, max(page.last_day for page in found)) if found else None
    return in_force or max(versions, key=lambda version: (version.valid_from, version.version))


def _asked(found: Sequence[Page], query: FigureQuery) -> list[Page]:
    """The pages that a query means. Raises OverlappingPeriods where it sums some that share days."""
    kept = [page for page in found
            if query.period in (None, page.period) and query.of in (None, parse_period(page.period).type)]  # fmt: skip
    if query.sum:
        for earlier, later in pairwise(kept):
            if later.first_day <= earlier.last_day:
                raise OverlappingPeriods(f"{earlier.period} and {later.period} of {query.form} share days, which a sum "
                                         "would count twice: ask for one type of period")  # fmt: skip
    return kept


class Answer:
    """The figures of one query, from one consistent state of the database."""

    def __init__(self, connection: sqlite3.Connection, catalogue: Catalogue, trees: Trees, query: FigureQuery) -> None:
        if query.unit not in catalogue.units:
            raise UnknownUnit(f"no unit {query.unit} in the catalogue")
        self._connection = connection
        self._trees = trees
        self._query = query
        self._moment = Moment(query.as_of, query.axis)
        scope = ScopeCode.SUBTREE if query.scope is Scope.SUBTREE else ScopeCode.OWN
        self._pages = _asked(pages(connection, About(query.form, scope, query.line), query.first, query.last), query)
        self._form = form_for(catalogue, query.form, self._pages)
        self._optional = np.array([measure.optional for measure in self._form.measures])
        # A sum over a change of a code list is one table, under the codes of its last day.
        codes_of = self._pages[-1].last_day if query.sum and self._pages else None
        self._adder = Adder(self._form, catalogue, codes_of)
        # A stock is taken from each reporting unit's last period, which totals no longer tell apart.
        self._stock_sum = query.sum and self._form.has_stock

    def figures(self) -> Figures:
        """All rows, by unit and period."""
        query = self._query
        if not query.children:
            return Figures(self._form, tuple(self._rows(query.unit, query.kind, self._pages)))
        below: dict[UnitCode, list[Page]] = {}
        for page in self._pages:
            for child in self._trees.children(query.unit, query.line, page.last_day):
                below.setdefault(child, []).append(page)
        rows = [row for child in sorted(below) for row in self._rows(child, RowKind.TOTAL, below[child])]
        return Figures(self._form, (*rows, *self._rows(query.unit, RowKind.OWN, self._pages)))

    def _rows(self, unit: UnitCode, kind: RowKind, over: Sequence[Page]) -> Iterator[FigureRow]:
        counted = [found for found in self._counted(unit, kind, over) if found.known]
        if self._query.sum:
            if counted:
                first = self._query.first or counted[0].page.first_day
                last = self._query.last or counted[-1].page.last_day
                yield from self._print(unit, kind, f"{first}/{last}", counted, self._table(counted))
            return
        tables = self._adder.totals([one.contributions for one in counted])
        for one, table in zip(counted, tables, strict=True):
            yield from self._print(unit, kind, one.page.period, [one], table)

    def _counted(self, unit: UnitCode, kind: RowKind, over: Sequence[Page]) -> list[Counted]:
        """What makes the figure on each of these pages; those that fold the same units are read together."""
        alone = kind is RowKind.OWN or self._query.scope is Scope.SUBTREE
        found: dict[int, Counted] = {}
        folded: dict[tuple[frozenset[str], bool], list[Page]] = {}
        for page in over:
            if alone or self._trees.is_leaf(unit, page.line, page.last_day):
                folded.setdefault((frozenset((unit,)), True), []).append(page)
            elif self._moment.as_of is None and not self._stock_sum:
                found[page.page] = self._stored(unit, page)
            else:
                below = self._trees.subtree(unit, page.line, page.last_day).codes
                folded.setdefault((below, False), []).append(page)
        for (units, leaf), group in folded.items():
            standing_there = standing_on(self._connection, group, units, self._moment)
            found |= {page.page: _of(page, standing_there.get(page.page, {}).values(), leaf=leaf) for page in group}
        return [found[page.page] for page in over]

    def _stored(self, unit: UnitCode, page: Page) -> Counted:
        row = self._connection.execute(_TOTAL, (page.page, unit)).fetchone()
        if row is None:
            return Counted(page, (), 0, 0, known=False, leaf=False)
        *fields, epoch, version, reported, nil = row
        return Counted(page, (Contribution._make(fields),), reported, nil, known=True, leaf=False,
                       version=f"{epoch}:{version}")  # fmt: skip

    def _print(
        self, unit: UnitCode, kind: RowKind, period: str, counted: Sequence[Counted], table: Summed
    ) -> Iterator[FigureRow]:
        reported = sum(one.reported for one in counted)
        leaf = all(one.leaf for one in counted)
        version = counted[0].version if len(counted) == 1 and not self._query.sum else ""
        blank = ("",) * len(self._form.dimensions)
        empty = self._empty(leaf)
        keep = [True] * len(table.rows) if leaf else self._shown(table, empty)
        rows = [
            (dims, _cells(number, given, empty))
            for dims, number, given, kept in zip(
                table.rows, table.numbers.tolist(), table.given.tolist(), keep, strict=True
            )
            if kept
        ]
        if not reported:
            rows = [(blank, (None,) * len(self._form.measures))]
        elif not rows:
            only_nil = reported == sum(one.nil for one in counted)
            rows = [(blank, tuple(None if gone or (measure.optional and not only_nil) else 0
                                  for gone, measure in zip(empty, self._form.measures, strict=True)))]  # fmt: skip
        for dims, cells in rows:
            yield FigureRow(unit, self._form.id, period, kind, dims, cells, reported, version)

    def _table(self, counted: Sequence[Counted]) -> Summed:
        summed = self._adder.total(one for page in counted for one in page.contributions)
        if not self._stock_sum:
            return summed
        newest: dict[str, Contribution] = {}
        for page in counted:
            newest.update({one.unit: one for one in page.contributions if one.state != State.WITHDRAWAL})
        last = self._adder.total(newest.values())
        places = {dims: position for position, dims in enumerate(summed.rows)}
        numbers, given = summed.numbers.copy(), summed.given.copy()
        for column, measure in enumerate(self._form.measures):
            if measure.over_time is OverTime.LAST:
                numbers[:, column] = given[:, column] = 0
                for position, dims in enumerate(last.rows):
                    numbers[places[dims], column] = last.numbers[position, column]
                    given[places[dims], column] = last.given[position, column]
        # A required stock that the newest table no longer lists is zero, not unknown.
        required = [c for c, m in enumerate(self._form.measures) if m.over_time is OverTime.LAST and not m.optional]
        given[:, required] = 1
        return Summed(summed.rows, numbers, given)

    def _shown(self, table: Summed, empty: Sequence[bool]) -> list[bool]:
        """Rows of a total that say something: a number that is not zero, or an optional one that somebody gave."""
        wanted = table.numbers.astype(bool) | (table.given > 0) & self._optional
        wanted[:, empty] = False
        shown: list[bool] = wanted.any(axis=1).tolist()
        return shown

    def _empty(self, leaf: bool) -> list[bool]:
        return [
            (not leaf and measure.across_units is AcrossUnits.NONE)
            or (self._query.sum and measure.over_time is OverTime.NONE)
            for measure in self._form.measures
        ]


def _of(page: Page, found: Iterable[Contribution], *, leaf: bool) -> Counted:
    found = list(found)
    standing_now = [one for one in found if one.state != State.WITHDRAWAL]
    nil = sum(one.state == State.NIL for one in standing_now)
    return Counted(page, standing_now, len(standing_now), nil, known=bool(found), leaf=leaf)


def entered(found: Iterable[Contribution]) -> int:
    """How many of these count through the slot of entered reports."""
    return sum(one.slot == Slot.ENTERED and one.state != State.WITHDRAWAL for one in found)


def _cells(numbers: list[int], given: list[int], empty: Sequence[bool]) -> tuple[int | None, ...]:
    return tuple(None if gone or not count else number
                 for number, count, gone in zip(numbers, given, empty, strict=True))  # fmt: skip
