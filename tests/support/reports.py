"""A log of `reports` for tests: control records, signed reports and garbage, and the figures that follow from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from consumers.verify import ReportFold
from schemas.act import ACT_TYPE, Act, KeyRegistered
from schemas.admission import iso_time
from schemas.catalogue import ANNOUNCEMENT_TYPE
from schemas.codec import encode_act, encode_announcement, encode_receipts, encode_report
from schemas.figure import State
from schemas.form import FormId
from schemas.log import Record
from schemas.period import PeriodText
from schemas.precedence import Outcome
from schemas.receipt import Receipt
from schemas.register import Registers
from schemas.report import REPORT_TYPE, Digest, Header, KeyId, Kind, Millis, Offset, Report, Revision, Source
from schemas.signature import Ed25519Key, sign
from schemas.topics import ACTS, RECEIPTS, REJECTED, REPORTS, partition_of
from schemas.unit import UnitCode
from tests.support.figures import Sent
from tests.support.read_model import (
    CATALOGUE,
    DAYS,
    OPERATOR,
    PARTITIONS,
    UNITS,
    FigureLog,
    catalogue_act,
    doses,
    store_at,
)

NOON = 1_640_000_000_000
KEYS = {unit: Ed25519Key(KeyId(f"kid-{unit}-1"), unit.encode().ljust(32, b"\0")) for unit in UNITS}


def acts() -> list[Record]:
    """The acts that release the catalogue and register every unit's key."""
    found = [catalogue_act()]
    for unit, key in KEYS.items():
        value = encode_act(Act(unit, Millis(2), KeyRegistered(key.kid, UnitCode(unit), key.public)))
        signed = sign(OPERATOR, key=unit.encode(), value=value, event_type=ACT_TYPE, event_id=unit, time="t")
        found.append(Record(ACTS, 0, Offset(len(found)), Millis(2), signed.key, signed.value, signed.headers))
    return found


def registers() -> Registers:
    found = Registers(OPERATOR.public, 0)
    for act in acts():
        found.apply(act.key, act.value, list(act.headers), act.time)
    return found


@dataclass
class ReportLog:
    """`reports` with its control records, and the figures that follow from it."""

    records: list[Record] = field(default_factory=list)
    ends: list[int] = field(default_factory=lambda: [0] * PARTITIONS)
    figures: FigureLog = field(default_factory=FigureLog)
    outcomes: dict[Source, Outcome] = field(default_factory=dict)

    def __post_init__(self) -> None:
        value = encode_announcement(CATALOGUE.epoch, CATALOGUE.serial, CATALOGUE.digest)
        signed = sign(OPERATOR, key=None, value=value, event_type=ANNOUNCEMENT_TYPE, event_id="1.1", time="t")
        for partition in range(PARTITIONS):
            self._append(partition, signed.key, signed.value, signed.headers)

    def _append(
        self, partition: int, key: bytes | None, value: bytes, headers: tuple[tuple[str, bytes], ...]
    ) -> Source:
        source = Source(partition, Offset(self.ends[partition]))
        self.ends[partition] += 1
        time = Millis(NOON + len(self.records))
        self.records.append(Record(REPORTS, partition, source.offset, time, key, value, headers))
        return source

    def garbage(self) -> Source:
        source = self._append(0, b"a1", b"garbage", ())
        self.outcomes[source] = Outcome.REJECTED
        return source

    def send(self, sent: Sent) -> Source:
        """Sign and append a report, and its figures with the totals above."""
        form = CATALOGUE.form_in_force(FormId(sent.form), sent.day)
        assert form is not None
        kinds = {State.REPORT: Kind.REPORT, State.NIL: Kind.NIL, State.WITHDRAWAL: Kind.WITHDRAWAL}
        by = UnitCode(sent.entered_by) or None
        period = PeriodText(sent.day.isoformat())
        header = Header(
            UnitCode(sent.unit), period, kinds[sent.state], Revision(sent.revision), 1, Millis(NOON), entered_by=by
        )
        report = Report(form.id, header, [dict(row) for row in sent.rows])
        signed = sign(KEYS[sent.entered_by or sent.unit], key=sent.unit.encode(), value=encode_report(form, report),
                      event_type=REPORT_TYPE, event_id=report.event_id, time=iso_time(Millis(NOON)))  # fmt: skip
        source = self._append(partition_of(sent.unit.encode(), PARTITIONS), signed.key, signed.value, signed.headers)
        self.outcomes[source] = Outcome.ACCEPTED
        accepted_at = self.records[-1].time
        self.figures.report(Sent(sent.unit, sent.form, sent.day, sent.revision, (source.partition, source.offset),
                                 sent.state, sent.rows, sent.entered_by, accepted_at, NOON))  # fmt: skip
        return source

    def outcome_records(self) -> tuple[list[Record], list[Record]]:
        """What ingest and rollup would have written into `receipts` and `rejected`."""
        receipts = [
            Receipt("", "", "", "", "", Revision(1), "", Digest(bytes(32)), source, outcome, "", "", "", Revision(1),
                    Millis(1), Offset(-1))
            for source, outcome in self.outcomes.items()]  # fmt: skip
        rejected = [source for source, outcome in self.outcomes.items() if outcome is Outcome.REJECTED]
        return [Record(RECEIPTS, 0, Offset(0), Millis(1), None, encode_receipts(receipts), ())], [
            Record(REJECTED, 0, Offset(at), Millis(1), b"a1", b"garbage", (
                ("reason", b"not_decodable"), ("field", b"value"), ("source", str(source).encode()),
                ("accepted_at", b"1"), ("detail_vi", b""), ("detail_en", b"")))
            for at, source in enumerate(rejected)]  # fmt: skip

    def store(self, path: Path) -> None:
        receipts, rejected = self.outcome_records()
        store = store_at(path)
        store.apply(self.figures.batch())
        store.apply({(RECEIPTS, 0): receipts, (REJECTED, 0): rejected})

    def folded(self, quarantined: frozenset[Source] = frozenset()) -> ReportFold:
        fold = ReportFold(OPERATOR.public, registers(), PARTITIONS, set(quarantined))
        for record in self.records:
            fold.apply(record)
        return fold


def eventful() -> ReportLog:
    """A little of everything: entered, corrected, withdrawn, nil, own report of a superior, garbage, a stock."""
    log = ReportLog()
    log.send(doses("a1", DAYS[0], 130, entered_by="A"))
    log.send(doses("a1", DAYS[0], 135))
    log.send(doses("a2", DAYS[0], 7))
    log.send(doses("a2", DAYS[0], 0, revision=2, state=State.WITHDRAWAL))
    log.send(doses("b1", DAYS[1], 0, state=State.NIL))
    log.send(doses("B", DAYS[1], 5))
    log.garbage()
    row = (("vaccine", "comirnaty"), ("doses_in_stock", 5), ("fridges_checked", None), ("distinct_persons", 9))
    log.send(Sent("c1", "stock-count", DAYS[1], 1, (0, 0), rows=(row,)))
    return log
