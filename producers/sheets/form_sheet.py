"""One form as a sheet: headings with notes, drop-downs, checks, sums and computed columns as formulas, the rest locked.

What is typed may still be wrong (a copied cell brings no validation along), so reading checks everything again.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path

from openpyxl.cell import Cell
from openpyxl.comments import Comment
from openpyxl.formatting.rule import FormulaRule
from openpyxl.styles import Alignment, Font
from openpyxl.worksheet.datavalidation import DataValidation
from openpyxl.worksheet.worksheet import Worksheet

from producers.sheets.cells import shown_code
from producers.sheets.computed import Reference, computed_columns, computing_formula, holds_formula
from producers.sheets.inert import (
    AMBER,
    CENTRED,
    FONT,
    GREY,
    GRID,
    HEAD,
    RED,
    UNLOCKED,
    WRAPPED,
    bold,
    fit_for_print,
    put,
)
from producers.sheets.layout import Column, Layout, Role
from schemas.catalogue import Catalogue
from schemas.form import LARGEST, AcrossUnits, CheckLevel, Dimension, Form, Measure
from schemas.period import Period, PeriodText, PeriodType, parse_period
from schemas.report import Row
from schemas.unit import UnitCode

_PREPARED_ROWS = 30
"""Rows whose computed columns hold their formula; further ones are typed."""
_EMPTY: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Wanted:
    """One form to be filled in. `rows`, `narrative` and `revision`: what was reported before, to be corrected."""

    form: Form
    period: PeriodText
    due: datetime | None = None
    rows: Sequence[Row] = ()
    narrative: Mapping[str, str] = field(default_factory=dict)
    revision: int = 0


def write_form(
    sheet: Worksheet, layout: Layout, wanted: Wanted, unit: tuple[UnitCode, str], catalogue: Catalogue,
    lists: Mapping[str, str],
) -> None:  # fmt: skip
    """Fill a new sheet. `lists`: where each code list stands in the workbook, as a reference."""
    period = parse_period(wanted.period)
    _about(sheet, layout, wanted, unit, period)
    _headings(sheet, layout)
    _totals(sheet, layout)
    _columns(sheet, layout, lists)
    _rows(sheet, layout, wanted.rows, _labels(layout.form, catalogue, period.last_day))
    _checks(sheet, layout)
    first_measure = next(column for column in layout.columns if isinstance(column.of, Measure))
    sheet.freeze_panes = f"{first_measure.letter}{layout.first}"
    sheet.protection.sheet = True
    for allowed in ("formatCells", "formatColumns", "formatRows", "sort", "autoFilter"):
        setattr(sheet.protection, allowed, False)  # False: not protected against
    fit_for_print(sheet)
    sheet.print_title_rows = f"{layout.heading}:{layout.first - 1}"


def period_text(period: Period) -> str:
    """A period as people read it; what stands first is understood again when the workbook comes back."""
    if period.type is PeriodType.DAY:
        return f"{period.first_day:%d/%m/%Y}"
    return f"{period.text} (từ {period.first_day:%d/%m/%Y} đến {period.last_day:%d/%m/%Y})"


def _about(sheet: Worksheet, layout: Layout, wanted: Wanted, unit: tuple[UnitCode, str], period: Period) -> None:
    width = max(4, len(layout.columns))
    annex = f"{layout.annex}. " if layout.annex else ""
    bold(_line(sheet, 1, 1, width, f"{annex}{layout.title.upper()}"), 14).alignment = CENTRED
    basis = f"Căn cứ: {layout.form.source}" if layout.annex else ""  # of other forms the source is a note for ourselves
    _line(sheet, 2, 1, width, basis).font = Font(name=FONT, size=11, italic=True)
    half = width // 2
    _line(sheet, 3, 1, half, f"Đơn vị: {unit[1]}")
    _line(sheet, 3, half + 1, width, f"Mã đơn vị: {unit[0]}")
    _line(sheet, 4, 1, half, f"Kỳ báo cáo: {period_text(period)}")
    _line(sheet, 4, half + 1, width, f"Mã biểu: {layout.form.id}")
    due = f"Hạn gửi: {wanted.due:%H:%M ngày %d/%m/%Y}. " if wanted.due else ""
    seen = f"Đang có số liệu của lần gửi {wanted.revision}; sửa rồi gửi lại cả biểu. " if wanted.revision else ""
    _line(sheet, 5, 1, width, f"{due}{seen}Ghi số nguyên, không có thì ghi 0; ô trắng là ô được ghi.")
    sheet.row_dimensions[5].height = 32
    for at, line in enumerate(layout.lines, 6):
        _line(sheet, at, 1, width, line.format(unit=unit[1], period=period_text(period)))


def _line(sheet: Worksheet, row: int, first: int, last: int, text: str) -> Cell:
    cell = put(sheet, row, first, text)
    cell.alignment = WRAPPED
    if last > first:
        sheet.merge_cells(start_row=row, end_row=row, start_column=first, end_column=last)
    return cell


def _headings(sheet: Worksheet, layout: Layout) -> None:
    """One row, or two with groups over their columns."""
    top, bottom = layout.heading, layout.heading + layout.grouped
    for column in layout.columns:
        group, leaf = column.parts
        row = bottom if group else top
        cell = bold(put(sheet, row, column.at, leaf))
        cell.comment = _note(column)
        if not group and layout.grouped:
            sheet.merge_cells(start_row=top, end_row=bottom, start_column=column.at, end_column=column.at)
    for group, first, last in _groups(layout):
        bold(put(sheet, top, first, group))
        if last > first:
            sheet.merge_cells(start_row=top, end_row=top, start_column=first, end_column=last)
    for row in range(top, bottom + 1):
        for column in layout.columns:
            cell = sheet.cell(row, column.at)
            cell.fill, cell.border, cell.alignment = HEAD, GRID, CENTRED
    sheet.row_dimensions[bottom].height = 62


def _groups(layout: Layout) -> list[tuple[str, int, int]]:
    """Groups of headings with their first and last column."""
    found: list[tuple[str, int, int]] = []
    for column in layout.columns:
        group = column.parts[0]
        if group and found and found[-1][0] == group and found[-1][2] == column.at - 1:
            found[-1] = (group, found[-1][1], column.at)
        elif group:
            found.append((group, column.at, column.at))
    return found


def _note(column: Column) -> Comment | None:
    """What a heading means: label, unit, limits, and what the law says."""
    of = column.of
    if isinstance(of, Role):
        return None
    lines = [of.label_vi, of.label_en]
    if isinstance(of, Measure):
        least = "" if of.minimum is None else f", từ {of.minimum}"
        lines.append(f"Đơn vị tính: {_units().get(of.unit, of.unit)}; số nguyên{least}")
        lines.append("Có thể để trống." if of.optional else "Không có thì ghi 0.")
    else:
        lines.append("Chọn trong danh sách.")
    if of.source:
        lines.append(of.source)
    comment = Comment("\n".join(lines), "Chung Sức")
    comment.width, comment.height = 320, 40 + 22 * len(lines)
    return comment


@lru_cache(maxsize=1)
def _units() -> Mapping[str, str]:
    return tomllib.loads(Path(__file__).with_name("units.toml").read_text(encoding="utf-8"))


def _totals(sheet: Worksheet, layout: Layout) -> None:
    if not layout.total:
        return
    measures = [column for column in layout.columns if isinstance(column.of, Measure)]
    bold(put(sheet, layout.total, 1, "Tổng cộng"))
    for column in measures:
        if isinstance(column.of, Measure) and column.of.across_units is AcrossUnits.SUM:
            cell = sheet.cell(layout.total, column.at)
            cell.value = f"=SUM({column.letter}{layout.first}:{column.letter}{layout.last})"
            cell.number_format = "#,##0"
            bold(cell)
    for column in layout.columns:
        cell = sheet.cell(layout.total, column.at)
        cell.fill, cell.border = GREY, GRID


def _columns(sheet: Worksheet, layout: Layout, lists: Mapping[str, str]) -> None:
    """Widths, and what may be typed below the headings: whole columns are unlocked, so rows need no cells."""
    for column in layout.columns:
        dimension = sheet.column_dimensions[column.letter]
        dimension.width = 6 if column.of is Role.NUMBER else 13 if isinstance(column.of, Measure) else 26
        dimension.protection = UNLOCKED
        dimension.number_format = "#,##0" if isinstance(column.of, Measure) else "@"
        dimension.font = Font(name=FONT, size=12)
        cells = f"{column.letter}{layout.first}:{column.letter}{layout.last}"
        if isinstance(column.of, Dimension) and lists.get(column.of.code_list):
            _validate(sheet, cells, _listed(column.of, lists[column.of.code_list]))
        elif isinstance(column.of, Measure):
            _validate(sheet, cells, _number(column.of, layout))


def _validate(sheet: Worksheet, cells: str, validation: DataValidation) -> None:
    validation.add(cells)
    sheet.add_data_validation(validation)


def _listed(dimension: Dimension, reference: str) -> DataValidation:
    found = DataValidation("list", formula1=reference, allow_blank=True)
    found.errorTitle, found.error = "Không có trong danh mục", f"Chọn “{dimension.label_vi}” trong danh sách."[:225]
    found.showErrorMessage = True
    return found


def _number(measure: Measure, layout: Layout) -> DataValidation:
    """A whole number within its limits; where it is the last of a check's measures, the check too, as a warning."""
    checks = [
        check
        for check in layout.form.checks
        if not check.over_table and _last(layout, check.rule.names) == measure.name
    ]
    least = -LARGEST if measure.minimum is None else measure.minimum
    if not checks:
        found = DataValidation(
            "whole", operator="between", formula1=str(least), formula2=str(LARGEST), allow_blank=True
        )
        found.errorTitle, found.error = "Cần số nguyên", f"“{measure.label_vi}”: số nguyên từ {least}."[:225]
    else:
        cell = f"{layout.letter(measure.name)}{layout.first}"
        holds = [holds_formula(check, _references(layout, layout.first, "$")) for check in checks]
        whole = f"ISNUMBER({cell}),{cell}=INT({cell}),{cell}>={least},{cell}<={LARGEST}"
        found = DataValidation("custom", formula1=f"AND({whole},{','.join(holds)})", allow_blank=True)
        found.errorStyle, found.errorTitle = "warning", "Xem lại số liệu"
        found.error = _plain(checks[0].message_vi)
    found.showErrorMessage = True
    return found


