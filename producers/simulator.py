"""A believable day of any subtree: every unit at the bottom reports every form, with the accidents of a real day.

Some are late, some correct themselves, withdraw, send a table twice, say nothing, or have no line until the evening.
Synthetic and seeded: the same seed, day, unit and form give the same sends whatever else is simulated, so simulating a
day again changes nothing. A form whose period is longer than a day is reported for the newest period that is over, on
that period's last day: each day after it gives the same send again. The sends are the input of an oracle too:
`standing` tells what must count in the end.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from random import Random

from producers.delivery import Progress, Summary, deliver
from producers.errors import ProducerError
from producers.filling import Filler, Table, filler
from producers.send import Send
from schemas.catalogue import ZONE, Catalogue
from schemas.form import Form, FormId
from schemas.period import Period, PeriodType, named, periods_ending
from schemas.period import day as day_period
from schemas.report import Kind, Millis
from schemas.settings import Settings
from schemas.signature import SigningKey
from schemas.unit import UBND, UnitCode, Units

_MINUTE = 60
_FIRST, _CUT_OFF, _LINE_BACK = 15 * 60 * _MINUTE, 17 * 60 * _MINUTE + 15 * _MINUTE, 22 * 60 * _MINUTE
"""Seconds of the day: reports come from 15:00 to 17:15, late ones from 17:35, a broken line is back from 22:00."""
_LATE_FROM, _LATE_TO = 17 * 60 * _MINUTE + 35 * _MINUTE, 21 * 60 * _MINUTE


class Fate(StrEnum):
    """What happens to a unit's report of a form on a day."""

    IN_TIME = "in time"
    LATE = "late"
    CORRECTED = "corrected"
    WITHDRAWN = "withdrawn"
    DUPLICATED = "duplicated"
    OFFLINE = "offline"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Accidents:
    """How often each happens, as shares of all reports; `offline` of all units."""

    late: float = 0.06
    corrected: float = 0.06
    withdrawn: float = 0.02
    duplicated: float = 0.04
    silent: float = 0.02
    offline: float = 0.03


@dataclass(frozen=True, slots=True)
class Simulated:
    """A send, the moment it reaches the broker's side (later than its issue where the line was down), and its story."""

    send: Send
    reaches_at: Millis
    fate: Fate


@dataclass(slots=True)
class Simulation:
    """What was sent, in the order in which it was, and what the outbox and the broker made of it."""

    sent: Sequence[Simulated]
    summary: Summary = field(default_factory=Summary)


def simulate(
    settings: Settings,
    operator: SigningKey | None,
    catalogue: Catalogue,
    under: UnitCode,
    day: date,
    *,
    seed: int = 1,
    exclude: Collection[UnitCode] = (),
    forms: Collection[FormId] | None = None,
    accidents: Accidents = Accidents(),
    progress: Progress | None = None,
) -> Simulation:
    """Play one day of `under` through the units' own outboxes. Raises a ProducerError."""
    sent = simulated_day(catalogue, under, day, seed=seed, exclude=exclude, forms=forms, accidents=accidents)
    return Simulation(sent, deliver(settings, operator, catalogue, [one.send for one in sent], progress))


def simulated_day(
    catalogue: Catalogue,
    under: UnitCode,
    day: date,
    *,
    seed: int = 1,
    exclude: Collection[UnitCode] = (),
    forms: Collection[FormId] | None = None,
    accidents: Accidents = Accidents(),
) -> list[Simulated]:
    """The day's sends in the order in which they get through; pure, and the same for the same arguments.

    `exclude` leaves out units with everything below them. `forms`: all of the catalogue where it is None.
    """
    if catalogue.units.unit(under, day) is None:
        raise ProducerError(f"no unit bears the code {under} on {day}")
    fillers = [*_fillers(catalogue, day, forms)]
    sent: list[Simulated] = []
    for unit in reporting_units(catalogue.units, under, day, exclude):
        size = 0.5 + 1.5 * Random(f"size/{unit}").random()
        for fill, period in fillers:
            if catalogue.units.unit(unit, period.last_day) is not None:
                sent += _sends(unit, fill, period, seed, size, accidents)
    return sorted(sent, key=lambda one: (one.reaches_at, one.send.issued_at, one.send.unit, one.send.form.id))


def standing(sent: Iterable[Simulated]) -> Mapping[tuple[UnitCode, FormId], Send]:
    """What counts in the end, by unit and form: the newest send of each; a withdrawal counts as one too."""
    newest: dict[tuple[UnitCode, FormId], Send] = {}
    for one in sent:
        key = (one.send.unit, one.send.form.id)
        if key not in newest or newest[key].issued_at < one.send.issued_at:
            newest[key] = one.send
    return newest


