"""The day's set of forms as one workbook: a cover with deadlines and marks, a sheet per form, texts, code lists.

    content = write_workbook(unit, [Wanted(form, period), …], catalogue)

Invariant: what was written and filled in reads back as the same rows, for every form of any catalogue.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import date

from openpyxl import Workbook
from openpyxl.styles import Font
from openpyxl.worksheet.worksheet import Worksheet

from producers.sheets.cells import shown_code
from producers.sheets.form_sheet import Wanted, write_form
from producers.sheets.inert import CENTRED, FONT, GRID, HEAD, UNLOCKED, WRAPPED, bold, fit_for_print, put
from producers.sheets.layout import layout_of
from producers.sheets.overview import FORM, NIL, PERIOD, REST_NIL, SECTION, TEXT
from schemas.catalogue import Catalogue
from schemas.period import parse_period
from schemas.unit import UnitCode

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
COVER, TEXTS, LISTS = "Bộ biểu", "Thuyết minh", "Danh mục"
_FORBIDDEN = str.maketrans(dict.fromkeys("[]:*?/\\'", " "))
_LONGEST_NAME = 31


def write_workbook(unit: UnitCode, name: str, wanted: Sequence[Wanted], catalogue: Catalogue) -> bytes:
    """The workbook (.xlsx) of these forms for a unit of that name, in their order, at least one."""
    book = Workbook()
    cover = book.active
    cover.title = COVER
    names = _sheet_names(wanted)
    lists = _write_lists(book, wanted, catalogue)
    for title, one in zip(names, wanted, strict=True):
        day = parse_period(one.period).last_day
        found = {d.code_list: lists[d.code_list, day] for d in one.form.dimensions if (d.code_list, day) in lists}
        write_form(book.create_sheet(title), layout_of(one.form), one, (unit, name), catalogue, found)
    _write_cover(cover, unit, name, wanted, names)
    if any(one.form.sections for one in wanted):
        _write_texts(book.create_sheet(TEXTS), wanted)
    if LISTS in book.sheetnames:
        book.move_sheet(LISTS, len(book.sheetnames))
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def _sheet_names(wanted: Sequence[Wanted]) -> list[str]:
    """Short names that differ: a number and how the form's name begins."""
    found: list[str] = []
    for number, one in enumerate(wanted, 1):
        label = one.form.label_vi.removeprefix("Báo cáo ").removeprefix("kết quả ").translate(_FORBIDDEN)
        label = f"{number}. {label[:1].upper()}{label[1:]}"
        if len(label) > _LONGEST_NAME:
            label = label[: _LONGEST_NAME + 1].rpartition(" ")[0][:_LONGEST_NAME]
        found.append(label.strip())
    return found


def _write_lists(book: Workbook, wanted: Sequence[Wanted], catalogue: Catalogue) -> dict[tuple[str, date], str]:
    """The code lists on their own hidden sheet, one column each, and where each one stands."""
    found: dict[tuple[str, date], str] = {}
    keys = dict.fromkeys(
        (d.code_list, parse_period(one.period).last_day) for one in wanted for d in one.form.dimensions
    )
    if not keys:
        return found
    sheet = book.create_sheet(LISTS)
    sheet.sheet_state = "hidden"
    for at, (name, day) in enumerate(keys, 1):
        entries = [entry for entry in catalogue.codes[name].values() if entry.in_force(day)]
        shown = [shown_code(entry) for entry in entries]
        bold(put(sheet, 1, at, name))
        for row, (entry, label) in enumerate(zip(entries, shown, strict=True), 2):
            put(sheet, row, at, label if shown.count(label) == 1 else entry.code)
        letter = sheet.cell(1, at).column_letter
        if entries:
            found[name, day] = f"'{LISTS}'!${letter}$2:${letter}${1 + len(entries)}"
    return found


def _write_cover(sheet: Worksheet, unit: UnitCode, name: str, wanted: Sequence[Wanted], names: Sequence[str]) -> None:
    """What is due by when, and where to mark that there is nothing to report."""
    bold(put(sheet, 1, 1, "BỘ BIỂU CẦN BÁO CÁO"), 14)
    put(sheet, 2, 1, f"Đơn vị: {name}")
    put(sheet, 3, 1, f"Mã đơn vị: {unit}")
    put(
        sheet,
        4,
        1,
        "Biểu nào không có gì để báo cáo: gõ x vào cột “Không phát sinh”. Biểu để trống, không có x: không gửi.",
    )
    headings = ("TT", "Biểu", FORM, PERIOD, "Hạn gửi", NIL)
    for column, (heading, width) in enumerate(zip(headings, (6, 62, 26, 22, 18, 16), strict=True), 1):
        cell = bold(put(sheet, 6, column, heading))
        cell.fill, cell.border, cell.alignment = HEAD, GRID, CENTRED
        sheet.column_dimensions[cell.column_letter].width = width
    for row, (one, title) in enumerate(zip(wanted, names, strict=True), 7):
        due = f"{one.due:%H:%M %d/%m/%Y}" if one.due else ""
        nil = "" if not one.form.has_stock else "phải ghi số"
        for column, text in enumerate((str(row - 6), one.form.label_vi, one.form.id, one.period, due, ""), 1):
            cell = put(sheet, row, column, text)
            cell.border, cell.alignment = GRID, WRAPPED
        link = sheet.cell(row, 2)
        link.hyperlink = f"#'{title}'!A1"
        link.font = Font(name=FONT, size=12, underline="single", color="FF0B5394")
        mark = sheet.cell(row, 6)
        mark.value, mark.alignment = None, CENTRED
        if nil:
            put(sheet, row, 7, f"({nil})")
        else:
            mark.protection = UNLOCKED
    rest = 8 + len(wanted)
    bold(put(sheet, rest, 2, REST_NIL))
    mark = sheet.cell(rest, 6)
    mark.protection, mark.border, mark.alignment = UNLOCKED, GRID, CENTRED
    put(sheet, rest, 7, "(gõ x)")
    sheet.row_dimensions[6].height = 34
    sheet.protection.sheet = True
    sheet.freeze_panes = "A7"
    fit_for_print(sheet)


def _write_texts(sheet: Worksheet, wanted: Sequence[Wanted]) -> None:
    """The texts beside the figures, one line for each section of each form."""
    bold(put(sheet, 1, 1, "THUYẾT MINH KÈM BIỂU"), 14)
    put(sheet, 2, 1, "Ghi lời vào cột “Nội dung”; mục có dấu * bắt buộc. Không ghi tên hay thông tin cá nhân.")
    for column, (heading, width) in enumerate(
        zip(("Biểu", FORM, PERIOD, SECTION, TEXT), (48, 24, 16, 34, 90), strict=True), 1
    ):
        cell = bold(put(sheet, 4, column, heading))
        cell.fill, cell.border, cell.alignment = HEAD, GRID, CENTRED
        sheet.column_dimensions[cell.column_letter].width = width
    row = 5
    for one in wanted:
        for section in one.form.sections:
            label = f"{section.label_vi}{' *' if section.required else ''} ({section.name})"
            for column, text in enumerate((one.form.label_vi, one.form.id, one.period, label), 1):
                cell = put(sheet, row, column, text)
                cell.border, cell.alignment = GRID, WRAPPED
            text = one.narrative.get(section.name, "")
            cell = put(sheet, row, 5, text) if text else sheet.cell(row, 5)
            cell.border, cell.alignment, cell.protection = GRID, WRAPPED, UNLOCKED
            row += 1
    sheet.protection.sheet = True
    sheet.freeze_panes = "A5"
    fit_for_print(sheet)
