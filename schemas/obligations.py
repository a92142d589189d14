"""Obligations: who owes which report by when, and whether it came. Pure: regimes, tree, arrivals and acts come in.

In time is judged by the first report after the newest withdrawal, so a later correction takes nothing from who was in
time, and a withdrawal gives nothing back. A report returned for correction opens its obligation again
(`schemas/fulfilment.py`). One entered by the superior meets the obligation and is marked. Which report stands is the
rule of `schemas/precedence.py`; when it came is asked on one axis, acceptance or, for histories, issue.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from schemas.act import Decided
from schemas.form import FormId
from schemas.fulfilment import Fulfilment, fulfilment
from schemas.period import Period, PeriodText, period_holding, periods_ending
from schemas.period import day as day_period
from schemas.read_model import Arrival, Axis, Decision, Return
from schemas.regime import Occasion, Regime, RegimeId, Reporters
from schemas.report import Millis
from schemas.unit import LineName, Unit, UnitCode, UnitKind, Units
from schemas.working_days import WorkCalendar

_MOVED_AT_MOST = timedelta(days=30)
"""Days off move a deadline by no more: Tết and the weekends around it are ten days."""


class Status(StrEnum):
    """What became of an obligation. `open`: not reported, and not due yet."""

    IN_TIME = "in-time"
    LATE = "late"
    MISSING = "missing"
    EXTENDED = "extended"
    OPEN = "open"
    NOT_SUBJECT = "not-subject"

    @property
    def label_vi(self) -> str:
        """As the compliance table words it."""
        return _STATUS_LABELS[self]


_STATUS_LABELS = {
    Status.IN_TIME: "đúng hạn",
    Status.LATE: "chậm",
    Status.MISSING: "chưa gửi",
    Status.EXTENDED: "được gia hạn",
    Status.OPEN: "chưa đến hạn",
    Status.NOT_SUBJECT: "không thuộc đối tượng",
}


@dataclass(frozen=True, slots=True)
class Duty:
    """One report that a regime asks of a unit. `parts`: the periods in which the form is reported; all must come."""

    regime: Regime
    unit: Unit
    period: Period
    due: datetime
    parts: tuple[PeriodText, ...]


@dataclass(frozen=True, slots=True)
class Obligation:
    """A duty and what became of it.

    `due` with an extension in it, and with the time that a return gave. `reported_at`: the time that counts,
    `issued_at`: when that report was issued; `entered_by`: who entered it for the unit, empty where the unit sent it.
    `decision`: an extension or exemption that is in force. `returned`: the report is there, was returned and waits for
    its correction.
    """

    duty: Duty
    status: Status
    due: datetime
    reported_at: Millis | None
    entered_by: str
    decision: Decision | None
    returned: Return | None = None
    issued_at: Millis | None = None

    @property
    def late_on_the_way(self) -> bool:
        """Late by acceptance and issued in time: a line was down, or a history was replayed."""
        return self.status is Status.LATE and (self.issued_at or 0) <= self.due.timestamp() * 1000


@dataclass(frozen=True, slots=True)
class Moment:
    """As of when something is judged, inclusive, and on which axis."""

    at: Millis
    axis: Axis = Axis.ACCEPTED


def duties(
    regime: Regime, units: Units, calendar: WorkCalendar, top: UnitCode, first: date, last: date
) -> Iterator[Duty]:
    """What `top` and everybody below it owe under a regime, due between two days of the regime's clock, inclusive.

    Who is obliged is asked of the tree of each period's last day.
    """
    for occasion in _occasions(regime, calendar, first, last):
        period = occasion.period
        due = {one.level: one.due(period, occasion.event, regime.window, calendar) for one in regime.deadlines}
        if not any(first <= moment.date() <= last for moment in due.values()):
            continue  # before the tree is walked: a nation has ten thousand communes and a month of days to look at
        texts = tuple(part.text for part in _parts(regime, occasion))
        for unit in obliged(regime, occasion, units, top):
            by = due.get(unit.level) or due.get("")
            if by is not None and first <= by.date() <= last:
                yield Duty(regime, unit, period, by, texts)


def asking(
    regimes: Iterable[Regime], form: FormId, line: LineName, period: Period
) -> Sequence[tuple[Regime, Occasion]] | None:
    """On which occasions regimes ask for a form of this very period; None where none in force is about the form."""
    about = [one for one in regimes if (one.form, one.line) == (form, line) and one.in_force(period.last_day)]
    if not about:
        return None
    return [(one, occasion) for one in about for occasion in _holding(one, period) if period in _parts(one, occasion)]


def subject_to(regimes: Iterable[Regime], units: Units, top: UnitCode, day: date) -> Iterator[Regime]:
    """The regimes in force on a day that oblige `top` or anybody below it, in the tree of that day."""
    today = Occasion(day_period(day), None, ())
    for regime in regimes:
        occasions = regime.occasions if regime.frequency is None else (today,)
        if regime.in_force(day) and any(True for one in occasions for _ in obliged(regime, one, units, top)):
            yield regime


def judged(
    duty: Duty,
    arrivals: Mapping[PeriodText, Sequence[Arrival]],
    decision: Decision | None,
    moment: Moment,
    returns: Sequence[Return] = (),
) -> Obligation:
    """What became of a duty as known at a moment. `arrivals`: those of its unit, form and line, by period.

    `decision` is the newest about it that was known then (`decisions_at`), `returns` those in force then, of its unit
    at least (`fulfilment.in_force`).
    """
    due = duty.due
    if decision is not None and decision.about.until is not None:
        due = max(due, datetime.fromtimestamp(decision.about.until / 1000, due.tzinfo))
    limit = Millis(int(due.timestamp() * 1000))
    found = [fulfilment(arrivals.get(part, ()), returns, limit, moment.at, moment.axis) for part in duty.parts]
    met = [one.met for one in found if one.met is not None]
    reported = max(met, key=lambda one: one.came_at(moment.axis)) if len(met) == len(found) else None
    if (latest := max(one.limit for one in found)) > limit:
        due = datetime.fromtimestamp(latest / 1000, due.tzinfo)
    return Obligation(
        duty, _status(decision, found, moment), due,
        None if reported is None else reported.came_at(moment.axis), "" if reported is None else reported.entered_by,
        decision, next((one.returned for one in found if one.returned is not None), None),
        max((one.issued_at for one in met), default=None) if reported is not None else None,
    )  # fmt: skip


def decisions_at(decisions: Iterable[Decision], moment: Moment) -> Mapping[tuple[str, str, str], Decision]:
    """The decision in force on each (regime, unit, period): the newest known then, none where it was taken back."""
    found: dict[tuple[str, str, str], Decision] = {}
    for one in decisions:
        if one.made_at(moment.axis) <= moment.at:
            found[one.about.regime, one.about.unit, one.about.period] = one
    return {key: one for key, one in found.items() if one.about.decided is not Decided.RESTORED}


def counted(obligations: Iterable[Obligation]) -> Mapping[RegimeId, Counter[Status]]:
    """How many obligations of each regime have which status."""
    found: dict[RegimeId, Counter[Status]] = {}
    for one in obligations:
        found.setdefault(one.duty.regime.id, Counter())[one.status] += 1
    return found


def owed(statuses: Counter[Status]) -> int:
    """How many reports are owed: all but those from which somebody was exempted."""
    return statuses.total() - statuses[Status.NOT_SUBJECT]


def _status(decision: Decision | None, found: Sequence[Fulfilment], moment: Moment) -> Status:
    if decision is not None and decision.about.decided is Decided.NOT_SUBJECT:
        return Status.NOT_SUBJECT
    waiting = [one for one in found if one.met is None]
    if not waiting:
        in_time = all(one.met and one.met.came_at(moment.axis) <= one.limit and not one.late for one in found)
        return Status.IN_TIME if in_time else Status.LATE
    if any(moment.at > one.limit for one in waiting):
        return Status.MISSING
    return Status.OPEN if decision is None else Status.EXTENDED


def _occasions(regime: Regime, calendar: WorkCalendar, first: date, last: date) -> Iterator[Occasion]:
    """The occasions whose deadline may lie between the days; who calls looks at each deadline itself."""
    if regime.frequency is None:
        yield from regime.occasions
        return
    longest = max(deadline.days_after + 2 * (deadline.working_days or 0) for deadline in regime.deadlines)
    earliest = first - timedelta(days=longest) - _MOVED_AT_MOST
    for period in periods_ending(regime.frequency, max(earliest, regime.valid_from), last):
        if regime.asks_for(period):
            yield Occasion(period, None, ())


def _parts(regime: Regime, occasion: Occasion) -> tuple[Period, ...]:
    return (occasion.period,) if regime.part is None else occasion.period.parts(regime.part)


def _holding(regime: Regime, period: Period) -> Iterator[Occasion]:
    """The occasions of a regime that a period may be, or be a part of."""
    if regime.frequency is None:
        yield from regime.occasions
    elif period.type is (regime.part or regime.frequency):
        whole = period_holding(regime.frequency, period.last_day)
        if regime.asks_for(whole):
            yield Occasion(whole, None, ())


def obliged(regime: Regime, occasion: Occasion, units: Units, top: UnitCode) -> Iterator[Unit]:
    """Whom of `top` and those below it a regime obliges on an occasion, in the tree of its period's last day."""
    day, line = occasion.period.last_day, regime.line
    below = units.subtree(top, day, line)
    scope: set[UnitCode] | None = None
    if regime.reporters.below:
        scope = {code for root in regime.reporters.below for code in units.subtree(root, day, line)}
    for code in below:
        unit = units.unit(code, day)
        if unit is None or (scope is not None and code not in scope):
            continue
        if code in occasion.units if occasion.units else _meant(regime.reporters, unit, units, day, line):
            yield unit


def _meant(reporters: Reporters, unit: Unit, units: Units, day: date, line: LineName) -> bool:
    if unit.code in reporters.units or unit.kind.value in reporters.kinds:
        return True
    if unit.kind is not UnitKind.ADMINISTRATIVE:
        return False
    return unit.level in reporters.levels or (reporters.lowest and _is_lowest(unit, units, day, line))


def _is_lowest(unit: Unit, units: Units, day: date, line: LineName) -> bool:
    below = (units.unit(code, day) for code in units.children(unit.code, day, line))
    return all(child is None or child.kind is not UnitKind.ADMINISTRATIVE for child in below)
