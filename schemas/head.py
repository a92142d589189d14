"""Accountable heads (người đứng đầu): who answers for a unit's reports, with title and phone, by day.

These are the only personal data of the system. They live in one table of a data folder that can be corrected and
erased, never in the log, a catalogue, figures or the page (docs/security.md): `reports` and `acts` are kept for
ever, people's numbers must not be.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date

from schemas.reporters import Change, days
from schemas.table import TableError, as_table, table_day, table_rows
from schemas.unit import UnitCode, Units

HEAD_COLUMNS = ("code", "name", "title", "phone", "valid_from", "valid_to")

_PHONE = re.compile(r"\+?[0-9][0-9 .()-]{5,18}[0-9]", re.ASCII)


@dataclass(frozen=True, slots=True)
class Head:
    """Who heads a unit during a validity, both days inclusive. An empty phone is not known."""

    unit: UnitCode
    name: str
    title: str
    phone: str
    valid_from: date
    valid_to: date

    @property
    def cells(self) -> tuple[str, ...]:
        """As a row of `HEAD_COLUMNS`."""
        return (self.unit, self.name, self.title, self.phone, *days(self.valid_from, self.valid_to))


class Heads:
    """The register of heads, asked by unit and day."""

    def __init__(self, heads: Iterable[Head] = ()) -> None:
        self._by_unit: dict[UnitCode, list[Head]] = {}
        for head in sorted(heads, key=lambda one: (one.unit, one.valid_from)):
            self._by_unit.setdefault(head.unit, []).append(head)

    def __iter__(self) -> Iterator[Head]:
        for heads in self._by_unit.values():
            yield from heads

    def head(self, unit: UnitCode, day: date) -> Head | None:
        """Who heads `unit` on `day`, or None where nobody is known."""
        return next((h for h in self._by_unit.get(unit, ()) if h.valid_from <= day <= h.valid_to), None)

    def of(self, unit: UnitCode) -> tuple[Head, ...]:
        """All heads of a unit, oldest first."""
        return tuple(self._by_unit.get(unit, ()))

    @property
    def table(self) -> str:
        """The register as its table."""
        return as_table(HEAD_COLUMNS, (head.cells for head in self))


def read_heads(name: str, content: bytes, units: Units) -> Heads:
    """A register from its table. Raises TableError with file and line."""
    heads, _ = plan_heads(Heads(), [(name, content)], units)
    return heads


def plan_heads(
    current: Heads, tables: Iterable[tuple[str, bytes]], units: Units
) -> tuple[Heads, tuple[tuple[Change, ...], int]]:
    """What the register would be with these tables taken in; the changes, and how many rows change nothing.

    A row about a unit from a day that is known replaces it; with an empty name it erases it. Raises TableError.
    """
    known = {(head.unit, head.valid_from): head for head in current}
    merged = dict(known)
    where_of: dict[tuple[UnitCode, date], str] = {}
    for name, content in tables:
        for where, row in table_rows(name, content, HEAD_COLUMNS):
            head = _head(row, where, units)
            key = (head.unit, head.valid_from)
            if key in where_of:
                raise TableError(f"{where}: head of {head.unit} from {head.valid_from} stands at {where_of[key]} too")
            where_of[key] = where
            if head.name:
                merged[key] = head
            else:
                merged.pop(key, None)
    heads = Heads(merged.values())
    _check_overlaps(heads, where_of)
    changes = tuple(_changes(known, merged, sorted(where_of)))
    return heads, (changes, len(where_of) - len(changes))


def _changes(
    known: dict[tuple[UnitCode, date], Head],
    merged: dict[tuple[UnitCode, date], Head],
    keys: Iterable[tuple[UnitCode, date]],
) -> Iterator[Change]:
    for key in keys:
        was, now = known.get(key), merged.get(key)
        if was != now:
            what = "new" if was is None else "erased" if now is None else "changed"
            yield Change(what, "head", now.cells if now else (), was.cells if was else ())


def _head(row: dict[str, str], where: str, units: Units) -> Head:
    first, last = table_day(row, "valid_from", where), table_day(row, "valid_to", where)
    head = Head(UnitCode(row["code"]), row["name"].strip(), row["title"].strip(), row["phone"].strip(), first, last)
    if last < first:
        raise TableError(f"{where}: head of {head.unit} to {last}, before {first}")
    if units.unit(head.unit, first) is None:
        raise TableError(f"{where}: no unit {head.unit} is in force on {first}")
    if head.phone and not _PHONE.fullmatch(head.phone):
        raise TableError(f"{where}: phone {head.phone!r} is not a number such as 0213 3879 001")
    return head


def _check_overlaps(heads: Heads, where_of: dict[tuple[UnitCode, date], str]) -> None:
    earlier: Head | None = None
    for head in heads:
        if earlier is not None and earlier.unit == head.unit and head.valid_from <= earlier.valid_to:
            where = where_of.get((head.unit, head.valid_from)) or where_of.get((earlier.unit, earlier.valid_from), "")
            raise TableError(f"{where}: two heads of {head.unit} on {head.valid_from}: {earlier.name} and {head.name}")
        earlier = head
