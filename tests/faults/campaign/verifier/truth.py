"""What every figure of one page must be, straight from the reports: each standing report is added at each level above.

No ledger and no recursion: whoever is above a unit on the page's last day gets the unit's table. Done twice, from what
the generator was acknowledged and from `reports` itself, and both must come to the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from schemas.form import Form
from tests.faults.campaign.verifier.codes import under_codes_of
from tests.faults.campaign.verifier.reading import COUNTED
from tests.faults.campaign.verifier.tables import Said, Table, Total, table_of_rows, table_of_text
from tests.faults.campaign.verifier.work import Page, Tree, Work

_OF_LOG = f"""SELECT unit, entered_by != '', revision, partition, offset, kind, tbl, digest FROM report
WHERE page = ? AND fate = '{COUNTED}' ORDER BY unit, entered_by != '', partition, offset"""
_OF_SENT = """SELECT s.unit, s.entered_by != '', s.revision, s.kind, s.rows, s.digest,
    (SELECT min(a.partition * ?2 + a.offset) FROM acked a JOIN sent t ON t.send = a.send
        WHERE t.event = s.event AND t.digest = s.digest AND a.offset >= 0),
    (SELECT min(r.partition * ?2 + r.offset) FROM report r WHERE r.event = s.event AND r.digest = s.digest),
    EXISTS (SELECT 1 FROM acked a JOIN sent t ON t.send = a.send WHERE t.event = s.event AND t.digest = s.digest)
FROM sent s WHERE s.page = ?1 AND s.refused = '' GROUP BY s.event, s.digest"""
_OFFSETS = 1 << 40


@dataclass(frozen=True, slots=True)
class Entry:
    """One report that may stand."""

    unit: str
    entered: bool
    revision: int
    place: int
    """Where it is in `reports`, as one number: the lower goes before."""
    kind: str
    table: Table
    digest: str


@dataclass(slots=True)
class Truth:
    """What must be shown of one page: `totals` of superiors, `own` of each unit that reported, None where withdrawn."""

    totals: dict[str, Total] = field(default_factory=dict)
    own: dict[str, Entry | None] = field(default_factory=dict)

    def said(self, form: Form, unit: str) -> Said | None:
        """The total of a unit as it must be published."""
        total = self.totals.get(unit)
        return None if total is None else total.said(form)


def entries_in_log(work: Work, page: Page) -> Iterator[Entry]:
    """The reports of a page that are in the log and must be counted."""
    for unit, entered, revision, partition, offset, kind, table, digest in work.rows(_OF_LOG, page.text):
        yield Entry(unit, bool(entered), revision, partition * _OFFSETS + offset, kind, table_of_text(table), digest)


def entries_sent(work: Work, tree: Tree, page: Page) -> Iterator[Entry]:
    """The sends of a page that were acknowledged, or are in the log all the same, in the sender's own words."""
    form = tree.form(page.form, page.last_day)
    for unit, entered, revision, kind, rows, digest, acked_at, log_at, acked in work.rows(
        _OF_SENT, page.text, _OFFSETS
    ):
        if not acked and log_at is None:
            continue
        place = min((at for at in (acked_at, log_at) if at is not None), default=0)
        counted = under_codes_of(page.last_day, tree.catalogue, form, json.loads(rows)) or []
        yield Entry(unit, bool(entered), revision, place, kind, table_of_rows(form, counted), digest)


def truth_of(entries: Iterable[Entry], tree: Tree, page: Page) -> Truth:
    """Who stands, and what everybody above must show."""
    slots: dict[tuple[str, bool], Entry] = {}
    for entry in entries:
        stands = slots.get((entry.unit, entry.entered))
        if stands is None or (entry.revision, -entry.place) > (stands.revision, -stands.place):
            slots[entry.unit, entry.entered] = entry
    truth = Truth()
    for unit in {unit for unit, _ in slots}:
        own, entered = slots.get((unit, False)), slots.get((unit, True))
        counts = next((one for one in (own, entered) if one is not None and one.kind != "withdrawal"), None)
        truth.own[unit] = counts
        for above in tree.above(unit, page):
            total = truth.totals.setdefault(above, Total())
            if counts is not None:
                total.add(counts.table)
                total.count(1, int(counts.kind == "nil"), int(counts.entered))
    return truth


def outcomes_of(entries: Iterable[Entry]) -> Iterator[tuple[int, str]]:
    """What each report becomes, by place, from the order of the log alone; entries as `entries_in_log` gives them.

    All reports of one slot have one key and so one partition: the later one never has the lower source.
    """
    slot: tuple[str, bool] | None = None
    revision, digest = 0, ""
    for entry in entries:
        if (entry.unit, entry.entered) != slot:
            slot, revision, digest = (entry.unit, entry.entered), 0, ""
        if entry.revision > revision:
            revision, digest = entry.revision, entry.digest
            yield entry.place, "accepted"
        elif entry.revision < revision:
            yield entry.place, "superseded"
        else:
            yield entry.place, "duplicate" if entry.digest == digest else "conflict"


def source_of(place: int) -> tuple[int, int]:
    """Partition and offset of a place."""
    return place // _OFFSETS, place % _OFFSETS
