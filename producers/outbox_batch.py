"""One transaction's worth of sends on their way into an outbox: which revision each gets, and its signed bytes.

Invariants: a revision never stands for two contents, `sequence` grows by one per key, and content equal to the newest
revision's is that revision again. Nothing is written before `write`, within the caller's transaction.

A series whose newest send was issued by a clock that was ahead would take nothing more until that moment has come. What
is issued now, by this host's clock, and was never said in the series is therefore issued just after the newest; what
comes with an older time stays refused, since an old file must not undo what was sent after it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from producers.errors import Problem
from producers.keys import NodeKey
from producers.outbox_file import pack_headers
from producers.send import Send
from schemas.admission import iso_time
from schemas.codec import encode_report
from schemas.report import REPORT_TYPE, Digest, KeyId, Millis, Report, Revision, Series
from schemas.signature import SignedRecord, sign
from schemas.topics import DAY_MS, MAX_REPORT_BYTES
from schemas.unit import UnitCode

_NOW_MS = DAY_MS
"""What was issued within a day before this host's clock is issued now: written by hand, not read from an old file."""


class Known(StrEnum):
    """What a put found: a send not seen before, one seen before, or one that can't be."""

    NEW = "new"
    KNOWN = "known"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Put:
    """What became of one send at the outbox. `revision` is 0 for a refusal.

    `series` and `issued_at` find its row once the batch is written. `moved`: it bears a later time than it came with.
    """

    known: Known
    revision: Revision
    problem: Problem | None = None
    series: int = 0
    issued_at: Millis = Millis(0)
    moved: bool = False


@dataclass(slots=True)
class SeriesState:
    """The newest of a series, as the batch at work has it."""

    id: int
    issued_at: int
    revision: int
    digest: bytes
    changed: bool = False