def reporting_units(units: Units, under: UnitCode, day: date, exclude: Collection[UnitCode] = ()) -> Iterator[UnitCode]:
    """The places below `under` (or itself) that have none below them that day, without the excluded branches."""
    if under in exclude:
        return
    children = units.children(under, day, UBND)
    if not children and units.expected(under, day):
        yield under
    for child in children:
        yield from reporting_units(units, child, day, exclude)


def _sends(
    unit: UnitCode, fill: Filler, period: Period, seed: int, size: float, accidents: Accidents
) -> Iterator[Simulated]:
    """One unit's sends of one form, issued on the period's last day."""
    day = period.last_day
    unit_random = Random(f"{seed}/{day}/{unit}")
    offline = unit_random.random() < accidents.offline
    back_at = _LINE_BACK + unit_random.randrange(60 * _MINUTE)
    random = Random(f"{seed}/{period.text}/{unit}/{fill.form.id}")
    fate = _fate(random, accidents, offline)
    texts = fill.narrative(Random(f"{seed}/{period.text}/{unit}/{fill.form.id}/texts"))
    for seconds, kind, table in _story(fate, fill, random, size):
        said = texts if kind is Kind.REPORT and texts else None
        issued_at, where = _moment(day, seconds), f"{unit} {fill.form.id}"
        send = Send(fill.form, unit, period.text, kind, issued_at, table, narrative=said, where=where)
        yield Simulated(send, _moment(day, max(back_at, seconds) if fate is Fate.OFFLINE else seconds), fate)


def _fillers(catalogue: Catalogue, day: date, forms: Collection[FormId] | None) -> Iterator[tuple[Filler, Period]]:
    for form_id in sorted({form.id for form in catalogue.forms}):
        form = catalogue.form_in_force(form_id, day)
        if form is not None and (forms is None or form_id in forms):
            period = _newest_over(form, day)
            form = catalogue.form_in_force(form_id, period.last_day)
            if form is not None and (found := filler(form, catalogue, period.last_day)) is not None:
                yield found, period


def _newest_over(form: Form, day: date) -> Period:
    """The newest period of a form's usual type that is over at the end of `day`; a named one is of that day."""
    of = form.periods[0]
    if of in (PeriodType.ROUND, PeriodType.TOPICAL):
        return named(of, "mo-phong", day)
    if of is PeriodType.DAY:
        return day_period(day)
    return max(periods_ending(of, day - timedelta(days=2 * 366), day))


def _fate(random: Random, accidents: Accidents, offline: bool) -> Fate:
    drawn = random.random()
    if offline:
        return Fate.OFFLINE
    for fate, share in (
        (Fate.LATE, accidents.late),
        (Fate.CORRECTED, accidents.corrected),
        (Fate.WITHDRAWN, accidents.withdrawn),
        (Fate.DUPLICATED, accidents.duplicated),
        (Fate.SILENT, accidents.silent),
    ):
        if drawn < share:
            return fate
        drawn -= share
    return Fate.IN_TIME


def _story(fate: Fate, fill: Filler, random: Random, size: float) -> Iterator[tuple[int, Kind, Table]]:
    """What the unit sends: seconds of the day, kind and table, in the order of issue."""
    table = fill.table(random, size) if fill.active(random) else ()
    if fate is Fate.SILENT or table is None:
        return
    kind = Kind.REPORT if table else Kind.NIL
    at = random.randrange(_LATE_FROM, _LATE_TO) if fate is Fate.LATE else random.randrange(_FIRST, _CUT_OFF)
    yield at, kind, table
    if fate is Fate.DUPLICATED:
        yield at + random.randrange(_MINUTE, 9 * _MINUTE), kind, table
    elif fate is Fate.CORRECTED:
        later = fill.corrected(random, table) if table else fill.table(random, size)
        if later is not None:
            yield at + random.randrange(15 * _MINUTE, 90 * _MINUTE), Kind.REPORT, later
    elif fate is Fate.WITHDRAWN:
        withdrawn_at = at + random.randrange(30 * _MINUTE, 120 * _MINUTE)
        yield withdrawn_at, Kind.WITHDRAWAL, ()
        if random.random() < 0.5 and (again := fill.table(random, size)) is not None:
            yield withdrawn_at + random.randrange(10 * _MINUTE, 40 * _MINUTE), Kind.REPORT, again


def _moment(day: date, seconds: int) -> Millis:
    midnight = datetime.combine(day, time(), ZONE)
    return Millis(int((midnight + timedelta(seconds=seconds)).timestamp() * 1000))
