"""Ingest: signed reports in, contributions out; a pure function of log and registers.

Per batch: read `acts` to its end, decide each record by the catalogue in force at its offset, send contributions to
`figures` under the receiver's key, rejections to `rejected` byte for byte with their receipt. The offset is committed
when the broker has acknowledged all of them. Decode, call, send: what is decided stands in `schemas/admission.py`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path

from prometheus_client import Counter

from schemas.admission import Admission, Admitted, Received
from schemas.catalogue import Announcement, Catalogue
from schemas.codec import encode_receipts
from schemas.control import read_control
from schemas.failpoint import failpoint
from schemas.figure import Figure, FigureKind, ScopeCode, Slot, State, days_since_1970, pack_table
from schemas.log import ActReader, TopicReader
from schemas.metrics import READY
from schemas.precedence import Outcome
from schemas.receipt import Receipt
from schemas.register import Registers
from schemas.rejection import Reason, Rejection
from schemas.report import Digest, KeyId, Kind, Millis, Offset, Revision, Scope, Source
from schemas.sentences import sentence_en, sentence_vi
from schemas.settings import Settings, load_settings
from schemas.signature import PublicKey
from schemas.topics import FIGURES, INGEST_GROUP, RECEIPTS, REJECTED, REPORTS, partition_of
from streams.announcements import Announcements
from streams.app import Refused, Worker, configure_logging
from streams.batching import Batch
from streams.columns import write_contribution
from streams.identity import LogIdentity, check_log, extents_of
from streams.metrics import BATCH_RECORDS, BATCH_SECONDS, NEXT_OFFSET
from streams.outgoing import Outgoing
from streams.records import Record

log = logging.getLogger("chungsuc.ingest")

ACCEPTED = Counter("chungsuc_reports_admitted_total", "Reports admitted and sent to figures.")
REJECTED_REPORTS = Counter("chungsuc_reports_rejected_total", "Reports rejected, by reason.", ["reason"])
CONTROLS = Counter("chungsuc_control_records_total", "Control records met.")
_STATES = {Kind.REPORT: State.REPORT, Kind.NIL: State.NIL, Kind.WITHDRAWAL: State.WITHDRAWAL}
_SAVE_EVERY_S = 5.0
_SHOWN_LETTERS = 200


def figure_of(admitted: Admitted, catalogue: Catalogue, epoch: int, received: Received) -> Figure:
    """The contribution that an admitted report makes, in the columns of the form version in force."""
    report, header, form = admitted.report, admitted.report.header, admitted.form
    values, given, dims = pack_table(form, admitted.rows)
    return Figure(
        kind=FigureKind.OWN,
        state=_STATES[header.kind],
        form=form.id,
        scope=ScopeCode.OWN if header.scope is Scope.OWN else ScopeCode.SUBTREE,
        line=header.line,
        period=header.period,
        slot=Slot.ENTERED if header.entered_by else Slot.OWN,
        unit=header.unit,
        valid_from=days_since_1970(admitted.unit.valid_from),
        form_version=form.fingerprint,
        epoch=epoch,
        catalogue=catalogue.serial,
        values=values,
        given=given,
        dims=dims,
        revision=header.revision,
        source_partition=received.source.partition,
        source_offset=received.source.offset,
        accepted_at=received.accepted_at,
        issued_at=header.issued_at,
        digest=report.digest([dimension.name for dimension in admitted.sent_form.dimensions]),
        entered_by=header.entered_by or "",
        kid=KeyId(admitted.kid),
    )


class Ingest:
    """The stage between `reports` and `figures`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.topic = settings.topic(REPORTS)
        self.group = settings.topic(INGEST_GROUP)
        self._figures, self._rejected = settings.topic(FIGURES), settings.topic(REJECTED)
        self._receipts = settings.topic(RECEIPTS)
        self._operator = PublicKey(bytes.fromhex(settings.operator_key))
        self._registers = Registers(self._operator, settings.act_delay_ms)
        self._done: dict[int, int] = {}
        self._announcements: dict[int, Announcements] = {}
        self._saved_at: dict[int, float] = {}
        self._admissions: dict[Announcement, Admission] = {}
        self._quarantined: set[Source] = set()

    async def start(self, worker: Worker) -> None:
        """Connect, read the acts and what was quarantined."""
        self._worker = worker
        self._out = Outgoing(self._settings, lambda: failpoint("ingest.after_produce"))
        await self._out.start()
        self._partitions = await self._out.partitions(self.topic)
        await self._out.partitions(self._figures)
        await asyncio.to_thread(self._read_registers)

    def _read_registers(self) -> None:
        self._identity = LogIdentity.of(self._settings, self.topic)
        self._acts = ActReader(self._settings, self._registers)
        self._acts.refresh()
        with TopicReader(self._settings.bootstrap, self._rejected) as reader:
            reader.to_beginnings()  # `rejected` is kept for a year
            for record in reader.to_end():
                named = dict(record.headers)
                if named.get("reason") == Reason.INTERNAL_ERROR.encode():
                    partition, _, offset = named["source"].decode().partition(":")
                    self._quarantined.add(Source(int(partition), Offset(int(offset))))

    async def stop(self) -> None:
        """Give the connections back."""
        for partition in self._announcements:
            self._save(partition, always=True)
        await self._out.stop()

    async def assigned(self, partitions: set[int]) -> None:
        """Learn which catalogue is in force where each partition goes on."""
        for partition in set(self._done) - partitions:
            self._done.pop(partition)
            self._announcements.pop(partition, None)
        reached = {partition: await self._worker.committed(partition) for partition in partitions}
        extents = await asyncio.to_thread(extents_of, self._settings, self.topic, partitions)
        for partition, committed in reached.items():
            check_log(self.topic, partition, extents[partition], committed)
            self._done[partition] = max(committed, self._done.get(partition, 0))
            known = Announcements.load(self._file(partition), self._identity.topic_id)
            if known.seen_to < committed:
                log.info("reading control records of partition %s from %s to %s", partition, known.seen_to, committed)
                await asyncio.to_thread(self._scan, partition, known, committed)
            self._announcements[partition] = known
        await asyncio.to_thread(self._acts.refresh)
        for known in self._announcements.values():
            await asyncio.to_thread(self._prepare, known, known.seen_to)
        READY.set(1)

    def _prepare(self, known: Announcements, offset: int) -> None:
        """Read the catalogue in force at an offset now, and not while the first report waits for it."""
        in_force = known.in_force_at(offset)
        if in_force is not None:
            self._admission(in_force)

    def _scan(self, partition: int, known: Announcements, upto: int) -> None:
        with TopicReader(self._settings.bootstrap, self.topic, {partition: known.seen_to}, [partition]) as reader:
            for record in reader.to_end({partition: upto}):
                announcement = read_control(self._operator, record.key, record.value, record.headers)
                if announcement is not None:
                    known.add(record.offset, announcement)
        known.passed(upto)

    def committable(self, topic: str, partition: int) -> int | None:
        """Everything below is decided, sent and acknowledged."""
        return self._done.get(partition)

    async def process(self, batch: Batch, *, more_waiting: bool) -> None:
        """Decide every record of a batch and send what follows from it."""
        began = time.perf_counter()
        partition = batch.partition
        fresh = list(batch.records.between(self._done[partition], batch.last + 1))
        if not fresh:
            return
        if fresh[0].offset > self._done[partition]:
            fresh = [*await asyncio.to_thread(self._passed_over, partition, fresh[0].offset), *fresh]
        await asyncio.to_thread(self._acts.refresh)
        keys: list[bytes] = []
        figures: list[bytes] = []
        for at, record in enumerate(fresh):
            made = self._decide(partition, record)
            if made is not None:
                keys.append(made[0])
                figures.append(made[1])
            if at % 500 == 499:
                await asyncio.sleep(0)  # so that Faust's own tasks get their turn in a large batch
        self._out.by_key(self._figures, keys, figures)
        failpoint("ingest.before_produce")
        await self._out.flush()
        failpoint("ingest.after_ack")
        self._done[partition] = fresh[-1].offset + 1
        self._announcements[partition].passed(self._done[partition])
        self._save(partition)
        ACCEPTED.inc(len(figures))
        NEXT_OFFSET.labels("ingest", str(partition)).set(self._done[partition])
        BATCH_RECORDS.labels("ingest").observe(len(fresh))
        BATCH_SECONDS.labels("ingest").observe(time.perf_counter() - began)

    def _passed_over(self, partition: int, upto: int) -> list[Record]:
        """Reports between what is done and what came next: a reader that skips some must not make them uncounted."""
        done = self._done[partition]
        log.warning("reports-%s goes on at %s, not at %s: reading what is between from the log", partition, upto, done)
        with TopicReader(self._settings.bootstrap, self.topic, {partition: done}, [partition]) as reader:
            return [
                Record(record.offset, record.time, record.key, record.value, record.headers)
                for record in reader.to_end({partition: Offset(upto)})
            ]

    def _decide(self, partition: int, record: Record) -> tuple[bytes, bytes] | None:
        """(receiver's key, contribution) of an admitted report; rejections are queued."""
        source = Source(partition, Offset(record.offset))
        control = read_control(self._operator, record.key, record.value, record.headers)
        if control is not None:
            self._announcements[partition].add(record.offset, control)
            CONTROLS.inc()
            self._prepare(self._announcements[partition], record.offset + 1)
            return None
        if source in self._quarantined:
            return None
        failpoint("ingest.decide", source)
        received = Received(
            record.key, record.value, record.headers, source, Millis(record.timestamp), self._partitions
        )
        announcement = self._announcements[partition].in_force_at(record.offset)
        if announcement is None:
            rejection = Rejection(
                Reason.UNKNOWN_FORM,
                "catalogue",
                "none",
                "a catalogue announced before the report",
                expected_vi="danh mục được công bố trước báo cáo",
            )
            self._reject(received, rejection)
            return None
        admission = self._admission(announcement)
        decision = admission.decide(received)
        if isinstance(decision, Rejection):
            self._reject(received, decision)
            return None
        figure = figure_of(decision, admission.catalogue, self._epoch(announcement), received)
        return decision.receiver.encode(), write_contribution(figure)

    def _admission(self, announcement: Announcement) -> Admission:
        admission = self._admissions.get(announcement)
        if admission is None:
            catalogue = self._registers.catalogue(announcement)
            if catalogue is None:
                raise Refused(
                    f"catalogue {announcement.epoch}.{announcement.serial} "
                    f"({announcement.digest.hex()[:12]}) is announced but not in `acts`; release it again"
                )
            admission = self._admissions[announcement] = Admission(catalogue, self._registers)
        return admission

    def _epoch(self, announcement: Announcement) -> int:
        """The epoch of contributions made now: after a rebuild the newest, whatever was announced at the offset."""
        newest = self._registers.newest
        return max(announcement.epoch, newest.epoch if newest else 0)

    def _reject(self, received: Received, rejection: Rejection) -> None:
        extra = {
            "reason": rejection.reason.value,
            "field": rejection.field,
            "source": str(received.source),
            "detail_vi": sentence_vi(rejection),
            "detail_en": sentence_en(rejection),
            "accepted_at": str(received.accepted_at),
        }
        headers = (*received.headers, *((name, text.encode()) for name, text in extra.items()))
        self._out.to_partition(self._rejected, received.source.partition, received.value or b"", received.key, headers)
        receipt = _rejection_receipt(received, rejection)
        partition = partition_of(receipt.unit.encode(), self._partitions)
        self._out.to_partition(self._receipts, partition, encode_receipts([receipt]))
        REJECTED_REPORTS.labels(rejection.reason.value).inc()

    async def quarantine(self, batch: Batch) -> None:
        """Put a record aside that has made ingest raise three times, and go on after it."""
        (record,) = batch.records
        source = Source(batch.partition, Offset(record.offset))
        received = Received(
            record.key, record.value, record.headers, source, Millis(record.timestamp), self._partitions
        )
        self._reject(
            received,
            Rejection(
                Reason.INTERNAL_ERROR,
                "record",
                str(source),
                "a record that can be processed",
                expected_vi="một bản ghi xử lý được",
            ),
        )
        await self._out.flush()
        self._quarantined.add(source)
        self._done[batch.partition] = record.offset + 1
        log.error("record %s of reports has made ingest raise three times and lies in `rejected`", source)

    def _file(self, partition: int) -> Path:
        return self._settings.data / "checkpoints" / f"{self.topic}-{partition}.json"

    def _save(self, partition: int, *, always: bool = False) -> None:
        now = time.monotonic()
        if always or now - self._saved_at.get(partition, 0.0) > _SAVE_EVERY_S:
            self._announcements[partition].save(self._file(partition))
            self._saved_at[partition] = now


