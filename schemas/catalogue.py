"""The catalogue: units, lines, forms and code lists, released as a whole with epoch, serial and digest.

The catalogue is in the log (design decision 9): one act carries it as a bundle, a control record in every partition of
`reports` puts it in force, and every worker and every replay decides by the bundle announced at a record's offset.
"""

from __future__ import annotations

import copy
import gc
import hashlib
import io
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from zoneinfo import ZoneInfo

from schemas.code_list import counted_code, read_codes
from schemas.cross_check import read_checks
from schemas.form import Fingerprint, Form, FormError, FormId
from schemas.form_files import read_forms, require_codes
from schemas.indicator import read_indicators
from schemas.population import read_populations
from schemas.regime_reader import LADDERS, read_regimes
from schemas.reporters import TREE_COLUMNS, read_units, split_tree
from schemas.table import TableError, table_rows
from schemas.term import Known, known_forms
from schemas.unit import UBND, LineName, UnitCode, Units
from schemas.working_days import DAYS_OFF, WorkCalendar, read_days_off

ANNOUNCEMENT_TYPE = "vn.chungsuc.catalogue.v1"
RELEASED = Path(__file__).parent / "released"
ZONE = ZoneInfo("Asia/Ho_Chi_Minh")
"""The zone of deadlines and of the day of acceptance."""
_PATTERNS = (
    "forms/*.avsc", "codes/*.csv", "units/*.csv", "lines/*.csv", "checks/*.toml", "regimes/*.toml", LADDERS, DAYS_OFF,
    "indicators/*.toml", "populations/*.csv",
)  # fmt: skip


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without looking for garbage among a nation's 30,000 entries, which are none: a quarter of the time to read them.

    Every process reads a catalogue at its start.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class CatalogueError(TableError):
    """A catalogue that can't be used or must not be released; one line that names file and row."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a control record says. Ordered by (epoch, serial)."""

    epoch: int
    serial: int
    digest: bytes


