"""Periods: what a report covers, as text and as days (`design.md` 5, contract "Periods").

A period is an unbroken run of days under one name, and the name alone says which days: nothing else needs to be known
to place a report in time. So sums over time are exact: a period is the sum of others only where it is the same set of
days. A statutory year (15/12 to 14/12) is twelve statutory months and no four calendar quarters. Callers hold a
`Period` and ask it; nothing outside this module looks into the text.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import NewType

PeriodText = NewType("PeriodText", str)

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_WEEK = re.compile(r"(S?)(\d{4})-W(\d{2})", re.ASCII)
_MONTHS = re.compile(r"(C?)(\d{4})(?:-(\d{2})|-(Q[1-4]|H[12]|9M))?", re.ASCII)
_NAMED = re.compile(r"([RT]):(\d{4}-\d{2}-\d{2})(?:\.\.(\d{4}-\d{2}-\d{2}))?:([a-z0-9]+(?:-[a-z0-9]+)*)", re.ASCII)
_LONGEST_TEXT = 96
_DAY_OF_CLOSE = 14
"""Statutory months close on the 14th (Nghị định 09/2019/NĐ-CP, Điều 12)."""
_SATURDAY_BEFORE = timedelta(days=2)


class PeriodType(StrEnum):
    """Closed list of the kinds of period. Statutory ones run from 15 to 14, calendar ones from 1 to the month's end."""

    DAY = "day"
    WEEK = "week"
    SATURDAY_WEEK = "saturday-week"
    MONTH = "month"
    QUARTER = "quarter"
    HALF = "half"
    NINE_MONTHS = "nine-months"
    YEAR = "year"
    CALENDAR_MONTH = "calendar-month"
    CALENDAR_QUARTER = "calendar-quarter"
    CALENDAR_HALF = "calendar-half"
    CALENDAR_NINE_MONTHS = "calendar-nine-months"
    CALENDAR_YEAR = "calendar-year"
    ROUND = "round"
    TOPICAL = "topical"

    @property
    def partitions_days(self) -> bool:
        """Whether every day lies in exactly one period of this type. Not so where only some spans have a name."""
        return self not in _NINE and self not in _NAMED_LETTERS

    @property
    def example(self) -> str:
        """A period of this type as it is written."""
        return _EXAMPLES[self]


@dataclass(frozen=True, slots=True)
class _Run:
    """How many months a period of a type has, and whether they are calendar ones."""

    months: int
    calendar: bool


_RUNS = {
    PeriodType.MONTH: _Run(1, calendar=False),
    PeriodType.QUARTER: _Run(3, calendar=False),
    PeriodType.HALF: _Run(6, calendar=False),
    PeriodType.NINE_MONTHS: _Run(9, calendar=False),
    PeriodType.YEAR: _Run(12, calendar=False),
    PeriodType.CALENDAR_MONTH: _Run(1, calendar=True),
    PeriodType.CALENDAR_QUARTER: _Run(3, calendar=True),
    PeriodType.CALENDAR_HALF: _Run(6, calendar=True),
    PeriodType.CALENDAR_NINE_MONTHS: _Run(9, calendar=True),
    PeriodType.CALENDAR_YEAR: _Run(12, calendar=True),
}
_TYPE_OF_RUN = {(run.calendar, run.months): of for of, run in _RUNS.items()}
_NINE = frozenset({PeriodType.NINE_MONTHS, PeriodType.CALENDAR_NINE_MONTHS})
_NAMED_LETTERS = {PeriodType.ROUND: "R", PeriodType.TOPICAL: "T"}
_EXAMPLES = {
    PeriodType.DAY: "2021-12-13",
    PeriodType.WEEK: "2021-W50",
    PeriodType.SATURDAY_WEEK: "S2021-W50",
    PeriodType.MONTH: "2021-12",
    PeriodType.QUARTER: "2021-Q4",
    PeriodType.HALF: "2021-H2",
    PeriodType.NINE_MONTHS: "2021-9M",
    PeriodType.YEAR: "2021",
    PeriodType.CALENDAR_MONTH: "C2021-12",
    PeriodType.CALENDAR_QUARTER: "C2021-Q4",
    PeriodType.CALENDAR_HALF: "C2021-H2",
    PeriodType.CALENDAR_NINE_MONTHS: "C2021-9M",
    PeriodType.CALENDAR_YEAR: "C2021",
    PeriodType.ROUND: "R:2021-12-01..2021-12-20:dot-12",
    PeriodType.TOPICAL: "T:2021-12-14:vung-xanh",
}


