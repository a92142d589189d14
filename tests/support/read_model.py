"""A log of `figures` for the read model's tests, and what it must answer: made by adding reports one at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

from consumers.read_model.database import open_writer
from consumers.read_model.reader import SqliteReadModel
from consumers.read_model.store import Partition, Store
from schemas.act import ACT_TYPE, Act, CatalogueReleased
from schemas.catalogue import RELEASED, Catalogue
from schemas.codec import encode_act, encode_figure
from schemas.figure import Figure, FigureKind, ScopeCode, Slot, State, days_since_1970, pack_table
from schemas.form import AcrossUnits, Form, FormId
from schemas.log import Record
from schemas.period import PeriodText
from schemas.read_model import Axis, FigureRow, RowKind
from schemas.register import Registers
from schemas.report import Cell, KeyId, Millis, Offset
from schemas.signature import Ed25519Key, sign
from schemas.topics import ACTS, FIGURES, RECEIPTS, REJECTED
from schemas.unit import UBND, UnitCode
from tests.support.figures import Expected, Sent, as_figure, expected_totals, receiver_of, standing

# a2 answers to A until the 13th and to B from the 14th on; b2 has nobody below it until c1 comes.
TREE = """code,name,level,parent,valid_from,valid_to
R,Nước,nation,,2021-01-01,
A,Tỉnh A,province,R,2021-01-01,
B,Tỉnh B,province,R,2021-01-01,
a1,Xã a1,commune,A,2021-01-01,
a2,Xã a2,commune,A,2021-01-01,2021-12-13
a2,Xã a2 mới,commune,B,2021-12-14,
b1,Xã b1,commune,B,2021-01-01,
b2,Huyện b2,district,B,2021-01-01,
c1,Xã c1,commune,b2,2021-12-14,
"""
CATALOGUE = Catalogue(
    {
        name: content
        for name, content in Catalogue.from_folder(
            RELEASED, Path(__file__).parents[1] / "data" / "catalogue"
        ).files.items()
        if name.startswith(("codes/", "forms/covid", "forms/stock"))
    }
).with_tree(TREE, "small")
DAYS = (date(2021, 12, 13), date(2021, 12, 14), date(2021, 12, 15))
UNITS = ("R", "A", "B", "a1", "a2", "b1", "b2", "c1")
FORMS = (FormId("covid-doses"), FormId("stock-count"))
PARTITIONS = 3
OPERATOR = Ed25519Key(KeyId("operator-1"), bytes(range(32)))
CLUSTER = "cluster-1"
TOPIC_IDS = {topic: f"id-of-{topic}" for topic in (ACTS, FIGURES, RECEIPTS, REJECTED)}
ALL_PARTITIONS: tuple[Partition, ...] = (
    (ACTS, 0),
    *((topic, p) for topic in (FIGURES, RECEIPTS, REJECTED) for p in range(PARTITIONS)),
)


def catalogue_act(catalogue: Catalogue = CATALOGUE, signer: Ed25519Key = OPERATOR, offset: int = 0) -> Record:
    """The record of `acts` that releases a catalogue."""
    body = CatalogueReleased(catalogue.epoch, catalogue.serial, catalogue.digest, catalogue.bundle)
    signed = sign(
        signer,
        key=b"operator",
        value=encode_act(Act("1", Millis(1), body)),
        event_type=ACT_TYPE,
        event_id="1",
        time="2021-01-01T00:00:00Z",
    )
    return Record(ACTS, 0, Offset(offset), Millis(1), signed.key, signed.value, signed.headers)


@dataclass
class FigureLog:
    """`figures` as ingest and rollup would write it, with every total made anew from all reports so far."""

    catalogue: Catalogue = field(default_factory=lambda: CATALOGUE)
    partitions: list[list[Record]] = field(default_factory=lambda: [[] for _ in range(PARTITIONS)])
    reports: list[Sent] = field(default_factory=list)
    newest: dict[tuple[str, str, date], int] = field(default_factory=dict)
    """Offset of the newest contribution to a unit's total."""

    def report(self, sent: Sent, *, totals: bool = True) -> int:
        """Append a report, and the totals above it that it changes. Returns its offset."""
        if sent.source not in {known.source for known in self.reports}:
            self.reports.append(sent)
        receiver = receiver_of(self.catalogue, sent)
        offset = self._append(receiver, as_figure(self.catalogue, sent), sent.accepted_at)
        self.newest[receiver, sent.form, sent.day] = offset
        if totals:
            self.totals(receiver, sent.form, sent.day)
        return offset

    def totals(self, code: str, form: str, day: date) -> None:
        """Append the total of a unit and of all above it, as the reports so far make them."""
        made = expected_totals(self.catalogue, self.reports)
        here: UnitCode | None = UnitCode(code)
        while here is not None:
            above = self.catalogue.units.superior(here, day)
            total = self.as_total(here, form, day, made[here, form, day])
            offset = self._append(above or here, total, total.newest_accepted)
            if above is not None:
                self.newest[above, form, day] = offset
            here = above

    def as_total(self, code: str, form_id: str, day: date, total: Expected) -> Figure:
        form = self.catalogue.form_in_force(FormId(form_id), day)
        unit = self.catalogue.units.unit(UnitCode(code), day)
        assert form is not None
        assert unit is not None
        names = [*(d.name for d in form.dimensions), *(m.name for m in form.measures)]
        rows: list[dict[str, Cell]] = [
            dict(zip(names, (*dims, *cells), strict=True)) for dims, cells in total.table.items()
        ]
        values, given, dims = pack_table(form, rows)
        state = State.WITHDRAWAL if not total.reported else State.NIL if total.reported == total.nil else State.REPORT
        superior = self.catalogue.units.superior(unit.code, day)
        return Figure(
            kind=FigureKind.TOTAL if superior else FigureKind.ROOT,
            state=state,
            form=form.id,
            scope=ScopeCode.OWN,
            line=UBND,
            period=PeriodText(day.isoformat()),
            slot=Slot.TOTAL,
            unit=unit.code,
            valid_from=days_since_1970(unit.valid_from),
            form_version=form.fingerprint,
            epoch=self.catalogue.epoch,
            catalogue=1,
            values=values,
            given=given,
            dims=dims,
            version=self.newest[code, form_id, day],
            reported=total.reported,
            nil=total.nil,
            entered=total.entered,
            first_accepted=Millis(min(total.accepted, default=-1)),
            newest_accepted=Millis(max(total.accepted, default=-1)),
        )

    def _append(self, key: str, figure: Figure, time: int) -> int:
        partition = sum(key.encode()) % PARTITIONS
        records = self.partitions[partition]
        records.append(
            Record(
                FIGURES, partition, Offset(len(records)), Millis(max(time, 0)), key.encode(), encode_figure(figure), ()
            )
        )
        return len(records) - 1

    def batch(self) -> dict[Partition, Sequence[Record]]:
        """The whole log, and the act that releases its catalogue."""
        found: dict[Partition, Sequence[Record]] = {(FIGURES, p): records for p, records in enumerate(self.partitions)}
        return {(ACTS, 0): [catalogue_act(self.catalogue)], **found}


