"""The superior's desk: how those below stand today, and what is decided about their reports.

Nothing here touches a figure: decisions are acts (design decision 19), each with its reason, seen by both sides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from producers.audit import AuditLog, Event
from producers.entry.acts import Acts
from producers.entry.difference import day_of
from producers.entry.frame import Visit
from producers.entry.office import Office
from producers.entry.places import Target, address_of
from producers.entry.rulings import Standing, standing_of
from producers.gateway.door import Door
from producers.gateway.refusal import Language, Refusal, Slug, refused
from schemas import words
from schemas.act import Decided, Decisive, ObligationDecided, PeriodLocked, ReportApproved, ReportReturned
from schemas.catalogue import ZONE, Catalogue
from schemas.form import FormId
from schemas.obligations import Moment, Obligation, Status
from schemas.period import Period, parse_period
from schemas.principal import ever_below, may_decide
from schemas.read_model import ReadModel
from schemas.report import Millis
from schemas.unit import LineName, Unit, UnitCode

_MOST_REASON = 500
_SEEN_WITHIN_S, _LOOK_EVERY_S = 5.0, 0.1
_MOST_ROWS = 120
"""Above so many units a line is one of the next level, with counts."""
_STATES: Mapping[Status, tuple[str, str]] = {
    Status.IN_TIME: ("Đúng hạn", "In time"),
    Status.LATE: ("Chậm", "Late"),
    Status.MISSING: ("Quá hạn", "Overdue"),
    Status.EXTENDED: ("Gia hạn", "Extended"),
    Status.OPEN: ("Chưa nộp", "Not sent"),
    Status.NOT_SUBJECT: ("Không thuộc đối tượng", "Not subject"),
}
Column = tuple[FormId, LineName, Period]


@dataclass(frozen=True, slots=True)
class Cell:
    """One report of one unit: its state, and where to act on it."""

    state: str
    said: str
    address: str


@dataclass(frozen=True, slots=True)
class Row:
    """A unit below; `counts` instead of cells where it stands for those below it."""

    name: str
    code: str
    cells: Sequence[Cell | None]
    done: int
    all: int
    has_below: bool


class Superior:
    """Answers for those who oversee, and decisions of superiors."""

    def __init__(self, office: Office, acts: Acts, audit: AuditLog) -> None:
        self._office = office
        self._acts = acts
        self._audit = audit

    async def below(self, visit: Visit) -> Response:
        """Those below a unit on a day."""
        office = self._office
        unit = office.places.read(visit)
        if not any(unit.code == one or ever_below(office.registry.catalogue().units, unit.code, one)
                   for one in office.places.overseen(visit)):  # fmt: skip
            raise Door.not_for(unit.code)
        day = day_of(visit.request.query_params.get("day", ""), visit.caller.day)
        found = await office.questions.ask(office.owed, unit.code, day, day, Moment(visit.caller.at))
        others = [one for one in found if one.duty.unit.code != unit.code]
        columns = sorted({_column(one) for one in others}, key=lambda one: (one[0], one[2]))
        at = 0 if visit.language is Language.VIETNAMESE else 1
        catalogue = office.registry.catalogue()
        decides = may_decide(visit.caller.bindings, unit.code, None, visit.caller.day)
        heads = [await self._head(visit, unit, column, decides=decides) for column in columns]
        return office.frame.page(
            "below.html", visit, unit=unit, day=day, before=day - timedelta(days=1), after=day + timedelta(days=1),
            is_today=day == visit.caller.day, heads=heads, rows=_rows(catalogue, unit, others, columns, at),
            done=sum(_is_done(one) for one in others), all=len(others), own=unit.code in office.places.own(visit),
            decides=decides,
        )  # fmt: skip

    async def _head(self, visit: Visit, unit: Unit, column: Column, *, decides: bool) -> Mapping[str, object]:
        """A form and period above its column, with its lock."""
        form_id, line, period = column
        catalogue = self._office.registry.catalogue()
        form = catalogue.form_in_force(form_id, period.last_day)
        assert form is not None  # a regime's form is in force on the days it asks for
        target = Target(unit, form, period, line, None)
        locked = self._office.registry.locked_by(target.series, period.last_day)
        return {
            "label": (form.label_vi, form.label_en)[0 if visit.language is Language.VIETNAMESE else 1],
            "when": words.period(period), "locked": locked is not None, "mine": locked in (None, unit.code) and decides,
            "address": address_of(unit.code, form.id, period, line, "lock"),
        }  # fmt: skip

    async def lock(self, visit: Visit) -> Response:
        """Lock or unlock a period of a form for the unit and all below it."""
        target = self._office.places.target(visit)
        self._require(visit, target.unit.code, target.form.id)
        locked = visit.fields.get("do") == "lock"
        lock = PeriodLocked(
            target.form.id, target.line, target.unit.code, target.period.text, locked, _reason(visit, needed=False)
        )
        await self._decide(visit, target, lock)
        day = target.period.last_day.isoformat()
        return RedirectResponse(f"/units/{target.unit.code}/below?day={day}", 303)

    async def decide(self, visit: Visit) -> Response:
        """One decision about one report of a unit below."""
        office, do = self._office, visit.fields.get("do", "")
        target = office.places.target(visit)
        by = self._decider(visit, target)
        now: Standing = await office.questions.ask(standing_of, target)
        about = (target.unit.code, by)
        if do in ("return", "keep", "approve", "disapprove"):
            if now.stands is None:
                raise refused(Slug.NOT_FOUND, "Chưa có báo cáo để xử lý.", "There is no report to decide about.")
            source = now.stands.source
            match do:
                case "return":
                    until = _until(visit, visit.caller.at)
                    decided: Decisive = ReportReturned(source, about[0], until, by, _reason(visit))
                case "keep":
                    decided = ReportReturned(source, about[0], None, by, _reason(visit, needed=False))
                case _:
                    decided = ReportApproved(source, about[0], do == "approve", by, _reason(visit, needed=False))
            await self._decide(visit, target, decided)
        elif do in ("extend", "exempt", "restore"):
            for one in await self._deadline(visit, target, by):
                await self._decide(visit, target, one)
        else:
            raise refused(Slug.BAD_REQUEST, "Không rõ quyết định nào.", "It is not clear which decision.")
        page = address_of(target.unit.code, target.form.id, target.period, target.line, "history")
        return RedirectResponse(page, 303)

    async def _deadline(self, visit: Visit, target: Target, by: UnitCode) -> list[ObligationDecided]:
        """The decision on each regime that asks for this report."""
        office, do = self._office, visit.fields.get("do", "")
        days = timedelta(days=62)
        last = target.period.last_day
        found: Sequence[Obligation] = await office.questions.ask(
            office.owed, target.unit.code, last, last + days, Moment(visit.caller.at)
        )
        series = (target.unit.code, target.form.id, target.line)
        mine = [
            one
            for one in found
            if (one.duty.unit.code, *_column(one)[:2]) == series and target.period.text in one.duty.parts
        ]
        if not mine:
            raise refused(Slug.NOT_FOUND, "Không có chế độ nào yêu cầu báo cáo này.", "No regime asks for this report.")
        due = max(one.duty.due.timestamp() * 1000 for one in mine)
        until = _until(visit, Millis(int(due))) if do == "extend" else None
        what = {"extend": Decided.EXTENDED, "exempt": Decided.NOT_SUBJECT, "restore": Decided.RESTORED}[do]
        reason = _reason(visit, needed=do != "restore") or "thu hồi"
        return [
            ObligationDecided(one.duty.regime.id, target.unit.code, one.duty.period.text, what, until, by, reason)
            for one in mine
        ]

    def _decider(self, visit: Visit, target: Target) -> UnitCode:
        """The account's unit above the one decided about. Raises Refusal."""
        units = self._office.registry.catalogue().units
        for binding in visit.caller.bindings:
            if ever_below(units, target.unit.code, binding.unit) and may_decide(
                [binding], binding.unit, target.form.id, visit.caller.day
            ):
                return binding.unit
        raise Door.not_for(target.unit.code)

    def _require(self, visit: Visit, unit: UnitCode, form: FormId) -> None:
        if not may_decide(visit.caller.bindings, unit, form, visit.caller.day):
            raise Door.not_for(unit)

    async def _decide(self, visit: Visit, target: Target, decided: Decisive) -> None:
        """Into the audit log, into the acts, and back when the pages show it."""
        about = {"principal": visit.caller.name, "unit": target.unit.code, "form": target.form.id,
                 "period": target.period.text, "decided": type(decided).__name__,
                 "request_id": visit.request.state.request_id}  # fmt: skip
        before = await self._office.questions.ask(_count, target)
        try:
            await run_in_threadpool(self._acts.send, visit.caller.name, decided, visit.caller.at)
        except Refusal as refusal:
            said = {"problem": refusal.slug.value, "said": refusal.words[1]}
            await run_in_threadpool(self._audit.note_all, visit.caller.at, [(Event.REFUSAL, about | said)])
            raise
        await run_in_threadpool(self._audit.note_all, visit.caller.at, [(Event.DECISION, about)])
        await self._until(lambda model: _count(model, target) > before)

    async def _until(self, seen: Callable[[ReadModel], bool]) -> None:
        """Wait a moment for the read model, so that the page that follows shows what was decided."""
        for _ in range(int(_SEEN_WITHIN_S / _LOOK_EVERY_S)):
            if await self._office.questions.ask(seen):
                return
            await asyncio.sleep(_LOOK_EVERY_S)


