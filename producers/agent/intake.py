"""Intake: judged reports into the agent's outbox, signed, in one transaction with what they came in.

Pure SQLite. When `take` returns, a power cut loses nothing of it; when it raises, nothing was written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from producers.agent.judge import as_send
from producers.agent.store import NO_FILE, AgentStore
from producers.gateway.draft import Draft
from producers.gateway.refusal import Refusal, Slug, refused
from producers.outbox_batch import Batch
from producers.outbox_file import transaction
from schemas.failpoint import failpoint
from schemas.report import Millis, Revision, Series
from schemas.topics import DAY_MS

REQUEST_DAYS = 7
"""How long the key of a local request is remembered."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A report that is on the disk and will be sent."""

    series: Series
    revision: Revision
    issued_at: Millis


Taken = Kept | Refusal


@dataclass(frozen=True, slots=True)
class FromFile:
    """The file that reports came in."""

    name: str
    inode: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class FromRequest:
    """The local request that reports came in. Without a key it is not remembered."""

    key: str | None
    fingerprint: bytes


class NothingTaken(Exception):
    """Something of a file could not be taken, so nothing was."""

    def __init__(self, refusals: Sequence[Refusal]) -> None:
        super().__init__(f"{len(refusals)} refused")
        self.refusals = refusals


def take(
    store: AgentStore,
    drafts: Sequence[Draft | Refusal],
    now: Millis,
    came: FromFile | FromRequest,
    highest: Mapping[Series, Revision],
) -> list[Taken]:
    """What became of each report. Of a file all is taken, or NothingTaken is raised.

    `highest`: revisions that others hold of series that this outbox has not seen. Raises OutboxError for a disk that is
    full, KeysError without a key.
    """
    with transaction(store.database, store.path):
        signer = store.signing_key()
        batch = Batch(store.database, dict.fromkeys((d.sender for d in drafts if isinstance(d, Draft)), signer))
        taken = [one if isinstance(one, Refusal) else _put(batch, one, now, highest) for one in drafts]
        refusals = [one for one in taken if isinstance(one, Refusal)]
        if isinstance(came, FromFile) and refusals:
            raise NothingTaken(refusals)
        batch.write()
        file = store.put_file(came.name, came.inode, came.digest) if isinstance(came, FromFile) else NO_FILE
        _link(store, batch, [one for one in taken if isinstance(one, Kept)], file, now)
        if isinstance(came, FromRequest) and came.key is not None and len(refusals) < len(taken):
            _remember(store, came, taken, now)
    failpoint("agent.after_write")
    return taken


def remembered(store: AgentStore, came: FromRequest) -> Any:
    """The answer to an earlier request with the same key, None where there was none. Raises Refusal."""
    row = store.database.execute("SELECT fingerprint, answer FROM agent_requests WHERE key = ?", (came.key,)).fetchone()
    if row is None:
        return None
    if row[0] != came.fingerprint:
        raise refused(
            Slug.IDEMPOTENCY_KEY_REUSED,
            "Khóa này đã dùng cho một yêu cầu khác; hãy dùng khóa mới cho nội dung mới.",
            "This key was used for another request: use a new key for new content.",
        )
    return json.loads(row[1])


def shown(taken: Kept) -> dict[str, Any]:
    """A kept report as a local client is told of it."""
    series = taken.series
    return {
        "status": "kept", "unit": series.unit, "form": series.form, "period": series.period, "line": series.line,
        "entered_by": series.entered_by, "revision": taken.revision,
    }  # fmt: skip


def forget_requests(store: AgentStore, now: Millis) -> None:
    """Let go of keys of local requests older than a week."""
    with transaction(store.database, store.path):
        store.database.execute("DELETE FROM agent_requests WHERE made_at < ?", (now - REQUEST_DAYS * DAY_MS,))


def _put(batch: Batch, draft: Draft, now: Millis, highest: Mapping[Series, Revision]) -> Taken:
    series = batch.series_of(draft.series)
    known = highest.get(draft.series, Revision(0))
    if known > series.revision:
        series.revision, series.digest, series.changed = known, b"", True
    if draft.after is not None and draft.after != series.revision:
        words = (f"Bản mới nhất là lần gửi {series.revision}: xem lại bản đó rồi gửi lại.",
                 f"The newest is revision {series.revision}: look at it, then send again.")  # fmt: skip
        return Refusal(Slug.OTHER_REVISION, words, members={"highest_revision": series.revision})
    # This host's clock may stand behind what it was: a later content is never issued before an earlier one.
    issued_at = Millis(max(now, series.issued_at + 1)) if draft.issued_at is None else draft.issued_at
    put = batch.put(as_send(draft, issued_at))
    if put.problem is None:
        return Kept(draft.series, put.revision, issued_at)
    large = "bytes" in put.problem.message
    slug = Slug.TOO_LARGE if large else Slug.REVISION_TAKEN
    said = "Báo cáo quá lớn." if large else "Thời điểm lập đã dùng cho nội dung khác, hoặc sớm hơn bản mới nhất."
    return refused(slug, said, f"{put.problem.message}.")


def _link(store: AgentStore, batch: Batch, kept: Sequence[Kept], file: int, now: Millis) -> None:
    store.database.executemany(
        "INSERT OR IGNORE INTO agent_rows SELECT id, ?, ? FROM sends WHERE series = ? AND issued_at = ?",
        [(file, now, batch.series_of(one.series).id, one.issued_at) for one in kept],
    )


def _remember(store: AgentStore, came: FromRequest, taken: Sequence[Taken], now: Millis) -> None:
    # A refusal is not remembered: the same content is judged again, by what is known then.
    answer = [None if isinstance(one, Refusal) else shown(one) for one in taken]
    store.database.execute(
        "INSERT INTO agent_requests VALUES (?, ?, ?, ?)",
        (came.key, came.fingerprint, now, json.dumps(answer, ensure_ascii=False)),
    )
