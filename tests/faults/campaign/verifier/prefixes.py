"""Every total ever published or seen against the fold of its partition of `figures` up to the version it names.

A superior's total must equal the fold of a prefix of the partition in which all contributions to it meet; which prefix,
its version says. So each partition is folded once, record by record, and whoever claimed a total at an offset (the log
itself, the read model, the page) is asked there. A state that was never true is so found however briefly it was shown.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from schemas.codec import decode_figure
from schemas.figure import Figure, FigureKind, Slot, State
from schemas.form import Form
from schemas.log import Record
from schemas.report import Cell
from schemas.topics import FIGURES
from tests.faults.campaign.verifier.anomaly import Name, Verdict
from tests.faults.campaign.verifier.evidence import LogFile
from tests.faults.campaign.verifier.reading import contribution_row, page_of, table_in
from tests.faults.campaign.verifier.tables import Rows, Said, Table, Total, seen, wire
from tests.faults.campaign.verifier.work import Page, Tree, Work

_CLAIMS = """SELECT version, epoch, page, unit, NULL, at_partition, at_offset, NULL, NULL, NULL, NULL FROM total
WHERE home = ?1
UNION ALL SELECT version, epoch, page, unit, observer, id, NULL, moment, reported, measures, rows FROM seen
WHERE home = ?1 AND version >= 0 AND epoch >= ?2 ORDER BY version"""
_BUFFERED = 2000


@dataclass(frozen=True, slots=True)
class Claim:
    """A total that somebody showed under a version. In the log: `at`; else who saw what, and when."""

    version: int
    epoch: int
    page: Page
    unit: str
    observer: str = ""
    seen: int = 0
    at: tuple[int, int] = (-1, -1)
    moment: int = 0
    reported: int = 0
    measures: str = ""
    rows: Rows = ()

    def __str__(self) -> str:
        who = self.observer or f"figures {self.at[0]}:{self.at[1]}"
        return f"total {self.epoch}:{self.version} of {self.unit} {self.page} ({who})"


@dataclass(slots=True)
class Standing:
    """What stands in one slot."""

    rank: tuple[int, ...]
    state: int
    table: Table
    reported: int
    nil: int
    entered: int
    first: int
    newest: int


@dataclass(slots=True)
class Account:
    """All contributions to one unit on one page, and their sum."""

    total: Total = field(default_factory=Total)
    slots: dict[tuple[str, int], dict[int, Standing]] = field(default_factory=dict)
    epoch: int = 0
    newest: int = -1
    """Offset of the newest contribution."""

    def take(self, figure: Figure, offset: int, table: Table) -> None:
        """Fold one contribution: it replaces what stands in its slot, or it changes nothing."""
        self.epoch, self.newest = max(self.epoch, figure.epoch), offset
        slots = self.slots.setdefault((figure.unit, figure.valid_from), {})
        arrived = _standing(figure, table)
        stands = slots.get(figure.slot)
        if stands is not None and stands.rank >= arrived.rank:
            return
        for one in _counted(slots):
            self._count(one, -1)
        slots[figure.slot] = arrived
        for one in _counted(slots):
            self._count(one, 1)

    def _count(self, one: Standing, sign: int) -> None:
        self.total.add(one.table, sign)
        self.total.count(one.reported, one.nil, one.entered, sign)

    def accepted(self) -> tuple[int, int]:
        """First and newest acceptance among those counted, -1 where there are none."""
        counted = [one for slots in self.slots.values() for one in _counted(slots)]
        return min((o.first for o in counted), default=-1), max((o.newest for o in counted), default=-1)


def _standing(figure: Figure, table: Table) -> Standing:
    if figure.slot == Slot.TOTAL:
        return Standing((figure.epoch, figure.version), figure.state, table, figure.reported, figure.nil,
                        figure.entered, figure.first_accepted, figure.newest_accepted)  # fmt: skip
    rank = (figure.revision, -figure.source_partition, -figure.source_offset)
    nil, entered = int(figure.state == State.NIL), int(figure.slot == Slot.ENTERED)
    return Standing(rank, figure.state, table, 1, nil, entered, figure.accepted_at, figure.accepted_at)


def _counted(slots: dict[int, Standing]) -> Iterator[Standing]:
    """The child's total; its own report, or the entered one while there is no own or it was withdrawn."""
    total = slots.get(Slot.TOTAL)
    if total is not None and total.state != State.WITHDRAWAL:
        yield total
    for slot in (Slot.OWN, Slot.ENTERED):
        one = slots.get(slot)
        if one is not None and one.state != State.WITHDRAWAL:
            yield one
            return


