"""What admission asks of a report's table: rows by kind, codes, ranges, texts, and the form's own checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from schemas.catalogue import Catalogue
from schemas.form import LARGEST, LARGEST_CLAIM, AcrossUnits, Check, CheckLevel, Form, Measure
from schemas.rejection import Reason, Refused
from schemas.report import Cell, Kind, Report, Row, Scope


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
    _check_narrative(report, form)
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
            if code not in catalogue.counted_codes(dimension.code_list, last_day):
                raise Refused(
                    Reason.UNKNOWN_CODE,
                    dimension.name,
                    code,
                    (
                        f"một mã của danh mục {dimension.code_list} có hiệu lực ngày {last_day:%d/%m/%Y}",
                        f"a code of {dimension.code_list} in force on {last_day}",
                    ),
                )


def counted_rows(rows: Sequence[Row], form: Form, catalogue: Catalogue, last_day: date) -> Sequence[Row]:
    """The rows under the codes of the lists in force on `last_day`, for rows that `check_rows` let pass.

    A unit with an old list comes in with codes that have ended: each counts as the code that took its place, and rows
    that fall together are added. Where they can't be (distinct persons, overlapping groups) the report is refused.
    """
    lists = [(d.name, catalogue.counted_codes(d.code_list, last_day)) for d in form.dimensions]
    if all(codes[str(row[name])] == row[name] for row in rows for name, codes in lists):
        return rows
    counted: dict[tuple[str, ...], dict[str, Cell]] = {}
    for row in rows:
        codes = {name: listed[str(row[name])] for name, listed in lists}
        here = counted.setdefault(tuple(codes.values()), {})
        if here:
            _require_addable(form, codes)
            for measure in form.measures:
                both = [int(cell) for cell in (here[measure.name], row[measure.name]) if cell is not None]
                here[measure.name] = sum(both) if both else None
        else:
            here.update({**row, **codes})
    return list(counted.values())


def _require_addable(form: Form, codes: Mapping[str, str]) -> None:
    if form.overlapping or any(measure.across_units is AcrossUnits.NONE for measure in form.measures):
        raise Refused(
            Reason.UNKNOWN_CODE,
            ", ".join(codes),
            "/".join(codes.values()),
            (
                "mã của danh mục mới: hai dòng cũ thành một mà số liệu không cộng được",
                "codes of the new list: two old rows became one, and their numbers don't add up",
            ),
        )


def _check_narrative(report: Report, form: Form) -> None:
    """A form that names its sections takes no others; those it requires are there whenever there are figures."""
    if not form.sections:
        return
    texts = report.narrative or {}
    sections = {section.name: section for section in form.sections}
    for name in sorted(texts):
        if name not in sections:
            known = ", ".join(sections)
            raise Refused(Reason.UNKNOWN_CODE, "narrative", name, (f"một trong {known}", f"one of {known}"))
    for section in form.sections:
        text = texts.get(section.name, "")
        field = f"narrative.{section.name}"
        if section.required and report.header.kind is Kind.REPORT and not text.strip():
            raise Refused(Reason.VALUE_MISSING, field, "none", (f"phần “{section.label_vi}”", section.label_en))
        if len(text) > section.max_letters:
            raise Refused(
                Reason.VALUE_RANGE,
                field,
                f"{len(text)}",
                (f"nhiều nhất {section.max_letters} chữ cái", f"at most {section.max_letters} letters"),
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
