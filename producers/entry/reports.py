"""The page on which a report is typed: filled, judged, compared with what was sent before, and sent.

Everything works without a script: each button brings the whole form, and the page comes back with what was typed. A
correction, and a report that a check warns about, is shown once more before it goes.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, RedirectResponse, Response

from producers.audit import Event
from producers.entry.approval import Waiting, may_approve, must_be_approved
from producers.entry.difference import Change, content_of, differences
from producers.entry.frame import Visit
from producers.entry.office import Known, Office, bring, content, known
from producers.entry.places import Target, address_of
from producers.entry.rulings import Standing, standing_of
from producers.entry.sheet import SheetMaker
from producers.entry.typed import MOST_ROWS, Fault, Judged, Typed, as_json, blank, judge, of_report, read_typed, zeros
from producers.gateway.courier import Sent
from producers.gateway.door import Door
from producers.gateway.refusal import Language, Refusal, Slug, refused
from producers.gateway.shown import receipt_id
from schemas import words
from schemas.period import PeriodError, parse_period
from schemas.report import Kind

_NIL = "nil"
"""Of a draft that says that there is nothing to report."""
_KEPT = ("rows", "after", "key")


@dataclass(frozen=True, slots=True)
class Shown:
    """What stands around the sheet. `refusal`: why the gateway did not take it, in words."""

    target: Target
    revision: int
    key: str
    entered: bool
    nil: bool
    withdrawn: bool
    refusal: str = ""
    clash: bool = False
    returned: str = ""
    locked: bool = False
    waits: str = ""
    given_back: str = ""
    approves: bool = False


class Reports:
    """Answers about one report at a time."""

    def __init__(self, office: Office) -> None:
        self._office = office

    async def show(self, visit: Visit) -> Response:
        """The page, filled with the newest that was sent, or with rows to fill."""
        target = self._office.places.writable(visit)
        there = await known(self._office, target)
        kind = there.report.header.kind if there.report else None
        ruled: Standing = await self._office.questions.ask(standing_of, target)
        at = 0 if visit.language is Language.VIETNAMESE else 1
        shown = Shown(
            target, there.revision, str(uuid.uuid4()), there.entered, kind is Kind.NIL, kind is Kind.WITHDRAWAL,
            returned=ruled.returned[at] if ruled.returned else "", locked=ruled.locked_by is not None,
        )  # fmt: skip
        waits = await run_in_threadpool(self._office.approvals.get, target)
        if waits is not None:
            approves = may_approve(target, visit.caller)
            shown = replace(shown, waits=_waits(visit, waits), given_back=waits.refused, approves=approves)
            typed = self._start(target, there) if _NIL in waits.fields else read_typed(waits.fields, target.form)
            return self._page(visit, shown, typed)
        return self._page(visit, shown, self._start(target, there))

    def _start(self, target: Target, there: Known) -> Typed:
        catalogue, day = self._office.registry.catalogue(), target.period.last_day
        if there.report is None or there.report.header.kind is not Kind.REPORT:
            return blank(target.form, catalogue, day)
        return of_report(there.report, target.form, catalogue, day)

    async def other(self, visit: Visit) -> Response:
        """The page of a form and period that were chosen. Raises Refusal."""
        unit, asked = self._office.places.read(visit), visit.request.query_params
        try:
            period = parse_period(asked.get("period", "").strip())
        except PeriodError as error:
            raise refused(
                Slug.BAD_REQUEST,
                "Kỳ viết như 2021-12-13, 2021-W50, 2021-12, 2021-Q4 hoặc 2021.",
                "A period is written as 2021-12-13, 2021-W50, 2021-12, 2021-Q4 or 2021.",
            ) from error
        return RedirectResponse(address_of(unit.code, asked.get("form", ""), period), 303)

    async def take(self, visit: Visit) -> Response:
        """What a button of the page asks for. Raises Refusal."""
        office, fields = self._office, visit.fields
        target = office.places.writable(visit)
        catalogue, day = office.registry.catalogue(), target.period.last_day
        typed = read_typed(fields, target.form)
        shown = Shown(target, _revision(fields), fields.get("key", "") or str(uuid.uuid4()), entered=False, nil=False,
                      withdrawn=False)  # fmt: skip
        match fields.get("do", ""):
            case "row" if len(typed.rows) < MOST_ROWS:
                typed.rows.append(dict.fromkeys(target.form.columns, ""))
                return self._page(visit, shown, typed)
            case "zeros":
                typed = zeros(typed, target.form, catalogue, day)
                return self._page(visit, shown, typed, judge(typed, target.form, catalogue, day))
            case "nil":
                return await self._send(visit, shown, {"kind": Kind.NIL.value}, typed)
            case "refuse":
                return await self._give_back(visit, target)
            case "back" | "row":
                return self._page(visit, shown, typed)
        judged = judge(typed, target.form, catalogue, day)
        if judged.faults:
            return self._page(visit, shown, typed, judged)
        if fields.get("do") != "send" and (shown.revision or judged.warnings or fields.get("do") == "look"):
            return await self._review(visit, shown, typed, judged)
        return await self._send(visit, shown, {"kind": Kind.REPORT.value, **as_json(judged)}, typed)

    async def _review(self, visit: Visit, shown: Shown, typed: Typed, judged: Judged) -> Response:
        """What is about to be sent, once more: what it changes, and what the form's checks say about it."""
        target, catalogue = shown.target, self._office.registry.catalogue()
        there = await known(self._office, target)
        after = content_of(target.form, judged.rows, judged.narrative)
        changes: list[Change] | None = None
        if there.report is not None:
            changes = differences(target.form, catalogue, content(target, there.report), after,
                                  vietnamese=visit.language is Language.VIETNAMESE)  # fmt: skip
        sheet = SheetMaker(target.form, catalogue, target.period.last_day, visit.language).sheet(typed, judged)
        kept = {name: text for name, text in visit.fields.items() if name in _KEPT or name.startswith(("r", "n."))}
        page = self._office.frame.page(
            "review.html", visit, shown=shown, when=_when(target), changes=changes, warnings=sheet.warnings,
            sheet=sheet, kept=kept,
        )  # fmt: skip
        return JSONResponse({"review": bytes(page.body).decode()}) if visit.wants_json else page

    async def _send(self, visit: Visit, shown: Shown, what: Mapping[str, Any], typed: Typed) -> Response:
        target = shown.target
        if must_be_approved(self._office.registry.catalogue(), target, visit.caller):
            return await self._let_wait(visit, target, nil=what["kind"] == Kind.NIL.value)
        try:
            outcome = await bring(self._office, visit, target, what, shown.revision, shown.key)
            if isinstance(outcome, Refusal):
                raise outcome
        except Refusal as refusal:
            return self._refused(visit, shown, typed, refusal)
        await run_in_threadpool(self._office.approvals.drop, target)
        return _done(visit, target, outcome)

    async def _let_wait(self, visit: Visit, target: Target, *, nil: bool) -> Response:
        """What a clerk typed, to the head of the office."""
        kept = {name: text for name, text in visit.fields.items() if name == "rows" or name.startswith(("r", "n."))}
        if nil:
            kept = {_NIL: "1"}
        await run_in_threadpool(self._office.approvals.put, target, visit.caller, kept)
        await self._note(visit, target, Event.DRAFT_WAITS)
        return (
            JSONResponse({"next": target.address}, 202) if visit.wants_json else RedirectResponse(target.address, 303)
        )

    async def _give_back(self, visit: Visit, target: Target) -> Response:
        """Not approved, and why. Raises Refusal."""
        reason = " ".join(visit.fields.get("reason", "").split())[:500]
        if not may_approve(target, visit.caller):
            raise Door.not_for(target.unit.code)
        if not reason:
            raise refused(Slug.REPORT_INVALID, "Hãy ghi lý do chưa duyệt.", "Say why it is not approved.")
        await run_in_threadpool(self._office.approvals.give_back, target, reason)
        await self._note(visit, target, Event.DRAFT_REFUSED)
        return RedirectResponse(target.address, 303)

    async def _note(self, visit: Visit, target: Target, event: Event) -> None:
        about = {"principal": visit.caller.name, "unit": target.unit.code, "form": target.form.id,
                 "period": target.period.text, "request_id": visit.request.state.request_id}  # fmt: skip
        await run_in_threadpool(self._office.audit.note_all, visit.caller.at, [(event, about)])

    def _refused(self, visit: Visit, shown: Shown, typed: Typed, refusal: Refusal) -> Response:
        """The page again, with what the gateway said; what was typed is not lost."""
        if visit.wants_json or refusal.slug is Slug.NOT_ALLOWED:
            raise refusal
        at = 0 if visit.language is Language.VIETNAMESE else 1
        again = Shown(
            shown.target, shown.revision, shown.key, entered=False, nil=False, withdrawn=False,
            refusal=refusal.words[at], clash=refusal.slug is Slug.OTHER_REVISION,
        )  # fmt: skip
        faults = [Fault("", fault.words) for fault in refusal.faults[:1]]
        return self._page(visit, again, typed, Judged([], {}, faults, []), refusal.status)

    def _page(
        self, visit: Visit, shown: Shown, typed: Typed, judged: Judged | None = None, status: int = 0
    ) -> Response:
        target = shown.target
        maker = SheetMaker(target.form, self._office.registry.catalogue(), target.period.last_day, visit.language)
        sheet = maker.sheet(typed, judged)
        if visit.wants_json and judged is not None and judged.faults:
            return JSONResponse({"faults": [{"field": f, "said": said} for f, said in sheet.summary]}, 422)
        failed = 422 if judged is not None and judged.faults else 200
        history = address_of(target.unit.code, target.form.id, target.period, target.line, "history")
        return self._office.frame.page(
            "entry.html", visit, status or failed, shown=shown, sheet=sheet, when=_when(target), history=history,
            rules=json.dumps([asdict(rule) for rule in sheet.rules], ensure_ascii=False, separators=(",", ":")),
        )  # fmt: skip


def _done(visit: Visit, target: Target, sent: Sent) -> Response:
    """The way to the receipt."""
    address = address_of(target.unit.code, target.form.id, target.period, target.line, "history")
    if sent.source is not None:
        address = f"/units/{target.unit.code}/receipts/{receipt_id(sent.source)}"
    if visit.wants_json:
        return JSONResponse({"next": address}, 202)
    return RedirectResponse(address, 303)


def _when(target: Target) -> str:
    """The period as people say it."""
    period = target.period
    return words.days(period.first_day, period.last_day) if period.days == 1 else words.period(period)


def _waits(visit: Visit, waiting: Waiting) -> str:
    at = words.moment(waiting.made_at)
    nil = _NIL in waiting.fields
    if visit.language is Language.VIETNAMESE:
        return f"{waiting.principal} trình {'không phát sinh ' if nil else ''}lúc {at}"
    return f"{'nothing to report, ' if nil else ''}put forward by {waiting.principal} at {at}"


def _revision(fields: Mapping[str, str]) -> int:
    text = fields.get("after", "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
