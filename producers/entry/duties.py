"""The day's set (bộ biểu ngày): each report that a unit owes, in which state it is, and how long there is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from producers.gateway.answers import Owed
from producers.gateway.store import Lookup
from schemas.catalogue import ZONE, Catalogue
from schemas.figure import Slot
from schemas.form import Form, FormId
from schemas.obligations import Moment, Obligation, Status
from schemas.period import Period, PeriodText, parse_period
from schemas.read_model import Arrival, ReadModel
from schemas.report import Kind, Millis, Series
from schemas.unit import LineName, UnitCode

BEFORE, AFTER = timedelta(days=7), timedelta(days=3)
"""How far back what is still owed is shown, and how far ahead what comes."""


class State(StrEnum):
    """What a clerk sees of a report that is owed."""

    NOT_SENT = "not-sent"
    OVERDUE = "overdue"
    EXTENDED = "extended"
    SENDING = "sending"
    IN_TIME = "in-time"
    LATE = "late"
    ENTERED = "entered"
    NOT_SUBJECT = "not-subject"
    RETURNED = "returned"
    WAITING = "waiting"
    GIVEN_BACK = "given-back"

    @property
    def words(self) -> tuple[str, str]:
        """Vietnamese, English."""
        return _STATES[self]

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return self not in _TO_DO


_TO_DO = frozenset({
    State.NOT_SENT, State.OVERDUE, State.EXTENDED, State.RETURNED, State.WAITING, State.GIVEN_BACK
})  # fmt: skip
_STATES = {
    State.NOT_SENT: ("Chưa nộp", "Not sent"),
    State.OVERDUE: ("Quá hạn, chưa nộp", "Overdue"),
    State.EXTENDED: ("Được gia hạn, chưa nộp", "Extended, not sent"),
    State.SENDING: ("Đã gửi, đang xử lý", "Sent, being counted"),
    State.IN_TIME: ("Đã nộp đúng hạn", "Sent in time"),
    State.LATE: ("Đã nộp, chậm", "Sent late"),
    State.ENTERED: ("Cấp trên đã nhập hộ", "Entered by the superior"),
    State.NOT_SUBJECT: ("Không thuộc đối tượng", "Not subject"),
    State.WAITING: ("Chờ lãnh đạo duyệt", "Waits for approval"),
    State.GIVEN_BACK: ("Lãnh đạo chưa duyệt", "Not approved"),
    State.RETURNED: ("Bị trả lại, chờ chỉnh lý", "Returned for correction"),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One report that is owed: a form for a period. `nil`: what was sent says that there is nothing."""

    form: Form
    line: LineName
    period: Period
    due: datetime
    state: State
    nil: bool
    reason: str
    approval: bool

    @property
    def can_be_nil(self) -> bool:
        """Whether the button for the rest covers it."""
        plain = self.state in (State.NOT_SENT, State.OVERDUE, State.EXTENDED)
        return plain and not self.form.has_stock and not self.approval


@dataclass(frozen=True, slots=True)
class DaySet:
    """What is due on a day, what is still owed or was returned, and what comes next."""

    today: tuple[Entry, ...]
    owed: tuple[Entry, ...]
    coming: tuple[Entry, ...]


def day_set(model: ReadModel, owed: Owed, lookup: Lookup, unit: UnitCode, day: date, now: Millis) -> DaySet:
    """The reports of one unit around a day, as known now."""
    found = owed(model, unit, day - BEFORE, day + AFTER, Moment(now))
    begun = today(now)
    mine = [one for one in found if one.duty.unit.code == unit]
    # A period that has not begun can't be reported (`period_future`).
    entries = [one for one in _entries(model, lookup, mine) if one.period.first_day <= begun]
    entries.sort(key=lambda one: (one.due, one.form.label_vi, one.period))
    return DaySet(
        tuple(one for one in entries if one.due.date() == day),
        tuple(one for one in entries if _is_owed(one, day)),
        tuple(one for one in entries if one.due.date() > day and not _is_owed(one, day)),
    )


