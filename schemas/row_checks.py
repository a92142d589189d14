"""What admission asks of a report's table: rows by kind, codes, ranges, and the form's own checks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from schemas.catalogue import Catalogue
from schemas.form import LARGEST, LARGEST_CLAIM, Check, CheckLevel, Form, Measure
from schemas.rejection import Reason, Refused
from schemas.report import Kind, Report, Row, Scope


def check_rows(report: Report, form: Form, catalogue: Catalogue, last_day: date) -> None:
    """Refuse the first thing wrong in a report's table, in the contract's order; codes as of the period's last day."""
    kind, rows = report.header.kind, report.rows
    if kind is Kind.REPORT and not rows:
        raise Refused(Reason.KIND_ROWS, "rows", 0, ("báo cáo có ít nhất một dòng", "at least one row in a report"))
    if kind is not Kind.REPORT and rows:
        raise Refused(
            Reason.KIND_ROWS, "rows", len(rows), (f"không có dòng nào khi loại là {kind}", f"no row in a {kind}")
        )
    if kind is Kind.NIL and form.has_stock:
        raise Refused(
            Reason.KIND_ROWS,
            "kind",
            kind,
            ("báo cáo có số liệu: không phát sinh sẽ làm số tồn về 0", "a report: nil would set a stock to zero"),
        )
    if len(rows) > form.max_rows:
        raise Refused(
            Reason.TOO_MANY_ROWS, "rows", len(rows), (f"nhiều nhất {form.max_rows} dòng", f"at most {form.max_rows}")
        )
    _check_dimensions(rows, form, catalogue, last_day)
    _check_values(rows, form, report.header.scope)
    for check in form.checks:
        if check.level is CheckLevel.REJECT and (broken := broken_check(check, form, rows)):
            raise Refused(
                Reason.CHECK_FAILED,
                check.id,
                check.rule.text,
                ("phép kiểm tra phải thỏa mãn", "the rule to hold"),
                broken,
            )


def _check_dimensions(rows: Sequence[Row], form: Form, catalogue: Catalogue, last_day: date) -> None:
    names = [dimension.name for dimension in form.dimensions]
    seen: set[tuple[object, ...]] = set()
    for row in rows:
        about = tuple(row[name] for name in names)
        if about in seen:
            raise Refused(
                Reason.DUPLICATE_ROW,
                ", ".join(names) or "rows",
                "/".join(map(str, about)),
                ("mỗi tổ hợp một dòng", "each combination once"),
            )
        seen.add(about)
    for row in rows:
        for dimension in form.dimensions:
            code = str(row[dimension.name])
            if not catalogue.code_in_force(dimension.code_list, code, last_day):
                raise Refused(
                    Reason.UNKNOWN_CODE,
                    dimension.name,
                    code,
                    (
                        f"một mã của danh mục {dimension.code_list} có hiệu lực ngày {last_day:%d/%m/%Y}",
                        f"a code of {dimension.code_list} in force on {last_day}",
                    ),
                )


def _check_values(rows: Sequence[Row], form: Form, scope: Scope) -> None:
    largest = LARGEST if scope is Scope.OWN else LARGEST_CLAIM
    # Avro leaves no way to lack a required measure, so value_missing is for the doors that take other formats.
    for row in rows:
        for measure in form.measures:
            value = row[measure.name]
            if value is None:
                if not measure.optional:
                    raise Refused(Reason.VALUE_MISSING, measure.name, "none", ("một con số", "a number"))
            elif not _in_range(measure, int(value), largest):
                smallest = -largest if measure.minimum is None else measure.minimum
                raise Refused(
                    Reason.VALUE_RANGE,
                    measure.name,
                    value,
                    (f"từ {smallest} đến {largest}", f"from {smallest} to {largest}"),
                )


def _in_range(measure: Measure, value: int, largest: int) -> bool:
    smallest = -largest if measure.minimum is None else measure.minimum
    return smallest <= value <= largest


def broken_check(check: Check, form: Form, rows: Sequence[Row]) -> tuple[str, str] | None:
    """The check's sentences (Vietnamese, English) with the values that break it, or None where it holds."""
    names = [measure.name for measure in form.measures if not measure.optional]
    tables: list[dict[str, int]] = [{name: int(row[name] or 0) for name in names} for row in rows]
    if check.over_table:
        tables = [{name: sum(table[name] for table in tables) for name in names}]
    for table in tables:
        if not check.rule(table):
            return check.message_vi.format_map(table), check.message_en.format_map(table)
    return None
