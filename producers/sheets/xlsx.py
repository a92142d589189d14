"""Reads .xlsx by openpyxl, after a look at the archive that keeps bombs, macros and entities away from it.

openpyxl expands merged ranges and linked ranges into cells, so their size is bounded beforehand too. Its XML comes
through defusedxml, which the lock file brings along.
"""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from datetime import date, datetime, time, timedelta
from itertools import islice

import openpyxl
from openpyxl.utils import column_index_from_string
from openpyxl.workbook import Workbook
from openpyxl.worksheet.worksheet import Worksheet

from producers.sheets.book import Area, Book, Found, Page, Place
from producers.sheets.bounds import MAX_CELLS, MAX_ROWS, MAX_UNPACKED_BYTES, not_a_sheet, protected, too_many_cells
from producers.sheets.flaw import SheetError, Trouble
from producers.sheets.letters import Letters, could_be_old, decoded, letters_of_font

_MAX_MEMBERS = 2000
_MAX_EXPANDED = 100_000
_CELL = re.compile(rb"<(?:\w+:)?c[\s/>]")
_ROW = re.compile(rb"<(?:\w+:)?row[\s/>]")
_FORMULA = re.compile(rb"<(?:\w+:)?f[\s/>]")
_RANGE = re.compile(rb"<(?:\w+:)?(?:mergeCell|hyperlink)\s[^>]*?ref\s*=\s*[\"']\$?([A-Za-z]{1,3})\$?(\d{1,7}):"
                    rb"\$?([A-Za-z]{1,3})\$?(\d{1,7})")  # fmt: skip
_ENTITY = re.compile(rb"<!(?:DOCTYPE|ENTITY)", re.IGNORECASE)


def read_xlsx(content: bytes) -> Book:
    """The pages of an .xlsx file. Raises SheetError, and whatever openpyxl raises for a damaged one."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        formulas = _looked_into(archive)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # openpyxl says what it leaves out: charts, unknown extensions
        values = openpyxl.load_workbook(io.BytesIO(content), data_only=True, keep_links=False)
        texts = _formulas(openpyxl.load_workbook(io.BytesIO(content), keep_links=False)) if formulas else {}
    fonts: dict[str, None] = {}
    pages = tuple(_page(sheet, texts.get(sheet.title, {}), fonts) for sheet in values.worksheets)
    return Book("xlsx", pages, next(iter(fonts), ""))


def _looked_into(archive: zipfile.ZipFile) -> bool:
    """Whether there are formulas. Raises SheetError for what must not be parsed."""
    members = archive.infolist()
    names = {member.filename.lower() for member in members}
    if any(member.flag_bits & 1 for member in members):
        raise protected()
    if any("vbaproject" in name or "xl/macrosheets" in name for name in names):
        raise SheetError(
            Trouble.MACROS,
            "Tệp có macro: lưu thành .xlsx (không macro) rồi gửi lại.",
            "The file has macros: save it as .xlsx, which has none, and send that.",
        )
    if "xl/workbook.xml" not in names:
        raise not_a_sheet()
    if len(members) > _MAX_MEMBERS or sum(member.file_size for member in members) > MAX_UNPACKED_BYTES:
        raise too_many_cells()
    room, cells, formulas = MAX_UNPACKED_BYTES, 0, False
    for member in members:
        with archive.open(member) as stream:
            part = stream.read(room + 1)
        room -= len(part)
        cells += _count(_CELL, part, MAX_CELLS)
        if room < 0 or cells > MAX_CELLS or _count(_ROW, part, MAX_ROWS) > MAX_ROWS or _expanded(part) > _MAX_EXPANDED:
            raise too_many_cells()
        if _ENTITY.search(part) or (part[:200].count(0) > 20 and b"xml" in part[:400].replace(b"\0", b"")):
            raise SheetError(
                Trouble.ENTITIES,
                "Tệp có khai báo XML không được phép: mở bằng Excel, lưu thành .xlsx mới rồi gửi.",
                "The file declares XML entities, which no spreadsheet needs: save it anew as .xlsx and send that.",
            )
        formulas = formulas or _FORMULA.search(part) is not None
    return formulas


def _count(pattern: re.Pattern[bytes], part: bytes, enough: int) -> int:
    """How often a pattern is there; no further than one more than `enough`."""
    return sum(1 for _ in islice(pattern.finditer(part), enough + 1))


def _expanded(part: bytes) -> int:
    """How many cells the merged and linked ranges of a part would become."""
    total = 0
    for left, top, right, bottom in (found.groups() for found in islice(_RANGE.finditer(part), _MAX_EXPANDED)):
        columns = column_index_from_string(right.decode()) - column_index_from_string(left.decode()) + 1
        total += max(0, columns) * max(0, int(bottom) - int(top) + 1)
    return total


def _formulas(book: Workbook) -> dict[str, dict[Place, str]]:
    """The formulas by sheet and place."""
    return {
        sheet.title: {
            place: str(getattr(cell.value, "text", cell.value))
            for place, cell in sheet._cells.items()
            if cell.data_type == "f"
        }
        for sheet in book.worksheets
    }


def _page(sheet: Worksheet, formulas: dict[Place, str], converted: dict[str, None]) -> Page:
    """One sheet. Its cells are taken as they are kept, for asking by rows would make the empty ones between them."""
    cells: dict[Place, Found] = {}
    for place, cell in sheet._cells.items():
        value = cell.value
        if value is None:
            if place in formulas:
                cells[place] = Found(formulas[place], formula=True)
        elif isinstance(value, str):
            if cell.data_type == "e":
                cells[place] = Found(value, error=True)
            elif value.strip():
                cells[place] = Found(_in_font(value, cell.font.name, converted) if could_be_old(value) else value)
        elif isinstance(value, int | float | bool | datetime | date | time | timedelta):
            cells[place] = Found(value, percent="%" in (cell.number_format or ""))
    merged = tuple(Area(area.min_row, area.min_col, area.max_row, area.max_col) for area in sheet.merged_cells.ranges)
    return Page(sheet.title, sheet.sheet_state != "visible", cells, merged)


def _in_font(text: str, font: str | None, converted: dict[str, None]) -> str:
    letters, capitals = letters_of_font(font or "")
    if letters is Letters.UNICODE:
        return text
    converted[letters.value] = None
    return decoded(text, letters, capitals=capitals)
