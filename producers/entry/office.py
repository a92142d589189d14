"""What the pages are made of behind the frame: the gateway's own inner functions, and the questions pages ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from producers.audit import AuditLog
from producers.entry.approval import Approvals
from producers.entry.archive import Archive
from producers.entry.difference import Content, content_of
from producers.entry.frame import Frame, Visit
from producers.entry.places import Places, Target
from producers.entry.second_factor import SecondFactors
from producers.gateway.answers import Answers, Owed
from producers.gateway.body import Body, fingerprint_of
from producers.gateway.courier import Outcome
from producers.gateway.desk import Desk
from producers.gateway.draft import Item, from_json
from producers.gateway.refusal import Refusal
from producers.gateway.registry import Registry
from producers.gateway.store import Lookup
from schemas.figure import Slot
from schemas.questions import Questions
from schemas.read_model import OwnRevision, ReadModel, SeriesHead
from schemas.report import Kind, Report, Revision, Series, Source


@dataclass(frozen=True, slots=True)
class Office:
    """The parts that every page may ask."""

    frame: Frame
    places: Places
    registry: Registry
    questions: Questions
    answers: Answers
    lookup: Lookup
    desk: Desk
    archive: Archive
    owed: Owed
    approvals: Approvals
    factors: SecondFactors
    audit: AuditLog


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a series: its highest revision, and the report that its page begins with, where there is one.

    `entered`: that report was entered by the superior, and the unit has none of its own.
    """

    revision: Revision
    report: Report | None
    entered: bool


async def known(office: Office, target: Target) -> Known:
    """What a page of a report begins with."""
    head, entered = await office.questions.ask(_stands, target)
    sent = office.lookup.highest(target.series)
    revision = Revision(max(sent, head.revision if head else 0))
    source: Source | None = head.source if head else None
    if head is None or sent > head.revision:
        source = office.lookup.place_of(target.series, sent) if sent else None
    by_superior = source is None and entered is not None
    if source is None and entered is not None:
        source = entered.source
    if source is None:
        return Known(revision, None, entered=False)
    report = office.archive.report(source, office.registry.catalogue())
    return Known(revision, report, entered=by_superior)


def _stands(model: ReadModel, target: Target) -> tuple[SeriesHead | None, OwnRevision | None]:
    head = model.heads([target.series])[0]
    if head is not None or target.entered_by is not None:
        return head, None
    series: Series = target.series
    found = [one for one in model.history(series.unit, series.form, series.period, series.line) if one.standing]
    return None, next((one for one in found if one.slot is Slot.ENTERED and one.kind is not Kind.WITHDRAWAL), None)


def content(target: Target, report: Report | None) -> Content:
    """A report's content as a correction is compared with it."""
    if report is None:
        return Content({}, {})
    return content_of(target.form, report.rows, report.narrative or {})


async def bring(office: Office, visit: Visit, target: Target, what: Mapping[str, Any], after: int, key: str) -> Outcome:
    """One report of a page on its way through the gateway's desk. Raises Refusal."""
    return (await bring_all(office, visit, [wanted(target, what, after)], key))[0]


def wanted(target: Target, what: Mapping[str, Any], after: int) -> dict[str, Any]:
    """A report as the gateway's JSON has it; `after` is the revision that its author has seen."""
    return {
        "form": target.form.id, "unit": target.unit.code, "period": target.period.text, "line": target.line,
        "entered_by": target.entered_by, "after_revision": after, **what,
    }  # fmt: skip


async def bring_all(office: Office, visit: Visit, reports: Sequence[Mapping[str, Any]], key: str) -> Sequence[Outcome]:
    """Reports of a page on their way through the gateway's desk, together. Raises Refusal about the whole.

    The Idempotency-Key is the page's with the content's digest: pressing twice sends once, and what was changed in
    between is other content, which the revision seen (`after_revision`) decides.
    """
    catalogue = office.registry.catalogue()
    items: list[Item | Refusal] = [from_json(raw, catalogue, visit.caller.day) for raw in reports]
    fingerprint = fingerprint_of(reports)
    body = Body(items, len(items) > 1, fingerprint, False)
    named = (visit.request.state.request_id, visit.request.state.traceparent)
    return await office.desk.bring(body, visit.caller, f"{key[:64]}-{fingerprint.hex()[:32]}", None, named)
