"""The two pages of our own workbooks that are about all forms: the cover with its marks, and the texts beside figures.

Both are plain tables known by their headings, so a copied or renamed page still says what it says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from producers.sheets.book import Book, Page, Place
from producers.sheets.flaw import Flaw, Words, Wrong
from producers.sheets.letters import folded

FORM, PERIOD, NIL, SECTION, TEXT = "Mã biểu", "Kỳ báo cáo", "Không phát sinh", "Mục", "Nội dung"
REST_NIL = "Các biểu còn trống: không phát sinh"
_SEARCHED_ROWS = 30
_REFUSED_MARKS = frozenset({"0", "khong", "no", "false"})
Key = tuple[str, str]
"""Form and period."""


@dataclass(frozen=True, slots=True)
class NilMark:
    """Where a form is marked. `single`: it itself, not only as one of the rest."""

    page: str
    row: int
    column: int
    single: bool

    def flaw(self, words: Words) -> Flaw:
        """What is wrong with the mark."""
        return Flaw(self.page, self.row, self.column, NIL, Wrong.NIL, words)


@dataclass
class Overview:
    """What these pages say. `pages`: their names; `texts` by form and period; `places` of each text's cell."""

    pages: set[str] = field(default_factory=set)
    marks: dict[Key, NilMark] = field(default_factory=dict)
    rest: NilMark | None = None
    texts: dict[Key, dict[str, str]] = field(default_factory=dict)
    places: dict[tuple[str, str, str], tuple[str, int, int]] = field(default_factory=dict)

    @property
    def is_ours(self) -> bool:
        """Whether the workbook is one of ours."""
        return bool(self.pages)

    def nil(self, form: str, period: str) -> NilMark | None:
        """The mark of a form: its own, else that of the rest."""
        return self.marks.get((form, period)) or self.rest


def read_overview(book: Book) -> Overview:
    """The marks and texts of a workbook; empty for a foreign one."""
    found = Overview()
    for page in book.pages:
        if (at := _heading(page, FORM, PERIOD, NIL)) is not None:
            found.pages.add(page.name)
            _read_cover(page, *at, found)
        elif (at := _heading(page, FORM, PERIOD, SECTION, TEXT)) is not None:
            found.pages.add(page.name)
            _read_texts(page, *at, found)
    return found


def _heading(page: Page, *names: str) -> tuple[int, Mapping[str, int]] | None:
    """The row that has all these headings, and their columns."""
    wanted = {folded(name): name for name in names}
    rows: dict[int, dict[str, int]] = {}
    for (row, column), cell in page.cells.items():
        if row <= _SEARCHED_ROWS and isinstance(cell.value, str) and (name := wanted.get(folded(cell.value))):
            rows.setdefault(row, {})[name] = column
    return next(((row, columns) for row, columns in sorted(rows.items()) if len(columns) == len(names)), None)


def _read_cover(page: Page, heading: int, columns: Mapping[str, int], found: Overview) -> None:
    for row, form, period in _lines(page, heading, columns):
        if _marked(page, (row, columns[NIL])):
            found.marks[form, period] = NilMark(page.name, row, columns[NIL], single=True)
    for (row, column), cell in page.cells.items():
        says_rest = isinstance(cell.value, str) and folded(cell.value) == folded(REST_NIL) and column < columns[NIL]
        if says_rest and _marked(page, (row, columns[NIL])):
            found.rest = NilMark(page.name, row, columns[NIL], single=False)


def _read_texts(page: Page, heading: int, columns: Mapping[str, int], found: Overview) -> None:
    for row, form, period in _lines(page, heading, columns):
        # The section's name stands in brackets behind its label.
        section = page.text(row, columns[SECTION]).rpartition("(")[2].rstrip(") ")
        cell = page.cells.get((row, columns[TEXT]))
        found.places[form, period, section] = (page.name, row, columns[TEXT])
        if section and cell is not None and str(cell.value).strip():
            found.texts.setdefault((form, period), {})[section] = str(cell.value).strip()


def _lines(page: Page, heading: int, columns: Mapping[str, int]) -> Iterator[tuple[int, str, str]]:
    for row in sorted({row for row, _ in page.cells if row > heading}):
        form, period = page.text(row, columns[FORM]), page.text(row, columns[PERIOD])
        if form and period:
            yield row, form, period


def _marked(page: Page, place: Place) -> bool:
    text = folded(page.text(*place))
    return bool(page.text(*place)) and text not in _REFUSED_MARKS