class PeriodError(ValueError):
    """The text names no period that is understood, or there is no such period."""


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """Consecutive days under one name. Ordered by first day."""

    first_day: date
    last_day: date
    type: PeriodType
    text: PeriodText

    def __str__(self) -> str:
        return self.text

    def __contains__(self, value: date) -> bool:
        return self.first_day <= value <= self.last_day

    @property
    def days(self) -> int:
        """How many days it has."""
        return (self.last_day - self.first_day).days + 1

    @property
    def previous(self) -> Period | None:
        """The one of its type before it; None for a named one and at the beginning of the calendar."""
        return self._neighbour(-1)

    @property
    def following(self) -> Period | None:
        """The one of its type after it; None for a named one and at the end of the calendar."""
        return self._neighbour(1)

    @property
    def year_before(self) -> Period | None:
        """The same period of the year before (cùng kỳ năm trước); None for a named one.

        29 February has 28 February before it, week 53 the year's last one.
        """
        try:
            return _year_before(self)
        except PeriodError:
            return None

    def parts(self, of: PeriodType) -> tuple[Period, ...]:
        """Itself as periods of another type that make exactly its days, oldest first.

        Raises PeriodError where none do: a statutory year in calendar quarters, a month in weeks.
        """
        if of is self.type:
            return (self,)
        found = [period_holding(of, self.first_day)]
        while found[-1].last_day < self.last_day and (following := found[-1].following) is not None:
            found.append(following)
        if found[0].first_day != self.first_day or found[-1].last_day != self.last_day:
            raise PeriodError(f"{self.text} ({self.first_day} to {self.last_day}) is no whole number of {of} periods")
        return tuple(found)

    def _neighbour(self, step: int) -> Period | None:
        if self.type in _NAMED_LETTERS:
            return None
        try:
            if self.type in _NINE:
                return _months(_RUNS[self.type], self.last_day.year + step, 0)
            edge = self.last_day if step > 0 else self.first_day
            return period_holding(self.type, edge + timedelta(days=step))
        except (PeriodError, OverflowError):
            return None


def day(value: date) -> Period:
    """The period that is just that day."""
    return Period(value, value, PeriodType.DAY, PeriodText(value.isoformat()))


def statutory_month(value: date) -> Period:
    """The reporting month that a day belongs to.

    Months run from the 15th to the 14th (Nghị định 09/2019/NĐ-CP, Điều 12): 2021-12-14 is in 2021-12, 2021-12-15 in
    2022-01.
    """
    return period_holding(PeriodType.MONTH, value)


def named(of: PeriodType, name: str, first: date, last: date | None = None) -> Period:
    """A round or topical period: days that an issuer set, under a name of small letters, digits and hyphens."""
    span = first.isoformat() if last in (None, first) else f"{first}..{last}"
    return parse_period(f"{_NAMED_LETTERS[of]}:{span}:{name}")


def period_holding(of: PeriodType, value: date) -> Period:
    """The period of a type that `value` lies in.

    Raises PeriodError where there is none: in October for nine months, for named types, and at the calendar's ends.
    """
    if of is PeriodType.DAY:
        return day(value)
    if of in _NAMED_LETTERS:
        raise PeriodError(f"which {of} period a day lies in is for its issuer to say")
    try:
        if of is PeriodType.WEEK:
            return _week(*value.isocalendar()[:2], saturday=False)
        if of is PeriodType.SATURDAY_WEEK:
            return _week(*(value + _SATURDAY_BEFORE).isocalendar()[:2], saturday=True)
    except OverflowError as error:
        raise PeriodError(f"the week of {value} leaves the calendar") from error
    run = _RUNS[of]
    month = value.year * 12 + value.month - 1 + (not run.calendar and value.day > _DAY_OF_CLOSE)
    found = _months(run, *divmod(month, 12))
    if value not in found:
        raise PeriodError(f"{value} lies in no {of} period")
    return found


def periods_ending(of: PeriodType, first: date, last: date) -> Iterator[Period]:
    """The periods of a type whose last day lies between `first` and `last`, inclusive, oldest first. Not named ones."""
    found: Period | None
    found = _months(_RUNS[of], first.year, 0) if of in _NINE else period_holding(of, first)
    while found is not None and found.last_day <= last:
        if found.last_day >= first:
            yield found
        found = found.following


