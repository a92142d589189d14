"""What was typed into a form's page: read from its fields, judged as a whole, and shown again as it was typed.

A blank cell is not a zero (design decision 4): it is asked for, or left blank where the form allows it. A row of which
nothing was typed is no row. Every fault is told beside its field; admission, which everything passes again, tells one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import product
from typing import Any

from schemas.catalogue import Catalogue
from schemas.form import LARGEST, Check, CheckLevel, Dimension, Form, Measure
from schemas.report import Cell, Report
from schemas.row_checks import broken_check

_GROUPED = re.compile(r"[-−]?\d{1,3}(?:\.\d{3})+|[-−]?\d{1,15}")
_ALL_ROWS_UP_TO = 12
"""A table with so few possible rows shows all of them; of a larger one rows are chosen."""
MOST_ROWS = 400
Words = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a field, in words. `field` empty: with the whole."""

    field: str
    words: Words


@dataclass
class Typed:
    """Texts as typed: rows by column, sections by name."""

    rows: list[dict[str, str]]
    narrative: dict[str, str] = field(default_factory=dict)


@dataclass
class Judged:
    """What the texts mean: rows and sections to be sent, faults that keep them back, warnings that don't."""

    rows: list[dict[str, Cell]]
    narrative: dict[str, str]
    faults: list[Fault]
    warnings: list[Fault]


def read_typed(fields: Mapping[str, str], form: Form) -> Typed:
    """The texts of a page's fields: `r0.persons`, `n.results`."""
    count = fields.get("rows", "0")
    number = min(int(count), MOST_ROWS) if count.isascii() and count.isdigit() and len(count) < 6 else 0
    rows = [{name: fields.get(f"r{at}.{name}", "").strip() for name in form.columns} for at in range(number)]
    names = [section.name for section in form.sections]
    texts = {name: fields.get(f"n.{name}", "").replace("\r\n", "\n") for name in names}
    return Typed(rows, {name: text for name, text in texts.items() if text.strip()})


def blank(form: Form, catalogue: Catalogue, day: date) -> Typed:
    """A page without numbers: all rows that there may be where they are few, else one to be chosen."""
    names = [dimension.name for dimension in form.dimensions]
    codes = [codes_of(dimension, catalogue, day) for dimension in form.dimensions]
    if not names:
        return Typed([dict.fromkeys(form.columns, "")])
    tuples = list(product(*codes)) if _few(codes) else [("",) * len(names)]
    return Typed([{**dict.fromkeys(form.columns, ""), **dict(zip(names, row, strict=True))} for row in tuples])


def of_report(report: Report, form: Form, catalogue: Catalogue, day: date) -> Typed:
    """A page filled with a report that was sent, in the columns of the form now in force."""
    rows = [{name: "" if row.get(name) is None else str(row.get(name)) for name in form.columns} for row in report.rows]
    names = [dimension.name for dimension in form.dimensions]
    there = {tuple(row[name] for name in names) for row in rows}
    if names and _few([codes_of(dimension, catalogue, day) for dimension in form.dimensions]):
        rows += [row for row in blank(form, catalogue, day).rows if tuple(row[name] for name in names) not in there]
    return Typed(rows or blank(form, catalogue, day).rows, dict(report.narrative or {}))


def codes_of(dimension: Dimension, catalogue: Catalogue, day: date) -> list[str]:
    """The codes that a dimension may have on a day, in the list's order."""
    return [code for code, entry in catalogue.codes[dimension.code_list].items() if entry.in_force(day)]


def is_fixed(form: Form, catalogue: Catalogue, day: date) -> bool:
    """Whether the page shows all rows that there may be."""
    return _few([codes_of(dimension, catalogue, day) for dimension in form.dimensions])


def _few(codes: Sequence[Sequence[str]]) -> bool:
    count = 1
    for one in codes:
        count *= len(one)
    return count <= _ALL_ROWS_UP_TO


def zeros(typed: Typed, form: Form, catalogue: Catalogue, day: date) -> Typed:
    """Zeros where nothing was typed, in rows of which something was, or in all of a table that shows all rows."""
    everywhere = is_fixed(form, catalogue, day)
    needed = [measure.name for measure in form.measures if not measure.optional]
    rows = []
    for row in typed.rows:
        filled = dict(row)
        if everywhere or not _is_blank(row, form):
            filled |= {name: "0" for name in needed if not row[name]}
        rows.append(filled)
    return Typed(rows, typed.narrative)


