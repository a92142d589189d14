"""The desk: what happens to a request that brings reports, from its body to the answer after the broker's.

Order: who, what, may they, is it right, which revisions are known, kept, sent, noted, answered. 202 is said only after
the broker acknowledged with acks=all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from prometheus_client import Counter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from producers.audit import AuditLog, Event
from producers.gateway.body import Body, content_type, expected_revision, idempotency_key, read_body, read_bytes
from producers.gateway.courier import Courier, Outcome, Sent
from producers.gateway.door import Caller, Door
from producers.gateway.draft import Draft, Item, Signed
from producers.gateway.intake import Job, etag
from producers.gateway.judgment import Judgment, with_trace
from producers.gateway.refusal import Language, Refusal, Slug, refused
from producers.gateway.registry import Registry
from producers.gateway.shown import receipt_id
from schemas.questions import Questions
from schemas.read_model import ReadModel, SeriesHead
from schemas.report import Revision, Series

REPORTS = Counter(
    "chungsuc_gateway_reports_total", "Reports brought to the gateway: acknowledged, known or refused.", ["result"]
)


class Desk:
    """Takes reports for accounts."""

    def __init__(
        self,
        door: Door,
        registry: Registry,
        judgment: Judgment,
        questions: Questions,
        courier: Courier,
        audit: AuditLog,
    ) -> None:
        self._door = door
        self._registry = registry
        self._judgment = judgment
        self._questions = questions
        self._courier = courier
        self._audit = audit

    async def take(self, request: Request, caller: Caller, language: Language) -> Response:
        """The answer to a request with one report or a batch. Raises Refusal."""
        key = idempotency_key(request.headers.get("idempotency-key"))
        after = expected_revision(request.headers)
        content = await read_bytes(request)
        try:
            body = await run_in_threadpool(
                read_body, content, content_type(request), request.headers, self._registry.catalogue(), caller.day
            )
            if key is None and not body.signed:
                raise no_key()
        except Refusal as refusal:
            await self._noted(caller, (), [refusal], request.state.request_id)
            raise
        outcomes = await self.bring(body, caller, key, after, (request.state.request_id, request.state.traceparent))
        return _batch_answer(body.items, outcomes, language) if body.batch else _answer(body.items[0], outcomes[0])

    async def bring(
        self, body: Body, caller: Caller, key: str | None, after: int | None, named: tuple[str, str | None]
    ) -> Sequence[Outcome]:
        """What became of each report of a body, noted; the same for programs and for pages.

        `named` is the request's id and trace. Raises Refusal about the whole.
        """
        try:
            self._door.spend(caller, len(body.items))
            judged = await run_in_threadpool(self._judged, body, caller, after, named)
            outcomes = await self._sent(body, judged, caller, key, named)
        except Refusal as refusal:
            await self._noted(caller, body.items, [refusal] * len(body.items), named[0])
            raise
        await self._noted(caller, body.items, outcomes, named[0])
        return outcomes

    def _judged(
        self, body: Body, caller: Caller, after: int | None, named: tuple[str, str | None]
    ) -> list[Item | Refusal]:
        found: list[Item | Refusal] = []
        for at, item in enumerate(body.items):
            pointer = f"/reports/{at}" if body.batch else ""
            try:
                if isinstance(item, Refusal):
                    raise item
                judged = self._judgment.judged(_expecting(item, after, body.batch), caller)
                found.append(with_trace(judged, *named))
            except Refusal as refusal:
                found.append(refusal if refusal is item else refusal.at(pointer))
        return found

    async def _sent(
        self, body: Body, items: Sequence[Item | Refusal], caller: Caller, key: str | None,
        named: tuple[str, str | None],
    ) -> Sequence[Outcome]:  # fmt: skip
        if all(isinstance(item, Refusal) for item in items):
            return [item for item in items if isinstance(item, Refusal)]
        heads = await self._questions.ask(_heads, [None if isinstance(i, Refusal) else i.series for i in items])
        job = Job(caller.name, key, body.fingerprint, items, heads, *named)
        return await asyncio.wrap_future(self._courier.submit(job))

    async def _noted(
        self, caller: Caller, items: Sequence[Item | Refusal], outcomes: Sequence[Outcome], request_id: str
    ) -> None:
        """Count what became of each report, and write it into the audit log before anybody is told."""
        for outcome in outcomes:
            REPORTS.labels(_result(outcome)).inc()
        events = [
            _event(outcome, items[at] if at < len(items) else outcome, caller, request_id)
            for at, outcome in enumerate(outcomes)
        ]
        await run_in_threadpool(self._audit.note_all, caller.at, events)


def _event(outcome: Outcome, item: Item | Outcome, caller: Caller, request_id: str) -> tuple[Event, Mapping[str, Any]]:
    about: dict[str, Any] = {"principal": caller.name, "request_id": request_id}
    if isinstance(item, Draft | Signed):
        about |= {"unit": item.series.unit, "form": item.form.id, "period": item.series.period}
    if isinstance(outcome, Refusal):
        return Event.REFUSAL, about | {"problem": outcome.slug.value, "said": outcome.words[1][:500]}
    source = None if outcome.source is None else receipt_id(outcome.source)
    return Event.SUBMISSION, about | {"revision": outcome.revision, "id": source}


def _expecting(item: Item, after: int | None, batch: bool) -> Item:
    """The item with the revision that a header says its author has seen."""
    if after is None:
        return item
    if batch or isinstance(item, Signed) or item.after not in (None, after):
        raise refused(
            Slug.BAD_REQUEST,
            "If-Match chỉ dùng cho một báo cáo chưa ký; trong lô hãy dùng after_revision.",
            "If-Match is for one unsigned report: use after_revision in a batch.",
        )
    return Draft(item.form, item.unit, item.period, item.kind, item.rows, item.narrative, item.line, item.scope,
                 item.entered_by, item.issued_at, Revision(after))  # fmt: skip


def _heads(model: ReadModel, series: Sequence[Series | None]) -> list[SeriesHead | None]:
    found = iter(model.heads([one for one in series if one is not None]))
    return [None if one is None else next(found) for one in series]


def _result(outcome: Outcome) -> str:
    if isinstance(outcome, Refusal):
        return "refused"
    return "known" if outcome.known else "acknowledged"


def _answer(item: Item | Refusal, outcome: Outcome) -> Response:
    if isinstance(outcome, Refusal):
        raise outcome
    if isinstance(item, Refusal):
        raise item
    shown = acknowledged(item, outcome)
    headers = {"ETag": etag(outcome.revision)}
    if outcome.source is not None:
        headers["Location"] = shown["receipt"]
    return JSONResponse(shown, 202, headers)


def _batch_answer(items: Sequence[Item | Refusal], outcomes: Sequence[Outcome], language: Language) -> Response:
    results: list[dict[str, Any]] = []
    for item, outcome in zip(items, outcomes, strict=True):
        if isinstance(outcome, Refusal) or isinstance(item, Refusal):
            refusal = outcome if isinstance(outcome, Refusal) else item
            if not isinstance(refusal, Refusal):
                raise TypeError(refusal)
            results.append({"status": refusal.status, "problem": refusal.problem(language)})
        else:
            results.append({"status": 202, "report": acknowledged(item, outcome)})
    refusals = sum(result["status"] != 202 for result in results)
    content = {"acknowledged": len(results) - refusals, "refused": refusals, "results": results}
    return JSONResponse(content, 207 if refusals else 202)


def acknowledged(item: Item, sent: Sent) -> dict[str, Any]:
    """What is said of a report that the broker has."""
    series = item.series
    at = None if sent.source is None else receipt_id(sent.source)
    return {
        "id": at,
        "status": "acknowledged",
        "unit": series.unit,
        "form": series.form,
        "period": series.period,
        "line": series.line,
        "entered_by": series.entered_by,
        "revision": sent.revision,
        "receipt": None if at is None else f"/v1/receipts/{at}",
    }


def no_key() -> Refusal:
    """A request that could not be repeated safely."""
    return refused(
        Slug.IDEMPOTENCY_KEY_MISSING,
        'Mỗi lần gửi cần một khóa riêng, như Idempotency-Key: "8e03978e-40d5-43dd-bc93-6894a57f9324".',
        'Each request needs a key of its own, such as Idempotency-Key: "8e03978e-40d5-43dd-bc93-6894a57f9324".',
    )
