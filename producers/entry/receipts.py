"""Receipts in plain words, the history of a report with what changed from one revision to the next, and withdrawal."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from starlette.responses import RedirectResponse, Response

from producers.entry.difference import Change, Content, differences
from producers.entry.frame import Visit
from producers.entry.office import Office, bring
from producers.entry.places import Target, address_of
from producers.entry.rulings import Standing, standing_of
from producers.gateway.draft import parse_time
from producers.gateway.refusal import Language, Refusal, Slug, refused
from producers.gateway.shown import PENDING, receipt_id
from schemas import words
from schemas.figure import Slot
from schemas.period import parse_period
from schemas.precedence import Outcome
from schemas.principal import ever_below, may_decide
from schemas.read_model import OwnRevision, ReadModel
from schemas.report import Kind, Millis
from schemas.unit import UBND, LineName

_MOST_REASON = 500


@dataclass(frozen=True, slots=True)
class Version:
    """One accepted revision, with what it changed."""

    number: int
    kind: Kind
    when: str
    by: str
    at: Millis
    standing: bool
    receipt: str
    changes: tuple[Change, ...] | None


class Receipts:
    """Answers about what was sent."""

    def __init__(self, office: Office) -> None:
        self._office = office

    async def show(self, visit: Visit) -> Response:
        """One receipt: what became of a report, and how far up it is counted. Looks again by itself until it is."""
        office = self._office
        unit = office.places.read(visit)
        found: Mapping[str, Any] = await office.answers.receipt_of(
            visit.request.path_params["id"], visit.caller, visit.language
        )
        if found["unit"] != unit.code:
            raise refused(Slug.NOT_FOUND, "Không có biên nhận này.", "There is no such receipt.")
        period = parse_period(found["period"])
        form = office.registry.catalogue().form_in_force(found["form"], period.last_day)
        waiting = found["outcome"] == PENDING or (
            found["outcome"] == Outcome.ACCEPTED and not all(link["counted"] for link in found["counted"])
        )
        line = LineName(found["line"] or UBND)
        return office.frame.page(
            "receipt.html", visit, unit=unit, found=found, waiting=waiting, when=words.period(period), at=_at(found),
            label=found["form"] if form is None else _said(visit, form.label_vi, form.label_en),
            history=address_of(unit.code, found["form"], period, line, "history"),
            entry=address_of(unit.code, found["form"], period, line),
        )  # fmt: skip

    async def history(self, visit: Visit) -> Response:
        """Everything that was accepted of one report, newest first."""
        return await self._history(visit)

    async def _history(self, visit: Visit, fault: str = "", status: int = 200) -> Response:
        office = self._office
        target = office.places.target(visit)
        versions = await office.questions.ask(_versions, target, visit.language)
        ruled: Standing = await office.questions.ask(standing_of, target)
        at = 0 if visit.language is Language.VIETNAMESE else 1
        writes = office.places.may_write(visit, target)
        slot = Slot.OWN if target.entered_by is None else Slot.ENTERED
        own = [one for one in versions if one[0] is slot]
        standing = bool(own) and own[-1][1].kind is not Kind.WITHDRAWAL
        sent = office.lookup.highest(target.series)
        return office.frame.page(
            "history.html", visit, status, target=target, when=words.period(target.period), fault=fault,
            versions=[version for _, version in reversed(versions)], writes=writes, can_withdraw=writes and standing,
            pending=sent > max((one[1].number for one in own), default=0), key=str(uuid.uuid4()),
            ruled=ruled, rulings=[(one.when, one.by, one.said[at], one.reason) for one in ruled.rulings],
            returned=ruled.returned[at] if ruled.returned else "", decides=self._decides(visit, target),
            tomorrow=f"{visit.caller.day + timedelta(days=1)}T17:00",
            label=_said(visit, target.form.label_vi, target.form.label_en), after=max(sent, *(n.number for _, n in own))
            if own else sent,
        )  # fmt: skip

    def _decides(self, visit: Visit, target: Target) -> bool:
        """Whether the account may decide about it, for a unit above."""
        units = self._office.registry.catalogue().units
        return any(
            ever_below(units, target.unit.code, one.unit)
            and may_decide([one], one.unit, target.form.id, visit.caller.day)
            for one in visit.caller.bindings
        )

    async def withdraw(self, visit: Visit) -> Response:
        """Rút báo cáo, with its reason, which travels with it."""
        target = self._office.places.writable(visit)
        reason = visit.fields.get("reason", "").strip()
        after, key = visit.fields.get("after", ""), visit.fields.get("key", "")
        if not reason or len(reason) > _MOST_REASON:
            said = _said(visit, f"Hãy ghi lý do rút báo cáo, nhiều nhất {_MOST_REASON} chữ cái.",
                         f"Say why it is withdrawn, in at most {_MOST_REASON} letters.")  # fmt: skip
            return await self._history(visit, said, 422)
        what = {"kind": Kind.WITHDRAWAL.value, "narrative": {_section_for_reasons(target): reason}}
        try:
            outcome = await bring(self._office, visit, target, what, int(after) if after.isdecimal() else 0, key)
            if isinstance(outcome, Refusal):
                raise outcome
        except Refusal as refusal:
            if refusal.slug is Slug.NOT_ALLOWED:
                raise
            return await self._history(visit, _said(visit, *refusal.words), refusal.status)
        if outcome.source is None:
            return RedirectResponse(target.address, 303)
        return RedirectResponse(f"/units/{target.unit.code}/receipts/{receipt_id(outcome.source)}", 303)


def _at(found: Mapping[str, Any]) -> str:
    """When it was accepted, in Vietnam."""
    accepted = parse_time(found.get("accepted_at"))
    return "" if accepted is None else words.moment(accepted)


def _section_for_reasons(target: Target) -> str:
    """The section that a reason goes into: notes, else the last that the form has."""
    names = [section.name for section in target.form.sections]
    return "notes" if "notes" in names or not names else names[-1]


def _versions(model: ReadModel, target: Target, language: Language) -> list[tuple[Slot, Version]]:
    series, catalogue = target.series, model.catalogue()
    found: list[tuple[Slot, Version]] = []
    before: dict[Slot, Content] = {}
    for one in model.history(series.unit, series.form, series.period, series.line):
        after = _content(target, one)
        changes: tuple[Change, ...] | None = None
        if one.slot in before:
            changes = tuple(differences(target.form, catalogue, before[one.slot], after,
                                        vietnamese=language is Language.VIETNAMESE))  # fmt: skip
        before[one.slot] = after
        by = catalogue.units.unit(target.unit.code, target.period.last_day)
        if one.entered_by:
            by = catalogue.units.unit(type(series.unit)(one.entered_by), target.period.last_day)
        found.append((one.slot, Version(
            one.revision, one.kind, words.moment(one.accepted_at), by.name if by else one.entered_by,
            one.accepted_at, one.standing, receipt_id(one.source), changes,
        )))  # fmt: skip
    return found


def _content(target: Target, one: OwnRevision) -> Content:
    names = [measure.name for measure in target.form.measures]
    return Content({dims: dict(zip(names, numbers, strict=True)) for dims, numbers in one.rows})


def _said(visit: Visit, vietnamese: str, english: str) -> str:
    return vietnamese if visit.language is Language.VIETNAMESE else english
