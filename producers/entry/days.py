"""The page of the day: everything that is due, and one button for all of which there is nothing to report."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from starlette.responses import RedirectResponse, Response

from producers.entry.difference import day_of
from producers.entry.duties import DaySet, Entry, State, day_set, forms_on, time_left
from producers.entry.frame import Visit
from producers.entry.office import Office, bring_all, wanted
from producers.entry.places import Target, address_of
from producers.gateway.refusal import Language, Refusal, Slug, refused
from schemas import words
from schemas.report import Kind
from schemas.unit import Unit


@dataclass(frozen=True, slots=True)
class Line:
    """One report of the set, as a line of the page."""

    label: str
    when: str
    due: str
    left: str
    state: str
    said: str
    address: str
    history: str
    nil_field: str
    done: bool
    reason: str


class Days:
    """The day's set of a unit."""

    def __init__(self, office: Office) -> None:
        self._office = office

    async def home(self, visit: Visit) -> Response:
        """Where an account begins: its own day, or what it oversees."""
        own, overseen = self._office.places.own(visit), self._office.places.overseen(visit)
        if own:
            return RedirectResponse(f"/units/{own[0]}/day", 303)
        if overseen:
            return RedirectResponse(f"/units/{overseen[0]}/below", 303)
        raise refused(Slug.NOT_ALLOWED, "Tài khoản này chưa được giao đơn vị nào.", "This account has no unit.")

    async def show(self, visit: Visit) -> Response:
        """The set of a day."""
        return await self._page(visit)

    async def _page(self, visit: Visit, results: Sequence[tuple[str, str]] = (), status: int = 200) -> Response:
        office = self._office
        unit = office.places.read(visit)
        today = visit.caller.day
        day = day_of(visit.request.query_params.get("day", ""), today)
        found = await self._set(visit, unit)
        writes = unit.code in office.places.own(visit)
        forms = [(form.id, _label(visit, form.label_vi, form.label_en)) for form in
                 forms_on(office.registry.catalogue(), day)]  # fmt: skip
        nil = [one for one in found.today if one.can_be_nil] if writes else []
        return office.frame.page(
            "day.html", visit, status, unit=unit, day=day, is_today=day == today, before=day - timedelta(days=1),
            after=day + timedelta(days=1), writes=writes, forms=forms, key=str(uuid.uuid4()), nil=len(nil),
            groups=[(name, self._lines(visit, unit, entries)) for name, entries in (
                ("today", found.today), ("owed", found.owed), ("coming", found.coming))],
            oversees=unit.code in office.places.overseen(visit),
            results=results, done=sum(one.state.done for one in found.today), all=len(found.today),
        )  # fmt: skip

    async def _set(self, visit: Visit, unit: Unit) -> DaySet:
        office = self._office
        day = day_of(visit.request.query_params.get("day", ""), visit.caller.day)
        found: DaySet = await office.questions.ask(day_set, office.owed, office.lookup, unit.code, day, visit.caller.at)
        return found

    def _lines(self, visit: Visit, unit: Unit, entries: Sequence[Entry]) -> list[Line]:
        at = 0 if visit.language is Language.VIETNAMESE else 1
        found = []
        waiting = self._office.approvals.of(unit.code)
        for one in (_with_draft(entry, waiting) for entry in entries):
            nil = (" (không phát sinh)", " (nothing to report)")[at] if one.nil else ""
            left = "" if one.state.done else time_left(one.due, visit.caller.at)[at]
            found.append(Line(
                _label(visit, one.form.label_vi, one.form.label_en), words.period(one.period),
                f"{one.due:%H:%M %d/%m}", left, one.state.value, one.state.words[at] + nil,
                address_of(unit.code, one.form.id, one.period, one.line),
                address_of(unit.code, one.form.id, one.period, one.line, "history"),
                f"{one.form.id}|{one.period.text}|{one.line}" if one.can_be_nil else "", one.state.done, one.reason,
            ))  # fmt: skip
        return found

    async def nil(self, visit: Visit) -> Response:
        """The rest as “không phát sinh”: first by name, then sent together, each with its result."""
        office = self._office
        unit = office.places.read(visit)
        if unit.code not in office.places.own(visit):
            raise office.frame.door.not_for(unit.code)
        rest = [one for one in (await self._set(visit, unit)).today if one.can_be_nil]
        lines = self._lines(visit, unit, rest)
        if visit.fields.get("do") != "send":
            return office.frame.page("nil.html", visit, unit=unit, lines=lines, key=visit.fields.get("key", ""))
        chosen = {name for name in visit.fields if visit.fields[name] == "nil"}
        sending = [(entry, line.label) for entry, line in zip(rest, lines, strict=True) if line.nil_field in chosen]
        if not sending:
            return RedirectResponse(f"/units/{unit.code}/day", 303)
        results = await self._send(visit, unit, sending)
        if any(said for _, said in results):
            return await self._page(visit, results, 422)
        return RedirectResponse(f"/units/{unit.code}/day", 303)

    async def _send(self, visit: Visit, unit: Unit, sending: Sequence[tuple[Entry, str]]) -> list[tuple[str, str]]:
        """Each label with why it was not taken, empty where it was."""
        at = 0 if visit.language is Language.VIETNAMESE else 1
        reports = []
        for entry, _ in sending:
            target = Target(unit, entry.form, entry.period, entry.line, None)
            reports.append(wanted(target, {"kind": Kind.NIL.value}, await self._after(target)))
        try:
            outcomes = await bring_all(self._office, visit, reports, visit.fields.get("key", ""))
        except Refusal as refusal:
            return [(label, refusal.words[at]) for _, label in sending]
        return [
            (label, outcome.words[at] if isinstance(outcome, Refusal) else "")
            for (_, label), outcome in zip(sending, outcomes, strict=True)
        ]

    async def _after(self, target: Target) -> int:
        """The revision that stands: what is not reported was withdrawn, or never sent."""
        head = (await self._office.questions.ask(lambda model: model.heads([target.series])))[0]
        return max(head.revision if head else 0, self._office.lookup.highest(target.series))


def _with_draft(entry: Entry, waiting: Mapping[tuple[str, str, str], str]) -> Entry:
    """The entry in the state of its draft on the server, where one waits."""
    refused_for = waiting.get((entry.form.id, entry.period.text, entry.line))
    if refused_for is None:
        return entry
    return replace(entry, state=State.GIVEN_BACK if refused_for else State.WAITING, reason=refused_for)


def _label(visit: Visit, vietnamese: str, english: str) -> str:
    return vietnamese if visit.language is Language.VIETNAMESE else english
