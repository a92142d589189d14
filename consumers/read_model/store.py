"""What the writer stores: a fold of the log, in transactions that carry the offsets they stand for.

Effectively once where it is read (design decision 11): figures and positions change in one transaction, each position
guarded by `UPDATE … WHERE next = :expected`, so that of two writers on one database only one can apply a stretch of the
log. Every statement is also idempotent by itself: a source, a version and a receipt are stored once however often they
come, so any cut into batches and any repetition ends in the same rows.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from consumers.read_model.database import DatabaseRefused
from consumers.read_model.decoding import Decoded, Decoder, PageKey
from schemas.act import CatalogueReleased, ObligationDecided, PeriodLocked, ReportApproved, ReportReturned
from schemas.catalogue import Catalogue
from schemas.codec import NotDecodable
from schemas.failpoint import failpoint
from schemas.figure import FigureKind, days_since_1970
from schemas.log import Record
from schemas.period import PeriodError, parse_period
from schemas.register import Registers
from schemas.report import Millis
from schemas.topics import ACTS, FIGURES, RECEIPTS, REJECTED

TOPICS = (ACTS, FIGURES, RECEIPTS, REJECTED)
KEPT_FOR_EVER = (ACTS, FIGURES)
Partition = tuple[str, int]
"""A topic without the settings' prefix, and a partition of it."""

_RANK = (1 << 63) - 1
_OWN = """INSERT INTO own VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET epoch = excluded.epoch, figures_offset = excluded.figures_offset,
    form_version = excluded.form_version, "values" = excluded."values", given = excluded.given, dims = excluded.dims
WHERE excluded.epoch > epoch OR (excluded.epoch = epoch AND excluded.figures_offset < figures_offset)"""
_TOTAL = """INSERT INTO totals VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET epoch = excluded.epoch, version = excluded.version, figures_offset = excluded.figures_offset,
    state = excluded.state, form_version = excluded.form_version, "values" = excluded."values", given = excluded.given,
    dims = excluded.dims, reported = excluded.reported, nil = excluded.nil, entered = excluded.entered,
    first_accepted = excluded.first_accepted, newest_accepted = excluded.newest_accepted
WHERE (excluded.epoch, excluded.version, -excluded.figures_offset) > (epoch, version, -figures_offset)"""
_EMISSION = """INSERT INTO emissions VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET figures_offset = excluded.figures_offset WHERE excluded.figures_offset < figures_offset"""
_RECEIPT = """INSERT INTO receipts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET outcome = excluded.outcome, reason = excluded.reason, field = excluded.field,
    detail = excluded.detail, highest_revision = excluded.highest_revision, figures_offset = excluded.figures_offset
WHERE excluded.figures_offset < figures_offset"""
_REJECTION = "INSERT INTO rejections VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
_DECISION = "INSERT INTO decisions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_RETURN = "INSERT INTO returns VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_APPROVAL = "INSERT INTO approvals VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_LOCK = "INSERT INTO locks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_CATALOGUE = """INSERT INTO catalogue VALUES (1, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET epoch = excluded.epoch, serial = excluded.serial, digest = excluded.digest,
    bundle = excluded.bundle WHERE (excluded.epoch, excluded.serial) > (epoch, serial)"""
_POSITION = """UPDATE positions SET next = :new, time = :time, digest = :digest
WHERE topic = :topic AND partition = :partition AND next = :expected"""


class Overtaken(Exception):
    """Another writer has stored this stretch of the log: read the positions again and go on from there."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far one partition is stored; `time` and `digest` are those of the record before `next`."""

    topic_id: str
    next: int
    time: Millis | None
    digest: bytes | None


@dataclass(frozen=True, slots=True)
class FreshTotal:
    """A total that became newer by this batch and holds a contribution newer than before."""

    unit: str
    line: str
    period: str
    newest_accepted: Millis


@dataclass(slots=True)
class Applied:
    """What one transaction stored: records by topic, the first offsets not stored, the totals that became fresher."""

    records: dict[str, int] = field(default_factory=dict)
    stored: dict[Partition, int] = field(default_factory=dict)
    seconds: float = 0.0
    fresh: list[FreshTotal] = field(default_factory=list)
    released: bool = False
    """Whether a catalogue came."""


def rank_of(revision: int, source_partition: int, source_offset: int) -> bytes:
    """`schemas.precedence.rank` as bytes that compare alike, so that SQL's max() finds what stands."""
    return (revision.to_bytes(8, "big") + (_RANK - source_partition).to_bytes(8, "big")
            + (_RANK - source_offset).to_bytes(8, "big"))  # fmt: skip


def seen(value: bytes | None) -> bytes:
    """The digest by which a stored record is known again after the log was cut and has grown anew."""
    return hashlib.sha256(value or b"").digest()


