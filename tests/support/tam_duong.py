"""The synthetic week of Tam Đường as a read model: the demo's files, folded by the tests' own additions, and stored.

What stands in for ingest and rollup is `FigureLog`; the writer's store and the reader are the product's.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path

from consumers.read_model.database import FILE_NAME
from consumers.read_model.store import Partition, Store
from schemas.catalogue import Catalogue
from schemas.figure import State
from schemas.form import FormId
from schemas.log import Record
from schemas.report import Cell
from schemas.unit import UnitCode
from tests.support.figures import Sent
from tests.support.read_model import FigureLog, store_at
from tests.support.released import released_catalogue

WEEK = Path(__file__).resolve().parents[2] / "deploy" / "demo" / "tam-duong"
FORMS = ("vaccination-daily", "testing-daily", "support-payout")
DISTRICT = "106"
DAY = date(2021, 12, 14)


@lru_cache(maxsize=1)
def catalogue() -> Catalogue:
    """The released forms and code lists, and Lai Châu's part of the units."""
    whole = released_catalogue()
    kept = {"VN", *whole.units.subtree(UnitCode("12"), DAY)}
    files = dict(whole.files)
    for name in ("units/vn.csv", "lines/ubnd.csv"):
        head, *lines = files[name].decode().splitlines()
        files[name] = "\n".join([head, *(line for line in lines if line.split(",")[0] in kept)]).encode() + b"\n"
    return Catalogue(files)


def sends(form_id: str, first: date = date(2021, 12, 13)) -> Iterator[Sent]:
    """A form's sends of the week in the order they were published, as reports with revisions."""
    form = catalogue().form_in_force(FormId(form_id), DAY)
    assert form is not None
    groups: dict[tuple[str, str, str, str], list[dict[str, str]]] = {}
    with (WEEK / f"{form_id}.csv").open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            if date.fromisoformat(line["period"]) >= first:
                key = (line["published_at"], line["unit"], line["period"], line["sent_by"])
                groups.setdefault(key, []).append(line)
    revisions: dict[tuple[str, str, str], int] = {}
    for (published, unit, period, by), lines in sorted(groups.items()):
        revision = revisions[unit, period, by] = revisions.get((unit, period, by), 0) + 1
        at = int(datetime.fromisoformat(published).timestamp() * 1000)
        state = {"report": State.REPORT, "nil": State.NIL, "withdrawal": State.WITHDRAWAL}[lines[0]["kind"]]
        rows: list[tuple[tuple[str, Cell], ...]] = []
        for line in lines if state is State.REPORT else ():
            about: list[tuple[str, Cell]] = [(dimension.name, line[dimension.name]) for dimension in form.dimensions]
            rows.append((*about, *((measure.name, int(line[measure.name])) for measure in form.measures)))
        yield Sent(unit, form_id, date.fromisoformat(period), revision, (0, 0), state, tuple(rows), by, at, at)


@dataclass
class TamDuong:
    """A read model of the week in a data folder, to which more can be sent."""

    data: Path
    log: FigureLog = field(default_factory=lambda: FigureLog(catalogue()))
    stored: list[int] = field(default_factory=list)
    sources: int = 0

    def __post_init__(self) -> None:
        self.store: Store = store_at(self.data / FILE_NAME)
        self.stored = [0] * len(self.log.partitions)
        self._applied_catalogue = False

    def send(self, sent: Sequence[Sent], *, totals: bool = True) -> None:
        """Append reports with the totals above them, and store what is new. `totals` False: only the reports."""
        for one in sent:
            self.sources += 1
            self.log.report(replace(one, source=(0, self.sources)), totals=totals)
        batch: dict[Partition, Sequence[Record]] = dict(self.log.batch())
        if self._applied_catalogue:
            batch = {key: records for key, records in batch.items() if key[0] != "acts"}
        self._applied_catalogue = True
        for (topic, partition), records in list(batch.items()):
            if topic != "acts":
                batch[topic, partition] = records[self.stored[partition] :]
                self.stored[partition] = len(records)
        self.store.apply({key: records for key, records in batch.items() if records})


def week(data: Path, forms: Sequence[str] = FORMS) -> TamDuong:
    """The whole week, stored."""
    made = TamDuong(data)
    found = sorted((one for form in forms for one in sends(form)), key=lambda one: one.accepted_at)
    made.send(found, totals=False)
    for form, day in sorted({(one.form, one.day) for one in found}):
        made.log.totals(DISTRICT, form, day)
    made.send([])
    return made
