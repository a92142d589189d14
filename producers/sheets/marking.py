"""The marked copy: the clerk's own workbook, every bad cell in red with its reason as a note, and a list in front."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from datetime import date, time

import openpyxl
from openpyxl.cell.cell import MergedCell
from openpyxl.comments import Comment
from openpyxl.utils.exceptions import IllegalCharacterError
from openpyxl.workbook import Workbook
from openpyxl.worksheet.worksheet import Worksheet

from producers.sheets.book import Book, Found
from producers.sheets.flaw import Flaw
from producers.sheets.inert import GRID, HEAD, RED, WRAPPED, bold, put
from producers.sheets.opening import alone, open_book

LIST = "Lỗi"
_MOST_NOTES = 2000
_FORBIDDEN = re.compile(r"[\[\]:*?/\\]")


def marked(content: bytes, flaws: Sequence[Flaw], language: int) -> bytes:
    """A copy (.xlsx) of a file that was read, marked. `language`: 0 Vietnamese, 1 English. Raises SheetError."""
    opened = open_book(content)
    with alone(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        copy = (
            openpyxl.load_workbook(io.BytesIO(content), keep_links=False) if opened.kind == "xlsx" else _copied(opened)
        )
        said: dict[tuple[str, int, int], list[str]] = {}
        for flaw in flaws[:_MOST_NOTES]:
            said.setdefault((flaw.page, flaw.row, flaw.column), []).append(flaw.words[language])
        for (page, row, column), reasons in said.items():
            if page in copy.sheetnames and row:
                _mark(copy[page], row, column or 1, "\n".join(reasons))
        _list(copy, flaws, language)
        out = io.BytesIO()
        copy.save(out)
    return out.getvalue()


def _mark(sheet: Worksheet, row: int, column: int, reason: str) -> None:
    cell = sheet.cell(row, column)
    if isinstance(cell, MergedCell):
        area = next(area for area in sheet.merged_cells.ranges if cell.coordinate in area)
        cell = sheet.cell(area.min_row, area.min_col)
    cell.fill = RED
    cell.comment = Comment(reason, "Chung Sức", height=90, width=320)


def _list(book: Workbook, flaws: Sequence[Flaw], language: int) -> None:
    """A page in front that names them all, also those of no cell."""
    if LIST in book.sheetnames:
        del book[LIST]  # of the copy before: clerks mend the marked file and send it
    sheet = book.create_sheet(LIST, 0)
    headings = (("Trang", "Ô", "Cột", "Lý do"), ("Sheet", "Cell", "Column", "Reason"))[language]
    for column, (heading, width) in enumerate(zip(headings, (32, 10, 40, 100), strict=True), 1):
        cell = bold(put(sheet, 1, column, heading))
        cell.fill, cell.border = HEAD, GRID
        sheet.column_dimensions[cell.column_letter].width = width
    for row, flaw in enumerate(flaws, 2):
        for column, text in enumerate((flaw.page, flaw.cell, flaw.heading, flaw.words[language]), 1):
            put(sheet, row, column, text).alignment = WRAPPED
    book.active = 0
    for one in book.worksheets:
        one.sheet_view.tabSelected = one is sheet


def _copied(opened: Book) -> Workbook:
    """A workbook with the cells of a file in another format; its texts in Unicode."""
    book = Workbook()
    book.remove(book.active)
    for page in opened.pages:
        sheet = book.create_sheet(_FORBIDDEN.sub(" ", page.name[:31]) or "1")
        for (row, column), found in page.cells.items():
            _put(sheet, row, column, found)
    return book


def _put(sheet: Worksheet, row: int, column: int, found: Found) -> None:
    if isinstance(found.value, bool | int | float | date | time) and not found.error:
        try:
            sheet.cell(row, column).value = found.value
        except (ValueError, IllegalCharacterError):  # a day that Excel has no number for
            put(sheet, row, column, str(found.value))
        return
    put(sheet, row, column, str(found.value))
