"""The outbox: what every unit of this host has sent or wants to send, until a receipt names it (contract 6).

    put → waiting → sent (acknowledged, with its source) → settled | rejected | conflict
                  ↘ refused (the broker will never take it)

Invariants: a send is known by (series, issued_at), so importing a file twice is the same sends with the same revisions;
a revision never stands for two contents; `sequence` grows by one per key; the exact signed bytes are kept, so what is
sent again is byte for byte what was sent before.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any

from producers.errors import Problem
from producers.keys import NodeKey
from producers.outbox_file import open_file, pack_headers, transaction, unpack_headers
from producers.send import Send
from schemas.admission import iso_time
from schemas.codec import encode_report
from schemas.failpoint import failpoint
from schemas.form import Form
from schemas.report import REPORT_TYPE, Digest, KeyId, Millis, Report, Revision, Scope, Series, Source
from schemas.signature import SignedRecord, sign
from schemas.topics import DAY_MS, MAX_REPORT_BYTES
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


class Known(StrEnum):
    """What a put found: a send not seen before, one seen before, or one that can't be."""

    NEW = "new"
    KNOWN = "known"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Put:
    """What became of one send at the outbox. `revision` is 0 for a refusal."""

    known: Known
    revision: Revision
    problem: Problem | None = None


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


@dataclass(slots=True)
class _SeriesState:
    """The newest of a series, as the batch at work has it."""

    id: int
    issued_at: int
    revision: int
    digest: bytes
    changed: bool = False


class Outbox:
    """The outboxes of all units of this host, in one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.database = open_file(path)

    def close(self) -> None:
        """Close the file."""
        self.database.close()

    def put(self, sends: Sequence[Send], signers: Mapping[UnitCode, NodeKey]) -> list[Put]:
        """Write a batch, each send signed with its sender's key, in one transaction; what each became, in order.

        Sends of one series come in the order of their issue times. Raises OutboxError, and then nothing was written.
        """
        with transaction(self.database, self.path):
            batch = _Batch(self.database, signers)
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


class _Batch:
    """One transaction's worth of sends: what is read is read once, what is new is written at the end."""

    def __init__(self, database: sqlite3.Connection, signers: Mapping[UnitCode, NodeKey]) -> None:
        self._database = database
        self._signers = signers
        self._series: dict[tuple[str, ...], _SeriesState] = {}
        self._sequences: dict[KeyId, int] = {}
        self._pending: dict[tuple[int, int], tuple[bytes, int]] = {}
        self._rows: list[tuple[object, ...]] = []
        self._new_series: list[tuple[object, ...]] = []
        (self._last_series,) = database.execute("SELECT coalesce(max(id), 0) FROM series").fetchone()

    def put(self, send: Send) -> Put:
        """Decide one send and keep its row for `write`."""
        series = self._series_of(send)
        signer = self._signers[send.sender]
        sequence = self._sequence(signer.kid) + 1
        report = send.report(Revision(series.revision + 1), sequence)
        digest = report.digest([dimension.name for dimension in send.form.dimensions])
        if series.revision and send.issued_at <= series.issued_at:
            known = self._known(series.id, send.issued_at)
            if known is not None and known[0] == digest:
                return Put(Known.KNOWN, Revision(known[1]))
            if known is not None:
                return _refused(send, f"{iso_time(send.issued_at)} is known with other content: issue it at a new time")
            if digest != series.digest:
                newest = iso_time(Millis(series.issued_at))
                return _refused(send, f"issued {iso_time(send.issued_at)}, before the newest sent of {newest}")
        if digest == series.digest:
            report = send.report(Revision(series.revision), sequence)
        signed = _signed(send.form, report, signer)
        if len(signed.value) > MAX_REPORT_BYTES:
            return _refused(send, f"the report has {len(signed.value):,} bytes; at most {MAX_REPORT_BYTES:,} are taken")
        self._keep(series, report, digest, signed, signer.kid)
        return Put(Known.NEW, report.header.revision)

    def _keep(self, series: _SeriesState, report: Report, digest: Digest, signed: SignedRecord, kid: KeyId) -> None:
        h = report.header
        series.issued_at = max(series.issued_at, h.issued_at)
        series.revision, series.digest, series.changed = h.revision, digest, True
        self._sequences[kid] = h.sequence
        self._pending[series.id, h.issued_at] = (digest, h.revision)
        self._rows.append(
            (series.id, h.issued_at, h.revision, kid, h.sequence, digest, signed.key, signed.value,
             pack_headers(signed.headers))
        )  # fmt: skip

    def write(self) -> None:
        """Insert what is new."""
        execute = self._database.executemany
        execute("INSERT INTO series VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0, x'')", self._new_series)
        execute(
            "UPDATE series SET issued_at = ?, revision = ?, digest = ? WHERE id = ?",
            [(s.issued_at, s.revision, s.digest, s.id) for s in self._series.values() if s.changed],
        )
        execute(
            "INSERT INTO sends (series, issued_at, revision, kid, sequence, digest, state, key, value, headers) "
            "VALUES (?, ?, ?, ?, ?, ?, 'waiting', ?, ?, ?)",
            self._rows,
        )
        execute("INSERT OR REPLACE INTO sequences VALUES (?, ?)", list(self._sequences.items()))

    def _series_of(self, send: Send) -> _SeriesState:
        identity = (send.unit, send.form.id, send.period, send.line, send.scope.value, send.entered_by or "")
        state = self._series.get(identity)
        if state is None:
            found = self._database.execute(
                "SELECT id, issued_at, revision, digest FROM series WHERE unit = ? AND form = ? AND period = ? "
                "AND line = ? AND scope = ? AND entered_by = ?",
                identity,
            ).fetchone()
            if found is None:
                self._last_series += 1
                found = (self._last_series, 0, 0, b"")
                self._new_series.append((self._last_series, *identity))
            state = self._series[identity] = _SeriesState(*found)
        return state

    def _known(self, series: int, issued_at: int) -> tuple[bytes, int] | None:
        pending = self._pending.get((series, issued_at))
        if pending is not None:
            return pending
        found: tuple[bytes, int] | None = self._database.execute(
            "SELECT digest, revision FROM sends WHERE series = ? AND issued_at = ?", (series, issued_at)
        ).fetchone()
        return found

    def _sequence(self, kid: KeyId) -> int:
        if kid not in self._sequences:
            found = self._database.execute("SELECT sequence FROM sequences WHERE kid = ?", (kid,)).fetchone()
            self._sequences[kid] = found[0] if found else 0
        return self._sequences[kid]


def _signed(form: Form, report: Report, signer: NodeKey) -> SignedRecord:
    return sign(
        signer,
        key=report.header.unit.encode(),
        value=encode_report(form, report),
        event_type=REPORT_TYPE,
        event_id=report.event_id,
        time=_time_text(report.header.issued_at),
    )


@lru_cache(maxsize=4096)
def _time_text(issued_at: Millis) -> str:
    """Many units issue at one time, and formatting it costs as much as the signature."""
    return iso_time(issued_at)


def _refused(send: Send, message: str) -> Put:
    about = f"{send.form.id} of {send.unit} for {send.period} not sent: {message}"
    return Put(Known.REFUSED, Revision(0), Problem(send.where, about))


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