class Batch:
    """One transaction's worth of sends: what is read is read once, what is new is written at the end.

    `now` is this host's clock; without it no time of issue is moved.
    """

    def __init__(
        self, database: sqlite3.Connection, signers: Mapping[UnitCode, NodeKey], now: Millis | None = None
    ) -> None:
        self._database = database
        self._signers = signers
        self._now = now
        self._moved: list[tuple[int, int, int]] = []
        self._series: dict[tuple[str, ...], SeriesState] = {}
        self._sequences: dict[KeyId, int] = {}
        self._pending: dict[tuple[int, int], tuple[bytes, int]] = {}
        self._rows: list[tuple[object, ...]] = []
        self._new_series: list[tuple[object, ...]] = []
        (self._last_series,) = database.execute("SELECT coalesce(max(id), 0) FROM series").fetchone()

    def put(self, send: Send) -> Put:
        """Decide one send and keep its row for `write`."""
        series = self.series_of(send.series)
        signer = self._signers[send.sender]
        sequence = self._sequence(signer.kid) + 1
        report = send.report(Revision(series.revision + 1), sequence)
        digest = report.digest([dimension.name for dimension in send.form.dimensions])
        if series.revision and send.issued_at <= series.issued_at:
            known = self._known(series.id, send.issued_at)
            if known is not None and known[0] == digest:
                return Put(Known.KNOWN, Revision(known[1]), None, series.id, send.issued_at)
            if known is not None:
                return _refused(send, f"{iso_time(send.issued_at)} is known with other content: issue it at a new time")
            if digest != series.digest:
                if self._blocked(series, send.issued_at, digest):
                    return self._put_moved(series, send)
                newest = iso_time(Millis(series.issued_at))
                return _refused(send, f"issued {iso_time(send.issued_at)}, before the newest sent of {newest}")
        if digest == series.digest:
            report = send.report(Revision(series.revision), sequence)
        signed = _signed(send, report, signer)
        if len(signed.value) > MAX_REPORT_BYTES:
            return _refused(send, f"the report has {len(signed.value):,} bytes; at most {MAX_REPORT_BYTES:,} are taken")
        return self._keep(series, report, digest, signed, signer.kid)

    def _blocked(self, series: SeriesState, issued_at: Millis, digest: Digest) -> bool:
        """Whether it is issued now, and only a clock that was ahead stands in its way."""
        if self._now is None or not series.issued_at > self._now >= issued_at >= self._now - _NOW_MS:
            return False
        pending = (found for (of, _), (found, _) in self._pending.items() if of == series.id)
        said = self._database.execute("SELECT 1 FROM sends WHERE series = ? AND digest = ?", (series.id, digest))
        return digest not in pending and said.fetchone() is None

    def _put_moved(self, series: SeriesState, send: Send) -> Put:
        later = Millis(series.issued_at + 1)
        put = self.put(replace(send, issued_at=later))
        if put.known is Known.NEW:
            self._moved.append((series.id, send.issued_at, later))
        return replace(put, moved=put.known is Known.NEW)

    def put_signed(self, report: Report, digest: Digest, record: SignedRecord, kid: KeyId) -> Put:
        """Keep a record that its node signed itself, revision, sequence and all, to be sent exactly as it is."""
        series = self.series_of(report.series)
        h = report.header
        known = self._known(series.id, h.issued_at)
        if known is not None and known == (digest, h.revision):
            return Put(Known.KNOWN, h.revision, None, series.id, h.issued_at)
        if known is not None:
            message = f"{iso_time(h.issued_at)} is known with other content: issue it at a new time"
            return Put(Known.REFUSED, Revision(0), Problem("", message))
        return self._keep(series, report, digest, record, kid)

    def _keep(self, series: SeriesState, report: Report, digest: Digest, signed: SignedRecord, kid: KeyId) -> Put:
        h = report.header
        series.issued_at, series.changed = max(series.issued_at, h.issued_at), True
        if h.revision >= series.revision:
            series.revision, series.digest = h.revision, digest
        self._sequences[kid] = max(self._sequence(kid), h.sequence)
        self._pending[series.id, h.issued_at] = (digest, h.revision)
        self._rows.append(
            (series.id, h.issued_at, h.revision, kid, h.sequence, digest, signed.key, signed.value,
             pack_headers(signed.headers))
        )  # fmt: skip
        return Put(Known.NEW, h.revision, None, series.id, h.issued_at)

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
        execute("INSERT INTO moved VALUES (?, ?, ?)", self._moved)

    def series_of(self, series: Series) -> SeriesState:
        """The newest of a series as this batch has it; what is changed in it is written with the batch."""
        identity = (series.unit, series.form, series.period, series.line, series.scope.value, series.entered_by or "")
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
            state = self._series[identity] = SeriesState(*found)
        return state

    def _known(self, series: int, issued_at: int) -> tuple[bytes, int] | None:
        moved = next((later for of, said, later in self._moved if (of, said) == (series, issued_at)), issued_at)
        pending = self._pending.get((series, moved))
        if pending is not None:
            return pending
        found: tuple[bytes, int] | None = self._database.execute(
            """SELECT digest, revision FROM sends WHERE series = ?1 AND issued_at = coalesce(
                 (SELECT issued_at FROM moved WHERE series = ?1 AND said = ?2), ?2)""",
            (series, issued_at),
        ).fetchone()
        return found

    def _sequence(self, kid: KeyId) -> int:
        if kid not in self._sequences:
            found = self._database.execute("SELECT sequence FROM sequences WHERE kid = ?", (kid,)).fetchone()
            self._sequences[kid] = found[0] if found else 0
        return self._sequences[kid]


def _signed(send: Send, report: Report, signer: NodeKey) -> SignedRecord:
    return sign(
        signer,
        key=report.header.unit.encode(),
        value=encode_report(send.form, report),
        event_type=REPORT_TYPE,
        event_id=report.event_id,
        time=iso_time(report.header.issued_at),
        traceparent=send.traceparent,
        request_id=send.request_id,
    )


def _refused(send: Send, message: str) -> Put:
    about = f"{send.form.id} of {send.unit} for {send.period} not sent: {message}"
    return Put(Known.REFUSED, Revision(0), Problem(send.where, about))
