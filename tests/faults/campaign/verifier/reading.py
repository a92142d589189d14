"""The log, topic by topic, into the working database; what a record says is taken apart here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator

from schemas.codec import decode_figure, decode_receipts
from schemas.figure import Figure, FigureKind, ScopeCode, Slot, State
from schemas.form import Fingerprint, Form
from schemas.log import Record
from schemas.register import Registers
from schemas.signature import PublicKey
from schemas.topics import ACTS, FIGURES, RECEIPTS, REJECTED, REPORTS
from tests.faults.campaign.verifier.anomaly import Name, Verdict
from tests.faults.campaign.verifier.evidence import LogFile
from tests.faults.campaign.verifier.judge import Control, Judge
from tests.faults.campaign.verifier.tables import Table, mark, table_of_figure, table_of_text, text_of
from tests.faults.campaign.verifier.work import Page, Tree, Work

_SCOPES = {ScopeCode.OWN: "own", ScopeCode.SUBTREE: "subtree"}
_KINDS = {State.REPORT: "report", State.NIL: "nil", State.WITHDRAWAL: "withdrawal"}

CONTROL, COUNTED, REFUSED = "control", "counted", "refused"


def read_registers(log: LogFile) -> Registers:
    """Who may sign when, and every catalogue."""
    about = log.about
    registers = Registers(PublicKey(bytes.fromhex(about.operator_key)), about.act_delay_ms)
    for record in log.read(ACTS):
        registers.apply(record.key, record.value, list(record.headers), record.time)
    return registers


def page_of(figure: Figure) -> Page:
    """The page that a figure is of."""
    return Page(figure.form, figure.line, _SCOPES[figure.scope], figure.period)


def table_in(tree: Tree, figure: Figure) -> Table:
    """A figure's table in the columns of the form in force. Raises LookupError for a form version of no catalogue."""
    if not figure.values:
        return {}
    form = tree.catalogue.form(Fingerprint(figure.form_version))
    if form is None:
        raise LookupError(f"a figure of {figure.unit} has form version {figure.form_version.hex()}, of no catalogue")
    table = table_of_figure(form, figure)
    in_force = tree.form(figure.form, page_of(figure).last_day)
    return table if in_force == form else _in_columns(in_force, form, table)


def read_reports(log: LogFile, registers: Registers, work: Work, verdict: Verdict) -> None:
    """Judge every record of `reports`; `verdict` learns how many there are."""
    about = log.about
    judge = Judge(PublicKey(bytes.fromhex(about.operator_key)), registers, about.partitions)
    work.insert("report", (_report(judge, record) for record in log.read(REPORTS)))
    verdict.reports = work.number("SELECT count(*) FROM report WHERE fate != ?", CONTROL)
    for partition, first, last, count in work.rows(
        "SELECT partition, min(offset), max(offset), count(*) FROM report GROUP BY partition"
    ):
        if first or last - first + 1 != count:
            verdict.add(Name.LOST_WRITE, f"reports {partition}", f"holds {count} records from {first} to {last}")


def read_figures(log: LogFile, work: Work, verdict: Verdict) -> None:
    """Where each total stands. `verdict` learns how many there are, and how many repeat an older version."""
    work.insert("total", _totals(log, work))
    verdict.totals = work.number("SELECT count(*) FROM total")
    newest: tuple[str, str, tuple[int, int]] = ("", "", (-1, -1))
    for page, unit, epoch, version in work.rows("SELECT page, unit, epoch, version FROM total ORDER BY page, unit, id"):
        held = newest[2] if newest[:2] == (page, unit) else (-1, -1)
        verdict.repeated += (epoch, version) < held
        newest = (page, unit, max(held, (epoch, version)))


def read_outcomes(log: LogFile, work: Work) -> None:
    """Every receipt, and every rejected record with whether it is the original byte for byte."""
    work.insert("receipt", _receipts(log))
    work.insert("rejection", _rejections(log))


