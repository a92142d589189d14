"""Obligations of a stack: what its catalogue asks, judged by what its read model knows. The rules are in `schemas`.

One answer is made from several questions to the read model. A report that comes between two of them is in the next
answer; none is counted twice or half.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import date, datetime

from consumers.export import Lines, Value, moment
from schemas.fulfilment import in_force
from schemas.obligations import Duty, Moment, Obligation, Status, counted, decisions_at, duties, judged, owed
from schemas.period import PeriodText
from schemas.read_model import Arrival, ReadModel, Return, UnknownUnit
from schemas.regime import Deadline, Regime, RegimeId
from schemas.unit import OPEN, LineName, UnitCode
from schemas.window import MIDNIGHT

_SUMMED = (Status.IN_TIME, Status.LATE, Status.MISSING, Status.EXTENDED, Status.OPEN, Status.NOT_SUBJECT)
_NAMED = 3
"""More units than these are counted, not named, in a line."""
Phone = Callable[[UnitCode, date], str]


def obligations(
    model: ReadModel,
    unit: UnitCode,
    first: date,
    last: date,
    moment: Moment,
    regimes: Collection[RegimeId] | None = None,
) -> tuple[Obligation, ...]:
    """What a unit and everybody below it owe, due from one day to another, as known at a moment.

    By regime, due time and unit; of all regimes where `regimes` is None. Raises UnknownUnit.
    """
    catalogue = model.catalogue()
    if unit not in catalogue.units:
        raise UnknownUnit(f"no unit {unit} in the catalogue")
    decided = decisions_at(model.decisions(), moment)
    returned: dict[UnitCode, list[Return]] = {}
    for one in in_force(model.returns(), moment.at, moment.axis):
        returned.setdefault(one.about.unit, []).append(one)
    found: list[Obligation] = []
    for regime in catalogue.regimes:
        if regimes is None or regime.id in regimes:
            due = list(duties(regime, catalogue.units, catalogue.calendar, unit, first, last))
            arrivals = _arrivals(model, regime, due)
            for duty in due:
                decision = decided.get((regime.id, duty.unit.code, duty.period.text))
                mine = arrivals.get(duty.unit.code, {})
                found.append(judged(duty, mine, decision, moment, returned.get(duty.unit.code, ())))
    return tuple(sorted(found, key=lambda one: (one.duty.regime.id, one.duty.due, one.duty.unit.code)))


def obligation_lines(found: Iterable[Obligation], phone: Phone | None = None) -> Lines:
    """One line each: who, what, by when, what became of it, and the decision or the return behind it."""
    return Lines(
        (
            "regime",
            "unit",
            "name",
            "period",
            "due",
            "status",
            "reported_at",
            "entered_by",
            "decided_by",
            "reason",
            "returned_by",
            "phone",
        ),
        tuple(_line(one, phone) for one in found),
    )


def summary_lines(found: Sequence[Obligation]) -> Lines:
    """By regime and for all together: how many are owed, and how many of them came in time, late or not."""
    by_regime = counted(found)
    rows: list[tuple[Value, ...]] = [
        (regime, owed(statuses), *(statuses[status] for status in _SUMMED)) for regime, statuses in by_regime.items()
    ]
    if len(rows) > 1:
        rows.append(("all", *(sum(int(row[column] or 0) for row in rows) for column in range(1, len(_SUMMED) + 2))))
    return Lines(("regime", "owed", *(status.value for status in _SUMMED)), tuple(rows))


def regime_lines(regimes: Iterable[Regime]) -> Lines:
    """One line each: what is asked of whom, how often, with which cut-off, by when, on which basis."""
    return Lines(
        ("regime", "kind", "name", "form", "frequency", "cut_off", "deadline", "reporters", "issuer", "basis",
         "confirmed", "valid_from", "valid_to"),
        tuple(
            (one.id, one.kind.value, one.name_vi, one.form, _frequency(one), _cut_off(one),
             "; ".join(map(deadline_text, one.deadlines)), _reporters(one), one.basis.issuer,
             " ".join(filter(None, (one.basis.document, one.basis.article))), "yes" if one.basis.confirmed else "no",
             one.valid_from.isoformat(), "" if one.valid_to == OPEN else one.valid_to.isoformat())
            for one in regimes),
    )  # fmt: skip


def deadline_text(deadline: Deadline) -> str:
    """A deadline in short: `commune 15:30`, `17:00 + 2 working days`, `48 h after the event`."""
    if deadline.hours_after is not None:
        text = f"{deadline.hours_after} h after the event"
    else:
        days = f" + {deadline.working_days} working days" if deadline.working_days else ""
        days = f" + {deadline.days_after} days" if deadline.days_after else days
        text = f"{deadline.at:%H:%M}{days}"
    return f"{deadline.level} {text}".strip()


def _arrivals(model: ReadModel, regime: Regime, due: Sequence[Duty]) -> dict[UnitCode, dict[PeriodText, list[Arrival]]]:
    periods = sorted({part for duty in due for part in duty.parts})
    codes = {duty.unit.code for duty in due}
    found: dict[UnitCode, dict[PeriodText, list[Arrival]]] = {}
    for one in model.arrivals(regime.form, LineName(regime.line), periods, codes) if due else ():
        found.setdefault(one.unit, {}).setdefault(one.period, []).append(one)
    return found


def _line(one: Obligation, phone: Phone | None) -> tuple[Value, ...]:
    duty = one.duty
    about = one.returned.about if one.returned else one.decision.about if one.decision else None
    called = phone(duty.unit.code, duty.due.date()) if phone and one.status is Status.MISSING else ""
    return (
        duty.regime.id, duty.unit.code, duty.unit.name, duty.period.text, _minutes(one.due), one.status.value,
        "" if one.reported_at is None else _minutes(datetime.fromisoformat(moment(one.reported_at))), one.entered_by,
        one.decision.about.by if one.decision else "", about.reason if about else "",
        one.returned.about.by if one.returned else "", called,
    )  # fmt: skip


def _minutes(time: datetime) -> str:
    return time.isoformat(sep=" ", timespec="minutes")[:16]


def _cut_off(regime: Regime) -> str:
    return "24:00" if regime.window.cut_off == MIDNIGHT else f"{regime.window.cut_off:%H:%M}"


def _frequency(regime: Regime) -> str:
    if regime.frequency is None:
        return f"{len(regime.occasions)} occasions" if len(regime.occasions) > 1 else "once"
    days = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    on = ", ".join(days[number] for number in sorted(regime.weekdays))
    return f"{regime.frequency} ({on})" if on else regime.frequency.value


def _reporters(regime: Regime) -> str:
    who = regime.reporters
    units = sorted(who.units) if len(who.units) <= _NAMED else [f"{len(who.units)} units"]
    named = [*(["lowest places"] if who.lowest else []), *sorted(who.levels), *sorted(who.kinds), *units]
    if not named:
        named = sorted({code for occasion in regime.occasions for code in occasion.units})
    return ", ".join(named) + (f" below {', '.join(who.below)}" if who.below else "")
