"""Workbooks for tests: made by the product and filled in as a clerk does, or built by hand as offices have them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import openpyxl
import xlwt

from producers.sheets.computed import computed_columns
from producers.sheets.form_sheet import Wanted
from producers.sheets.layout import Role, layout_of
from producers.sheets.reading import Asked
from producers.sheets.writing import write_workbook
from schemas.form import Form, FormId
from schemas.period import PeriodText
from schemas.report import Row
from schemas.unit import UnitCode
from tests.support.released import released_catalogue

UNIT, NAME = UnitCode("03390"), "Xã Bản Bo"
DAY = PeriodText("2021-12-13")
TODAY = date(2022, 3, 1)
TESTING_HEAD = ["Phương pháp", "Loại mẫu", "Số người được xét nghiệm", "Số ống mẫu", "Số ống dương tính",
                "Số người dương tính (F0)"]  # fmt: skip
TESTING_LINE: list[Any] = ["antigen", "single", 16, 16, 0, 0]
TESTING_ROW: Row = {"method": "antigen", "sample": "single", "persons": 16, "tubes": 16, "positive_tubes": 0,
                    "positive_persons": 0}  # fmt: skip


def form_of(name: str, day: date = date(2021, 12, 13)) -> Form:
    """A released form in force on a day."""
    found = released_catalogue().form_in_force(FormId(name), day)
    assert found is not None
    return found


def asked(form: str | None = None, period: str | None = None, **more: Any) -> Asked:
    """For whom tests read."""
    return Asked(
        UNIT,
        released_catalogue(),
        TODAY,
        FormId(form) if form else None,
        PeriodText(period) if period else None,
        **more,
    )


def template(*wanted: Wanted) -> bytes:
    """The workbook of some forms for the commune of the tests."""
    return write_workbook(UNIT, NAME, wanted, released_catalogue())


def typed(content: bytes, form: Form, rows: Sequence[Row], texts: Mapping[str, str] | None = None) -> bytes:
    """The only form's sheet of a workbook filled in; computed columns keep their formulas."""
    book = openpyxl.load_workbook(io.BytesIO(content))
    layout, sheet = layout_of(form), book.worksheets[1]
    computed = computed_columns(form)
    for at, row in enumerate(rows, layout.first):
        for column in layout.columns:
            if not isinstance(column.of, Role) and column.of.name not in computed:
                sheet.cell(at, column.at).value = row[column.of.name]
    for line in book["Thuyết minh"].iter_rows(min_row=5) if texts else ():
        section = str(line[3].value).rpartition("(")[2].rstrip(")")
        if texts and section in texts:
            line[4].value = texts[section]
    return saved(book)


def saved(book: openpyxl.Workbook) -> bytes:
    """The bytes of a workbook."""
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def xlsx(lines: Sequence[Sequence[Any]], merged: Sequence[str] = ()) -> bytes:
    """A workbook of one sheet with these lines."""
    book = openpyxl.Workbook()
    for line in lines:
        book.active.append(line)
    for area in merged:
        book.active.merge_cells(area)
    return saved(book)


def xls(lines: Sequence[Sequence[Any]], font: str = "Arial") -> bytes:
    """The same in Excel 97's format."""
    book = xlwt.Workbook(encoding="utf-8")
    sheet = book.add_sheet("Sheet1")
    style = xlwt.easyxf(f"font: name {font}")
    for row, line in enumerate(lines):
        for column, value in enumerate(line):
            if value is not None:
                sheet.write(row, column, value, style)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()
