"""Intake: from judged reports to rows of the gateway's outbox, each with its revision, in one transaction.

Pure SQLite, without a broker: what a request asked for is decided and kept here, whole, before anything is sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from producers.errors import Problem
from producers.gateway.draft import Draft, Item, Signed
from producers.gateway.refusal import Fault, Refusal, Slug, refused
from producers.gateway.store import GatewayStore, Remembered
from producers.keys import NodeKey
from producers.outbox_batch import Batch, Known, Put, SeriesState
from producers.outbox_file import transaction
from producers.send import Send
from schemas.failpoint import failpoint
from schemas.read_model import SeriesHead
from schemas.rejection import Reason
from schemas.report import Digest, Millis, Revision

_FUTURE_MS = 300_000
"""A time of issue may be that far ahead of this host's clock; what has not come yet is not attested."""


@dataclass(frozen=True, slots=True)
class Job:
    """One request: who sends, its reports as judged, and the highest accepted revision of each one's series.

    `key` is the client's Idempotency-Key, None for a signed report sent without one.
    """

    principal: str
    key: str | None
    fingerprint: bytes
    items: Sequence[Item | Refusal]
    heads: Sequence[SeriesHead | None]
    request_id: str
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """A report that is in the outbox. `known`: it was there before, sent once already or waiting."""

    row: int
    revision: Revision
    known: bool


Taken = Kept | Refusal


def take(store: GatewayStore, jobs: Sequence[Job], now: Millis) -> list[list[Taken] | Refusal]:
    """What became of each report of each request; a Refusal alone is about the whole request.

    A later job of the batch sees what an earlier one took. The key is asked for within the transaction, so that who
    rotates it knows that nothing signed with the old one comes after. Raises OutboxError, and then nothing was written,
    and KeysError without a key.
    """
    with transaction(store.database, store.outbox.path):
        signer = store.signing_key()
        taken = [_take(store, job, signer, now) for job in jobs]
    failpoint("gateway.after_write")
    return taken


def remembered(store: GatewayStore, job: Job) -> list[Taken] | Refusal | None:
    """What an earlier request with the same key became; None where there was none."""
    found = store.remembered(job.principal, job.key) if job.key is not None else None
    if found is None:
        return None
    if found.fingerprint != job.fingerprint:
        return refused(
            Slug.IDEMPOTENCY_KEY_REUSED,
            "Khóa này đã dùng cho một yêu cầu khác; hãy dùng khóa mới cho nội dung mới.",
            "This key was used for another request: use a new key for new content.",
        )
    return [_recalled(item) for item in found.items]


def _take(store: GatewayStore, job: Job, signer: NodeKey, now: Millis) -> list[Taken] | Refusal:
    before = remembered(store, job)
    if before is not None:
        return before
    batch = Batch(store.database, dict.fromkeys((i.sender for i in job.items if not isinstance(i, Refusal)), signer))
    puts = [_put(batch, job, at, now) for at in range(len(job.items))]
    batch.write()
    taken: list[Taken] = [
        put if isinstance(put, Refusal) else
        Kept(store.row_of(put.series, put.issued_at), put.revision, put.known is Known.KNOWN)
        for put in puts
    ]  # fmt: skip
    if job.key is not None and any(isinstance(one, Kept) for one in taken):
        items = [_noted(one) for one in taken]
        store.remember(job.principal, job.key, Remembered(job.fingerprint, items), now)
    return taken


def _put(batch: Batch, job: Job, at: int, now: Millis) -> Put | Refusal:
    item, head = job.items[at], job.heads[at]
    if isinstance(item, Refusal):
        return item
    series = batch.series_of(item.series)
    if head is not None and head.revision > series.revision:
        series.revision, series.digest, series.changed = head.revision, head.digest, True
    if isinstance(item, Signed):
        return _put_signed(batch, item, series)
    if item.after is not None and item.after != series.revision:
        return _other_revision(series)
    issued_at = max(now, series.issued_at + 1) if item.issued_at is None else item.issued_at
    if item.issued_at is not None and item.issued_at > now + _FUTURE_MS:
        return refused(
            Slug.REPORT_INVALID,
            "issued_at nằm ở tương lai: kiểm tra đồng hồ của máy gửi, hoặc bỏ trống mục này.",
            "issued_at lies in the future: check the sender's clock, or leave it out.",
        )
    put = batch.put(_send(item, job, Millis(issued_at)))
    return _as_refusal(put.problem, series) if put.problem is not None else put


def _put_signed(batch: Batch, item: Signed, series: SeriesState) -> Put | Refusal:
    digest = item.report.digest([dimension.name for dimension in item.form.dimensions])
    revision = item.report.header.revision
    if revision == series.revision and Digest(series.digest) != digest:
        return Refusal(
            Slug.REVISION_TAKEN,
            (f"Lần gửi {revision} đã có nội dung khác; hãy gửi lại với số lần gửi cao hơn.",
             f"Revision {revision} has other content already: send it again with a higher one."),
            members={"highest_revision": series.revision},
        )  # fmt: skip
    put = batch.put_signed(item.report, digest, item.record, item.kid)
    return _as_refusal(put.problem, series) if put.problem is not None else put


def _send(item: Draft, job: Job, issued_at: Millis) -> Send:
    return Send(
        item.form, item.unit, item.period, item.kind, issued_at, item.rows, item.entered_by, item.line, item.scope,
        item.narrative, principal=job.principal, traceparent=job.traceparent, request_id=job.request_id,
    )  # fmt: skip


def _other_revision(series: SeriesState) -> Refusal:
    vietnamese = f"Bản mới nhất là lần gửi {series.revision}: xem lại bản đó rồi gửi lại."
    english = f"The newest is revision {series.revision}: look at it, then send again."
    return Refusal(
        Slug.OTHER_REVISION, (vietnamese, english), members={"highest_revision": series.revision},
        headers={"ETag": etag(Revision(series.revision))},
    )  # fmt: skip


def _as_refusal(problem: Problem, series: SeriesState) -> Refusal:
    """What the outbox refuses: content issued before what is there, or at the same moment, or too much of it."""
    slug = Slug.TOO_LARGE if "bytes" in problem.message else Slug.REVISION_TAKEN
    vietnamese = (
        "Báo cáo quá lớn."
        if slug is Slug.TOO_LARGE
        else "Thời điểm lập (issued_at) đã dùng cho nội dung khác, hoặc sớm hơn bản mới nhất."
    )
    return Refusal(slug, (vietnamese, f"{problem.message}."), members={"highest_revision": series.revision})


def etag(revision: Revision) -> str:
    """The entity tag of a revision."""
    return f'"{revision}"'


def _noted(taken: Taken) -> Mapping[str, Any]:
    if isinstance(taken, Kept):
        return {"row": taken.row, "revision": taken.revision}
    return {
        "slug": taken.slug.value,
        "words": list(taken.words),
        "faults": [[fault.pointer, fault.reason.value, *fault.words] for fault in taken.faults],
        "members": dict(taken.members),
    }


def _recalled(noted: Mapping[str, Any]) -> Taken:
    if "row" in noted:
        return Kept(noted["row"], Revision(noted["revision"]), known=True)
    vietnamese, english = noted["words"]
    faults = [Fault(pointer, Reason(reason), (vi, en)) for pointer, reason, vi, en in noted["faults"]]
    return Refusal(Slug(noted["slug"]), (vietnamese, english), faults, noted["members"])
