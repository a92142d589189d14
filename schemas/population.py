"""Populations: the denominators of indicators, by unit, age group and the day that they were counted on.

A count holds from its day until the next one of the same unit and group, so a figure of December 2021 is never divided
by the people of 2024. Where none is known there is no indicator: a guessed denominator would look like knowledge.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from schemas.table import TableError, table_day, table_rows
from schemas.unit import UnitCode, Units

FOLDER = "populations/"
COLUMNS = ("unit", "group", "persons", "on", "source")


@dataclass(frozen=True, slots=True)
class Count:
    """So many persons of a group in a unit, as counted on a day; `source` says by whom, or that it is invented."""

    unit: UnitCode
    group: str
    persons: int
    on: date
    source: str


class Populations:
    """The counts of a catalogue."""

    def __init__(self, counts: Iterable[Count] = ()) -> None:
        self._counts: dict[tuple[UnitCode, str], list[Count]] = {}
        for count in sorted(counts, key=lambda one: (one.unit, one.group, one.on)):
            self._counts.setdefault((count.unit, count.group), []).append(count)
        self.groups = frozenset(group for _, group in self._counts)

    def count(self, unit: UnitCode, group: str, day: date) -> Count | None:
        """The newest count of a unit up to `day`, None where there is none."""
        return next((c for c in reversed(self._counts.get((unit, group), ())) if c.on <= day), None)


def read_populations(files: Mapping[str, bytes], units: Units) -> Populations:
    """All counts of a catalogue's files. Raises TableError by file and line."""
    counts: dict[tuple[str, str, date], Count] = {}
    for name, content in files.items():
        if not name.startswith(FOLDER):
            continue
        for where, row in table_rows(name, content, COLUMNS):
            on = table_day(row, "on", where)
            key = (row["unit"], row["group"], on)
            if UnitCode(row["unit"]) not in units:
                raise TableError(f"{where}: no unit {row['unit']} in the catalogue")
            if not row["persons"].isascii() or not row["persons"].isdigit() or not row["group"] or not row["source"]:
                raise TableError(f"{where}: persons must be a whole number, group and source must be given")
            if key in counts:
                raise TableError(f"{where}: {row['group']} of {row['unit']} on {on} is there twice")
            counts[key] = Count(UnitCode(row["unit"]), row["group"], int(row["persons"]), on, row["source"])
    return Populations(counts.values())
