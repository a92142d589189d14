"""Cumulative columns (lũy kế) and what is brought forward (kỳ trước chuyển sang): computed, never typed.

By each measure's own rule over time: a flow has what came before, what came in the period, and both together; a stock
has what was there before and what is there now, and no sum; what must not be added over time has the period alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from consumers.numbers import Blank, Key, Number, Numbers, Span, Table
from schemas.form import Form, FormId, Measure, OverTime
from schemas.read_model import FigureQuery, UnknownForm
from schemas.unit import UBND, LineName, UnitCode


@dataclass(frozen=True, slots=True)
class Running:
    """One cell of a form over time: what was brought forward, what the days have, and what it has come to."""

    row: Key
    measure: Measure
    brought_forward: Number
    in_period: Number
    cumulative: Number


_STOCK = Blank("số tồn, không cộng dồn", "a stock, never accumulated")
_NONE = Blank("không cộng theo thời gian", "never added over time")
_NOT_REPORTED = Blank("chưa có báo cáo", "not reported")


def running(
    numbers: Numbers, unit: UnitCode, form: FormId, days: Span, since: date | None = None, line: LineName = UBND
) -> tuple[Running, ...]:
    """Every cell of a form's total, by row and measure. `since`: where the accumulation begins, None: with the first.

    Raises ReadModelError.
    """
    version = numbers.catalogue.form_in_force(form, days.last)
    if version is None:
        raise UnknownForm(f"no form {form} is in force on {days.last}")
    first = days.first or days.last
    before = Span(since, first - timedelta(days=1))
    tables = [_table(numbers, unit, version, span, line) for span in (before, days, Span(since, days.last))]
    rows = sorted({row for table in tables if table is not None for row in table.rows})
    return tuple(
        _running(row, place, measure, tables) for row in rows for place, measure in enumerate(version.measures)
    )


def _table(numbers: Numbers, unit: UnitCode, form: Form, span: Span, line: LineName) -> Table | None:
    if span.first is not None and span.first > span.last:
        return None
    return numbers.table(FigureQuery(unit, form.id, span.first, span.last, sum=True, as_of=numbers.as_of,
                                     axis=numbers.axis, line=line, of=form.periods[0]))  # fmt: skip


def _running(row: Key, place: int, measure: Measure, tables: list[Table | None]) -> Running:
    before, during, altogether = (_cell(table, row, measure.name) for table in tables)
    if measure.over_time is OverTime.NONE:
        return Running(row, measure, _NONE, during, _NONE)
    if measure.over_time is OverTime.LAST:
        return Running(row, measure, before, during, _STOCK)
    if tables[0] is None:
        before = 0  # a flow of which nothing was reported yet
    return Running(row, measure, before, during, altogether)


def _cell(table: Table | None, row: Key, name: str) -> Number:
    if table is None:
        return _NOT_REPORTED
    names = [measure.name for measure in table.form.measures]
    if name not in names or row not in table.rows:
        return 0
    cell = table.rows[row][names.index(name)]
    return _NOT_REPORTED if cell is None else cell