def _count(model: ReadModel, target: Target) -> int:
    return len(standing_of(model, target).rulings)


def _column(one: Obligation) -> Column:
    """What is reported; of a duty in parts its last one."""
    return (one.duty.regime.form, one.duty.regime.line, parse_period(one.duty.parts[-1]))


def _is_done(one: Obligation) -> bool:
    return one.returned is None and one.status in (Status.IN_TIME, Status.LATE, Status.NOT_SUBJECT)


def _rows(
    catalogue: Catalogue, unit: Unit, found: Sequence[Obligation], columns: Sequence[Column], at: int
) -> list[Row]:
    by_unit: dict[UnitCode, list[Obligation]] = {}
    for one in found:
        by_unit.setdefault(one.duty.unit.code, []).append(one)
    if len(by_unit) > _MOST_ROWS:
        return _counted(catalogue, unit, found)
    rows = []
    for code, mine in sorted(by_unit.items()):
        cells = {_column(one): _cell(one, at) for one in mine}
        rows.append(Row(mine[0].duty.unit.name, code, [cells.get(column) for column in columns],
                        sum(map(_is_done, mine)), len(mine), has_below=False))  # fmt: skip
    return rows


def _counted(catalogue: Catalogue, unit: Unit, found: Sequence[Obligation]) -> list[Row]:
    """One line for each unit directly below, with counts."""
    grouped: dict[UnitCode, list[Obligation]] = {}
    for one in found:
        here, above = one.duty.unit.code, one.duty.unit.code
        while above != unit.code:
            superior = catalogue.units.superior(above, one.duty.period.last_day, one.duty.regime.line)
            if superior is None:
                break
            here, above = above, superior
        grouped.setdefault(here, []).append(one)
    names = {code: catalogue.units.versions(code)[-1].name for code in grouped}
    return [Row(names[code], code, [], sum(map(_is_done, mine)), len(mine), has_below=True)
            for code, mine in sorted(grouped.items())]  # fmt: skip