class PrefixCheck:
    """Folds all partitions of `figures` and asks each claim at its offset."""

    def __init__(self, log: LogFile, work: Work, tree: Tree, verdict: Verdict) -> None:
        self._log = log
        self._work = work
        self._tree = tree
        self._verdict = verdict
        self._accounts: dict[tuple[str, str], Account] = {}
        self._contributions: list[tuple[object, ...]] = []

    def run(self) -> None:
        """All partitions, one after the other; only one is in memory."""
        first_epoch = self._work.number("SELECT min(epoch) FROM total")
        self._verdict.observed = self._work.number("SELECT count(*) FROM seen")
        self._verdict.unchecked = self._work.number(
            "SELECT count(*) FROM seen WHERE version < 0 OR epoch < ?", first_epoch
        )
        for partition in range(self._work.partitions):
            self._accounts.clear()
            claims = (_claim(row) for row in self._work.rows(_CLAIMS, partition, first_epoch))
            claim = next(claims, None)
            for record in self._log.read(FIGURES, partition):
                while claim is not None and claim.version < record.offset:
                    self._unfounded(claim)
                    claim = next(claims, None)
                account = self._fold(record)
                while claim is not None and claim.version == record.offset:
                    if account is not None and self._accounts.get((claim.unit, claim.page.text)) is account:
                        self._ask(claim, account)
                    else:
                        self._unfounded(claim)
                    claim = next(claims, None)
            while claim is not None:
                self._unfounded(claim)
                claim = next(claims, None)
        self._flush()

    def _fold(self, record: Record) -> Account | None:
        """Fold one record; the account it changed, None where it is no contribution that counts here."""
        if record.value is None:
            return None
        figure = decode_figure(record.value)
        page = page_of(figure)
        key = (record.key or b"").decode("utf-8", "replace")
        if figure.kind == FigureKind.OWN:
            self._contributions.append(contribution_row(self._tree, figure, record))
            if len(self._contributions) >= _BUFFERED:
                self._flush()
        if not self._rightly_addressed(figure, page, key, record) or figure.kind == FigureKind.ROOT:
            return None
        account = self._accounts.setdefault((key, page.text), Account())
        if page.scope == "own":
            account.take(figure, record.offset, table_in(self._tree, figure))
        return account

    def _rightly_addressed(self, figure: Figure, page: Page, key: str, record: Record) -> bool:
        self._verdict.compare("receivers")
        if figure.kind == FigureKind.OWN:
            wanted: str | None = self._tree.receiver(figure.unit, page)
        else:
            above = self._tree.superior(figure.unit, page.line, page.last_day)
            is_root = figure.kind == FigureKind.ROOT
            wanted = figure.unit if is_root and above is None else None if is_root else above
        if key == wanted and record.partition == self._work.home(key):
            return True
        self._verdict.add(
            Name.MISDIRECTED,
            f"figures {record.partition}:{record.offset}",
            f"{figure.kind.name.lower()} of {figure.unit} {page} went to {key}, {wanted} must get it",
        )
        return False

    def _flush(self) -> None:
        self._work.insert("contribution", self._contributions)
        self._contributions.clear()

    def _ask(self, claim: Claim, account: Account) -> None:
        self._verdict.compare("totals at their version")
        form = self._tree.form(claim.page.form, claim.page.last_day)
        difference = (
            self._seen_difference(claim, account, form)
            if claim.observer
            else self._published_difference(claim, account, form)
        )
        if difference:
            self._verdict.add(Name.NEVER_TRUE, claim, difference)
            self._note_wrong(claim)

    def _seen_difference(self, claim: Claim, account: Account, form: Form) -> str:
        columns = self._tree.columns(claim.page.form, claim.measures)
        true = seen(form, account.total.table, columns, total=True)
        if claim.epoch != account.epoch:
            return f"epoch {account.epoch} is that of the prefix"
        if claim.reported != account.total.reported:
            return f"counts {claim.reported} reports instead of {account.total.reported}"
        return "" if claim.rows == true else f"shows {_brief(claim.rows)} instead of {_brief(true)}"

    def _published_difference(self, claim: Claim, account: Account, form: Form) -> str:
        record = self._log.record(FIGURES, *claim.at)
        assert record is not None
        assert record.value is not None
        figure = decode_figure(record.value)
        table = table_in(self._tree, figure)
        said = Said(wire(form, table), figure.reported, figure.nil, figure.entered)
        true = account.total.said(form)
        if difference := said.differs_from(true):
            return difference
        if list(table) != [about for about, _ in true.table]:
            return f"its rows are not in order, or some say nothing: {list(table)[:5]}"
        mine = (figure.state, figure.epoch, figure.first_accepted, figure.newest_accepted)
        theirs = (account.total.state, account.epoch, *account.accepted())
        return "" if mine == theirs else f"state, epoch, first, newest are {mine} instead of {theirs}"

    def _unfounded(self, claim: Claim) -> None:
        self._verdict.compare("totals at their version")
        self._verdict.add(Name.NEVER_TRUE, claim, "at this offset nothing was contributed to it")
        self._note_wrong(claim)

    def _note_wrong(self, claim: Claim) -> None:
        if not claim.observer:
            return
        until = self._work.number(
            """SELECT coalesce((SELECT min(moment) FROM seen s WHERE s.id > ?1 AND s.observer = ?2 AND s.page = ?3
                AND s.unit = ?4), (SELECT max(moment) FROM ended WHERE observer = ?2), ?5)""",
            claim.seen, claim.observer, claim.page.text, claim.unit, claim.moment,
        )  # fmt: skip
        self._verdict.wrong_seen += 1
        self._verdict.wrong_for_ms = max(self._verdict.wrong_for_ms, until - claim.moment)


def rows_of(text: str) -> Rows:
    """Rows of an observation as it was kept."""
    read: list[list[list[Any]]] = json.loads(text)
    return tuple((tuple(about), tuple(cells)) for about, cells in read)


def _claim(row: tuple[Any, ...]) -> Claim:
    version, epoch, page, unit, observer, first, second, moment, reported, measures, rows = row
    if observer is None:
        return Claim(version, epoch, Page.of(page), unit, at=(first, second))
    return Claim(
        version, epoch, Page.of(page), unit, observer, first,
        moment=moment, reported=reported, measures=measures, rows=rows_of(rows),
    )  # fmt: skip


def _brief(rows: Rows) -> str:
    shown: list[tuple[tuple[str, ...], tuple[Cell, ...]]] = list(rows[:3])
    return f"{len(rows)} rows {shown}"
