"""Code lists: what a dimension may say, by day, and under which code an old one counts.

A list has versions: a decision replaces groups by others, and codes end while others begin. A report of a unit that
still has the old list comes in all the same; `counted_as` says under which code of the new list its rows are counted.
Invariant: a code that is counted as another is so from the day after its own end, so following leads forward in time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import PurePosixPath

from schemas.table import TableError, table_day, table_rows
from schemas.unit import OPEN

FOLDER = "codes/"
_COLUMNS = ("code", "label_vi", "label_en", "valid_from", "valid_to")
"""What every list has. `source` (the document), `counted_as` and `parent` (codes of the list) may be left out."""


@dataclass(frozen=True, slots=True)
class CodeEntry:
    """One code of a list during its validity. `counted_as`: its successor on later days; `parent`: what it is of."""

    code: str
    label_vi: str
    label_en: str
    valid_from: date
    valid_to: date
    source: str = ""
    counted_as: str = ""
    parent: str = ""

    def in_force(self, day: date) -> bool:
        """Whether it may be used in a report whose period ends on `day`."""
        return self.valid_from <= day <= self.valid_to


CodeList = Mapping[str, CodeEntry]


def counted_code(entries: CodeList, code: str, day: date) -> str | None:
    """The code under which `code` is counted on `day`: itself, or its successor in force then; None for no such."""
    entry = entries.get(code)
    while entry is not None and day > entry.valid_to:
        entry = entries.get(entry.counted_as)
    return entry.code if entry is not None and entry.in_force(day) else None


def read_codes(files: Mapping[str, bytes]) -> dict[str, dict[str, CodeEntry]]:
    """Every code list of a catalogue, by name and code. Raises TableError with file and line."""
    return {
        PurePosixPath(name).stem: _code_list(name, content)
        for name, content in files.items()
        if name.startswith(FOLDER)
    }


def _code_list(name: str, content: bytes) -> dict[str, CodeEntry]:
    entries: dict[str, CodeEntry] = {}
    places: dict[str, str] = {}
    for where, entry in _entries(name, content):
        if not (entry.code and entry.label_vi and entry.label_en):
            raise TableError(f"{where}: a code has a label in Vietnamese and one in English")
        if entry.code in entries:
            raise TableError(f"{where}: code {entry.code} stands on {places[entry.code]} too")
        if entry.valid_to < entry.valid_from:
            raise TableError(f"{where}: code {entry.code} ends before it begins")
        entries[entry.code] = entry
        places[entry.code] = where
    for entry in entries.values():
        _require_links(entry, entries, places[entry.code])
    return entries


def _entries(name: str, content: bytes) -> Iterator[tuple[str, CodeEntry]]:
    for where, row in table_rows(name, content, _COLUMNS):
        days = (table_day(row, "valid_from", where), table_day(row, "valid_to", where))
        more = (row.get(column, "") for column in ("source", "counted_as", "parent"))
        yield where, CodeEntry(row["code"], row["label_vi"], row["label_en"], *days, *more)


def _require_links(entry: CodeEntry, entries: CodeList, where: str) -> None:
    if entry.counted_as:
        if entry.valid_to == OPEN:
            raise TableError(f"{where}: code {entry.code} never ends, so nothing is counted as {entry.counted_as}")
        day = entry.valid_to + timedelta(days=1)
        successor = entries.get(entry.counted_as)
        if successor is None or not successor.in_force(day):
            raise TableError(
                f"{where}: code {entry.code} is counted as {entry.counted_as}, which is no code of the list on {day}"
            )
    seen = {entry.code}
    above = entry.parent
    while above:
        if above not in entries:
            raise TableError(f"{where}: parent {above} of code {entry.code} is not in the list")
        if above in seen:
            raise TableError(f"{where}: code {entry.code} is its own parent")
        seen.add(above)
        above = entries[above].parent
