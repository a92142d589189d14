"""The proof: all of `reports` folded anew by other code, compared with every figure that was published.

    result = verify(settings, lambda done, all: None)

Read are `reports` and `acts` from offset 0 with admission as announced at each offset, never a checkpoint and never the
ledgers' code. Compared are rows and coverage of every total in `figures` and in the read model, the standing own report
of every unit, and what became of each report: exactly one of control, rejected, receipt. It does not drain; on figures
that are still on their way it says they differ.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field

from consumers.plain_fold import About, Made, PlainFold, Standing, Table, shown
from consumers.read_model.database import FILE_NAME, open_reader
from schemas.admission import Admission, Received
from schemas.catalogue import Announcement, Catalogue
from schemas.codec import PREFIX_BYTES, decode_figure
from schemas.control import highest, read_control
from schemas.figure import HEAD, FigureKind, ScopeCode, Slot, State, day_of, unpack_table
from schemas.form import Fingerprint, Form
from schemas.log import ActReader, Record, TopicReader
from schemas.period import parse_period
from schemas.precedence import Outcome
from schemas.register import Registers
from schemas.rejection import Reason, Rejection
from schemas.report import Kind, Offset, Scope, Source
from schemas.settings import Settings
from schemas.signature import PublicKey
from schemas.topics import FIGURES, REJECTED, REPORTS

CONTROL = "control"
COUNTED = "counted"
_FIRST = 20
_KIND_AT = PREFIX_BYTES + HEAD.itemsize - 2
"""Where a figure's kind stands; its state follows, and ends the fixed numbers."""
_SCOPES = {int(ScopeCode.OWN): Scope.OWN.value, int(ScopeCode.SUBTREE): Scope.SUBTREE.value}
_KINDS = {int(State.REPORT): Kind.REPORT, int(State.NIL): Kind.NIL, int(State.WITHDRAWAL): Kind.WITHDRAWAL}

Progress = Callable[[int, int], None]
Packed = tuple[bytes, bytes, tuple[str, ...]]
"""`values`, `given` and `dims` of a figure."""


class NotVerifiable(Exception):
    """The log can't be judged: a catalogue was announced that no act carries."""


@dataclass(slots=True)
class Verification:
    """How much was compared, by what it is, and the first differences in words."""

    compared_by: dict[str, int] = field(default_factory=dict)
    differing: int = 0
    differences: list[str] = field(default_factory=list)

    @property
    def compared(self) -> int:
        """All that was compared."""
        return sum(self.compared_by.values())

    def compare(self, what: str, where: object, difference: str) -> None:
        """Count one comparison; `difference` in words, empty where there is none."""
        self.compared_by[what] = self.compared_by.get(what, 0) + 1
        if difference:
            self.differing += 1
            if len(self.differences) < _FIRST:
                self.differences.append(f"{what} {where}: {difference}")


class ReportFold:
    """All of `reports`: what each offset must end in, and the fold of what is counted."""

    def __init__(
        self, operator_key: PublicKey, registers: Registers, partitions: int, quarantined: set[Source]
    ) -> None:
        catalogue = registers.newest_catalogue()
        if catalogue is None:
            raise NotVerifiable("no catalogue has been released")
        self.fold = PlainFold(catalogue)
        self.ends_in: dict[Source, str] = {}
        """For each source `control`, `counted`, or the reason of its rejection."""
        self._operator_key = operator_key
        self._registers = registers
        self._partitions = partitions
        self._quarantined = quarantined
        self._announced: dict[int, Announcement] = {}
        self._admissions: dict[Announcement, Admission] = {}

    def apply(self, record: Record) -> None:
        """Judge one record of `reports`, after all before it in its partition."""
        source = record.source
        if source in self._quarantined:
            self.ends_in[source] = Reason.INTERNAL_ERROR.value
        elif (announcement := read_control(self._operator_key, record.key, record.value, record.headers)) is not None:
            self.ends_in[source] = CONTROL
            before = self._announced.get(record.partition)
            self._announced[record.partition] = highest([announcement, *([before] if before else [])]) or announcement
        elif (in_force := self._announced.get(record.partition)) is None:
            self.ends_in[source] = Reason.UNKNOWN_FORM.value
        else:
            decided = self._admission(in_force).decide(
                Received(record.key, record.value, record.headers, source, record.time, self._partitions)
            )
            if isinstance(decided, Rejection):
                self.ends_in[source] = decided.reason.value
            else:
                self.ends_in[source] = COUNTED
                self.fold.add(decided, source, record.time)

    def _admission(self, announcement: Announcement) -> Admission:
        if announcement not in self._admissions:
            catalogue = self._registers.catalogue(announcement)
            if catalogue is None:
                raise NotVerifiable(
                    f"catalogue {announcement.epoch}.{announcement.serial} was announced and no act carries it"
                )
            self._admissions[announcement] = Admission(catalogue, self._registers)
        return self._admissions[announcement]


