"""The standing check: the fold of own reports at the present against the ledger's totals (design decision 22).

Conservation is compared only where a superior's version covers its children's offsets: a total that is still on its way
is not wrong. A superior that has not covered a child leaves everything above it waiting too.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field

import numpy as np

from consumers.read_model.standing import About, Contribution, Moment, Page, pages, standing
from consumers.read_model.tables import Adder, Summed
from consumers.read_model.trees import Trees
from schemas.catalogue import Catalogue
from schemas.figure import ScopeCode, State
from schemas.form import AcrossUnits, Form, FormId
from schemas.read_model import StandingCheck
from schemas.unit import LineName, UnitCode

_FIRST = 20
_OFFSETS = """SELECT unit, epoch, figures_offset, max(rank) FROM own WHERE page = ?
GROUP BY unit, valid_from, slot"""
_TOTALS = """SELECT unit, 2, state, newest_accepted, form_version, "values", given, dims, epoch, version,
    figures_offset, reported FROM totals WHERE page = ?"""


@dataclass(frozen=True, slots=True)
class _Total:
    contribution: Contribution
    version: tuple[int, int]
    stands_at: tuple[int, int]
    reported: int


@dataclass(slots=True)
class _Tally:
    compared: int = 0
    waiting: int = 0
    differing: int = 0
    differences: list[str] = field(default_factory=list)

    def differ(self, words: str) -> None:
        self.differing += 1
        self.differences.append(words)


def check(connection: sqlite3.Connection, catalogue: Catalogue, trees: Trees, form: FormId | None) -> StandingCheck:
    """Compare every total of one form, or of all, page by page."""
    tally = _Tally()
    for about in connection.execute("SELECT DISTINCT form, line FROM pages WHERE scope = 0 ORDER BY form, line"):
        if form in (None, about[0]):
            for page in pages(connection, About(FormId(about[0]), ScopeCode.OWN, LineName(about[1]))):
                version = catalogue.form_in_force(page.form, page.last_day)
                if version is None:
                    tally.differ(f"{page.form} {page.period}: no version of the form is in force")
                else:
                    _check_page(connection, Adder(version, catalogue), trees, page, tally)
    return StandingCheck(tally.compared, tally.differing, tally.waiting, tuple(tally.differences[:_FIRST]))


def _check_page(connection: sqlite3.Connection, adder: Adder, trees: Trees, page: Page, tally: _Tally) -> None:
    below = _receivers(connection, trees, page)
    found = standing(connection, page, {code for codes in below.values() for code in codes}, Moment())
    totals = _totals(connection, page)
    covered = _covered(connection, trees, page, totals)
    for unit, reporters in sorted(below.items()):
        if unit not in covered:
            tally.waiting += 1
            continue
        tally.compared += 1
        counting = [found[code] for code in reporters if found[code].state != State.WITHDRAWAL]
        total = totals[unit]
        mine, theirs = (_cells(adder.form, adder.total(tables)) for tables in (counting, [total.contribution]))
        if (mine, len(counting)) != (theirs, total.reported):
            tally.differ(
                f"{unit} {page.form} {page.period}: {len(counting)} reports make {mine}, the total of "
                f"version {total.version[0]}:{total.version[1]} says {total.reported} and {theirs}"
            )


def _receivers(connection: sqlite3.Connection, trees: Trees, page: Page) -> dict[UnitCode, list[str]]:
    """Who reports at or below each unit that has a total on this page."""
    below: dict[UnitCode, list[str]] = {}
    for (code,) in connection.execute("SELECT DISTINCT unit FROM own WHERE page = ?", (page.page,)):
        here: UnitCode | None = UnitCode(code)
        while here is not None:
            superior = trees.units.superior(here, page.last_day, page.line)
            if here != code or superior is None or not trees.is_leaf(here, page.line, page.last_day):
                below.setdefault(here, []).append(code)
            here = superior
    return below


def _totals(connection: sqlite3.Connection, page: Page) -> dict[str, _Total]:
    found: dict[str, _Total] = {}
    for *fields, epoch, version, offset, reported in connection.execute(_TOTALS, (page.page,)):
        contribution = Contribution._make(fields)
        found[contribution.unit] = _Total(contribution, (epoch, version), (epoch, offset), reported)
    return found


def _covered(connection: sqlite3.Connection, trees: Trees, page: Page, totals: dict[str, _Total]) -> set[str]:
    """Units whose total holds everything that stands below it."""
    units, day, line = trees.units, page.last_day, page.line
    behind: set[str] = set()
    arriving: list[tuple[str, UnitCode, tuple[int, int]]] = []
    for code, epoch, offset, _ in connection.execute(_OFFSETS, (page.page,)):
        superior = units.superior(code, day, line)
        to = UnitCode(code) if superior is None or units.has_children(code, day, line) else superior
        arriving.append((code, to, (epoch, offset)))
    for code, total in totals.items():
        above = units.superior(UnitCode(code), day, line)
        if above is not None:
            arriving.append((code, above, total.stands_at))
    for _, to, offset in arriving:
        if to not in totals or totals[to].version < offset:
            here: UnitCode | None = to
            while here is not None:
                behind.add(here)
                here = units.superior(here, day, line)
    return set(totals) - behind


def _cells(form: Form, table: Summed) -> dict[tuple[str, ...], tuple[int | None, ...]]:
    """What can be compared: measures that are added over units, rows of nothing but zeros left out."""
    added = np.array([measure.across_units is AcrossUnits.SUM for measure in form.measures])
    optional = np.array([measure.optional for measure in form.measures])
    shown = (table.numbers.astype(bool) | ((table.given > 0) & optional)) & added
    return {
        dims: tuple(
            (number if count else None) if across else None
            for number, count, across in zip(numbers, counts, added.tolist(), strict=True)
        )
        for dims, numbers, counts, kept in zip(
            table.rows, table.numbers.tolist(), table.given.tolist(), shown.any(axis=1).tolist(), strict=True
        )
        if kept
    }