def _shown(text: str | bytes | None) -> str:
    """A text of a rejected record as its receipt tells it: cut, so that the receipt fits whatever the record held."""
    whole = text.decode("utf-8", "replace") if isinstance(text, bytes) else text or ""
    return whole[:_SHOWN_LETTERS]


def _rejection_receipt(received: Received, rejection: Rejection) -> Receipt:
    report = rejection.report
    header = report.header if report else None
    return Receipt(
        unit=_shown(header.unit if header else received.key),
        line=_shown(header.line if header else None),
        form=report.form if report else "",
        period=_shown(header.period if header else None),
        entered_by=_shown(header.entered_by if header else None),
        revision=header.revision if header and 0 <= header.revision < 2**63 else Revision(-1),
        kid=_shown(dict(received.headers).get("kid")),
        digest=Digest(bytes(32)),
        source=received.source,
        outcome=Outcome.REJECTED,
        reason=rejection.reason.value,
        field=rejection.field,
        detail=sentence_vi(rejection),
        highest_revision=Revision(-1),
        accepted_at=received.accepted_at,
        figures_offset=Offset(-1),
    )


def main() -> None:
    """`python -m streams.ingest`."""
    configure_logging()
    settings = load_settings()
    Worker(settings, Ingest(settings)).run()


if __name__ == "__main__":
    main()