def verify(settings: Settings, progress: Progress = lambda done, of: None) -> Verification:
    """Fold all of `reports` and compare. `progress` is told how many records of how many have been read.

    Raises NotVerifiable, NotReady without a read model, LogUnreachable.
    """
    result = Verification()
    folded = _fold_reports(settings, progress)
    made = folded.fold.totals()
    compare_totals("figures", made, _published(settings, folded.fold.catalogue), result)
    with closing(open_reader(settings.data / FILE_NAME)) as database:
        compare_totals("read model", made, stored_totals(database, folded.fold.catalogue), result)
        compare_own(database, folded.fold, result)
        compare_outcomes(database, folded.ends_in, result)
    return result


def _fold_reports(settings: Settings, progress: Progress) -> ReportFold:
    operator_key = PublicKey(bytes.fromhex(settings.operator_key))
    with TopicReader(settings.bootstrap, settings.topic(REPORTS)) as reports:
        ends = reports.ends()  # before `acts` is read: what these reports were decided by is then among the acts
        with closing(ActReader(settings, Registers(operator_key, settings.act_delay_ms))) as acts:
            registers = acts.refresh()
        folded = ReportFold(operator_key, registers, len(ends), _quarantined(settings))
        total = sum(ends.values())
        for count, record in enumerate(reports.to_end(ends), 1):
            folded.apply(record)
            if count % 1000 == 0:
                progress(count, total)
        progress(total, total)
    return folded


def _quarantined(settings: Settings) -> set[Source]:
    """Reports that made ingest fail: they stay out until they are replayed (contract 12)."""
    topic = settings.topic(REJECTED)
    with TopicReader(settings.bootstrap, topic) as reader:
        kept_from = reader.beginnings()
    found: set[Source] = set()
    with TopicReader(settings.bootstrap, topic, kept_from) as reader:
        for record in reader.to_end():
            said = dict(record.headers)
            if said["reason"].decode() == Reason.INTERNAL_ERROR.value:
                partition, _, offset = said["source"].decode().partition(":")
                found.add(Source(int(partition), Offset(int(offset))))
    return found


def _published(settings: Settings, catalogue: Catalogue) -> dict[About, Made]:
    """The newest total of every unit in `figures`, by (epoch, version)."""
    newest: dict[About, tuple[int, int]] = {}
    found: dict[About, Made] = {}
    with TopicReader(settings.bootstrap, settings.topic(FIGURES)) as reader:
        for record in reader.to_end():
            if record.value is None or record.value[_KIND_AT] == FigureKind.OWN:
                continue
            f = decode_figure(record.value)
            about = About(f.form, f.line, f.period, _SCOPES[f.scope], f.unit, day_of(f.valid_from))
            if (f.epoch, f.version) > newest.get(about, (-1, -1)):
                newest[about] = (f.epoch, f.version)
                table = _table(catalogue, about, f.form_version, (f.values, f.given, f.dims))
                found[about] = Made(table, f.reported, f.nil, f.entered, f.first_accepted, f.newest_accepted)
    return found


def stored_totals(database: sqlite3.Connection, catalogue: Catalogue) -> dict[About, Made]:
    """Every total in the read model."""
    rows = database.execute(
        """SELECT form, line, period, scope, unit, valid_from, form_version, "values", given, dims, reported, nil,
            entered, first_accepted, newest_accepted FROM totals JOIN pages USING (page)"""
    )
    found: dict[About, Made] = {}
    for form, line, period, scope, unit, valid_from, version, values, given, dims, *coverage in rows:
        about = About(form, line, period, _SCOPES[scope], unit, day_of(valid_from))
        packed = (values, given, tuple(json.loads(dims)))
        found[about] = Made(_table(catalogue, about, version, packed), *coverage)
    return found


def compare_totals(
    where: str, expected: Mapping[About, Made], found: Mapping[About, Made], result: Verification
) -> None:
    """Rows and coverage of every total, and that there is none too many."""
    for about in sorted(expected.keys() | found.keys()):
        mine, theirs = expected.get(about), found.get(about)
        if mine is None:
            difference = "nothing was reported that it could hold"
        elif theirs is None:
            difference = f"is missing, {mine.reported} reports make it"
        else:
            difference = theirs.differs_from(mine)
        result.compare(f"total in {where}", _named(about), difference)