def _is_owed(entry: Entry, day: date) -> bool:
    """Overdue, or returned and waiting for its correction, whenever that is due."""
    if entry.due.date() == day:
        return False
    return entry.state is State.RETURNED or (entry.due.date() < day and not entry.state.done)


def _entries(model: ReadModel, lookup: Lookup, found: Sequence[Obligation]) -> Iterable[Entry]:
    catalogue = model.catalogue()
    grouped: dict[tuple[FormId, LineName, PeriodText], list[Obligation]] = {}
    for one in found:
        for part in one.duty.parts:
            grouped.setdefault((one.duty.regime.form, one.duty.regime.line, part), []).append(one)
    for (form_id, line, text), obligations in grouped.items():
        period = parse_period(text)
        form = catalogue.form_in_force(form_id, period.last_day)
        if form is not None:
            yield _entry(model, lookup, form, line, period, obligations)


def _entry(
    model: ReadModel, lookup: Lookup, form: Form, line: LineName, period: Period, owing: Sequence[Obligation]
) -> Entry:
    first = min(owing, key=lambda one: one.due)
    unit = first.duty.unit.code
    stands = _standing(model.arrivals(form.id, line, [period.text], [unit]))
    series = Series(line, unit, form.id, period.text)
    accepted = model.heads([series])[0]
    sending = lookup.highest(series) > (accepted.revision if accepted else 0)
    returned = next((one.returned for one in owing if one.returned is not None), None)
    decided = first.decision.about.reason if first.decision else ""
    reason = returned.about.reason if returned is not None else decided
    state = _state(first, stands, sending=sending)
    approval = any(one.duty.regime.approval for one in owing)
    return Entry(form, line, period, first.due, state, bool(stands and stands.kind is Kind.NIL), reason, approval)


def _standing(arrivals: Sequence[Arrival]) -> Arrival | None:
    """What counts now: the newest own report unless withdrawn, else the newest entered one."""
    for slot in (Slot.OWN, Slot.ENTERED):
        in_slot = [one for one in arrivals if one.slot is slot]
        newest = max(in_slot, key=lambda one: (one.revision, -one.source.offset), default=None)
        if newest is not None and newest.kind is not Kind.WITHDRAWAL:
            return newest
    return None


def _state(owing: Obligation, stands: Arrival | None, *, sending: bool) -> State:
    if sending:
        return State.SENDING
    if owing.returned is not None:
        return State.RETURNED
    if stands is not None and stands.slot is Slot.ENTERED:
        return State.ENTERED
    if stands is not None:
        late = owing.status is Status.LATE or stands.accepted_at > owing.due.timestamp() * 1000
        return State.LATE if owing.status is not Status.IN_TIME and late else State.IN_TIME
    match owing.status:
        case Status.NOT_SUBJECT:
            return State.NOT_SUBJECT
        case Status.EXTENDED:
            return State.EXTENDED
        case Status.MISSING:
            return State.OVERDUE
    return State.NOT_SENT


def time_left(due: datetime, now: Millis) -> tuple[str, str]:
    """How long there is until a deadline, or how long it is over, in words."""
    minutes = int((due.timestamp() * 1000 - now) // 60_000)
    over, minutes = minutes < 0, abs(minutes)
    days, hours = divmod(minutes // 60, 24)
    if days:
        vi, en = f"{days} ngày", f"{days} d"
    elif hours:
        vi, en = f"{hours} giờ {minutes % 60} phút", f"{hours} h {minutes % 60} min"
    else:
        vi, en = f"{minutes} phút", f"{minutes} min"
    return (f"quá {vi}", f"{en} over") if over else (f"còn {vi}", f"{en} left")


def today(now: Millis) -> date:
    """Today in Vietnam."""
    return datetime.fromtimestamp(now / 1000, ZONE).date()


def forms_on(catalogue: Catalogue, day: date) -> list[Form]:
    """Every form in force on a day, by its label."""
    ids = {form.id for form in catalogue.forms}
    found = [form for one in ids if (form := catalogue.form_in_force(one, day)) is not None]
    return sorted(found, key=lambda form: form.label_vi)
