"""A stack's own forms and code lists: kept in its data folder, part of every catalogue that it releases.

What lies in `catalogue/forms/*.avsc` and `catalogue/codes/*.csv` of the data folder joins the released files, a file of
the same name in place of the released one. `intake` judges the whole catalogue before a byte is written, and a running
stack is told by release and announcement: it goes on meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.catalogue_release import FORM_FILES, CatalogueRelease, read_registers
from deploy.errors import RefusedError
from deploy.files import write_bytes
from deploy.operator_key import operator_key
from deploy.reporters import current_catalogue
from deploy.stack import holder, running_stack
from schemas.catalogue import Announcement, Catalogue, CatalogueError

_PLACES = {".avsc": "forms", ".csv": "codes"}


@dataclass(frozen=True)
class Intake:
    """The catalogue with the new files, and which of them are new or change one that is there."""

    catalogue: Catalogue
    files: Mapping[str, bytes]
    added: Sequence[str]
    changed_files: Sequence[str]

    @property
    def changed(self) -> bool:
        """Whether there is anything to take in."""
        return bool(self.added or self.changed_files)


def intake(data: Path, paths: Iterable[Path]) -> Intake:
    """What these files and folders would make of the catalogue. Raises RefusedError by file and line."""
    current = current_catalogue(data)
    files = dict(_files(paths))
    if not files:
        raise RefusedError("no form (.avsc) and no code list (.csv) in what was given")
    try:
        wanted = Catalogue({**current.files, **files}, current.epoch, current.serial)
    except CatalogueError as error:
        raise RefusedError(f"catalogue refused: {error}") from error
    added = [name for name in files if name not in current.files]
    changed = [name for name in files if name in current.files and current.files[name] != files[name]]
    return Intake(wanted, files, added, changed)


def take_in(data: Path, wanted: Intake) -> str:
    """Keep the files, release them on a running stack. Returns what was done; raises RefusedError where figures change.

    Kept first: a cut between the two is made up for by the next start. What is refused is taken out again.
    """
    folder = data / FORM_FILES
    before = {name: (folder / name).read_bytes() if (folder / name).exists() else None for name in wanted.files}
    for name, content in wanted.files.items():
        write_bytes(folder / name, content)
    if holder(data) is None:
        return "the next start releases it"
    try:
        released = _released(data, wanted.catalogue)
    except RefusedError:
        for name, old in before.items():
            if old is None:
                (folder / name).unlink()
            else:
                write_bytes(folder / name, old)
        raise
    return f"catalogue {released.epoch}.{released.serial} is released and announced"


def _released(data: Path, wanted: Catalogue) -> Announcement:
    settings = running_stack(data).settings()
    operator = operator_key(data)
    release = CatalogueRelease(settings, operator)
    try:
        return release.ensure(wanted, read_registers(settings, operator), {})
    finally:
        release.close()


def _files(paths: Iterable[Path]) -> Iterator[tuple[str, bytes]]:
    """Each file by its path in a catalogue. A folder is searched whole."""
    for path in paths:
        found = sorted(p for p in path.rglob("*") if p.suffix in _PLACES and p.is_file()) if path.is_dir() else [path]
        for file in found:
            place = _PLACES.get(file.suffix)
            if place is None:
                raise RefusedError(f"{file} is neither a form (.avsc) nor a code list (.csv)")
            try:
                yield f"{place}/{file.name}", file.read_bytes()
            except OSError as error:
                raise RefusedError(f"{file} can't be read: {error}") from error