def compare_own(database: sqlite3.Connection, fold: PlainFold, result: Verification) -> None:
    """The standing report of every unit, by slot: source, revision, state and table."""
    rows = database.execute(
        """SELECT form, line, period, scope, unit, valid_from, slot, state, source_partition, source_offset,
            revision, accepted_at, form_version, "values", given, dims, max(rank)
        FROM own JOIN pages USING (page) GROUP BY own.page, unit, valid_from, slot"""
    )
    waiting: dict[tuple[About, bool], Standing] = dict(fold.own)
    for form, line, period, scope, unit, valid_from, slot, state, partition, offset, *rest, _ in rows:
        about = About(form, line, period, _SCOPES[scope], unit, day_of(valid_from))
        revision, accepted_at, version, values, given, dims = rest
        table = unpack_table(_form(fold.catalogue, version), values, given, tuple(json.loads(dims))) if values else {}
        found = Standing(revision, Source(partition, offset), _KINDS[state], accepted_at, table)
        expected = waiting.pop((about, slot == Slot.ENTERED), None)
        difference = "" if found == expected else f"{_brief(found)} instead of {_brief(expected)}"
        result.compare("own report", _named(about), difference)
    for (about, _), standing in sorted(waiting.items(), key=lambda item: item[0]):
        result.compare("own report", _named(about), f"is missing, {_brief(standing)} stands")


def compare_outcomes(database: sqlite3.Connection, ends_in: Mapping[Source, str], result: Verification) -> None:
    """That each report ended in exactly one of control, rejected with this reason, or a receipt that is none.

    `receipts` and `rejected` are kept for a while only: what was accepted before the oldest of each is not asked for.
    """
    receipts = {Source(partition, offset): (outcome, reason) for partition, offset, outcome, reason in database.execute(
        "SELECT source_partition, source_offset, outcome, reason FROM receipts")}  # fmt: skip
    rejections = {Source(partition, offset): reason for partition, offset, reason in database.execute(
        "SELECT source_partition, source_offset, reason FROM rejections")}  # fmt: skip
    trimmed = database.execute("SELECT count(*) FROM identity WHERE name = 'trimmed'").fetchone()[0] > 0
    for source in sorted(ends_in.keys() | receipts.keys() | rejections.keys()):
        expected = ends_in.get(source)
        receipt, rejected = receipts.get(source), rejections.get(source)
        if expected is not None and expected != CONTROL and trimmed and receipt is None and rejected is None:
            continue
        result.compare("outcome of report", source, _outcome_difference(expected, receipt, rejected))


def _outcome_difference(expected: str | None, receipt: tuple[str, str] | None, rejected: str | None) -> str:
    refused = receipt is not None and receipt[0] == Outcome.REJECTED.value
    if expected is None:
        return "there is no such report, and something became of it"
    if expected == CONTROL:
        return "" if receipt is None and rejected is None else "is a control record, and something became of it"
    if expected == COUNTED:
        if receipt is None:
            return "is counted and has no receipt"
        return f"is counted, and rejected as {rejected or receipt[1]}" if refused or rejected else ""
    if rejected is None:
        return f"must be in `rejected` as {expected}"
    if rejected != expected:
        return f"is rejected as {rejected}, must be as {expected}"
    return "is rejected and has a receipt as if it were not" if receipt is not None and not refused else ""


def _form(catalogue: Catalogue, version: bytes) -> Form:
    form = catalogue.form(Fingerprint(version))
    if form is None:
        raise NotVerifiable(f"a figure has form version {version.hex()}, which the catalogue lacks")
    return form


def _table(catalogue: Catalogue, about: About, version: bytes, packed: Packed) -> Table:
    """A published table. Raises NotVerifiable where its columns are not those of the form in force."""
    form = _form(catalogue, version)
    in_force = catalogue.form_in_force(form.id, parse_period(about.period).last_day)
    if in_force != form:
        known = in_force.version if in_force else "none"
        raise NotVerifiable(f"{_named(about)} has the columns of version {form.version}, in force is {known}")
    return shown(form, unpack_table(form, *packed)) if packed[0] else {}


def _named(about: About) -> str:
    scope = "" if about.scope == Scope.OWN.value else f" {about.scope}"
    return f"{about.unit} {about.form} {about.period} {about.line}{scope}"


def _brief(standing: Standing | None) -> str:
    if standing is None:
        return "no report"
    return f"{standing.kind} {standing.source} revision {standing.revision} {dict(list(standing.table.items())[:2])}"
