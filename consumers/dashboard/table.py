"""Tables as the page shows them: headings in the manner of the official forms, cells with their reason when empty.

A measure that must not be added stays empty here too (design decision 4), with a word that says so: an empty cell
without one would be read as zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from schemas import words
from schemas.catalogue import Catalogue
from schemas.form import AcrossUnits, Form, Measure, OverTime
from schemas.read_model import FigureRow

_NOT_ADDED = "không cộng được"
_NOT_ADDED_WHY = "Chỉ tiêu này không được cộng gộp"


@dataclass(frozen=True, slots=True)
class Cell:
    """A number, or why there is none."""

    text: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class HeadCell:
    """A heading over one or several columns, one or two lines high."""

    text: str
    across: int = 1
    down: int = 1


@dataclass(frozen=True, slots=True)
class Head:
    """The measures' headings. `lower` is empty where none is grouped. `units`: what each column counts."""

    upper: tuple[HeadCell, ...]
    lower: tuple[str, ...]
    units: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TableRow:
    """One tuple of dimensions in words, and its numbers."""

    labels: tuple[str, ...]
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Figures of one unit. `total`: over all rows, None where there is only one."""

    dimensions: tuple[str, ...]
    rows: tuple[TableRow, ...]
    total: tuple[Cell, ...] | None


def head(form: Form) -> Head:
    """`Số tiêm được: Mũi 1`, `Số tiêm được: Mũi 2` become one heading over two, as on the paper form."""
    split = [_label(measure).partition(": ") for measure in form.measures]
    upper: list[HeadCell] = []
    lower: list[str] = []
    at = 0
    while at < len(split):
        prefix, colon, _ = split[at]
        end = at + 1
        while colon and end < len(split) and split[end][:2] == (prefix, colon):
            end += 1
        if end - at > 1:
            upper.append(HeadCell(prefix, end - at))
            lower += [name for _, _, name in split[at:end]]
        else:
            upper.append(HeadCell("".join(split[at]), 1, 2))
        at = end
    if not lower:
        upper = [HeadCell(cell.text) for cell in upper]
    return Head(tuple(upper), tuple(lower), tuple(words.unit_of_measure(m.unit) for m in form.measures))


def figure_table(catalogue: Catalogue, form: Form, rows: Sequence[FigureRow], *, leaf: bool, summed: bool) -> Table:
    """The rows of one unit in words."""
    shown = [
        TableRow(_labels(catalogue, form, row), cells(form, row.measures, row.units_reported, leaf=leaf, summed=summed))
        for row in rows
    ]
    total = None
    if len(rows) > 1:
        total = cells(form, across(form, rows), rows[0].units_reported, leaf=False, summed=summed)
    return Table(tuple(dimension.label_vi for dimension in form.dimensions), tuple(shown), total)


def across(form: Form, rows: Sequence[FigureRow]) -> tuple[int | None, ...]:
    """Sums over all rows of one unit; None for what must not be added and for what nobody gave."""
    if len(rows) == 1:
        return rows[0].measures
    found: list[int | None] = []
    for position, measure in enumerate(form.measures):
        given = [cell for row in rows if (cell := row.measures[position]) is not None]
        found.append(sum(given) if given and measure.across_units is AcrossUnits.SUM else None)
    return tuple(found)


def cells(form: Form, numbers: Sequence[int | None], reported: int, *, leaf: bool, summed: bool) -> tuple[Cell, ...]:
    """Numbers in the form's columns, grouped the Vietnamese way."""
    return tuple(
        Cell(words.number(value)) if value is not None else _empty(measure, reported, leaf=leaf, summed=summed)
        for measure, value in zip(form.measures, numbers, strict=True)
    )


def _empty(measure: Measure, reported: int, *, leaf: bool, summed: bool) -> Cell:
    if not reported:
        return Cell("–", "Báo cáo đã rút")
    if measure.across_units is AcrossUnits.NONE and not leaf:
        return Cell(_NOT_ADDED, f"{_NOT_ADDED_WHY} giữa các đơn vị hoặc các dòng")
    if summed and measure.over_time is OverTime.NONE:
        return Cell(_NOT_ADDED, f"{_NOT_ADDED_WHY} qua nhiều ngày")
    return Cell("–", "Không đơn vị nào ghi chỉ tiêu này")


def _label(measure: Measure) -> str:
    return measure.label_vi.removesuffix(f" ({words.unit_of_measure(measure.unit)})")


def _labels(catalogue: Catalogue, form: Form, row: FigureRow) -> tuple[str, ...]:
    if not any(row.dims):
        return tuple("không phát sinh" if row.units_reported else "đã rút báo cáo" for _ in form.dimensions[:1])
    return tuple(
        entry.label_vi if (entry := catalogue.codes[dimension.code_list].get(code)) else code
        for dimension, code in zip(form.dimensions, row.dims, strict=True)
    )