def judge(typed: Typed, form: Form, catalogue: Catalogue, day: date) -> Judged:
    """What the texts mean, with all that is wrong at once. `day` is the period's last."""
    faults: list[Fault] = []
    warnings: list[Fault] = []
    rows: list[dict[str, Cell]] = []
    places: list[int] = []
    seen: dict[tuple[Cell, ...], int] = {}
    for at, texts in enumerate(typed.rows):
        if _is_blank(texts, form):
            continue
        row, wrong = _row(at, texts, form, catalogue, day)
        faults += wrong
        about = tuple(row[dimension.name] for dimension in form.dimensions)
        if about in seen and "" not in about:
            faults.append(_twice(at, seen[about], form))
        seen.setdefault(about, at)
        if not wrong:
            rows.append(row)
            places.append(at)
    narrative = {name: text.strip() for name, text in typed.narrative.items() if text.strip()}
    faults += _texts(narrative, form)
    if not rows and not faults:
        faults.append(Fault("", ("Chưa nhập số liệu nào. Nếu không có gì để báo cáo, hãy dùng “Không phát sinh”.",
                                 "No number was entered. Use “Nothing to report” if there is none.")))  # fmt: skip
    whole = not faults
    for at, row in zip(places, rows, strict=True):
        for check in form.checks:
            if not check.over_table:
                _ask(check, form, [row], f"r{at}.{_first(check, form)}", faults, warnings)
    for check in form.checks if whole else ():
        if check.over_table:
            _ask(check, form, rows, "", faults, warnings)
    return Judged(rows, narrative, faults, warnings)


def _ask(
    check: Check, form: Form, rows: Sequence[Mapping[str, Cell]], field: str, faults: list[Fault],
    warnings: list[Fault],
) -> None:  # fmt: skip
    broken = broken_check(check, form, rows)
    if broken is not None:
        words = (f"{broken[0]}.", f"{broken[1]}.")
        (faults if check.level is CheckLevel.REJECT else warnings).append(Fault(field, words))


def _first(check: Check, form: Form) -> str:
    """The first column that a check reads, beside which it is told."""
    return next((measure.name for measure in form.measures if measure.name in check.rule.names), form.columns[0])


def _is_blank(texts: Mapping[str, str], form: Form) -> bool:
    return not any(texts[measure.name] for measure in form.measures)


def _row(
    at: int, texts: Mapping[str, str], form: Form, catalogue: Catalogue, day: date
) -> tuple[dict[str, Cell], list[Fault]]:
    row: dict[str, Cell] = {}
    faults: list[Fault] = []
    for dimension in form.dimensions:
        row[dimension.name] = code = texts[dimension.name]
        if code not in catalogue.counted_codes(dimension.code_list, day):
            faults.append(Fault(f"r{at}.{dimension.name}", (f"Hãy chọn {dimension.label_vi.lower()}.",
                                                           f"Choose: {dimension.label_en}.")))  # fmt: skip
    for measure in form.measures:
        found = _number(texts[measure.name], measure)
        if isinstance(found, tuple):
            faults.append(Fault(f"r{at}.{measure.name}", found))
        else:
            row[measure.name] = found
    return row, faults


def _number(text: str, measure: Measure) -> int | Words | None:
    """The number of a text, None for a blank that may be, else what is wrong with it."""
    plain = re.sub(r"[\s\u00a0\u202f]", "", text)
    if not plain:
        if measure.optional:
            return None
        return ("Chưa điền. Không có thì ghi 0.", "Missing. Enter 0 if there is none.")
    if not _GROUPED.fullmatch(plain) or (not plain.isascii() and not plain.replace("−", "-").isascii()):
        return (f"“{text[:30]}” không phải số nguyên; viết như 1234 hoặc 1.234.",
                f"“{text[:30]}” is not a whole number; write 1234 or 1.234.")  # fmt: skip
    number = int(plain.replace(".", "").replace("−", "-"))
    smallest = -LARGEST if measure.minimum is None else measure.minimum
    if not smallest <= number <= LARGEST:
        if number < smallest:
            return (f"Không được nhỏ hơn {smallest}.", f"Not below {smallest}.")
        return ("Số quá lớn.", "The number is too large.")
    return number


def _twice(at: int, other: int, form: Form) -> Fault:
    name = form.dimensions[0].name if form.dimensions else form.columns[0]
    return Fault(f"r{at}.{name}", (f"Trùng với dòng {other + 1}: gộp hai dòng làm một.",
                                   f"The same as row {other + 1}: make one row of the two."))  # fmt: skip


def _texts(narrative: Mapping[str, str], form: Form) -> Iterator[Fault]:
    for section in form.sections:
        text = narrative.get(section.name, "")
        if section.required and not text:
            yield Fault(f"n.{section.name}", (f"Chưa viết phần “{section.label_vi}”.",
                                              f"“{section.label_en}” is missing."))  # fmt: skip
        if len(text) > section.max_letters:
            yield Fault(f"n.{section.name}", (f"Nhiều nhất {section.max_letters} chữ cái; đang có {len(text)}.",
                                              f"At most {section.max_letters} letters, not {len(text)}."))  # fmt: skip


def as_json(judged: Judged) -> dict[str, Any]:
    """The table as the gateway's JSON has it."""
    return {"rows": judged.rows, "narrative": judged.narrative}
