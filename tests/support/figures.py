"""Contributions for tests, and what they must come to, by other code than the ledger: dictionaries, one at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from schemas.catalogue import Catalogue
from schemas.figure import Figure, FigureKind, ScopeCode, Slot, State, days_since_1970, pack_table
from schemas.form import AcrossUnits, Form, FormId
from schemas.period import PeriodText
from schemas.report import Cell, Digest, KeyId, Millis, Offset, Revision
from schemas.unit import UBND, UnitCode

Cells = dict[tuple[str, ...], tuple[int | None, ...]]


@dataclass(frozen=True)
class Sent:
    """One accepted report, as a test writes it."""

    unit: str
    form: str
    day: date
    revision: int
    source: tuple[int, int]
    state: State = State.REPORT
    rows: tuple[tuple[tuple[str, Cell], ...], ...] = ()
    entered_by: str = ""
    accepted_at: int = 0
    issued_at: int = 0

    @property
    def content(self) -> bytes:
        return hashlib.sha256(repr((self.state, sorted(self.rows))).encode()).digest()


def receiver_of(catalogue: Catalogue, sent: Sent) -> UnitCode:
    code = UnitCode(sent.unit)
    superior = catalogue.units.superior(code, sent.day)
    return code if superior is None or catalogue.units.has_children(code, sent.day) else superior


def as_figure(catalogue: Catalogue, sent: Sent) -> Figure:
    form = catalogue.form_in_force(FormId(sent.form), sent.day)
    unit = catalogue.units.unit(UnitCode(sent.unit), sent.day)
    assert form is not None
    assert unit is not None
    values, given, dims = pack_table(form, [dict(row) for row in sent.rows])
    return Figure(
        kind=FigureKind.OWN,
        state=sent.state,
        form=form.id,
        scope=ScopeCode.OWN,
        line=UBND,
        period=PeriodText(sent.day.isoformat()),
        slot=Slot.ENTERED if sent.entered_by else Slot.OWN,
        unit=unit.code,
        valid_from=days_since_1970(unit.valid_from),
        form_version=form.fingerprint,
        epoch=catalogue.epoch,
        catalogue=catalogue.serial,
        values=values,
        given=given,
        dims=dims,
        revision=Revision(sent.revision),
        source_partition=sent.source[0],
        source_offset=Offset(sent.source[1]),
        accepted_at=Millis(sent.accepted_at),
        issued_at=Millis(sent.issued_at),
        digest=Digest(sent.content),
        entered_by=sent.entered_by,
        kid=KeyId(f"kid-{sent.entered_by or sent.unit}-1"),
    )


@dataclass
class Expected:
    """What a unit's total must be."""

    table: Cells = field(default_factory=dict)
    reported: int = 0
    nil: int = 0
    entered: int = 0
    accepted: list[int] = field(default_factory=list)


def standing(reports: Iterable[Sent]) -> dict[tuple[str, str, date], Sent]:
    """The report that counts for each (unit, form, day): the own one unless empty or withdrawn, then the entered."""
    slots: dict[tuple[str, str, date, bool], Sent] = {}
    for sent in reports:
        key = (sent.unit, sent.form, sent.day, bool(sent.entered_by))
        best = slots.get(key)
        if best is None or (-sent.revision, sent.source) < (-best.revision, best.source):
            slots[key] = sent
    counted: dict[tuple[str, str, date], Sent] = {}
    for (unit, form, day, entered), sent in sorted(slots.items(), key=lambda item: not item[0][3]):
        if sent.state is not State.WITHDRAWAL:
            counted[unit, form, day] = sent
        elif entered:
            counted.pop((unit, form, day), None)
    return counted


def expected_totals(catalogue: Catalogue, reports: Sequence[Sent]) -> dict[tuple[str, str, date], Expected]:
    """Totals of every unit that has units below it, or is a root, by adding each standing report at each level."""
    totals: dict[tuple[str, str, date], Expected] = {}
    for sent in reports:
        for code in _upwards(catalogue, sent):
            totals.setdefault((code, sent.form, sent.day), Expected())
    for (_, form_id, day), sent in standing(reports).items():
        form = catalogue.form_in_force(FormId(form_id), day)
        assert form is not None
        for code in _upwards(catalogue, sent):
            total = totals[code, form_id, day]
            total.reported += 1
            total.nil += sent.state is State.NIL
            total.entered += bool(sent.entered_by)
            total.accepted.append(sent.accepted_at)
            for row in sent.rows:
                _add(form, total.table, dict(row))
    for total_key, total in totals.items():
        form = catalogue.form_in_force(FormId(total_key[1]), total_key[2])
        assert form is not None
        total.table = {about: cells for about, cells in total.table.items() if _shown(form, cells)}
    return totals


def _upwards(catalogue: Catalogue, sent: Sent) -> list[str]:
    code: UnitCode | None = receiver_of(catalogue, sent)
    found: list[str] = []
    while code is not None:
        found.append(code)
        code = catalogue.units.superior(code, sent.day)
    return found


def _add(form: Form, table: Cells, row: Mapping[str, Cell]) -> None:
    about = tuple(str(row[dimension.name]) for dimension in form.dimensions)
    old = table.get(about, tuple(None if m.optional else 0 for m in form.measures))
    new: list[int | None] = []
    for measure, before in zip(form.measures, old, strict=True):
        cell = row.get(measure.name)
        if measure.across_units is AcrossUnits.NONE or cell is None:
            new.append(before)
        else:
            new.append((before or 0) + int(cell))
    table[about] = tuple(new)


def _shown(form: Form, cells: tuple[int | None, ...]) -> bool:
    return any(
        cell if not measure.optional else cell is not None for measure, cell in zip(form.measures, cells, strict=True)
    )
