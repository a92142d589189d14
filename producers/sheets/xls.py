"""Reads .xls (Excel 97 to 2003) by xlrd: cells, merged cells, hidden sheets, and the fonts that tell old letters."""

from __future__ import annotations

import io

import xlrd
from xlrd.biffh import XL_CELL_BOOLEAN, XL_CELL_DATE, XL_CELL_ERROR, XL_CELL_NUMBER, XL_CELL_TEXT, error_text_from_code
from xlrd.xldate import XLDateError, xldate_as_datetime

from producers.sheets.book import Area, Book, Found, Page
from producers.sheets.bounds import protected
from producers.sheets.letters import Letters, could_be_old, decoded, letters_of_font


def read_xls(content: bytes) -> Book:
    """The pages of an .xls file. Raises SheetError for a protected one, and whatever xlrd raises for a damaged one."""
    try:
        book = xlrd.open_workbook(file_contents=content, logfile=io.StringIO(), formatting_info=True, ragged_rows=True)
    except xlrd.XLRDError as error:
        if "encrypted" in str(error).lower():
            raise protected() from error
        raise
    fonts: dict[str, None] = {}
    pages = tuple(_page(book, sheet, fonts) for sheet in book.sheets())
    return Book("xls", pages, next(iter(fonts), ""))


def _page(book: xlrd.Book, sheet: xlrd.sheet.Sheet, converted: dict[str, None]) -> Page:
    cells: dict[tuple[int, int], Found] = {}
    for row in range(sheet.nrows):
        for column in range(sheet.row_len(row)):
            found = _found(book, sheet.cell(row, column), converted)
            if found is not None:
                cells[row + 1, column + 1] = found
    merged = tuple(Area(top + 1, left + 1, bottom, right) for top, bottom, left, right in sheet.merged_cells)
    return Page(sheet.name, sheet.visibility != 0, cells, merged)


def _found(book: xlrd.Book, cell: xlrd.sheet.Cell, converted: dict[str, None]) -> Found | None:
    format_ = book.xf_list[cell.xf_index] if cell.xf_index is not None else None
    if cell.ctype == XL_CELL_TEXT:
        text = str(cell.value)
        if format_ is not None and could_be_old(text):
            letters, capitals = letters_of_font(book.font_list[format_.font_index].name)
            if letters is not Letters.UNICODE:
                converted[letters.value] = None
                text = decoded(text, letters, capitals=capitals)
        return Found(text) if text.strip() else None
    if cell.ctype == XL_CELL_NUMBER:
        percent = format_ is not None and "%" in book.format_map[format_.format_key].format_str
        return Found(cell.value, percent=percent)
    if cell.ctype == XL_CELL_DATE:
        try:
            return Found(xldate_as_datetime(cell.value, book.datemode))
        except (XLDateError, OverflowError):
            return Found(cell.value)
    if cell.ctype == XL_CELL_BOOLEAN:
        return Found(bool(cell.value))
    if cell.ctype == XL_CELL_ERROR:
        return Found(error_text_from_code.get(cell.value, "#?"), error=True)
    return None
