"""After settling: acknowledged = `reports` = every published total = the read model, at every level, page by page.

    Σ communes = Σ districts = Σ provinces = nation = the fold of what was acknowledged = the fold of `reports`

A figure that differs is explained: by one report that is missing from it or in it twice, where one does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from schemas.codec import decode_figure
from schemas.form import Form
from schemas.topics import FIGURES
from tests.faults.campaign.verifier.anomaly import Name, Verdict
from tests.faults.campaign.verifier.evidence import LogFile
from tests.faults.campaign.verifier.reading import COUNTED, table_in
from tests.faults.campaign.verifier.stored import compare_stored
from tests.faults.campaign.verifier.tables import Said, Total, wire
from tests.faults.campaign.verifier.truth import (
    Entry,
    Truth,
    entries_in_log,
    entries_sent,
    outcomes_of,
    source_of,
    truth_of,
)
from tests.faults.campaign.verifier.work import Page, Tree, Work

_PAGES = f"""SELECT page FROM report WHERE fate = '{COUNTED}' UNION SELECT page FROM sent WHERE refused = ''
UNION SELECT page FROM total UNION SELECT page FROM model ORDER BY 1"""
_NEWEST = """SELECT unit, epoch, version, at_partition, at_offset FROM total WHERE page = ?
ORDER BY unit, epoch, version"""


@dataclass(frozen=True, slots=True)
class Published:
    """The newest total of a unit."""

    said: Said
    version: str


def check_settled(log: LogFile, work: Work, tree: Tree, verdict: Verdict) -> None:
    """Every page; also notes in `report` what each report becomes."""
    for (text,) in list(work.rows(_PAGES)):
        page = Page.of(text)
        entries = list(entries_in_log(work, page))
        work.note_outcomes((outcome, *source_of(place)) for place, outcome in outcomes_of(entries))
        if page.scope != "own":
            continue  # a claim is never added to anything
        form = tree.form(page.form, page.last_day)
        truth = truth_of(entries, tree, page)
        one_page = _PageCheck(page, form, tree, truth, entries, verdict)
        one_page.compare_acknowledged(truth_of(entries_sent(work, tree, page), tree, page))
        published = dict(_published(log, work, tree, page, form))
        one_page.compare_published(published)
        one_page.compare_levels({unit: one.said for unit, one in published.items()})
        newest = {unit: one.version for unit, one in published.items()}
        compare_stored(work, tree, page, truth, newest, verdict)


def _published(log: LogFile, work: Work, tree: Tree, page: Page, form: Form) -> Iterator[tuple[str, Published]]:
    newest = {row[0]: row[1:] for row in work.rows(_NEWEST, page.text)}
    for unit, (epoch, version, partition, offset) in newest.items():
        record = log.record(FIGURES, partition, offset)
        assert record is not None
        assert record.value is not None
        figure = decode_figure(record.value)
        said = Said(wire(form, table_in(tree, figure)), figure.reported, figure.nil, figure.entered)
        yield unit, Published(said, f"{epoch}:{version}")


@dataclass(frozen=True, slots=True)
class _PageCheck:
    """One page against its truth."""

    page: Page
    form: Form
    tree: Tree
    truth: Truth
    entries: Sequence[Entry]
    verdict: Verdict

    def compare_acknowledged(self, acknowledged: Truth) -> None:
        """The fold of what the generator was acknowledged against the fold of `reports`."""
        for unit in sorted(self.truth.totals.keys() | acknowledged.totals.keys()):
            self.verdict.compare("acknowledged = reports")
            mine, theirs = acknowledged.said(self.form, unit), self.truth.said(self.form, unit)
            if mine != theirs:
                words = "nothing" if mine is None or theirs is None else theirs.differs_from(mine)
                self.verdict.add(
                    Name.LOST_WRITE,
                    f"{unit} {self.page}",
                    f"the fold of `reports` is not that of what was acknowledged: {words}",
                )

    def compare_published(self, published: Mapping[str, Published]) -> None:
        """The newest total of everybody above a report, and that nobody else has one."""
        for unit in sorted(self.truth.totals.keys() | published.keys()):
            self.verdict.compare("totals published")
            true = self.truth.said(self.form, unit)
            found = published.get(unit)
            where = f"total {found.version if found else ''} of {unit} {self.page}"
            if true is None:
                self.verdict.add(Name.PHANTOM, where, "nothing was reported that it could hold")
            elif found is None:
                self.verdict.add(Name.LOST_UPDATE, where, f"is missing, {true.reported} reports make it")
            elif found.said != true:
                self.verdict.add(*self._explained(unit, where, found.said, true))

    def compare_levels(self, published: Mapping[str, Said]) -> None:
        """Published totals of one level, with what was reported above it, against the roots' totals."""
        depths = {unit: len(self.tree.above(unit, self.page)) for unit in published}
        if not depths:
            return
        roots = _sum(published[unit] for unit, depth in depths.items() if depth == 1)
        receivers = {unit: len(self.tree.above(unit, self.page)) for unit in self.truth.own}
        for level in range(2, max(*depths.values(), *receivers.values()) + 2):
            self.verdict.compare("sums of a level")
            at = [published[unit] for unit, depth in depths.items() if depth == level]
            higher = [self._of(one) for unit, one in self.truth.own.items() if one and receivers[unit] < level]
            if difference := _sum([*at, *higher]).differs_from(roots):
                self.verdict.add(Name.BROKEN_SUM, f"level {level} of {self.page}", difference)

    def _of(self, entry: Entry) -> Said:
        return Said(wire(self.form, entry.table), 1, int(entry.kind == "nil"), int(entry.entered))

    def _explained(self, unit: str, where: str, said: Said, true: Said) -> tuple[Name, str, str]:
        """The anomaly's name: one report missing or twice explains the difference, or nothing does."""
        difference = said.differs_from(true)
        missing, extra = true.minus(said), said.minus(true)
        for entry in self.entries:
            if unit not in self.tree.above(entry.unit, self.page):
                continue
            alone = self._of(entry)
            source = "report {}:{} of {}".format(*source_of(entry.place), entry.unit)
            if missing == alone:
                return Name.LOST_UPDATE, where, f"{source} is missing: {difference}"
            if extra == alone or (extra.table and extra.table == alone.table and not extra.reported):
                return Name.DUPLICATE, where, f"{source} is in it twice: {difference}"
            stands = self.truth.own.get(entry.unit)
            if stands is not None and stands is not entry and missing == self._of(stands).minus(alone):
                return Name.LOST_UPDATE, where, f"holds {source}, which was replaced: {difference}"
        return Name.WRONG_VALUE, where, difference


def _sum(parts: Iterator[Said] | Sequence[Said]) -> Said:
    whole = Total()
    for part in parts:
        whole.add(dict(part.table))
        whole.count(part.reported, part.nil, part.entered)
    rows = tuple(sorted((about, tuple(vector)) for about, vector in whole.table.items() if any(vector)))
    return Said(rows, whole.reported, whole.nil, whole.entered)