class Store:
    """Writes batches of the log into the database. One per writer; not for several threads."""

    def __init__(self, connection: sqlite3.Connection, registers: Registers) -> None:
        self._connection = connection
        self._registers = registers
        self._decoder = Decoder()
        self._pages: dict[PageKey, int] = {}
        self._appliers: Mapping[str, Callable[[Sequence[Record], Applied], None]] = {
            ACTS: self._acts,
            FIGURES: self._figures,
            RECEIPTS: self._receipts,
            REJECTED: self._rejected,
        }

    def positions(self) -> dict[Partition, Position]:
        """Where each partition is to be read on."""
        rows = self._connection.execute("SELECT topic, partition, topic_id, next, time, digest FROM positions")
        return {(topic, partition): Position(topic_id, following, time, digest)
                for topic, partition, topic_id, following, time, digest in rows}  # fmt: skip

    def adopt(self, cluster_id: str, topic_ids: Mapping[str, str], partitions: Iterable[Partition]) -> None:
        """Bind an empty database to a cluster and its topics, or check that it is bound to these.

        Raises DatabaseRefused where it was filled from another log.
        """
        self._begin()
        try:
            self._connection.execute("INSERT INTO identity VALUES ('cluster', ?) ON CONFLICT DO NOTHING", (cluster_id,))
            bound = self._connection.execute("SELECT value FROM identity WHERE name = 'cluster'").fetchone()[0]
            if bound != cluster_id:
                raise DatabaseRefused(
                    f"the read model belongs to cluster {bound}, this is {cluster_id}: run `chungsuc rebuild`"
                )
            for topic, partition in partitions:
                self._connection.execute(
                    "INSERT INTO positions VALUES (?, ?, ?, 0, NULL, NULL) ON CONFLICT DO NOTHING",
                    (topic, partition, topic_ids[topic]),
                )
            for (topic, _), position in self.positions().items():
                if position.topic_id != topic_ids.get(topic):
                    raise DatabaseRefused(
                        f"the read model was filled from another topic {topic} ({position.topic_id}, this is "
                        f"{topic_ids.get(topic)}): run `chungsuc rebuild`"
                    )
            self._commit()
        except BaseException:
            self._rollback()
            raise

    def skip_to(self, partition: Partition, expected: int, beginning: int) -> None:
        """Go on at the beginning of a topic with a retention, whose records in between are gone."""
        self._begin()
        self._connection.execute(
            "UPDATE positions SET next = ?, time = NULL, digest = NULL WHERE topic = ? AND partition = ? AND next = ?",
            (beginning, *partition, expected),
        )
        # `verify` then no longer asks for the outcome of what is older.
        self._connection.execute("INSERT INTO identity VALUES ('trimmed', ?) ON CONFLICT DO NOTHING", (partition[0],))
        self._commit()

    def apply(self, batch: Mapping[Partition, Sequence[Record]]) -> Applied:
        """Store a stretch of the log, all or nothing. Each partition's records follow one another.

        Raises Overtaken where the stretch does not begin where the database ends, NotDecodable for a figure or receipt
        that is none; the database is as before then.
        """
        applied = Applied()
        started = time.perf_counter()
        self._begin()
        try:
            for (topic, partition), records in batch.items():
                if records:
                    self._advance(topic, partition, records)
                    self._appliers[topic](records, applied)
                    applied.records[topic] = applied.records.get(topic, 0) + len(records)
                    applied.stored[topic, partition] = records[-1].offset + 1
            failpoint("read_model.before_commit")
            self._commit()
        except BaseException:
            self._rollback()
            raise
        failpoint("read_model.after_commit")
        applied.seconds = time.perf_counter() - started
        return applied

    def catalogue(self) -> Catalogue | None:
        """The newest catalogue stored."""
        row = self._connection.execute("SELECT bundle, epoch, serial FROM catalogue").fetchone()
        return None if row is None else Catalogue.from_bundle(*row)

    def _begin(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def _commit(self) -> None:
        self._connection.execute("COMMIT")

    def _rollback(self) -> None:
        self._pages.clear()  # pages made in this transaction are gone
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _advance(self, topic: str, partition: int, records: Sequence[Record]) -> None:
        first, last = records[0], records[-1]
        if last.offset - first.offset + 1 != len(records):
            raise DatabaseRefused(
                f"{topic} {partition} has a gap between {first.offset} and {last.offset}: these "
                "topics are never compacted nor written in transactions"
            )
        moved = self._connection.execute(_POSITION, {
            "topic": topic, "partition": partition, "expected": first.offset, "new": last.offset + 1,
            "time": last.time, "digest": seen(last.value)})  # fmt: skip
        if moved.rowcount != 1:
            raise Overtaken(f"{topic} {partition} is not stored up to {first.offset}")

    def _page(self, key: PageKey) -> int:
        page = self._pages.get(key)
        if page is None:
            try:
                period = parse_period(key.period)
            except PeriodError as error:
                raise NotDecodable(f"a figure of form {key.form}: {error}") from error
            days = (days_since_1970(period.first_day), days_since_1970(period.last_day))
            self._connection.execute(
                "INSERT INTO pages (form, scope, line, period, first_day, last_day) VALUES (?, ?, ?, ?, ?, ?) "
                "ON CONFLICT DO NOTHING",
                (*key, *days),
            )
            page = int(
                self._connection.execute(
                    "SELECT page FROM pages WHERE form = ? AND scope = ? AND line = ? AND period = ?", key
                ).fetchone()[0]
            )
            self._pages[key] = page
        return page

    def _figures(self, records: Sequence[Record], applied: Applied) -> None:
        own: list[tuple[object, ...]] = []
        emissions: list[tuple[object, ...]] = []
        newest: dict[tuple[int, str, int], tuple[int, int, int, Decoded]] = {}
        decoded = self._decoder.figures([record.value or b"" for record in records])
        for record, figure in zip(records, decoded, strict=True):
            head, (slot, unit, valid_from) = figure.head, figure.slot
            page = self._page(figure.page)
            if head.kind == FigureKind.OWN:
                rank = rank_of(head.revision, head.source_partition, head.source_offset)
                own.append(
                    (
                        page,
                        unit,
                        valid_from,
                        slot,
                        rank,
                        head.accepted_at,
                        head.issued_at,
                        head.state,
                        head.revision,
                        head.source_partition,
                        head.source_offset,
                        head.epoch,
                        record.offset,
                        head.digest,
                        head.form_version,
                        figure.entered_by,
                        figure.kid,
                        figure.values,
                        figure.given,
                        figure.dims,
                    )
                )
            else:
                emissions.append((page, unit, valid_from, head.epoch, head.version, record.offset))
                order = (head.epoch, head.version, -record.offset)
                known = newest.get((page, unit, valid_from))
                if known is None or order > known[:3]:
                    newest[page, unit, valid_from] = (*order, figure)
        own.sort(key=lambda row: row[:5])  # neighbours in the table are written together
        self._connection.executemany(_OWN, own)
        self._connection.executemany(_EMISSION, emissions)
        for key, (_, _, negative, figure) in newest.items():
            self._total(key, -negative, figure, applied)

    def _total(self, key: tuple[int, str, int], offset: int, figure: Decoded, applied: Applied) -> None:
        head = figure.head
        before = self._connection.execute(
            "SELECT newest_accepted FROM totals WHERE page = ? AND unit = ? AND valid_from = ?", key
        ).fetchone()
        changed = self._connection.execute(
            _TOTAL,
            (
                *key,
                head.epoch,
                head.version,
                offset,
                head.state,
                head.form_version,
                figure.values,
                figure.given,
                figure.dims,
                head.reported,
                head.nil,
                head.entered,
                head.first_accepted,
                head.newest_accepted,
            ),
        )
        if changed.rowcount and head.newest_accepted > (before[0] if before else -1):
            applied.fresh.append(
                FreshTotal(figure.slot.unit, figure.page.line, figure.page.period, Millis(head.newest_accepted))
            )

    def _receipts(self, records: Sequence[Record], applied: Applied) -> None:
        rows = [row for record in records for row in self._decoder.receipts(record.value or b"")]
        self._connection.executemany(_RECEIPT, rows)

    def _rejected(self, records: Sequence[Record], applied: Applied) -> None:
        self._connection.executemany(_REJECTION, [_rejection(record) for record in records])

    def _acts(self, records: Sequence[Record], applied: Applied) -> None:
        for record in records:
            act = self._registers.apply(record.key, record.value, list(record.headers), record.time)
            if act is None:
                continue
            place, times = (record.partition, record.offset), (record.time, act.issued_at)
            match act.body:
                case ObligationDecided() as about:
                    self._connection.execute(
                        _DECISION, (*place, *times, about.regime, about.unit, about.period, about.decided.value,
                                    about.until, about.by, about.reason))  # fmt: skip
                case ReportReturned(source, unit, until, by, reason):
                    self._connection.execute(
                        _RETURN, (*place, *times, source.partition, source.offset, unit, until, by, reason)
                    )
                case ReportApproved(source, unit, approved, by, reason):
                    self._connection.execute(
                        _APPROVAL, (*place, *times, source.partition, source.offset, unit, approved, by, reason)
                    )
                case PeriodLocked(form, line, unit, period, locked, reason):
                    self._connection.execute(_LOCK, (*place, *times, form, line, unit, period, locked, reason))
                case CatalogueReleased(epoch, serial, digest, bundle) if hashlib.sha256(bundle).digest() == digest:
                    self._connection.execute(_CATALOGUE, (epoch, serial, digest, bundle))
                    applied.released = True


def _rejection(record: Record) -> tuple[object, ...]:
    said = {name: value.decode("utf-8", "replace") for name, value in record.headers}
    try:
        partition, _, offset = said["source"].partition(":")
        return (
            int(partition),
            int(offset),
            (record.key or b"").decode("utf-8", "replace"),
            said["reason"],
            said["field"],
            said["detail_vi"],
            said["detail_en"],
            int(said["accepted_at"]),
        )
    except (KeyError, ValueError) as error:
        raise NotDecodable(f"rejected {record.partition}:{record.offset} lacks its header {error}") from error