class Catalogue:
    """A catalogue read from its files. `files` maps relative paths to bytes and is the whole of its identity."""

    def __init__(self, files: Mapping[str, bytes], epoch: int = 1, serial: int = 1) -> None:
        self.files = dict(sorted(files.items()))
        self.epoch = epoch
        self.serial = serial
        self.zone = ZONE
        self._counted: dict[tuple[str, date], dict[str, str]] = {}
        try:
            with _uncollected():
                self._read()
        except FormError as error:
            raise CatalogueError(str(error)) from error
        except TableError as error:
            raise CatalogueError(str(error), error.about, error.reason) from error
        self._versions: dict[FormId, list[Form]] = {}
        for form in self._forms.values():
            self._versions.setdefault(form.id, []).append(form)

    def _read(self) -> None:
        self._forms = read_forms(self.files)
        self.codes = read_codes(self.files)
        require_codes(self.files, self.codes)
        self.units = read_units(self.files)
        known = Known(known_forms(self._forms.values()), self.codes, self.units.lines | {UBND})
        self.checks = read_checks(self.files, known)
        self.populations = read_populations(self.files, self.units)
        self.indicators = read_indicators(self.files, known, self.populations)
        self.calendar = WorkCalendar(read_days_off(self.files))
        self.regimes = read_regimes(self.files, self._forms.values(), self.units, self.zone)

    @classmethod
    def from_folder(cls, *folders: Path, epoch: int = 1, serial: int = 1) -> Catalogue:
        """The catalogue of one or more folders laid out as `schemas/released` (`forms/`, `codes/`, …)."""
        files: dict[str, bytes] = {}
        for folder in folders:
            for pattern in _PATTERNS:
                for path in sorted(folder.glob(pattern)):
                    files[path.relative_to(folder).as_posix()] = path.read_bytes()
        if not files:
            raise CatalogueError(f"no catalogue in {', '.join(map(str, folders))}")
        return cls(files, epoch, serial)

    @classmethod
    def from_bundle(cls, bundle: bytes, epoch: int, serial: int) -> Catalogue:
        """The catalogue in the archive that an act carries."""
        files: dict[str, bytes] = {}
        with tarfile.open(fileobj=io.BytesIO(bundle), mode="r:") as archive:
            for member in archive:
                extracted = archive.extractfile(member)
                if extracted is not None:
                    files[member.name] = extracted.read()
        return cls(files, epoch, serial)

    @cached_property
    def bundle(self) -> bytes:
        """A deterministic archive of the files: plain tar, sorted, no times, no owners."""
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            for name, content in self.files.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
        return out.getvalue()

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the bundle."""
        return hashlib.sha256(self.bundle).digest()

    @property
    def announcement(self) -> Announcement:
        """What a control record says of this catalogue."""
        return Announcement(self.epoch, self.serial, self.digest)

    def released_as(self, epoch: int, serial: int) -> Catalogue:
        """The same files under another number; they are not read again."""
        made = copy.copy(self)
        made.epoch, made.serial = epoch, serial
        return made

    def with_tree(self, text: str, name: str) -> Catalogue:
        """This catalogue and one more tree, from a CSV `code,name,level,parent,valid_from,valid_to` (contract 4).

        A tree given before under the same name is replaced. Raises CatalogueError with the line at fault.
        """
        if f"units/{name}.csv" in self.files and f"lines/{UBND}-{name}.csv" not in self.files:
            raise CatalogueError(f"{name}: a released tree bears this name; give the file another")
        try:
            units, line = split_tree(text, name)
            return Catalogue(
                {**self.files, f"units/{name}.csv": units, f"lines/{UBND}-{name}.csv": line}, self.epoch, self.serial
            )
        except TableError as error:
            raise CatalogueError(_in_tree(error, text, name)) from error

    @property
    def forms(self) -> Iterator[Form]:
        """Every version of every form."""
        return iter(self._forms.values())

    def form(self, fingerprint: Fingerprint) -> Form | None:
        """The form version with this fingerprint."""
        return self._forms.get(fingerprint)

    def form_in_force(self, form_id: FormId, day: date) -> Form | None:
        """The version of a form in force on `day`: the newest whose validity holds it."""
        found = [f for f in self._versions.get(form_id, ()) if f.valid_from <= day <= f.valid_to]
        return max(found, key=lambda f: (f.valid_from, f.version), default=None)

    def code_in_force(self, code_list: str, code: str, day: date) -> bool:
        """Whether `code` may be used in a report whose period ends on `day`."""
        entry = self.codes[code_list].get(code)
        return entry is not None and entry.in_force(day)

    def counted_codes(self, code_list: str, day: date) -> Mapping[str, str]:
        """Each code that a report whose period ends on `day` may have, and the one under which it is counted.

        Kept: ingest asks for every row, and days repeat.
        """
        at = (code_list, day)
        found = self._counted.get(at)
        if found is None:
            entries = self.codes[code_list]
            pairs = ((code, counted_code(entries, code, day)) for code in entries)
            found = self._counted[at] = {code: counted for code, counted in pairs if counted is not None}
        return found


def refusal(old: Catalogue, new: Catalogue, until: date) -> str | None:
    """Why `new` can't follow `old` under the same epoch, in one sentence, or None.

    Additions and future changes only raise the serial. What would alter figures of days up to `until` (the control
    record's day) is a move: refused until epochs exist.
    """
    for form in old.forms:
        for day in sorted({form.valid_from, *(f.valid_from for f in new.forms if f.id == form.id)}):
            if day <= until and _counted_by(old, form.id, day) != _counted_by(new, form.id, day):
                return f"form {form.id} would change for reports from {day} on, which may have been counted"
    for unit in old.units:
        if unit.valid_from <= until:
            successor = next((u for u in new.units.versions(unit.code) if u.valid_from == unit.valid_from), None)
            if successor is None or min(successor.valid_to, until) != min(unit.valid_to, until):
                return f"unit {unit.code} ({unit.name}) would lose days up to {until}, which may have been reported"
    for line in sorted(old.units.lines):  # on a line that is new nobody has reported yet
        for code in sorted({unit.code for unit in old.units}):
            if _clipped_superiors(old.units, line, code, until) != _clipped_superiors(new.units, line, code, until):
                return f"unit {code} would get another superior on line {line} on days up to {until}"
            if _days_with_children(old.units, line, code, until) != _days_with_children(new.units, line, code, until):
                return f"unit {code} would get its first unit below, or lose its last, on days up to {until}"
    return None


def _counted_by(catalogue: Catalogue, form_id: FormId, day: date) -> tuple[object, ...]:
    form = catalogue.form_in_force(form_id, day)
    return () if form is None else form.substance


def _clipped_superiors(units: Units, line: LineName, code: UnitCode, until: date) -> list[tuple[date, date, UnitCode]]:
    return [
        (e.valid_from, min(e.valid_to, until), e.superior)
        for e in units.superiors_of(line, code)
        if e.valid_from <= until
    ]


def _days_with_children(units: Units, line: LineName, code: UnitCode, until: date) -> list[tuple[date, date]]:
    """Maximal runs of days, up to `until`, on which `code` has a unit below it."""
    runs: list[tuple[date, date]] = []
    spans = sorted(
        (e.valid_from, min(e.valid_to, until)) for e in units.children_of(line, code) if e.valid_from <= until
    )
    for first, last in spans:
        if runs and first <= runs[-1][1] + timedelta(days=1):
            runs[-1] = (runs[-1][0], max(runs[-1][1], last))
        else:
            runs.append((first, last))
    return runs


def _in_tree(error: TableError, text: str, name: str) -> str:
    """The error by the line of the tree as it was given, where it is about one of its rows."""
    for where, row in table_rows(name, text.encode(), TREE_COLUMNS) if error.about else ():
        if error.about and (row["code"], row["valid_from"]) == (error.about[0], error.about[1].isoformat()):
            return f"{where}: {error.reason}"
    return str(error)
