"""What a stream worker remembers of its own crashes, in its folder (design decision 13, contract 12).

A crash counts against a record only when processing raised on it, or when the process died while the marker named this
one record. After the second, records are taken one at a time behind the marker; at the third the record is out: ingest
quarantines it, rollup stops for good. A `kill -9` from outside and SIGTERM leave no trace here and count for nothing.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

ONE_BY_ONE_AFTER = 2
OUT_AT = 3


@dataclass(frozen=True, slots=True)
class Suspicion:
    """Records [first, last] of a partition raised `count` times."""

    first: int
    last: int
    count: int


class CrashMemory:
    """The file of suspicions and the marker, one folder per worker."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "crashes.json"
        self._marker = folder / "marker.json"
        self._suspicions = self._read()
        if self._marker.exists():
            partition, offset = json.loads(self._marker.read_text())
            self.raised(int(partition), int(offset), int(offset))
            self._marker.unlink()

    def one_by_one(self, partition: int, first: int, last: int) -> bool:
        """Whether among these records are some that are to be taken alone, behind the marker."""
        held = self._suspicions.get(partition)
        return held is not None and held.count >= ONE_BY_ONE_AFTER and held.first <= last and first <= held.last

    def out(self, partition: int, offset: int) -> bool:
        """Whether this one record has raised for the third time."""
        held = self._suspicions.get(partition)
        return held is not None and held.count >= OUT_AT and held.first == offset == held.last

    def raised(self, partition: int, first: int, last: int) -> int:
        """Processing of these records raised. Returns how often by now."""
        held = self._suspicions.get(partition)
        overlaps = held is not None and held.first <= last and first <= held.last
        count = held.count + 1 if held is not None and overlaps else 1
        self._suspicions[partition] = Suspicion(first, last, count)
        self._write()
        return count

    def mark(self, partition: int, offset: int) -> None:
        """This one record is being processed."""
        _write_durably(self._marker, json.dumps([partition, offset]))

    def unmark(self) -> None:
        """It went well, or its failure is written down."""
        self._marker.unlink(missing_ok=True)

    def passed(self, partition: int, next_offset: int) -> None:
        """Everything below is done; what was held against it is forgotten."""
        held = self._suspicions.get(partition)
        if held is not None and next_offset > held.last:
            del self._suspicions[partition]
            self._write()

    def _read(self) -> dict[int, Suspicion]:
        if not self._file.exists():
            return {}
        found: dict[str, list[int]] = json.loads(self._file.read_text())
        return {int(partition): Suspicion(*numbers) for partition, numbers in found.items()}

    def _write(self) -> None:
        text = json.dumps({p: [s.first, s.last, s.count] for p, s in self._suspicions.items()})
        _write_durably(self._file, text)


def _write_durably(path: Path, text: str) -> None:
    temporary = path.with_suffix(".new")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
