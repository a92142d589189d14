"""Indicators as an office reads them: value, or in words why there is none, for a unit and for those below it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from urllib.parse import urlencode

from consumers.dashboard.frame import Frame, Link, frame
from consumers.dashboard.question import LONGEST_DAYS, Question, Stretch, stretch
from consumers.indicators import DutyCounts, Measured, measured
from consumers.numbers import Blank, Number, Numbers, Span
from schemas import words
from schemas.read_model import Axis, ReadModel
from schemas.report import Millis
from schemas.unit import UnitCode

_UNITS = {"%": "%", "per 100,000": "trên 100.000 dân", "level": "cấp độ"}


@dataclass(frozen=True, slots=True)
class Shown:
    """One indicator of the unit: its value with what it counts, or why it is empty, and the two numbers behind it."""

    label: str
    source: str
    value: str
    of: str
    why: str
    numerator: str
    denominator: str
    reported: str


@dataclass(frozen=True, slots=True)
class Cell:
    """A value of a unit below, or why there is none."""

    text: str
    why: str


@dataclass(frozen=True, slots=True)
class Line:
    """A unit below with its values, in the order of the page's columns."""

    unit: Link
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class IndicatorsView:
    """The page. `columns` and `below`: indicators that some unit below has a value of."""

    frame: Frame
    shown: tuple[Shown, ...]
    columns: tuple[str, ...]
    below: tuple[Line, ...]
    on_the_way: int
    by_issue: str
    data: str


def asked(model: ReadModel, question: Question, today: date) -> Stretch:
    """The question with its days filled in. Raises Refusal."""
    return stretch(model.catalogue(), model.form_periods(), question, today, LONGEST_DAYS)


def measured_for(
    model: ReadModel, about: Stretch, now: datetime, *, children: bool
) -> tuple[Numbers, tuple[Measured, ...], int]:
    """All indicators of the unit, and of those right below it; the numbers that they were asked of before them.

    Last how many of its reports were late only by acceptance.
    """
    numbers = Numbers(model, about.question.as_of, about.question.axis)
    units, code = numbers.units, about.unit.code
    below = [c for c in units.children(code, about.last, about.line) if units.expected(c, about.last, about.line)]
    duties = DutyCounts(numbers, Millis(int(now.timestamp() * 1000)))
    found = measured(numbers, [code, *(below if children else ())], Span(about.first, about.last), duties)
    return numbers, found, duties.late_on_the_way


def indicators_view(model: ReadModel, question: Question, now: datetime) -> IndicatorsView:
    """Ask everything the page shows. Raises ReadModelError, Refusal."""
    about = asked(model, question, now.date())
    numbers, found, on_the_way = measured_for(model, about, now, children=True)
    by_unit: dict[UnitCode, dict[str, Measured]] = {}
    for one in found:
        by_unit.setdefault(one.unit, {})[one.indicator] = one
    own = by_unit.pop(about.unit.code)
    told = {one.indicator for mine in by_unit.values() for one in mine.values() if not isinstance(one.value, Blank)}
    columns = [name for name in _labels(numbers) if name in told]
    given = {"unit": about.unit.code, "children": "1", **replace(about.question, form=None).parameters()}
    return IndicatorsView(
        frame(numbers.catalogue, about.question, about.unit, about.first, about.last, "indicators"),
        tuple(_shown(numbers, one) for one in own.values()), tuple(_labels(numbers)[name] for name in columns),
        tuple(_line(numbers, about, unit, mine, columns) for unit, mine in by_unit.items()) if columns else (),
        on_the_way, about.question.address("indicators", axis=Axis.ISSUED), f"/api/indicators?{urlencode(given)}",
    )  # fmt: skip


def _labels(numbers: Numbers) -> Mapping[str, str]:
    made = numbers.catalogue.indicators
    ratios, levels = made.ratios.items(), made.levels.items()
    return {name: one.label_vi for name, one in ratios} | {name: one.label_vi for name, one in levels}


def _shown(numbers: Numbers, one: Measured) -> Shown:
    made = numbers.catalogue.indicators
    ratio = made.ratios.get(one.indicator)
    about = ratio or made.levels[one.indicator]
    of = ratio.unit if ratio else "level"
    cell = _cell(one)
    return Shown(about.label_vi, about.source, cell.text, _UNITS.get(of, of), cell.why, _number(one.numerator),
                 _number(one.denominator), words.number(one.reported))  # fmt: skip


def _line(numbers: Numbers, about: Stretch, unit: UnitCode, mine: Mapping[str, Measured], columns: list[str]) -> Line:
    link = Link(numbers.name(unit, about.last), about.question.address("indicators", unit=unit))
    return Line(link, tuple(_cell(mine[name]) if name in mine else Cell("", "") for name in columns))


def _cell(one: Measured) -> Cell:
    if isinstance(one.value, Blank):
        return Cell("–", one.value.reason_vi)
    whole, point, fraction = f"{abs(one.value):f}".partition(".")
    sign = "\N{MINUS SIGN}" if one.value < 0 else ""
    return Cell(sign + words.number(int(whole)) + ("," + fraction if point else ""), "")


def _number(number: Number) -> str:
    return "–" if isinstance(number, Blank) else words.number(number)
