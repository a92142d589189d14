"""The register of reporters as tables: units and their superiors by line, read whole or not at all.

`units/*.csv` say who there is, `lines/LINE[-anything].csv` who answers to whom on a line. Rows of the tables called
`local` (a province's own changes, see `Change`) stand in place of released rows about the same unit and first day, so
that a released table is never edited. Every contradiction is told by the file and line that it comes from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import PurePosixPath

from schemas.table import TableError, as_table, table_day, table_rows
from schemas.unit import OPEN, LineName, Subordination, Unit, UnitCode, UnitError, UnitKind, Units

UNIT_COLUMNS = ("code", "name", "level", "kind", "place", "valid_from", "valid_to")
LINE_COLUMNS = ("code", "superior", "valid_from", "valid_to")
TREE_COLUMNS = ("code", "name", "level", "parent", "valid_from", "valid_to")
SUPERIOR_COLUMNS = ("line", *LINE_COLUMNS)
LOCAL = "local"
LEVELS = ("nation", "province", "district", "commune")

UnitKey = tuple[UnitCode, date]
LineKey = tuple[LineName, UnitCode, date]


@dataclass
class Read:
    """Entries of some tables with where each stands."""

    units: dict[UnitKey, tuple[Unit, str]] = field(default_factory=dict)
    superiors: dict[LineKey, tuple[Subordination, str]] = field(default_factory=dict)

    def add_unit(self, unit: Unit, where: str) -> None:
        """One more unit. Raises TableError where it is there already."""
        if known := self.units.get((unit.code, unit.valid_from)):
            raise TableError(
                f"{where}: unit {unit.code}: valid from {unit.valid_from} while an earlier one still is ({known[1]})"
            )
        self.units[unit.code, unit.valid_from] = unit, where

    def add_superior(self, entry: Subordination, where: str) -> None:
        """One more entry of a line. Raises TableError where the unit has one from that day on already."""
        key = (entry.line, entry.code, entry.valid_from)
        if known := self.superiors.get(key):
            raise TableError(
                f"{where}: unit {entry.code}: two superiors on line {entry.line} on {entry.valid_from} ({known[1]})"
            )
        self.superiors[key] = entry, where

    def under(self, local: Read) -> Read:
        """These entries with local ones in place of those about the same unit (and line) from the same day on."""
        return Read({**self.units, **local.units}, {**self.superiors, **local.superiors})

    def beyond(self, current: Read) -> Read:
        """Of these entries those that `current` has not, or has otherwise."""
        return Read(
            {k: v for k, v in self.units.items() if k not in current.units or current.units[k][0] != v[0]},
            {k: v for k, v in self.superiors.items() if k not in current.superiors or current.superiors[k][0] != v[0]},
        )

    def built(self) -> Units:
        """The register that the entries make. Raises TableError naming the entry at fault by file and line."""
        try:
            return Units((u for u, _ in self.units.values()), (s for s, _ in self.superiors.values()))
        except UnitError as error:
            where = " and ".join(self._where(entry) for entry in error.about)
            last = error.about[-1]
            raise TableError(f"{where}: {error}", about=(last.code, last.valid_from), reason=str(error)) from error

    def _where(self, entry: Unit | Subordination) -> str:
        if isinstance(entry, Unit):
            return self.units[entry.code, entry.valid_from][1]
        return self.superiors[entry.line, entry.code, entry.valid_from][1]


def read_units(files: Mapping[str, bytes]) -> Units:
    """The units and lines of a catalogue's files, by path. Raises TableError."""
    return _read_all(files).built()


def unit_of(row: Mapping[str, str], where: str) -> Unit:
    """A row of `units/*.csv`. Raises TableError."""
    for column in ("code", "name"):
        if not row[column] or row[column] != " ".join(row[column].split()):
            raise TableError(f"{where}: {column} {row[column]!r} is empty or has stray spaces")
    try:
        kind = UnitKind(row["kind"])
    except ValueError as error:
        raise TableError(f"{where}: kind {row['kind']!r} is not one of {', '.join(UnitKind)}") from error
    first, last = table_day(row, "valid_from", where), table_day(row, "valid_to", where)
    return Unit(UnitCode(row["code"]), first, last, row["name"], row["level"], kind, row["place"])


def superior_of(line: LineName, row: Mapping[str, str], where: str) -> Subordination:
    """A row of `lines/*.csv`. Raises TableError."""
    for column in ("code", "superior"):
        if not row[column]:
            raise TableError(f"{where}: no {column}")
    first, last = table_day(row, "valid_from", where), table_day(row, "valid_to", where)
    return Subordination(line, UnitCode(row["code"]), first, last, UnitCode(row["superior"]))


def unit_cells(unit: Unit) -> tuple[str, ...]:
    """A unit as a row of `units/*.csv`."""
    return (unit.code, unit.name, unit.level, unit.kind.value, unit.place, *days(unit.valid_from, unit.valid_to))


