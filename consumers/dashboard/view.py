"""What the page of a unit shows, read from the read model and put into words; the template only lays it out.

A view is a value without a clock: two equal views are the same page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from consumers.dashboard.coverage import Counts, Covered, covered
from consumers.dashboard.frame import Frame, Link, frame
from consumers.dashboard.question import Question, Subject
from consumers.dashboard.table import Cell, Head, Table, across, cells, figure_table, head
from schemas import words
from schemas.catalogue import Catalogue
from schemas.figure import Slot
from schemas.fulfilment import in_force
from schemas.period import Period, parse_period
from schemas.read_model import Axis, Coverage, FigureRow, OwnRevision, ReadModel, Return, RowKind
from schemas.report import Millis
from schemas.unit import Unit, UnitCode

COVERED_PERIODS = 31
"""Over more periods coverage is counted and not named: each one is a fold of its own."""
_NOW = Millis(2**62)


@dataclass(frozen=True, slots=True)
class MissingUnits:
    """Units that have not reported, by name: those below one child, or (`under` None) the children themselves."""

    under: Link | None
    units: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class Below:
    """One line of the drill-down: a child, or the unit's own report (`own`)."""

    unit: Unit
    address: str
    own: bool
    status: str
    missing: bool
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Sent:
    """One accepted revision of the unit's own report."""

    when: str
    what: str
    by: str
    standing: bool
    returned: str


@dataclass(frozen=True, slots=True)
class UnitView:
    """The page of one unit, form and stretch of days."""

    frame: Frame
    subject: Subject
    previous: Link | None
    following: Link | None
    newest: Link | None
    single: bool
    leaf: bool
    head: Head
    table: Table
    covered: Covered | None
    series: int
    newest_accepted: str
    missing: tuple[MissingUnits, ...]
    below: tuple[Below, ...]
    below_total: tuple[Cell, ...] | None
    sent: tuple[Sent, ...]
    data: str
    data_below: str


def unit_view(model: ReadModel, catalogue: Catalogue, subject: Subject) -> UnitView:
    """Ask everything the page shows. Raises ReadModelError."""
    answer = model.figures(subject.query())
    subject = replace(subject, form=answer.form)
    question, unit, form, rows = subject.question, subject.unit, subject.form, answer.rows
    leaf = not catalogue.units.has_children(unit.code, subject.last, subject.line)
    summed = subject.single is None
    found = _coverage(model, subject)
    cover = None if found is None else covered(catalogue.units, unit.code, subject.line, found)
    below, total = ((), None) if leaf else _below(model, catalogue, subject, cover, rows)
    newest = cover.newest if cover else None
    return UnitView(
        frame(catalogue, question, unit, subject.first, subject.last), subject,
        _period_link(question, subject.previous), _period_link(question, subject.following),
        _period_link(question, subject.newest), not summed, leaf, head(form),
        figure_table(catalogue, form, rows, leaf=leaf, summed=summed), cover,
        rows[0].units_reported if rows else 0, words.moment(newest) if newest and newest >= 0 else "",
        _missing(catalogue, subject, cover) if cover else (),
        below, total, _sent(model, catalogue, subject),
        _data(subject), _data(subject, children=True),
    )  # fmt: skip


def _coverage(model: ReadModel, subject: Subject) -> list[tuple[Period, Coverage]] | None:
    """By period; None where there are too many of them, or the unit was another in some."""
    question = subject.question
    periods = subject.periods
    if subject.single is not None:
        periods = (parse_period(subject.single),)
    if len(periods) > COVERED_PERIODS or any(p.last_day < subject.unit.valid_from for p in periods):
        return None
    return [
        (period, model.coverage(subject.unit.code, subject.form.id, period.text, as_of=question.as_of,
                                axis=question.axis, line=subject.line))
        for period in periods
    ]  # fmt: skip


def _missing(catalogue: Catalogue, subject: Subject, cover: Covered) -> tuple[MissingUnits, ...]:
    grouped: dict[UnitCode | None, list[Link]] = {}
    for gone in cover.missing:
        under = None if gone.under == gone.unit.code else gone.under
        name = f"{gone.unit.name} ({gone.when})" if gone.when else gone.unit.name
        grouped.setdefault(under, []).append(Link(name, subject.question.address(unit=gone.unit.code)))
    found: list[MissingUnits] = []
    for code, links in grouped.items():
        child = None if code is None else catalogue.units.unit(code, subject.last)
        heading = Link(child.name, subject.question.address(unit=child.code)) if child else None
        found.append(MissingUnits(heading, tuple(links)))
    return tuple(found)