def _last(layout: Layout, names: frozenset[str]) -> str:
    """The measure of a check that is typed last."""
    computed = computed_columns(layout.form)
    typed = [m.name for m in layout.form.measures if m.name in names and m.name not in computed]
    return typed[-1] if typed else ""


def _plain(message: str) -> str:
    """A check's sentence without its places for values, as long as Excel takes."""
    parts = message.replace(" ({", "{").replace("{", "\0").replace("})", "\0").split("\0")
    return "".join(parts[::2])[:225]


def _labels(form: Form, catalogue: Catalogue, day: date) -> Mapping[str, Mapping[str, str]]:
    """What each code of each dimension is shown as; itself where a label names several, or it has ended."""
    found: dict[str, dict[str, str]] = {}
    for dimension in form.dimensions:
        entries = [entry for entry in catalogue.codes[dimension.code_list].values() if entry.in_force(day)]
        shown = [shown_code(entry) for entry in entries]
        found[dimension.name] = {e.code: s for e, s in zip(entries, shown, strict=True) if shown.count(s) == 1}
    return found


def _rows(sheet: Worksheet, layout: Layout, rows: Sequence[Row], labels: Mapping[str, Mapping[str, str]]) -> None:
    """What was reported before, and the formulas of computed columns."""
    computed = computed_columns(layout.form)
    prepared = min(layout.form.max_rows, max(_PREPARED_ROWS, len(rows)))
    for at in range(prepared):
        number = layout.first + at
        row = rows[at] if at < len(rows) else _EMPTY
        for column in layout.columns:
            if isinstance(column.of, Role):
                continue
            name, value = column.of.name, row.get(column.of.name)
            if name in computed and (value is None or value == computed[name](row)):
                cell = sheet.cell(number, column.at)
                cell.value = computing_formula(computed[name], _references(layout, number))
            elif isinstance(value, str):
                cell = put(sheet, number, column.at, labels[name].get(value, value))
            elif value is not None:
                cell = sheet.cell(number, column.at)
                cell.value = value
            else:
                continue
            cell.protection = UNLOCKED
            cell.number_format = "#,##0" if isinstance(column.of, Measure) else "@"
            cell.font = Font(name=FONT, size=12)
            cell.alignment = Alignment(vertical="center", wrap_text=not isinstance(column.of, Measure))


def _references(layout: Layout, row: int, fixed: str = "") -> Reference:
    """Where each measure stands in a row; `fixed` before the column's letter keeps it when Excel moves the formula."""
    return lambda name: f"{fixed}{layout.letter(name)}{row}"


def _checks(sheet: Worksheet, layout: Layout) -> None:
    """Cells of a broken check in red (refused) or amber (to be looked at again), as one types."""
    for check in layout.form.checks:
        row = layout.total if check.over_table else layout.first
        if not row:
            continue
        last = row if check.over_table else layout.last
        broken = f"NOT({holds_formula(check, _references(layout, row, '$'))})"
        cells = " ".join(f"{layout.letter(n)}{row}:{layout.letter(n)}{last}" for n in sorted(check.rule.names))
        fill = RED if check.level is CheckLevel.REJECT else AMBER
        sheet.conditional_formatting.add(cells, FormulaRule(formula=[broken], fill=fill))