def superior_cells(entry: Subordination) -> tuple[str, ...]:
    """An entry of a line as a row of `SUPERIOR_COLUMNS`."""
    return (entry.line, entry.code, entry.superior, *days(entry.valid_from, entry.valid_to))


def days(first: date, last: date) -> tuple[str, str]:
    """A validity as two cells."""
    return first.isoformat(), "" if last == OPEN else last.isoformat()


def split_tree(text: str, name: str) -> tuple[bytes, bytes]:
    """The tables of units and of the line `ubnd` from one CSV of `TREE_COLUMNS`. Raises TableError."""
    units: list[tuple[str, ...]] = []
    line: list[tuple[str, ...]] = []
    for where, row in table_rows(name, text.encode(), TREE_COLUMNS):
        if not row["code"] or not row["name"]:
            raise TableError(f"{where}: a unit needs a code and a name")
        table_day(row, "valid_from", where)
        table_day(row, "valid_to", where)
        validity = (row["valid_from"], row["valid_to"])
        units.append((row["code"], row["name"], row["level"], UnitKind.ADMINISTRATIVE.value, "", *validity))
        if row["parent"]:
            line.append((row["code"], row["parent"], *validity))
    if not units:
        raise TableError(f"{name}: no unit in it")
    return as_table(UNIT_COLUMNS, units).encode(), as_table(LINE_COLUMNS, line).encode()


@dataclass(frozen=True, slots=True)
class Change:
    """One row of a plan: `what` is new or changed, `table` unit or superior, `was` the row it takes the place of."""

    what: str
    table: str
    now: tuple[str, ...]
    was: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What a register would be after some tables are taken in, and what of it is not so yet."""

    units: Units
    changes: tuple[Change, ...]
    unchanged: int
    files: Mapping[str, bytes]
    """The catalogue's files with the changes among them."""


def plan(files: Mapping[str, bytes], tables: Iterable[tuple[str, bytes]]) -> Plan:
    """What it means to take in tables of `UNIT_COLUMNS` or `SUPERIOR_COLUMNS`, each with its name for messages.

    A row about a unit (and line) from a day that is known replaces it, any other is added; nothing is taken away: what
    is over gets a `valid_to`. Raises TableError where a row can't be read or the whole would contradict itself.
    """
    current = _read_all(files)
    given = Read()
    for name, content in tables:
        header = content.decode("utf-8-sig", "replace").partition("\n")[0].strip().split(",")
        if "line" in header:
            for where, row in table_rows(name, content, SUPERIOR_COLUMNS):
                given.add_superior(superior_of(LineName(row["line"]), row, where), where)
        else:
            for where, row in table_rows(name, content, UNIT_COLUMNS):
                if row["level"] not in LEVELS:
                    raise TableError(f"{where}: level {row['level']!r} is not one of {', '.join(LEVELS)}")
                given.add_unit(unit_of(row, where), where)
    merged = current.under(given)
    units = merged.built()
    changed = given.beyond(current)
    changes = tuple(_changes(current, changed))
    unchanged = len(given.units) + len(given.superiors) - len(changes)
    return Plan(units, changes, unchanged, _with_local(files, changed))


def _changes(current: Read, changed: Read) -> Iterator[Change]:
    for key, (unit, _) in sorted(changed.units.items()):
        known = current.units.get(key)
        yield Change("changed" if known else "new", "unit", unit_cells(unit), unit_cells(known[0]) if known else ())
    for line_key, (entry, _) in sorted(changed.superiors.items()):
        was = current.superiors.get(line_key)
        yield Change("changed" if was else "new", "superior", superior_cells(entry),
                     superior_cells(was[0]) if was else ())  # fmt: skip


def _read_all(files: Mapping[str, bytes], *, only_local: bool = False) -> Read:
    released, local = Read(), Read()
    for name, content in files.items():
        folder, stem = PurePosixPath(name).parts[0], PurePosixPath(name).stem
        into = local if stem.rpartition("-")[2] == LOCAL else released
        if only_local and into is released:
            continue
        if folder == "units":
            for where, row in table_rows(name, content, UNIT_COLUMNS):
                into.add_unit(unit_of(row, where), where)
        elif folder == "lines":
            line = LineName(stem.partition("-")[0])
            for where, row in table_rows(name, content, LINE_COLUMNS):
                into.add_superior(superior_of(line, row, where), where)
    return released.under(local)


def _with_local(files: Mapping[str, bytes], given: Read) -> Mapping[str, bytes]:
    local = _read_all(files, only_local=True).under(given)
    made = dict(files)
    if local.units:
        rows = (unit_cells(unit) for _, (unit, _) in sorted(local.units.items()))
        made[f"units/{LOCAL}.csv"] = as_table(UNIT_COLUMNS, rows).encode()
    lines: dict[LineName, list[tuple[str, ...]]] = {}
    for (line, _, _), (entry, _) in sorted(local.superiors.items()):
        lines.setdefault(line, []).append(superior_cells(entry)[1:])
    for line, entries in lines.items():
        made[f"lines/{line}-{LOCAL}.csv"] = as_table(LINE_COLUMNS, entries).encode()
    return made
