"""The first page: which forms have figures and up to when, the roots, the units below them, and search by name."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from consumers.dashboard.frame import Link
from consumers.dashboard.question import Question
from schemas import words
from schemas.catalogue import Catalogue
from schemas.read_model import FigureQuery, FormPeriods, ReadModel
from schemas.unit import UBND, Unit, UnitCode

FOUND_AT_MOST = 50


@dataclass(frozen=True, slots=True)
class Newest:
    """A form of a root with its newest period; without a period: nobody has reported it yet."""

    label: str
    newest: Link | None
    reported: str


@dataclass(frozen=True, slots=True)
class Root:
    """A unit without a superior: its forms, and the units right below it; `having`: those with figures."""

    name: str
    address: str
    forms: tuple[Newest, ...]
    having: tuple[Link, ...]
    others: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class Home:
    """The first page. `found`: None where nothing was searched."""

    roots: tuple[Root, ...]
    asked: str
    found: tuple[Link, ...] | None
    more: bool


def home(model: ReadModel, asked: str, today: date) -> Home:
    """What the first page shows. `today` counts only while nobody has reported."""
    catalogue = model.catalogue()
    having = tuple(found for found in model.form_periods() if found.line == UBND)
    day = max((found.periods[-1].last_day for found in having), default=today)
    units = [unit for unit in catalogue.units if unit.valid_from <= day <= unit.valid_to]
    roots = [unit for unit in units if catalogue.units.superior(unit.code, day) is None
             and catalogue.units.has_children(unit.code, day)]  # fmt: skip
    shown = tuple(_root(model, catalogue, having, unit, day) for unit in roots)
    if len(shown) > 1 and having:
        shown = tuple(sorted(shown, key=lambda root: not any(form.newest for form in root.forms)))
    wanted = words.folded(asked.strip())
    if not wanted:
        return Home(shown, "", None, more=False)
    matching = sorted((unit for unit in units if wanted in words.folded(unit.name) or wanted == unit.code.lower()),
                      key=lambda unit: (len(unit.name), unit.name))  # fmt: skip
    return Home(shown, asked, tuple(_found(catalogue, unit, day) for unit in matching[:FOUND_AT_MOST]),
                more=len(matching) > FOUND_AT_MOST)  # fmt: skip


def _root(model: ReadModel, catalogue: Catalogue, having: tuple[FormPeriods, ...], root: Unit, day: date) -> Root:
    labels = {form.id: form.label_vi for form in sorted(catalogue.forms, key=lambda form: form.version)}
    forms: list[Newest] = []
    reporting: set[UnitCode] = set()
    for form_id, label in labels.items():
        newest, reported = None, ""
        for period in next((found.periods[-1:] for found in having if found.form == form_id), ()):
            asked = FigureQuery(root.code, form_id, period.first_day, period.last_day)
            if rows := model.figures(asked).rows:
                question = Question(root.code, form_id, period.first_day, period.last_day)
                newest = Link(words.days(period.first_day, period.last_day), question.address())
                reported = words.number(rows[0].units_reported)
            below = FigureQuery(root.code, form_id, period.first_day, period.last_day, children=True)
            reporting |= {row.unit for row in model.figures(below).rows}
        forms.append(Newest(label, newest, reported))
    forms.sort(key=lambda form: (form.newest is None, form.label))
    children = [unit for code in catalogue.units.children(root.code, day) if (unit := catalogue.units.unit(code, day))]
    links = [(unit.code in reporting, Link(unit.name, Question(unit.code).address())) for unit in children]
    return Root(root.name, Question(root.code).address(), tuple(forms), tuple(link for has, link in links if has),
                tuple(link for has, link in links if not has))  # fmt: skip


def _found(catalogue: Catalogue, unit: Unit, day: date) -> Link:
    names = [unit.name]
    above = catalogue.units.superior(unit.code, day)
    while above is not None:
        superior = catalogue.units.unit(above, day)
        above = catalogue.units.superior(above, day)
        if superior is not None and above is not None:
            names.append(superior.name)
    return Link(f"{', '.join(names)} ({unit.code})", Question(unit.code).address())
