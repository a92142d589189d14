"""The outbox: what every unit of this host has sent or wants to send, until a receipt names it (contract 6).

    put → waiting → sent (acknowledged, with its source) → settled | rejected | conflict
                  ↘ refused (the broker will never take it)

Invariants: a send is known by (series, issued_at), so importing a file twice is the same sends with the same revisions;
a revision never stands for two contents; `sequence` grows by one per key; the exact signed bytes are kept, so what is
sent again is byte for byte what was sent before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from producers.keys import NodeKey
from producers.outbox_batch import Batch, Put
from producers.outbox_file import open_file, transaction, unpack_headers
from producers.send import Send
from schemas.failpoint import failpoint
from schemas.report import Millis, Revision, Scope, Series, Source
from schemas.signature import SignedRecord
from schemas.topics import DAY_MS
from schemas.unit import UnitCode

FILE = "outbox.sqlite"
KEPT_DAYS = 30
"""The shortest that a settled row keeps its bytes (contract 6)."""


class State(StrEnum):
    """Where a send is on its way."""

    WAITING = "waiting"
    SENT = "sent"
    SETTLED = "settled"
    REJECTED = "rejected"
    CONFLICT = "conflict"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A row to be published: the record exactly as signed."""

    id: int
    record: SignedRecord


@dataclass(frozen=True, slots=True)
class Row:
    """One send as the outbox knows it, for people and tests."""

    id: int
    series: Series
    issued_at: Millis
    revision: Revision
    kid: str
    sequence: int
    state: State
    source: Source | None
    outcome: str | None
    detail: str | None
    won: Source | None


class Outbox:
    """The outboxes of all units of this host, in one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.database = open_file(path)

    def close(self) -> None:
        """Close the file."""
        self.database.close()

    def put(self, sends: Sequence[Send], signers: Mapping[UnitCode, NodeKey], now: Millis | None = None) -> list[Put]:
        """Write a batch, each send signed with its sender's key, in one transaction; what each became, in order.

        Sends of one series come in the order of their issue times. `now`: this host's clock, by which a send is moved
        past one that a clock ahead of it issued. Raises OutboxError, and then nothing was written.
        """
        with transaction(self.database, self.path):
            batch = Batch(self.database, signers, now)
            result = [batch.put(send) for send in sends]
            batch.write()
        failpoint("outbox.after_write")
        return result

    def waiting(self, limit: int, after: int = 0) -> list[Waiting]:
        """Rows to be published with ids above `after`, in the order in which they were put."""
        rows = self.database.execute(
            "SELECT id, key, value, headers FROM sends WHERE state = 'waiting' AND id > ? ORDER BY id LIMIT ?",
            (after, limit),
        )
        return [Waiting(i, SignedRecord(key, value, tuple(unpack_headers(headers)))) for i, key, value, headers in rows]

    def mark_sent(self, acknowledged: Iterable[tuple[int, Source]], now: Millis) -> None:
        """Note where the broker put these rows. A row whose receipt came first is settled at once."""
        failpoint("outbox.before_mark")
        with transaction(self.database, self.path):
            self.database.executemany(
                """UPDATE sends SET "partition" = ?1, "offset" = ?2, sent_at = ?3,
                     state = CASE WHEN won_partition = ?1 AND won_offset = ?2 THEN 'settled' ELSE 'sent' END,
                     settled_at = CASE WHEN won_partition = ?1 AND won_offset = ?2 THEN ?3 END,
                     outcome = CASE WHEN won_partition = ?1 AND won_offset = ?2 THEN 'accepted' END
                   WHERE id = ?4 AND state = 'waiting'""",
                # An idempotent producer's retry may be acknowledged without its offset.
                [(s.partition, s.offset if s.offset >= 0 else None, now, i) for i, s in acknowledged],
            )

    def mark_refused(self, row_id: int, detail: str) -> None:
        """Note that the broker will never take this row, so that it does not stand in the way."""
        with transaction(self.database, self.path):
            self.database.execute("UPDATE sends SET state = 'refused', detail = ? WHERE id = ?", (detail, row_id))

    def unsettled(self, older_than: Millis) -> list[int]:
        """Ids of rows acknowledged before `older_than` that no receipt has named."""
        found = self.database.execute(
            "SELECT id FROM sends WHERE state = 'sent' AND sent_at < ? AND value IS NOT NULL ORDER BY id", (older_than,)
        )
        return [row_id for (row_id,) in found]

    def send_again(self, row_ids: Sequence[int]) -> None:
        """Put rows among the waiting once more: the same bytes, so at worst a duplicate."""
        with transaction(self.database, self.path):
            self.database.executemany(
                """UPDATE sends SET state = 'waiting', "partition" = NULL, "offset" = NULL
                   WHERE id = ? AND state = 'sent' AND value IS NOT NULL""",
                [(row_id,) for row_id in row_ids],
            )

    def prune(self, now: Millis, days: int = KEPT_DAYS) -> int:
        """Let go of the bytes of rows settled more than `days` (at least 30) ago; how many.

        What a send is known by stays for ever, so that a file imported again years later is still the same sends.
        """
        before = now - max(days, KEPT_DAYS) * DAY_MS
        with transaction(self.database, self.path):
            return self.database.execute(
                "UPDATE sends SET key = NULL, value = NULL, headers = NULL "
                "WHERE state = 'settled' AND settled_at < ? AND value IS NOT NULL",
                (before,),
            ).rowcount

    def counts(self) -> dict[State, int]:
        """How many sends are in each state."""
        found = self.database.execute("SELECT state, count(*) FROM sends GROUP BY state")
        return {State(state): count for state, count in found}

    def rows(self, states: Iterable[State] = tuple(State)) -> list[Row]:
        """Sends in these states, in the order in which they were put."""
        wanted = list(states)
        found = self.database.execute(
            f"""SELECT s.id, r.line, r.unit, r.form, r.period, r.entered_by, r.scope, s.issued_at, s.revision, s.kid,
                  s.sequence, s.state, s."partition", s."offset", s.outcome, s.detail, s.won_partition, s.won_offset
                FROM sends s JOIN series r ON s.series = r.id
                WHERE s.state IN ({",".join("?" * len(wanted))}) ORDER BY s.id""",
            wanted,
        )
        return [_row(columns) for columns in found]


def _row(columns: tuple[Any, ...]) -> Row:
    (row_id, line, unit, form, period, entered_by, scope, issued_at, revision, kid, sequence, state, partition, offset,
     outcome, detail, won_partition, won_offset) = columns  # fmt: skip
    return Row(
        row_id,
        Series(line, unit, form, period, entered_by or None, Scope(scope)),
        issued_at,
        revision,
        kid,
        sequence,
        State(state),
        None if offset is None else Source(partition, offset),
        outcome,
        detail,
        None if won_offset is None else Source(won_partition, won_offset),
    )
