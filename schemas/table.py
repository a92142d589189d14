"""Tables of the catalogue and of registers: CSV read row by row, every problem named by its file and line.

One reader for all of them, so that whoever edits a table in a spreadsheet is told the same way what is wrong with it.
Nothing is kept of a table with a bad row: half a register would be a register.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from datetime import date

from schemas.unit import OPEN

Row = Mapping[str, str]


class TableError(ValueError):
    """A table that can't be used; one line that names file and row.

    `about` and `reason`: code and first day of the entry at fault, and what is wrong with it without the place, for
    readers who know the entry by another file.
    """

    def __init__(self, message: str, about: tuple[str, date] | None = None, reason: str = "") -> None:
        super().__init__(message)
        self.about = about
        self.reason = reason or message


def table_rows(name: str, content: bytes, columns: Iterable[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Each row of a CSV with where it stands ("units/vn.csv line 7"). More columns than asked for are let through.

    Raises TableError for a missing column, a row of another length, or bytes that are no UTF-8.
    """
    try:
        reader = csv.reader(io.StringIO(content.decode("utf-8-sig")))
    except UnicodeDecodeError as error:
        raise TableError(f"{name}: not UTF-8 ({error.reason} at byte {error.start})") from error
    head = next(reader, [])
    if missing := [column for column in columns if column not in head]:
        raise TableError(f"{name}: no column {', '.join(missing)}")
    for cells in reader:
        if not cells:
            continue
        where = f"{name} line {reader.line_num}"
        if len(cells) != len(head):
            raise TableError(f"{where}: {len(head)} columns expected")
        yield where, dict(zip(head, cells, strict=True))


def table_day(row: Row, column: str, where: str) -> date:
    """The day in a cell; an empty `valid_to` is open. Raises TableError."""
    text = row[column]
    if not text and column == "valid_to":
        return OPEN
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise TableError(f"{where}: {column} {text!r} is not a day such as 2021-12-13") from error


def as_table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A CSV as it is released: UTF-8, LF, the header first."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return out.getvalue()
