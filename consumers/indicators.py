"""Indicators computed from totals: a ratio is divided once, at the level that is asked about, and never averaged.

Where a number or a denominator is missing, or a measure must not be added, the indicator is empty and says why. Exact
integers go in, one rounding comes out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction

from consumers.export import Lines, Value
from consumers.numbers import Blank, Number, Numbers, Span
from consumers.obligations import obligations
from schemas.indicator import Indicator, LevelScale, Side, Timeliness
from schemas.obligations import Moment, Status, owed
from schemas.read_model import Axis, RowKind
from schemas.report import Millis
from schemas.unit import UBND, UnitCode

DutyCount = Callable[[UnitCode, Span, Timeliness], Number]
"""How many reports a unit and everybody below it owed, or gave in time; obligations are no figures."""


@dataclass(frozen=True, slots=True)
class Measured:
    """An indicator of a unit: its value, or why there is none, with the two numbers it is made of."""

    indicator: str
    unit: UnitCode
    value: Decimal | Blank
    numerator: Number
    denominator: Number
    reported: int
    """Reports (unit × period) that the numerator counts; 0 where it is no figure."""


_COLUMNS = ("indicator", "unit", "name", "label_vi", "value", "of", "numerator", "denominator", "reported", "reason_vi",
            "reason_en")  # fmt: skip
_NO_REGIME = Blank("chưa có chế độ báo cáo", "no reporting regime")


class DutyCounts:
    """Obligations of the catalogue's regimes due in the days asked about, as known at the moment of `numbers` or now.

    Owed are all but those that are open or that somebody was exempted from.
    """

    def __init__(self, numbers: Numbers, now: Millis) -> None:
        self._numbers = numbers
        self._at = Moment(now if numbers.as_of is None else numbers.as_of, numbers.axis)
        self._known: dict[tuple[UnitCode, Span], Counter[Status]] = {}
        self.late_on_the_way = 0
        """The most reports of one unit and those below it that were late only by acceptance: issued in time."""

    def __call__(self, unit: UnitCode, days: Span, what: Timeliness) -> Number:
        """How many reports a unit and everybody below it owed, or gave in time."""
        if not self._numbers.catalogue.regimes:
            return _NO_REGIME
        found = self._statuses(unit, days)
        return found[Status.IN_TIME] if what is Timeliness.IN_TIME else owed(found) - found[Status.OPEN]

    def _statuses(self, unit: UnitCode, days: Span) -> Counter[Status]:
        if (unit, days) not in self._known:
            found = obligations(self._numbers.model, unit, days.first or days.last, days.last, self._at)
            self._known[unit, days] = Counter(one.status for one in found)
            if self._at.axis is Axis.ACCEPTED:
                self.late_on_the_way = max(self.late_on_the_way, sum(one.late_on_the_way for one in found))
        return self._known[unit, days]


def indicator_lines(numbers: Numbers, found: Iterable[Measured], day: date) -> Lines:
    """One line each, units named as on a day: value or why there is none, and the two numbers behind it."""
    return Lines(_COLUMNS, tuple(_line(numbers, one, day) for one in found))


def _line(numbers: Numbers, one: Measured, day: date) -> tuple[Value, ...]:
    ratios, levels = numbers.catalogue.indicators.ratios, numbers.catalogue.indicators.levels
    about = ratios.get(one.indicator) or levels[one.indicator]
    of = ratios[one.indicator].unit if one.indicator in ratios else "level"
    empty = one.value if isinstance(one.value, Blank) else None
    return (one.indicator, one.unit, numbers.name(one.unit, day), about.label_vi, "" if empty else str(one.value), of,
            *(None if isinstance(side, Blank) else side for side in (one.numerator, one.denominator)), one.reported,
            empty.reason_vi if empty else "", empty.reason_en if empty else "")  # fmt: skip


def ratio(numerator: Number, denominator: Number, scale: int, decimals: int) -> Decimal | Blank:
    """`numerator` / `denominator` × `scale`, rounded half up. Empty over nothing, and where either is."""
    if isinstance(numerator, Blank):
        return numerator
    if isinstance(denominator, Blank):
        return denominator
    if not denominator:
        return Blank("mẫu số bằng 0", "the denominator is 0")
    exact = Fraction(numerator * scale * 10**decimals, denominator)
    rounded = (2 * abs(exact.numerator) + exact.denominator) // (2 * exact.denominator)
    return Decimal(rounded if exact >= 0 else -rounded).scaleb(-decimals)


def level(scale: LevelScale, rate: Fraction, coverage: Fraction) -> int:
    """The level of a place with so many cases per unit of rate and so much coverage."""
    step = max((one for one in scale.steps if one.least <= rate), key=lambda one: one.least, default=scale.steps[0])
    return step.covered if coverage >= scale.enough else step.uncovered


def measured(numbers: Numbers, units: Iterable[UnitCode], days: Span, duties: DutyCount) -> tuple[Measured, ...]:
    """Every indicator of the catalogue for each unit, levels last. Raises ReadModelError."""
    found: list[Measured] = []
    for unit in units:
        ratios: dict[str, Measured] = {}
        for one in numbers.catalogue.indicators.ratios.values():
            ratios[one.id] = _measured(numbers, one, unit, days, duties)
        found += ratios.values()
        at = numbers.units.unit(unit, days.last)
        for scale in numbers.catalogue.indicators.levels.values():
            if at is not None and at.level in scale.at_levels and not at.is_organisation:
                found.append(_level(numbers, scale, ratios, unit))
    return tuple(found)


def _measured(numbers: Numbers, one: Indicator, unit: UnitCode, days: Span, duties: DutyCount) -> Measured:
    numerator, denominator = (_number(numbers, side, unit, days, duties) for side in (one.numerator, one.denominator))
    value = ratio(numerator, denominator, one.scale, one.decimals)
    reported = 0 if one.numerator.term is None else numbers.reported(one.numerator.term, unit, days)
    return Measured(one.id, unit, value, numerator, denominator, reported)


def _number(numbers: Numbers, side: Side, unit: UnitCode, days: Span, duties: DutyCount) -> Number:
    if side.term is not None:
        return numbers.value(side.term, unit, days, RowKind.TOTAL)
    if side.duties is not None:
        return duties(unit, days, side.duties)
    return population(numbers, unit, side.population, days)


def population(numbers: Numbers, unit: UnitCode, group: str, days: Span) -> Number:
    """So many persons of a group: the unit's own count, else the sum over the places below it, if each has one."""
    count = numbers.catalogue.populations.count(unit, group, days.last)
    if count is not None:
        return count.persons
    below = [c for c in numbers.units.children(unit, days.last, UBND) if numbers.units.expected(c, days.last)]
    if not below:
        name = numbers.name(unit, days.last)
        return Blank(f"chưa có dân số ({group}) của {name}", f"no population ({group}) of {name}")
    total = 0
    for child in below:
        number = population(numbers, child, group, days)
        if isinstance(number, Blank):
            return number
        total += number
    return total


def _level(numbers: Numbers, scale: LevelScale, ratios: Mapping[str, Measured], unit: UnitCode) -> Measured:
    """A level from the exact fractions, so that rounding never moves a place over a threshold."""
    exact: list[Fraction] = []
    for name in (scale.rate, scale.coverage):
        found = ratios[name]
        if isinstance(found.value, Blank) or isinstance(found.numerator, Blank) or isinstance(found.denominator, Blank):
            why = found.value if isinstance(found.value, Blank) else Blank("thiếu số liệu", "a number is missing")
            return Measured(scale.id, unit, why, why, why, found.reported)
        exact.append(Fraction(found.numerator * numbers.catalogue.indicators.ratios[name].scale, found.denominator))
    rate, coverage = ratios[scale.rate], ratios[scale.coverage]
    return Measured(scale.id, unit, Decimal(level(scale, *exact)), rate.numerator, coverage.numerator, rate.reported)
