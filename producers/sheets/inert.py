"""Puts texts into cells so that no program ever takes one for a formula, whatever a name or code begins with."""

from __future__ import annotations

from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE, Cell
from openpyxl.styles import Alignment, Border, Font, PatternFill, Protection, Side
from openpyxl.worksheet.worksheet import Worksheet

_DANGEROUS = ("=", "+", "-", "@", "\t", "\r")
_LONGEST = 32_767
FONT = "Times New Roman"
HEAD = PatternFill("solid", start_color="FFE3ECF5")
GREY = PatternFill("solid", start_color="FFEFEFEF")
RED = PatternFill("solid", start_color="FFFFC7CE")
AMBER = PatternFill("solid", start_color="FFFFEB9C")
_THIN = Side(style="thin", color="FF9AA5B1")
GRID = Border(left=_THIN, right=_THIN, top=_THIN, bottom=_THIN)
UNLOCKED = Protection(locked=False)
WRAPPED = Alignment(wrap_text=True, vertical="center")
CENTRED = Alignment(wrap_text=True, vertical="center", horizontal="center")


def put(sheet: Worksheet, row: int, column: int, text: str) -> Cell:
    """A text in a cell, as a text for ever: also where it begins like a formula, or is an error's name."""
    cell = sheet.cell(row, column)
    cell.value = ILLEGAL_CHARACTERS_RE.sub("", text)[:_LONGEST]
    cell.data_type = "s"
    cell.font = Font(name=FONT, size=12)
    if text.startswith(_DANGEROUS):
        cell.quotePrefix = True  # else editing the cell would make a formula of it
    return cell


def fit_for_print(sheet: Worksheet) -> None:
    """A4 across, all columns on one page, with lines around the cells."""
    sheet.page_setup.orientation, sheet.page_setup.paperSize = "landscape", sheet.PAPERSIZE_A4
    sheet.page_setup.fitToHeight, sheet.sheet_properties.pageSetUpPr.fitToPage = 0, True
    sheet.print_options.gridLines = True


def bold(cell: Cell, size: int = 12) -> Cell:
    """The cell in bold."""
    cell.font = Font(name=FONT, size=size, bold=True)
    return cell
