"""Answers of the read model as text: a table for people, CSV and JSON for machines.

CSV is what `examples/figures.csv` shows: plain integers, an absent value an empty field. Numbers are grouped the
Vietnamese way (1.234.567) in tables only, never in what a machine reads.
"""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from schemas.catalogue import ZONE
from schemas.read_model import Figures, RejectedReport
from schemas.receipt import Receipt
from schemas.report import Millis

Value = str | int | None


class Layout(StrEnum):
    """How rows are printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Lines:
    """Rows under the names of their columns."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]


def figure_lines(figures: Figures) -> Lines:
    """Figures in the columns of the contract's section 8."""
    dimensions = (dimension.name for dimension in figures.form.dimensions)
    measures = (measure.name for measure in figures.form.measures)
    return Lines(
        ("unit", "form", "period", "kind", *dimensions, *measures, "units_reported", "version"),
        tuple((row.unit, row.form, row.period, row.kind.value, *row.dims, *row.measures, row.units_reported,
               row.version) for row in figures.rows),
    )  # fmt: skip


def receipt_lines(receipts: Sequence[Receipt]) -> Lines:
    """Receipts, one line each; the digest left out, times in Vietnam's zone."""
    return Lines(
        ("unit", "line", "form", "period", "entered_by", "revision", "outcome", "reason", "field", "detail",
         "highest_revision", "accepted_at", "source", "kid", "figures_offset"),
        tuple((r.unit, r.line, r.form, r.period, r.entered_by, r.revision, r.outcome.value, r.reason, r.field,
               r.detail, r.highest_revision, moment(r.accepted_at), str(r.source), r.kid, r.figures_offset)
              for r in receipts),
    )  # fmt: skip


def rejection_lines(rejections: Sequence[RejectedReport]) -> Lines:
    """Rejected records, one line each; never their values."""
    return Lines(
        ("source", "key", "reason", "field", "detail_vi", "detail_en", "accepted_at"),
        tuple((str(r.source), r.key, r.reason, r.field, r.detail_vi, r.detail_en, moment(r.accepted_at))
              for r in rejections),
    )  # fmt: skip


def for_terminal(lines: Lines, left_out: Collection[str] = ()) -> Lines:
    """The lines without columns that would only make them wider: those named, and those with no value in any row."""
    told = [
        not lines.rows or any(row[place] not in ("", None) for row in lines.rows) for place in range(len(lines.columns))
    ]
    kept = [place for place, name in enumerate(lines.columns) if told[place] and name not in left_out]
    return Lines(
        tuple(lines.columns[place] for place in kept), tuple(tuple(row[place] for place in kept) for row in lines.rows)
    )


def moment(time: Millis) -> str:
    """A time with its offset, to the millisecond; empty where there is none (-1)."""
    return "" if time < 0 else datetime.fromtimestamp(time / 1000, ZONE).isoformat(timespec="milliseconds")


def as_text(lines: Lines, layout: Layout) -> str:
    """The lines in a layout, ending with a line feed."""
    match layout:
        case Layout.CSV:
            return as_csv(lines)
        case Layout.JSON:
            return as_json(lines)
        case Layout.TABLE:
            return as_table(lines)


def as_csv(lines: Lines) -> str:
    """CSV with a header, UTF-8 without a mark, line feeds."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(lines.columns)
    writer.writerows(lines.rows)
    return out.getvalue()


def as_json(lines: Lines) -> str:
    """A JSON array of objects, one line each, absent values null."""
    rows = (json.dumps(dict(zip(lines.columns, row, strict=True)), ensure_ascii=False) for row in lines.rows)
    return "[" + ",\n ".join(rows) + "]\n"


def as_table(lines: Lines) -> str:
    """Aligned columns for a terminal: numbers to the right and grouped, an absent value as a dash."""
    numeric = [any(isinstance(row[index], int) for row in lines.rows) for index in range(len(lines.columns))]
    cells = [list(lines.columns), *([_cell(value, number=number) for value, number in zip(row, numeric, strict=True)]
                                    for row in lines.rows)]  # fmt: skip
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    return "".join(_aligned(row, widths, numeric) + "\n" for row in cells)


def _aligned(row: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> str:
    padded = [(" " * (width - _width(cell)) + cell) if number else (cell + " " * (width - _width(cell)))
              for cell, width, number in zip(row, widths, numeric, strict=True)]  # fmt: skip
    return "  ".join(padded).rstrip()


def _cell(value: Value, *, number: bool) -> str:
    if isinstance(value, int):
        return f"{value:,}".replace(",", ".")
    return value or ("–" if number else "")


def _width(text: str) -> int:
    """Columns on the screen: marks that combine take none."""
    return sum(not unicodedata.combining(character) for character in text)