def _below(
    model: ReadModel, catalogue: Catalogue, subject: Subject, cover: Covered | None, total: Sequence[FigureRow]
) -> tuple[tuple[Below, ...], tuple[Cell, ...] | None]:
    answer = model.figures(subject.query(children=True))
    by_unit: dict[UnitCode, list[FigureRow]] = {}
    own: list[FigureRow] = []
    for row in answer.rows:
        (own if row.kind is RowKind.OWN else by_unit.setdefault(row.unit, [])).append(row)
    # An agency is listed once a regime asks it or it has reported.
    children = catalogue.units.children(subject.unit.code, subject.last, subject.line)
    asked = cover.below if cover else {}
    codes = [code for code in children if code in asked or catalogue.units.expected(code, subject.last, subject.line)]
    codes += [code for code in by_unit if code not in codes]
    lines = [
        _line(catalogue, subject, found, by_unit.get(code, []), asked.get(code), asked=not cover or code in asked)
        for code in codes
        if (found := catalogue.units.unit(code, subject.last) or catalogue.units.versions(code)[-1])
    ]
    if own:
        lines.insert(0, _line(catalogue, subject, subject.unit, own, None, own=True))
    reported = total[0].units_reported if total else 0
    summed = subject.single is None
    return tuple(lines), (
        cells(subject.form, across(subject.form, total), reported, leaf=False, summed=summed) if total else None
    )


def _line(
    catalogue: Catalogue, subject: Subject, unit: Unit, rows: Sequence[FigureRow], counts: Counts | None, *,
    own: bool = False, asked: bool = True,
) -> Below:  # fmt: skip
    leaf = own or not catalogue.units.has_children(unit.code, subject.last, subject.line)
    single = subject.single is not None
    reported = rows[0].units_reported if rows else 0
    numbers = (
        cells(subject.form, across(subject.form, rows), reported, leaf=leaf and len(rows) == 1, summed=not single)
        if rows and reported
        else tuple(Cell("") for _ in subject.form.measures)
    )
    if leaf and single:
        status = _leaf_status(rows, asked=asked)
    elif counts is not None:
        status = f"{words.number(counts.there)}/{words.number(counts.expected)}"
    else:
        status = words.number(reported)
    missing = counts is not None and counts.missing > 0
    return Below(unit, subject.question.address(unit=unit.code), own, status, missing, numbers)


def _leaf_status(rows: Sequence[FigureRow], *, asked: bool) -> str:
    if not rows:
        return "chưa có" if asked else "không phải gửi"
    if not rows[0].units_reported:
        return "đã rút"
    return "không phát sinh" if rows[0].dims and not any(rows[0].dims) else "đã báo cáo"


def _sent(model: ReadModel, catalogue: Catalogue, subject: Subject) -> tuple[Sent, ...]:
    if subject.single is None or subject.question.as_of is not None:
        return ()  # of an earlier moment: what stands now would be marked, which is not what stood then
    found = model.history(subject.unit.code, subject.form.id, subject.single, subject.line)
    back = {one.about.source: one for one in in_force(model.returns(), _NOW, Axis.ACCEPTED)} if found else {}
    return tuple(_revision(catalogue, subject, revision, back.get(revision.source)) for revision in found)


def _revision(catalogue: Catalogue, subject: Subject, revision: OwnRevision, back: Return | None) -> Sent:
    by = ""
    if revision.slot is Slot.ENTERED:
        other = catalogue.units.unit(UnitCode(revision.entered_by), subject.last)
        by = f"{other.name if other else revision.entered_by} nhập hộ"
    what = words.KINDS[revision.kind]
    if revision.revision > 1:
        what += f", lần {revision.revision}"
    returned = f"yêu cầu chỉnh lý: {back.about.reason}" if back else ""
    return Sent(words.moment(revision.accepted_at), what, by, revision.standing, returned)


def _period_link(question: Question, period: Period | None) -> Link | None:
    if period is None:
        return None
    return Link(words.days(period.first_day, period.last_day),
                question.address(first=period.first_day, last=period.last_day))  # fmt: skip


def _data(subject: Subject, *, children: bool = False) -> str:
    given = {"unit": subject.unit.code, **subject.question.parameters()}
    if subject.single is None:
        given["sum"] = "1"
    if children:
        given["children"] = "1"
    return f"/api/figures?{urlencode(given)}"