def store_at(path: Path) -> Store:
    """A writer's store on a database bound to the tests' cluster."""
    store = Store(open_writer(path), Registers(OPERATOR.public, 0))
    store.adopt(CLUSTER, TOPIC_IDS, ALL_PARTITIONS)
    return store


@contextmanager
def reading(path: Path) -> Iterator[SqliteReadModel]:
    with closing(SqliteReadModel(path)) as model:
        yield model


def lines(catalogue: Catalogue, reports: Iterable[Sent], unit: str, form_id: str) -> list[FigureRow]:
    """What `figures` must print for a unit, period by period, without versions."""
    reports = [sent for sent in reports if sent.form == form_id]
    totals, counting = expected_totals(catalogue, reports), standing(reports)
    found: list[FigureRow] = []
    for day in DAYS:
        form = catalogue.form_in_force(FormId(form_id), day)
        assert form is not None
        if catalogue.units.has_children(UnitCode(unit), day):
            if (total := totals.get((unit, form_id, day))) is not None:
                table = {dims: _blanked(form, cells) for dims, cells in total.table.items()}
                found += _printed(form, unit, day, table, total.reported, only_nil=total.nil == total.reported)
        elif any(sent.unit == unit and sent.day == day for sent in reports):
            sent = counting.get((unit, form_id, day))
            rows = [dict(row) for row in sent.rows] if sent else []
            table = {
                tuple(str(row[d.name]) for d in form.dimensions): tuple(_cell(row.get(m.name)) for m in form.measures)
                for row in rows
            }
            found += _printed(form, unit, day, table, int(sent is not None), only_nil=True, leaf=True)
    return found


def _cell(value: Cell) -> int | None:
    return None if value is None else int(value)


def _blanked(form: Form, cells: Sequence[int | None]) -> tuple[int | None, ...]:
    return tuple(
        None if measure.across_units is AcrossUnits.NONE else cell
        for measure, cell in zip(form.measures, cells, strict=True)
    )


def _printed(
    form: Form,
    unit: str,
    day: date,
    table: dict[tuple[str, ...], tuple[int | None, ...]],
    reported: int,
    *,
    only_nil: bool,
    leaf: bool = False,
) -> list[FigureRow]:
    if not reported:
        table = {("",) * len(form.dimensions): (None,) * len(form.measures)}
    elif not table:
        nothing = tuple(
            None if (m.across_units is AcrossUnits.NONE and not leaf) or (m.optional and not only_nil) else 0
            for m in form.measures
        )
        table = {("",) * len(form.dimensions): nothing}
    return [
        FigureRow(UnitCode(unit), form.id, day.isoformat(), RowKind.TOTAL, dims, table[dims], reported, "")
        for dims in sorted(table)
    ]


def known_at(reports: Iterable[Sent], moment: int, axis: Axis) -> list[Sent]:
    """Reports that were there at that moment."""
    return [sent for sent in reports if (sent.accepted_at if axis is Axis.ACCEPTED else sent.issued_at) <= moment]


def without_version(rows: Iterable[FigureRow]) -> list[FigureRow]:
    return [replace(row, version="") for row in rows]


def doses(
    unit: str,
    day: date,
    number: int,
    *,
    revision: int = 1,
    source: tuple[int, int] = (0, 0),
    at: int = 1000,
    issued: int | None = None,
    state: State = State.REPORT,
    entered_by: str = "",
) -> Sent:
    """A report of `covid-doses`: dose1 is `number`, the others 0."""
    rows = ((("dose1", number), ("dose2", 0), ("dose3", 0), ("dose4", 0)),) if state is State.REPORT else ()
    return Sent(
        unit, "covid-doses", day, revision, source, state, rows, entered_by, at, at if issued is None else issued
    )