@lru_cache(maxsize=65_536)
def parse_period(text: str) -> Period:
    """Read a period's text (`design.md` 5). Raises PeriodError for anything but the canonical form.

    `date.fromisoformat` alone would take `20211213` and `2021-W50-1` as well: two texts for one period would be two
    series.
    """
    try:
        if _DAY.fullmatch(text):
            return day(date.fromisoformat(text))
        if found := _WEEK.fullmatch(text):
            return _week(int(found[2]), int(found[3]), saturday=bool(found[1]))
        if found := _MONTHS.fullmatch(text):
            return _parse_months(bool(found[1]), int(found[2]), found[3], found[4])
        if len(text) <= _LONGEST_TEXT and (found := _NAMED.fullmatch(text)):
            return _parse_named(PeriodText(text), found)
    except PeriodError:
        raise
    except (ValueError, OverflowError) as error:
        raise PeriodError(f"{text!r} is not a day of the calendar") from error
    raise PeriodError(f"{text!r} is not a period; a day is written 2021-12-13, a week 2021-W50, a month 2021-12")


def _parse_months(calendar: bool, year: int, month: str | None, part: str | None) -> Period:
    if month is not None:
        if not 1 <= int(month) <= 12:
            raise PeriodError(f"{month} is no month")
        return _months(_Run(1, calendar), year, int(month) - 1)
    if part is None:
        return _months(_Run(12, calendar), year, 0)
    if part == "9M":
        return _months(_Run(9, calendar), year, 0)
    months = 3 if part[0] == "Q" else 6
    return _months(_Run(months, calendar), year, (int(part[1]) - 1) * months)


def _parse_named(text: PeriodText, found: re.Match[str]) -> Period:
    first = date.fromisoformat(found[2])
    last = first if found[3] is None else date.fromisoformat(found[3])
    if found[3] is not None and last <= first:
        raise PeriodError(f"{text!r}: its last day must be after its first; a single day stands alone")
    of = next(of for of, letter in _NAMED_LETTERS.items() if letter == found[1])
    return Period(first, last, of, text)


def _week(year: int, number: int, *, saturday: bool) -> Period:
    """An ISO week; one from Saturday to Friday bears the number of the ISO week whose Monday to Friday it has."""
    try:
        first = date.fromisocalendar(year, number, 1) - (_SATURDAY_BEFORE if saturday else timedelta())
        last = first + timedelta(days=6)
    except (ValueError, OverflowError) as error:
        raise PeriodError(f"there is no week {number} of the year {year}") from error
    of = PeriodType.SATURDAY_WEEK if saturday else PeriodType.WEEK
    return Period(first, last, of, PeriodText(f"{'S' if saturday else ''}{year:04d}-W{number:02d}"))


def _months(run: _Run, year: int, month: int) -> Period:
    """The run of months that month `month` (0 to 11) of a year lies in: statutory or calendar, cut from January on."""
    begin = 0 if run.months == 9 else month // run.months * run.months
    end = begin + run.months
    try:
        first = date(year, begin + 1, 1)
        if run.calendar:
            last = date(year, end, monthrange(year, end)[1])
        else:
            first = (first - timedelta(days=1)).replace(day=_DAY_OF_CLOSE + 1)
            last = date(year, end, _DAY_OF_CLOSE)
    except (ValueError, OverflowError) as error:
        raise PeriodError(f"months of the year {year} leave the calendar") from error
    part = {1: f"-{begin + 1:02d}", 3: f"-Q{begin // 3 + 1}", 6: f"-H{begin // 6 + 1}", 9: "-9M", 12: ""}[run.months]
    text = PeriodText(f"{'C' if run.calendar else ''}{year:04d}{part}")
    return Period(first, last, _TYPE_OF_RUN[run.calendar, run.months], text)


def _year_before(period: Period) -> Period | None:
    if period.type in _NAMED_LETTERS:
        return None
    if period.type is PeriodType.DAY:
        value = period.first_day
        if value.year == date.min.year:
            return None
        leap = (value.month, value.day) == (2, 29)
        return day(value.replace(year=value.year - 1, day=28 if leap else value.day))
    if period.type in _RUNS:
        middle = period.last_day
        return _months(_RUNS[period.type], middle.year - 1, middle.month - 1)
    saturday = period.type is PeriodType.SATURDAY_WEEK
    year, number, _ = (period.first_day + (_SATURDAY_BEFORE if saturday else timedelta())).isocalendar()
    if year == date.min.year:
        return None
    newest = date(year - 1, 12, 28).isocalendar()[1]
    return _week(year - 1, min(number, newest), saturday=saturday)
