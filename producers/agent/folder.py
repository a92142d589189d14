"""The watched folder: what is dropped into `in` is read once it is whole, and moved where people see what became of it.

    in → kept (on the disk of the outbox, will be sent) → done (the broker has all of it)
       ↘ refused (with NAME.txt beside it that says why)  ↙ also later, where a receipt says so

Invariants: a file leaves `in` only after the outbox has all of it, or with its reason beside it; a file whose move was
cut off by a power cut is known again by its inode and content and is not read a second time.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from producers.agent.judge import ENDINGS
from producers.agent.store import FileState, KnownFile

IN, KEPT, DONE, REFUSED = "in", "kept", "done", "refused"
_REASON = ".txt"
_PLACES = {FileState.KEPT: KEPT, FileState.DONE: DONE, FileState.REFUSED: REFUSED}


@dataclass(frozen=True, slots=True)
class Found:
    """A whole file of `in`, as it was when it was read."""

    path: Path
    inode: int
    content: bytes

    @property
    def digest(self) -> bytes:
        """SHA-256 of the content."""
        return hashlib.sha256(self.content).digest()


class Folder:
    """The four folders of one agent. `steady_s`: a file that did not change for so long is whole."""

    def __init__(self, root: Path, steady_s: float) -> None:
        self.root = root
        self._steady_s = steady_s
        self._seen: dict[str, tuple[tuple[int, int, int], float]] = {}
        for name in (IN, KEPT, DONE, REFUSED):
            (root / name).mkdir(parents=True, exist_ok=True)

    def whole(self, now_s: float) -> list[Path]:
        """Files of `in` that nobody writes any more, oldest first. `now_s` is a steady clock's."""
        seen: dict[str, tuple[tuple[int, int, int], float]] = {}
        found: list[tuple[int, Path]] = []
        for entry in os.scandir(self.root / IN):
            if not _is_report(entry.name) or not entry.is_file(follow_symlinks=False):
                continue
            try:
                stat = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            mark = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
            before = self._seen.get(entry.name)
            since = before[1] if before is not None and before[0] == mark else now_s
            seen[entry.name] = (mark, since)
            if now_s - since >= self._steady_s:
                found.append((stat.st_mtime_ns, Path(entry.path)))
        self._seen = seen
        return [path for _, path in sorted(found)]

    def left(self) -> int:
        """How many files of `in` are still to be read."""
        return sum(_is_report(entry.name) for entry in os.scandir(self.root / IN))

    def read(self, path: Path, most_bytes: int) -> Found | None:
        """A file with up to one byte more than `most_bytes`; None where it went away or changed meanwhile."""
        try:
            with path.open("rb") as file:
                before = os.fstat(file.fileno())
                content = file.read(most_bytes + 1)
                after = os.fstat(file.fileno())
        except FileNotFoundError:
            return None
        changed = (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns)
        return None if changed else Found(path, before.st_ino, content)

    def refuse(self, path: Path, reasons: Sequence[str]) -> str:
        """Move a file of any folder to `refused`, its reasons beside it; its name there."""
        target = self._free(REFUSED, path.name)
        _write(target.with_name(target.name + _REASON), "".join(f"{line}\n" for line in reasons))
        self._move(path, target)
        return target.name

    def keep(self, path: Path) -> str:
        """Move a file of `in` to `kept`; its name there."""
        return self._move(path, self._free(KEPT, path.name))

    def finish(self, file: KnownFile) -> str:
        """Move a kept file to `done`; its name there."""
        return self._move(self.place(file), self._free(DONE, file.name))

    def place(self, file: KnownFile) -> Path:
        """Where a known file should be."""
        return self.root / _PLACES.get(file.state, IN) / file.name

    def moved_as(self, file: KnownFile) -> str | None:
        """The name in `kept` of a file whose move there was not noted any more; None where it is not there."""
        for entry in os.scandir(self.root / KEPT):
            if entry.inode() == file.inode:
                return entry.name
        return None

    def is_in(self, file: KnownFile) -> bool:
        """Whether a file is still where it was dropped."""
        return any(entry.inode() == file.inode for entry in os.scandir(self.root / IN))

    def _free(self, place: str, name: str) -> Path:
        target = self.root / place / name
        number = 2
        while target.exists():
            target = self.root / place / f"{Path(name).stem}~{number}{Path(name).suffix}"
            number += 1
        return target

    def _move(self, path: Path, target: Path) -> str:
        """Rename; a file that somebody took away meanwhile is not missed, its reports are in the outbox."""
        try:
            path.rename(target)
        except FileNotFoundError:
            return target.name
        for folder in {path.parent, target.parent}:
            _sync(folder)
        return target.name


def reason_of(name: str) -> str:
    """The name of the file that says why another was refused."""
    return name + _REASON


def _is_report(name: str) -> bool:
    return name.lower().endswith(ENDINGS) and not name.startswith((".", "~"))


def _write(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