def content_mark(
    page: Page, unit: str, entered_by: str, kind: str, revision: int, digest: str, accepted_at: int, table: Table
) -> bytes:
    """What a report says, as one mark: a contribution must say the same."""
    rows = sorted((about, tuple(vector)) for about, vector in table.items())
    return mark(tuple(page), unit, entered_by, kind, revision, digest, accepted_at, rows)


def contribution_row(tree: Tree, figure: Figure, record: Record) -> tuple[object, ...]:
    """An own contribution by its source, for comparison with the report it was made of."""
    content = content_mark(
        page_of(figure), figure.unit, figure.entered_by if figure.slot == Slot.ENTERED else "", _KINDS[figure.state],
        figure.revision, figure.digest.hex(), figure.accepted_at, table_in(tree, figure),
    )  # fmt: skip
    return (figure.source_partition, figure.source_offset, record.partition, record.offset, content)


def report_mark(row: tuple[str, str, str, str, int, str, int, str]) -> bytes:
    """The mark of a row (page, unit, entered_by, kind, revision, digest, accepted_at, tbl) of `report`."""
    page, unit, entered_by, kind, revision, digest, accepted_at, table = row
    return content_mark(Page.of(page), unit, entered_by, kind, revision, digest, accepted_at, table_of_text(table))


def _report(judge: Judge, record: Record) -> tuple[object, ...]:
    judged = judge.read(record)
    at = (record.partition, record.offset)
    if isinstance(judged, Control):
        return (*at, CONTROL, "", "", "", "", "", "", "", 0, record.time, "", None)
    fate = REFUSED if judged.reasons else COUNTED
    page = Page(judged.form, judged.line, judged.scope, judged.period).text if not judged.reasons else ""
    return (*at, fate, " ".join(sorted(judged.reasons)), judged.event, judged.digest, page, judged.unit,
            judged.entered_by, judged.kind, judged.revision, record.time, text_of(judged.table), None)  # fmt: skip


def _totals(log: LogFile, work: Work) -> Iterator[tuple[object, ...]]:
    for record in log.read(FIGURES):
        if record.value is None:
            continue
        figure = decode_figure(record.value)
        if figure.kind != FigureKind.OWN:
            yield (None, page_of(figure).text, figure.unit, work.home(figure.unit), figure.epoch, figure.version,
                   record.partition, record.offset)  # fmt: skip


def _receipts(log: LogFile) -> Iterator[tuple[object, ...]]:
    for record in log.read(RECEIPTS):
        for r in decode_receipts(record.value or b""):
            yield (r.source.partition, r.source.offset, r.figures_offset, r.outcome.value, r.reason, r.revision,
                   r.digest.hex(), f"{r.form}\t{r.line}\t{r.period}", r.unit, r.entered_by)  # fmt: skip


def _rejections(log: LogFile) -> Iterator[tuple[object, ...]]:
    for record in log.read(REJECTED):
        said = {name: value.decode("utf-8", "replace") for name, value in record.headers}
        partition, _, offset = said["source"].partition(":")
        original = log.record(REPORTS, int(partition), int(offset))
        intact = (
            original is not None
            and record.key == original.key
            and (record.value or b"") == (original.value or b"")
            and record.headers[: len(original.headers)] == original.headers
        )
        yield (int(partition), int(offset), said["reason"], int(intact))


def _in_columns(to: Form, of: Form, table: Table) -> Table:
    """A table of another version of its form, by the names of the columns."""
    places = {measure.name: at for at, measure in enumerate(of.measures)}
    given = {at: len(of.measures) + place for place, at in enumerate(of.optional)}
    found: Table = {}
    for about, vector in table.items():
        at = [places.get(measure.name) for measure in to.measures]
        counts = [at[place] for place in to.optional]
        found[about] = (
            *(0 if place is None else vector[place] for place in at),
            *(0 if place is None else vector[given[place]] if place in given else 1 for place in counts),
        )
    return found
