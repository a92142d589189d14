"""A small segment made by hand, right in every respect, and a place to put one thing wrong.

Reports are signed and encoded by the real codec; contributions, totals, receipts and rejections follow from them by
plain dictionaries, every total made anew from all that its unit has received. A test breaks the making (`Lab.send`,
`Lab.emit`) or what came of it (`Lab.records`, `Lab.events`), and asks the verifier.

    lab = Lab()
    lab.send(Draft("c1"))
    lab.emit_all()
    verdict = lab.verdict(tmp_path)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from consumers.read_model.database import open_writer
from consumers.read_model.store import Partition, Store
from schemas.codec import encode_figure, encode_receipts
from schemas.figure import Figure, FigureKind, ScopeCode, Slot, State, days_since_1970, pack_table
from schemas.form import AcrossUnits, Form, FormId
from schemas.log import Record
from schemas.period import PeriodText, parse_period
from schemas.precedence import Outcome
from schemas.receipt import Receipt
from schemas.register import Registers
from schemas.report import Cell, Digest, Kind, Millis, Offset, Revision, Source
from schemas.signature import SignedRecord
from schemas.topics import ACTS, FIGURES, RECEIPTS, REJECTED, REPORTS, partition_of
from schemas.unit import UBND, UnitCode
from tests.faults.campaign.history import Acked, Ended, Event, History, Seen, SeenReceipt, Sent
from tests.faults.campaign.verifier.anomaly import Verdict
from tests.faults.campaign.verifier.evidence import LOG, READ_MODEL, About, LogFile, history_of
from tests.faults.campaign.verifier.verify import verify_segment
from tests.support.signed import ACCEPTED, CATALOGUE, OPERATOR, PARTITIONS, REGISTERED, Draft, control_record, key_acts
from tests.support.signed import release_act as catalogue_act

STATES = {Kind.REPORT: State.REPORT, Kind.NIL: State.NIL, Kind.WITHDRAWAL: State.WITHDRAWAL}
OBSERVERS = ("figures", "read model", "page")
_PRODUCT_TOPICS = (ACTS, FIGURES, RECEIPTS, REJECTED)

Row = dict[str, Cell]
Account = tuple[str, str, str]
"""Unit, form and period."""


@dataclass
class Made:
    """A total before it is written: rows by dimensions, each cell as (number, how many gave it)."""

    rows: dict[tuple[str, ...], list[tuple[int, int]]] = field(default_factory=dict)
    reported: int = 0
    nil: int = 0
    entered: int = 0
    accepted: list[int] = field(default_factory=list)


@dataclass
class Contribution:
    """What one slot of an account holds."""

    rank: tuple[int, ...]
    made: Made
    withdrawn: bool


Tamper = Callable[[Made], None]


@dataclass
class Lab:
    """Reports in, figures out. One line, own reports only."""

    records: dict[str, list[Record]] = field(default_factory=lambda: {t: [] for t in (*_PRODUCT_TOPICS, REPORTS)})
    events: list[Event] = field(default_factory=list)
    accounts: dict[Account, dict[str, dict[Slot, Contribution]]] = field(default_factory=dict)
    newest: dict[Account, int] = field(default_factory=dict)
    dirty: set[Account] = field(default_factory=set)
    slots: dict[tuple[str, str, str, str], tuple[int, bytes]] = field(default_factory=dict)
    clock: int = ACCEPTED

    def __post_init__(self) -> None:
        for act in (catalogue_act(), *key_acts()):
            self._append(ACTS, 0, act, REGISTERED)
        for partition in range(PARTITIONS):
            self._append(REPORTS, partition, control_record(), REGISTERED)

    # Reports

    def send(
        self,
        draft: Draft,
        *,
        refused: str = "",
        value: bytes | None = None,
        contributed: bool = True,
        receipt: bool = True,
        sent: bool = True,
        acked: bool = True,
    ) -> Source:
        """Send one report, and what becomes of it at once: its contribution and receipt, or its rejection."""
        signed = draft.record(value=value)
        partition = partition_of(signed.key or b"", PARTITIONS)
        record = self._append(REPORTS, partition, signed, self._tick())
        report, form = draft.report(), draft.form_version(CATALOGUE)
        number = len(self.events)
        if sent:
            self.events.append(
                Sent.garbage(number, draft.unit, value, Millis(self.clock), refused=refused)
                if value is not None
                else Sent.of(number, form, report, Millis(self.clock), refused=refused)
            )
        if sent and acked:
            self.events.append(Acked(number, partition, record.offset, Millis(self.clock)))
        if refused:
            self.reject(record, refused)
        else:
            digest = report.digest([dimension.name for dimension in form.dimensions])
            offset = self.contribute(draft, record.source, digest) if contributed else Offset(0)
            if receipt:
                self.receive(draft, record.source, self._outcome(draft, digest), offset, digest)
        return record.source

    def contribute(self, draft: Draft, source: Source, digest: Digest, to: str = "") -> Offset:
        """The contribution of a report to whoever counts it (`to` another one)."""
        day = parse_period(draft.period).last_day
        form = CATALOGUE.form_in_force(FormId(draft.form), day)
        unit = CATALOGUE.units.unit(UnitCode(draft.unit), day)
        assert form is not None
        assert unit is not None
        slot = Slot.ENTERED if draft.entered_by else Slot.OWN
        rows: list[Row] = [{n: c for n, c in row.items() if n in _columns(form)} for row in draft.rows]
        rows = [] if draft.kind is not Kind.REPORT else rows
        values, given, dims = pack_table(form, rows)
        figure = Figure(
            FigureKind.OWN, STATES[draft.kind], form.id, ScopeCode.OWN, UBND, PeriodText(draft.period), slot, unit.code,
            days_since_1970(unit.valid_from), form.fingerprint, CATALOGUE.epoch, CATALOGUE.serial, values, given, dims,
            revision=Revision(draft.revision), source_partition=source.partition, source_offset=source.offset,
            accepted_at=Millis(self.clock), digest=digest, entered_by=draft.entered_by or "", kid=f"kid-{draft.unit}-1",
        )  # fmt: skip
        receiver = to or _receiver(draft.unit, draft.period)
        offset = self._write(receiver, figure)
        made = Made(_table(form, rows), 1, int(draft.kind is Kind.NIL), int(slot is Slot.ENTERED), [self.clock])
        rank = (draft.revision, -source.partition, -source.offset)
        if not to:
            withdrawn = draft.kind is Kind.WITHDRAWAL
            self._fold((receiver, draft.form, draft.period), draft.unit, slot, Contribution(rank, made, withdrawn),
                       offset)  # fmt: skip
        return offset

    def reject(self, record: Record, reason: str) -> None:
        """Put a record into `rejected`, with its receipt."""
        said = (("reason", reason), ("field", ""), ("source", str(record.source)), ("detail_vi", ""),
                ("detail_en", ""), ("accepted_at", str(record.time)))  # fmt: skip
        headers = (*record.headers, *((name, text.encode()) for name, text in said))
        self._append(REJECTED, record.partition, SignedRecord(record.key, record.value or b"", headers), self.clock)
        draft = Draft(unit=(record.key or b"").decode("utf-8", "replace"))
        self.receive(draft, record.source, Outcome.REJECTED, Offset(-1), Digest(bytes(32)), reason)

    def receive(
        self, draft: Draft, source: Source, outcome: Outcome, offset: Offset, digest: Digest, reason: str = ""
    ) -> None:
        """A receipt."""
        receipt = Receipt(draft.unit, draft.line, draft.form, draft.period, draft.entered_by or "",
                          Revision(draft.revision), f"kid-{draft.unit}-1", digest, source, outcome, reason, "", "",
                          Revision(draft.revision), Millis(self.clock), offset)  # fmt: skip
        partition = partition_of(draft.unit.encode(), PARTITIONS)
        self._append(RECEIPTS, partition, SignedRecord(None, encode_receipts([receipt]), ()), self.clock)

    def _outcome(self, draft: Draft, digest: bytes) -> Outcome:
        slot = (draft.unit, draft.form, draft.period, draft.entered_by or "")
        revision, known = self.slots.get(slot, (0, b""))
        if draft.revision > revision:
            self.slots[slot] = (draft.revision, digest)
            return Outcome.ACCEPTED
        if draft.revision < revision:
            return Outcome.SUPERSEDED
        return Outcome.DUPLICATE if known == digest else Outcome.CONFLICT

    # Totals

    def emit(self, account: Account, tamper: Tamper | None = None, to: str = "") -> Offset:
        """Publish the total of an account to the unit above (`to` another one), changed by `tamper`."""
        self.dirty.discard(account)
        code, form_id, period = account
        day = parse_period(period).last_day
        form = CATALOGUE.form_in_force(FormId(form_id), day)
        unit = CATALOGUE.units.unit(UnitCode(code), day)
        above = CATALOGUE.units.superior(UnitCode(code), day)
        assert form is not None
        assert unit is not None
        made = self._sum(account, form)
        if tamper is not None:
            tamper(made)
        values, given, dims = _packed(form, made)
        state = State.WITHDRAWAL if not made.reported else State.NIL if made.nil == made.reported else State.REPORT
        figure = Figure(
            FigureKind.TOTAL if above else FigureKind.ROOT, state, form.id, ScopeCode.OWN, UBND, PeriodText(period),
            Slot.TOTAL, unit.code, days_since_1970(unit.valid_from), form.fingerprint, CATALOGUE.epoch,
            CATALOGUE.serial, values, given, dims, version=self.newest[account], reported=made.reported, nil=made.nil,
            entered=made.entered, first_accepted=Millis(min(made.accepted, default=-1)),
            newest_accepted=Millis(max(made.accepted, default=-1)),
        )  # fmt: skip
        offset = self._write(to or above or code, figure)
        if above and not to:
            contribution = Contribution((CATALOGUE.epoch, figure.version), made, not made.reported)
            self._fold((above, form_id, period), code, Slot.TOTAL, contribution, offset)
        return offset

    def emit_all(self) -> None:
        """Publish until nothing has changed, lowest units first."""
        while self.dirty:
            self.emit(max(self.dirty, key=lambda account: (_depth(account), account)))

    def observe(self) -> None:
        """All observers look a last time: each sees the newest totals."""
        for account in sorted(self.accounts):
            self.see(account)
        self.events += [Ended(observer, Millis(self.clock), 1) for observer in (*OBSERVERS, "receipts")]

    def see(self, account: Account, observers: tuple[str, ...] = OBSERVERS) -> None:
        """Some observers see the total as it is now."""
        form = CATALOGUE.form_in_force(FormId(account[1]), parse_period(account[2]).last_day)
        assert form is not None
        made = self._sum(account, form)
        shown = sorted((about, _cells(form, row)) for about, row in made.rows.items())
        rows = tuple((about, cells) for about, cells in shown if any(cells))
        unit, form_id, period = account
        self.events += [
            Seen(observer, Millis(self.clock), unit, form_id, UBND, period, CATALOGUE.epoch, self.newest[account],
                 made.reported, tuple(measure.name for measure in form.measures), rows)
            for observer in observers
        ]  # fmt: skip

    def tell(self, source: Source, outcome: str, counted: int = -1) -> None:
        """An observer is told of a report."""
        self.events.append(
            SeenReceipt("receipts", Millis(self.clock), source.partition, source.offset, outcome, 1, counted)
        )

    def _sum(self, account: Account, form: Form) -> Made:
        made = Made()
        for slots in self.accounts[account].values():
            own = [slots[slot] for slot in (Slot.OWN, Slot.ENTERED) if slot in slots and not slots[slot].withdrawn][:1]
            total = [slots[Slot.TOTAL]] if Slot.TOTAL in slots and not slots[Slot.TOTAL].withdrawn else []
            for one in (*own, *total):
                add(made, one.made)
        hidden = [m.across_units is AcrossUnits.NONE for m in form.measures]
        made.rows = {
            about: [(0, 0) if hide else cell for hide, cell in zip(hidden, row, strict=True)]
            for about, row in made.rows.items()
        }
        return made

    def _fold(self, account: Account, unit: str, slot: Slot, arrived: Contribution, offset: Offset) -> None:
        slots = self.accounts.setdefault(account, {}).setdefault(unit, {})
        if slot not in slots or arrived.rank > slots[slot].rank:
            slots[slot] = arrived
        self.newest[account] = offset
        self.dirty.add(account)

    # The log

    def verdict(self, folder: Path, *, stored: bool = True) -> Verdict:
        """Write the evidence and judge it. `stored`: with a read model that has stored all of it."""
        with closing(LogFile(folder / LOG)) as log:
            log.write_about(About(OPERATOR.public.hex(), 0, PARTITIONS))
            for topic, records in self.records.items():
                log.write(topic, records)
        history = History(history_of(folder))
        history.append(*self.events)
        history.close()
        if stored:
            self.store(folder)
        return verify_segment(folder)

    def store(self, folder: Path) -> None:
        """A read model that has stored the log as it is."""
        store = Store(open_writer(folder / READ_MODEL), Registers(OPERATOR.public, 0))
        everywhere: list[Partition] = [(t, p) for t in _PRODUCT_TOPICS for p in range(1 if t == ACTS else PARTITIONS)]
        store.adopt("lab", {topic: topic for topic in _PRODUCT_TOPICS}, everywhere)
        store.apply({(t, p): [record for record in self.records[t] if record.partition == p] for t, p in everywhere})

    def _tick(self) -> int:
        self.clock += 1000
        return self.clock

    def _write(self, receiver: str, figure: Figure) -> Offset:
        partition = partition_of(receiver.encode(), PARTITIONS)
        return self._append(FIGURES, partition, SignedRecord(receiver.encode(), encode_figure(figure), ()),
                            self.clock).offset  # fmt: skip

    def _append(self, topic: str, partition: int, signed: SignedRecord, time: int) -> Record:
        offset = Offset(sum(record.partition == partition for record in self.records[topic]))
        record = Record(topic, partition, offset, Millis(time), signed.key, signed.value, signed.headers)
        self.records[topic].append(record)
        return record


def add(into: Made, other: Made) -> None:
    """Count one more contribution in."""
    for about, row in other.rows.items():
        known = into.rows.get(about, [(0, 0)] * len(row))
        into.rows[about] = [(a + c, b + d) for (a, b), (c, d) in zip(known, row, strict=True)]
    into.reported += other.reported
    into.nil += other.nil
    into.entered += other.entered
    into.accepted += other.accepted


def _columns(form: Form) -> set[str]:
    return {dimension.name for dimension in form.dimensions} | {measure.name for measure in form.measures}


def _table(form: Form, rows: list[Row]) -> dict[tuple[str, ...], list[tuple[int, int]]]:
    return {
        tuple(str(row[d.name]) for d in form.dimensions): [
            (int(row.get(m.name) or 0), int(row.get(m.name) is not None)) for m in form.measures
        ]
        for row in rows
    }


def _packed(form: Form, made: Made) -> tuple[bytes, bytes, tuple[str, ...]]:
    optional = set(form.optional)
    values: list[int] = []
    given: list[int] = []
    dims: list[str] = []
    for about, row in sorted(made.rows.items()):
        counts = [row[at][1] for at in sorted(optional)]
        if any(number for number, _ in row) or any(counts):
            values += [number for number, _ in row]
            given += counts
            dims += about
    packed = b"".join(number.to_bytes(8, "little", signed=True) for number in values)
    return packed, b"".join(number.to_bytes(4, "little") for number in given), tuple(dims)


def _cells(form: Form, row: list[tuple[int, int]]) -> tuple[int | None, ...]:
    optional = set(form.optional)
    return tuple(
        None if measure.across_units is AcrossUnits.NONE or (at in optional and not count) else number
        for at, ((number, count), measure) in enumerate(zip(row, form.measures, strict=True))
    )


def _receiver(unit: str, period: str) -> str:
    day = parse_period(period).last_day
    above = CATALOGUE.units.superior(UnitCode(unit), day)
    return unit if above is None or CATALOGUE.units.has_children(UnitCode(unit), day) else above


def _depth(account: Account) -> int:
    return len(list(_upwards(account[0], account[2])))


def _upwards(unit: str, period: str) -> Iterator[str]:
    here: UnitCode | None = UnitCode(unit)
    while here is not None:
        yield here
        here = CATALOGUE.units.superior(here, parse_period(period).last_day)
