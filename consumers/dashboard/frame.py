"""What all pages of a unit have in common: where it stands, the other pages about it, the days and lines to choose."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from consumers.dashboard.question import Question, as_of_text
from schemas import words
from schemas.catalogue import Catalogue
from schemas.read_model import Axis
from schemas.unit import UBND, LineName, Unit

PAGES = {"": "Số liệu", "obligations": "Báo cáo phải gửi", "findings": "Cần kiểm tra", "indicators": "Chỉ số"}
"""The pages of a unit, by the end of their address."""
_PLACED_AT_MOST = 30


@dataclass(frozen=True, slots=True)
class Link:
    """Something to go to."""

    text: str
    address: str


@dataclass(frozen=True, slots=True)
class Tab:
    """Another page about the same unit and days."""

    text: str
    address: str
    current: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several that a visitor may choose."""

    value: str
    text: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class Frame:
    """Above every page of a unit. `lines` is empty where it stands on one only; `as_of` where the present is shown."""

    unit: Unit
    level: str
    when: str
    superiors: tuple[Link, ...]
    tabs: tuple[Tab, ...]
    lines: tuple[Choice, ...]
    line: str
    line_field: str
    form_field: str
    placed: tuple[Link, ...]
    first: date
    last: date
    page: str
    here: str
    as_of: str
    as_of_field: str
    axes: tuple[Choice, ...]
    issued: bool
    now: str


def frame(catalogue: Catalogue, question: Question, unit: Unit, first: date, last: date, page: str = "") -> Frame:
    """For a resolved question; the tabs keep its days, moment and line."""
    line = question.line or UBND
    as_of = question.as_of
    issued = question.axis is Axis.ISSUED
    axes = (
        Choice(Axis.ACCEPTED.value, "lúc tiếp nhận", not issued),
        Choice(Axis.ISSUED.value, "lúc đơn vị ký gửi", issued),
    )
    return Frame(
        unit, words.level(unit.level) if not unit.is_organisation else unit.kind.label_vi, words.days(first, last),
        _superiors(catalogue, question, line, last),
        tuple(Tab(text, question.address(name), name == page) for name, text in PAGES.items()),
        _lines(catalogue, unit, line, last), "" if line == UBND else words.line(line),
        "" if line == UBND else line, question.form or "",
        _placed(catalogue, question, unit, last, page), first, last, page, question.address(page),
        "" if as_of is None else words.moment(as_of), "" if as_of is None else as_of_text(as_of), axes, issued,
        question.address(page, as_of=None),
    )  # fmt: skip


def _superiors(catalogue: Catalogue, question: Question, line: LineName, day: date) -> tuple[Link, ...]:
    found: list[Link] = []
    above = catalogue.units.superior(question.unit, day, line)
    while above is not None:
        unit = catalogue.units.unit(above, day)
        found.insert(0, Link(unit.name if unit else above, question.address(unit=above)))
        above = catalogue.units.superior(above, day, line)
    return tuple(found)


def _lines(catalogue: Catalogue, unit: Unit, chosen: LineName, day: date) -> tuple[Choice, ...]:
    units = catalogue.units
    names = [line for line in sorted({*units.lines, UBND}, key=lambda line: (line != UBND, line))
             if line == chosen or units.stands_on(line, unit.code, day)]  # fmt: skip
    return tuple(Choice(name, words.line(name), name == chosen) for name in names) if len(names) > 1 else ()


def _placed(catalogue: Catalogue, question: Question, unit: Unit, day: date, page: str) -> tuple[Link, ...]:
    """The agencies that lie in a place: those of other lines are found by nobody else's drill-down."""
    found = catalogue.units.placed_in(unit.code, day)
    return tuple(
        Link(one.name, question.address(page, unit=one.code, form=None, line=None)) for one in found[:_PLACED_AT_MOST]
    )
