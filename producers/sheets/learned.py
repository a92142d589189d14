"""Headings that a unit has mapped once: a plain JSON file in the data folder, by unit, form and heading's text.

    {"03390": {"testing-daily": {"cach lam": "method", "nhiet do": ""}}}

An empty column means: not to be read. One unit's headings say nothing about another's. Two writers (the gateway and a
command) take turns by a lock on the file beside it; a crash leaves the old file or the new one.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from producers.errors import ProducerError
from producers.sheets.columns import IGNORED, Learned
from producers.sheets.letters import folded
from schemas.form import Form
from schemas.unit import UnitCode

FILE = "sheet-headings.json"
_MOST = 400
_LONGEST = 200


class LearnedError(ProducerError):
    """Headings that can't be kept, or a file of them that can't be read."""


class LearnedHeadings:
    """What the units of one data folder have mapped."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def of(self, unit: UnitCode) -> Mapping[str, Learned]:
        """What one unit has mapped, by form. Raises LearnedError."""
        return self._read().get(unit, {})

    def learn(self, unit: UnitCode, form: Form, headings: Mapping[str, str]) -> None:
        """Keep headings (as written) for columns of a form. Raises LearnedError for a column that is none."""
        for heading, column in headings.items():
            if column != IGNORED and column not in form.columns:
                raise LearnedError(f"{column!r} is no column of {form.id}; there are {', '.join(form.columns)}")
            if not folded(heading) or len(heading) > _LONGEST:
                raise LearnedError(f"{heading[:60]!r} is no heading: 1 to {_LONGEST} letters are")
        with self._alone():
            kept = {code: {name: dict(one) for name, one in forms.items()} for code, forms in self._read().items()}
            mapped = kept.setdefault(unit, {}).setdefault(form.id, {})
            mapped.update({folded(heading): column for heading, column in headings.items()})
            if len(mapped) > _MOST:
                raise LearnedError(
                    f"more than {_MOST} headings of {form.id} for unit {unit}: take some out of {self._path}"
                )
            self._write(kept)

    def _read(self) -> Mapping[str, Mapping[str, Mapping[str, str]]]:
        try:
            found: Mapping[str, Mapping[str, Mapping[str, str]]] = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise LearnedError(f"can't read {self._path}: {error}") from error
        return found

    def _write(self, kept: Mapping[str, Mapping[str, Mapping[str, str]]]) -> None:
        new = self._path.with_suffix(".new")
        try:
            with new.open("w", encoding="utf-8") as file:
                json.dump(kept, file, ensure_ascii=False, indent=1, sort_keys=True)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._path)
        except OSError as error:
            raise LearnedError(f"can't write {self._path}: {error}") from error

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def read_pairs(pairs: Iterable[str]) -> dict[str, str]:
    """Headings and columns from texts such as `Cách làm=method`; an empty column is one not to be read."""
    found: dict[str, str] = {}
    for pair in pairs:
        heading, sign, column = pair.rpartition("=")
        if not sign:
            raise LearnedError(f"{pair[:80]!r} is not like HEADING=COLUMN")
        found[heading.strip()] = column.strip()
    return found