def _cell(one: Obligation, at: int) -> Cell:
    said, state = _STATES[one.status][at], one.status.value
    if one.returned is not None:
        said, state = ("Bị trả lại", "Returned")[at], "returned"
    elif one.entered_by:
        said += (" (nhập hộ)", " (entered)")[at]
    form, line, period = _column(one)
    return Cell(state, said, address_of(one.duty.unit.code, form, period, line, "history"))


def _reason(visit: Visit, *, needed: bool = True) -> str:
    reason = " ".join(visit.fields.get("reason", "").split())
    if (needed and not reason) or len(reason) > _MOST_REASON:
        raise refused(Slug.REPORT_INVALID, f"Hãy ghi lý do, nhiều nhất {_MOST_REASON} chữ cái.",
                      f"Say why, in at most {_MOST_REASON} letters.")  # fmt: skip
    return reason


def _until(visit: Visit, after: Millis) -> Millis:
    """The moment of a field as a browser sends it, Vietnamese time, later than another."""
    text = visit.fields.get("until", "")
    try:
        found = Millis(int(datetime.fromisoformat(text).replace(tzinfo=ZONE).timestamp() * 1000))
    except (ValueError, OverflowError):
        found = Millis(-1)
    if found <= after:
        raise refused(Slug.REPORT_INVALID, f"Hạn mới phải sau {words.moment(after)}.",
                      f"The new deadline must be later than {words.moment(after)}.")  # fmt: skip
    return found
