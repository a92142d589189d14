"""A stack's own reporters: tables that change the released register, and the heads with their phone numbers.

Both lie in the data folder. Units and superiors go into the catalogue of the next release, so into the log; heads never
leave the folder (docs/security.md), in a file that only its owner reads. Nothing is written before the whole is sound.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from deploy.catalogue_release import (
    REPORTERS,
    CatalogueRelease,
    candidate,
    local_files,
    read_registers,
    remembered_trees,
)
from deploy.errors import RefusedError
from deploy.files import write_bytes
from deploy.operator_key import operator_key
from deploy.reading import open_read_model
from deploy.stack import holder, running_stack
from schemas.catalogue import Catalogue
from schemas.head import HEAD_COLUMNS, Head, Heads, plan_heads, read_heads
from schemas.reporters import (
    LOCAL,
    SUPERIOR_COLUMNS,
    UNIT_COLUMNS,
    Change,
    Plan,
    plan,
    superior_cells,
    unit_cells,
)
from schemas.table import TableError, as_table
from schemas.unit import LineName, Subordination, Unit, UnitCode, Units

HEADS = "heads.csv"
EXPORTED = ("units.csv", "superiors.csv", HEADS)

Table = tuple[str, bytes]


@dataclass(frozen=True)
class Intake:
    """What taking in some tables would change: in the catalogue, and among the heads."""

    register: Plan
    heads: Heads
    head_changes: tuple[Change, ...]
    unchanged: int

    @property
    def changes(self) -> tuple[Change, ...]:
        """All changes."""
        return (*self.register.changes, *self.head_changes)


def current_catalogue(data: Path) -> Catalogue:
    """The catalogue that counts on a data folder: the released one of a running stack, else that of its next start."""
    if holder(data) is not None:
        with open_read_model(running_stack(data).settings()) as model:
            return model.catalogue()
    return candidate(remembered_trees(data), local=local_files(data))


def heads_of(data: Path, units: Units) -> Heads:
    """The heads known on a data folder. Raises RefusedError by file and line."""
    path = data / REPORTERS / HEADS
    if not path.exists():
        return Heads()
    if path.stat().st_mode & 0o077:
        raise RefusedError(f"{path} holds people's phone numbers and others may read it: chmod 600 {path}")
    try:
        return read_heads(str(path), path.read_bytes(), units)
    except TableError as error:
        raise RefusedError(str(error)) from error


def intake(catalogue: Catalogue, heads: Heads, files: Sequence[Path]) -> Intake:
    """What these files would change; each is told by its header. Raises RefusedError by file and line."""
    tables: list[Table] = []
    head_tables: list[Table] = []
    for path in files:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise RefusedError(f"{path} can't be read: {error}") from error
        columns = content.decode("utf-8-sig", "replace").partition("\n")[0].strip().split(",")
        if set(SUPERIOR_COLUMNS) <= set(columns) or set(UNIT_COLUMNS) <= set(columns):
            tables.append((str(path), content))
        elif set(HEAD_COLUMNS) <= set(columns):
            head_tables.append((str(path), content))
        else:
            known = "; ".join(",".join(layout) for layout in (UNIT_COLUMNS, SUPERIOR_COLUMNS, HEAD_COLUMNS))
            raise RefusedError(f"{path} line 1: none of the layouts {known}")
    try:
        register = plan(catalogue.files, tables)
        merged, (changes, unchanged) = plan_heads(heads, head_tables, register.units)
    except TableError as error:
        raise RefusedError(str(error)) from error
    return Intake(register, merged, changes, register.unchanged + unchanged)


def apply(data: Path, catalogue: Catalogue, wanted: Intake) -> str:
    """Take it in. Returns what was done in one sentence; raises RefusedError where figures would change.

    On a running stack the catalogue is released and announced at once, else with the next start. Heads are kept last: a
    catalogue that is refused leaves no trace.
    """
    said = []
    if wanted.register.changes:
        made = wanted.register.files
        if holder(data) is not None:
            settings = running_stack(data).settings()
            operator = operator_key(data)
            release = CatalogueRelease(settings, operator)
            try:
                released = release.ensure(
                    Catalogue(made, catalogue.epoch, catalogue.serial), read_registers(settings, operator), {}
                )
            finally:
                release.close()
            said.append(f"catalogue {released.epoch}.{released.serial} is released and announced")
        else:
            said.append("the next start releases it")
        for name, content in made.items():
            if Path(name).stem.rpartition("-")[2] == LOCAL:
                write_bytes(data / REPORTERS / name, content)
    if wanted.head_changes:
        write_bytes(data / REPORTERS / HEADS, wanted.heads.table.encode(), mode=0o600)
        said.append(f"{len(wanted.head_changes)} heads are kept in {data / REPORTERS / HEADS}")
    return "; ".join(said) or "nothing to do"


def below(units: Units, unit: UnitCode, day: date, line: LineName | None = None) -> list[Unit]:
    """`unit` and those that answer to it directly on a line (or any), or are placed in it, that day; by code."""
    lines = units.lines if line is None else {line}
    codes = {code for one in lines for code in units.children(unit, day, one)}
    if line is None:
        codes |= {placed.code for placed in units.placed_in(unit, day)}
    found = [units.unit(code, day) for code in (unit, *sorted(codes - {unit}))]
    return [one for one in found if one is not None]


def everything_below(units: Units, unit: UnitCode) -> set[UnitCode]:
    """`unit` and all that ever answered to it, directly or not, on any line, or lay in it."""
    found: set[UnitCode] = set()
    waiting = [unit]
    placed: dict[str, list[UnitCode]] = {}
    for one in units:
        if one.is_organisation:
            placed.setdefault(one.place, []).append(one.code)
    while waiting:
        code = waiting.pop()
        if code not in found:
            found.add(code)
            waiting += placed.get(code, ())
            waiting += [entry.code for line in units.lines for entry in units.children_of(line, code)]
    return found


def exported(units: Units, heads: Heads, codes: Iterable[UnitCode]) -> Mapping[str, str]:
    """The three tables of these units, as `units-import` reads them, by file name."""
    wanted = sorted(set(codes))
    entries: list[Subordination] = [
        entry for line in sorted(units.lines) for code in wanted for entry in units.superiors_of(line, code)
    ]
    named: list[Head] = [head for code in wanted for head in heads.of(code)]
    return {
        "units.csv": as_table(UNIT_COLUMNS, (unit_cells(unit) for code in wanted for unit in units.versions(code))),
        "superiors.csv": as_table(SUPERIOR_COLUMNS, (superior_cells(entry) for entry in entries)),
        HEADS: as_table(HEAD_COLUMNS, (head.cells for head in named)),
    }
