"""Regimes: who reports what to whom, how often, with which cut-off and by when (chế độ báo cáo).

A regime is data (`regimes/*.toml`) with the parts that Nghị định 09/2019/NĐ-CP demands of one. It says what is due; it
sums nothing and refuses no report. A report knows no regime: it serves each one that asks for its form and period, so
nobody enters a number twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import NewType

from schemas.form import FormId
from schemas.period import Period, PeriodType
from schemas.unit import LineName, UnitCode
from schemas.window import Window
from schemas.working_days import WorkCalendar

RegimeId = NewType("RegimeId", str)

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


class RegimeKind(StrEnum):
    """Kinds of report (NĐ 09/2019, Điều 4)."""

    PERIODIC = "periodic"
    TOPICAL = "topical"
    AD_HOC = "ad-hoc"

    @property
    def label_vi(self) -> str:
        """As the decree words it."""
        return _KIND_LABELS[self]


_KIND_LABELS = {RegimeKind.PERIODIC: "định kỳ", RegimeKind.TOPICAL: "chuyên đề", RegimeKind.AD_HOC: "đột xuất"}


class IssuerLevel(StrEnum):
    """Who set a regime up. Only the first four may ask for a periodic report (NĐ 09/2019, Điều 11)."""

    GOVERNMENT = "government"
    PRIME_MINISTER = "prime-minister"
    MINISTRY = "ministry"
    PROVINCE = "province"
    DISTRICT = "district"
    COMMUNE = "commune"
    AGENCY = "agency"

    @property
    def may_be_periodic(self) -> bool:
        """Whether it may create a periodic regime."""
        return self in (self.GOVERNMENT, self.PRIME_MINISTER, self.MINISTRY, self.PROVINCE)


class DayOff(StrEnum):
    """What becomes of a deadline that falls on a day off."""

    STAYS = "stays"
    NEXT_WORKING_DAY = "next-working-day"


@dataclass(frozen=True, slots=True)
class Basis:
    """The document that a regime rests on. `confirmed`: somebody has read it there; else the office must fill it in."""

    document: str
    article: str
    issuer: str
    issuer_level: IssuerLevel
    issued_on: date | None
    confirmed: bool


@dataclass(frozen=True, slots=True)
class Deadline:
    """By when units of one level report (`level` empty: all others).

    One of: a clock time `days_after` the period's last day; a clock time on the `working_days`-th working day after it;
    `hours_after` the event of an ad-hoc order.
    """

    level: str
    at: time | None
    days_after: int
    working_days: int | None
    hours_after: int | None
    day_off: DayOff

    def due(self, period: Period, event: datetime | None, window: Window, calendar: WorkCalendar) -> datetime:
        """The last moment in time, inclusive. `event` is aware; a deadline in hours needs it."""
        if self.hours_after is not None:
            if event is None:
                raise ValueError("a deadline in hours needs its event")
            moment = event.astimezone(window.zone) + timedelta(hours=self.hours_after)
            day, clock = moment.date(), moment.timetz()
        else:
            assert self.at is not None
            day, clock = period.last_day + timedelta(days=self.days_after), self.at.replace(tzinfo=window.zone)
            if self.working_days is not None:
                day = calendar.after(period.last_day, self.working_days)
        if self.day_off is DayOff.NEXT_WORKING_DAY:
            day = calendar.next_working(day)
        return datetime.combine(day, clock)


@dataclass(frozen=True, slots=True)
class Occasion:
    """One time that a topical or ad-hoc regime asks: its period, its event, and from whom where not from all."""

    period: Period
    event: datetime | None
    units: tuple[UnitCode, ...]


@dataclass(frozen=True, slots=True)
class Reporters:
    """Whom a regime obliges, all on its line.

    `lowest`: administrative units with no administrative unit below them. `levels`: all of these levels. `kinds`:
    organisations of these kinds. `units`: these codes. `below`: only these units and what is below them.
    """

    lowest: bool
    levels: frozenset[str]
    kinds: frozenset[str]
    units: frozenset[UnitCode]
    below: tuple[UnitCode, ...]


@dataclass(frozen=True, slots=True)
class Regime:
    """One regime during its validity (both days inclusive, asked of a period's last day).

    `frequency` None: only on its occasions. `weekdays`: only periods that end on one of these, empty for all. `part`:
    the type of period in which the form is reported, which make up the regime's exactly. `ladder`: the preset that
    window and deadlines come from, or empty. `approval`: the unit's head approves what a clerk types before it is sent.
    """

    id: RegimeId
    file: str
    kind: RegimeKind
    valid_from: date
    valid_to: date
    name_vi: str
    name_en: str
    basis: Basis
    content_vi: str
    outline_vi: tuple[str, ...]
    recipients_vi: tuple[str, ...]
    way_vi: str
    reporters: Reporters
    form: FormId
    line: LineName
    frequency: PeriodType | None
    weekdays: frozenset[int]
    part: PeriodType | None
    window: Window
    deadlines: tuple[Deadline, ...]
    occasions: tuple[Occasion, ...]
    ladder: str = ""
    approval: bool = False

    def asks_for(self, period: Period) -> bool:
        """Whether a period of its frequency is one it asks for."""
        on_its_day = not self.weekdays or period.last_day.weekday() in self.weekdays
        return on_its_day and self.in_force(period.last_day)

    def in_force(self, day: date) -> bool:
        """Whether it is in force on a day, which is asked of a period's last one."""
        return self.valid_from <= day <= self.valid_to
