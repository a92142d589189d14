"""Adding up packed tables, by numpy: rows meet by their dimensions, columns by their names.

A cell is a number and how many gave it, because blank is not zero (design decision 4): where nobody gave a measure the
sum is empty. Measures that must not be added over units or over time are left to the caller, which knows what it adds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from consumers.read_model.standing import Contribution
from schemas.catalogue import Catalogue
from schemas.code_list import counted_code
from schemas.figure import State
from schemas.form import AcrossUnits, Fingerprint, Form
from schemas.read_model import ReadModelError

Integers = NDArray[np.int64]
Dims = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Summed:
    """Sums by row: `numbers` and how many contributions gave each, both rows × measures of the form."""

    rows: tuple[Dims, ...]
    numbers: Integers
    given: Integers


@dataclass(frozen=True, slots=True)
class _Columns:
    """Where the columns of one form version stand in another; -1 where they are missing."""

    measures: int
    optional: tuple[int, ...]
    dimensions: int
    sources: tuple[int, ...]
    """For each measure of the result, its position in the version."""
    dimension_sources: tuple[int, ...]


def _rows_may_meet(form: Form) -> bool:
    """Whether two rows may be put under one code: not where they may count one thing twice, or must not be added."""
    return not form.overlapping and all(measure.across_units is not AcrossUnits.NONE for measure in form.measures)


@lru_cache(maxsize=65_536)
def split_dims(text: str, dimensions: int) -> tuple[Dims, ...]:
    """The rows' dimensions from the JSON text in which all stand one after another."""
    flat = json.loads(text)
    return tuple(tuple(flat[at : at + dimensions]) for at in range(0, len(flat), dimensions)) if dimensions else ()


class Adder:
    """Adds contributions of any version of a form into the columns of one.

    `codes_of`: under the codes in force that day, where rows may be added; else each row stays under its own.
    """

    def __init__(self, form: Form, catalogue: Catalogue, codes_of: date | None = None) -> None:
        self.form = form
        self._catalogue = catalogue
        self._codes_of = codes_of if _rows_may_meet(form) else None
        self._counted_as: dict[Dims, Dims] = {}
        self._columns: dict[bytes, _Columns] = {}

    def total(self, contributions: Iterable[Contribution]) -> Summed:
        """The sum of all that are not withdrawn, rows sorted by dimensions."""
        return self.totals([contributions])[0]

    def totals(self, groups: Sequence[Iterable[Contribution]]) -> list[Summed]:
        """The sum of each group. Added up at once: numpy's cost per call is far above that of a handful of rows."""
        indices: list[dict[Dims, int]] = []
        chunks: dict[bytes, tuple[list[bytes], list[bytes], list[int]]] = {}
        size = 0
        for contributions in groups:
            index: dict[Dims, int] = {}
            for contribution in contributions:
                if contribution.state == State.WITHDRAWAL or not contribution.values:
                    continue
                columns = self._columns_of(contribution.form_version)
                values, given, rows = chunks.setdefault(contribution.form_version, ([], [], []))
                values.append(contribution.values)
                given.append(contribution.given)
                for dims in self._rows(contribution, columns):
                    rows.append(size + index.setdefault(dims, len(index)))
            size += len(index)
            indices.append(index)
        numbers = np.zeros((size, len(self.form.measures)), np.int64)
        counts = np.zeros_like(numbers)
        for version, (values, given, rows) in chunks.items():
            self._add(self._columns[version], b"".join(values), b"".join(given), rows, (numbers, counts))
        return _parts(indices, numbers, counts)

    def _rows(self, contribution: Contribution, columns: _Columns) -> tuple[Dims, ...]:
        if not columns.dimensions:
            rows: tuple[Dims, ...] = ((),) * (len(contribution.values) // (8 * columns.measures))
        else:
            rows = split_dims(contribution.dims, columns.dimensions)
        if columns.dimension_sources != tuple(range(columns.dimensions)):
            rows = tuple(tuple(row[at] if at >= 0 else "" for at in columns.dimension_sources) for row in rows)
        return rows if self._codes_of is None else tuple(map(self._of_later_codes, rows))

    def _of_later_codes(self, row: Dims) -> Dims:
        """A row under the codes that are in force at the end of what is summed; as it is where one has no successor."""
        found = self._counted_as.get(row)
        if found is None:
            assert self._codes_of is not None
            codes = self._catalogue.codes
            found = self._counted_as[row] = tuple(
                counted_code(codes[dimension.code_list], code, self._codes_of) or code
                for dimension, code in zip(self.form.dimensions, row, strict=True)
            )
        return found

    def _add(
        self, columns: _Columns, values: bytes, given: bytes, rows: list[int], into: tuple[Integers, Integers]
    ) -> None:
        numbers = np.frombuffer(values, "<i8").reshape(-1, columns.measures)
        counts = np.ones_like(numbers)
        if columns.optional:
            counts[:, columns.optional] = np.frombuffer(given, "<i4").reshape(-1, len(columns.optional))
        places = np.array(rows, np.intp)
        if columns.sources == tuple(range(into[0].shape[1])):
            np.add.at(into[0], places, numbers)
            np.add.at(into[1], places, counts)
            return
        here = [position for position, source in enumerate(columns.sources) if source >= 0]
        there = [source for source in columns.sources if source >= 0]
        for target, source in zip(into, (numbers, counts), strict=True):
            widened = np.zeros((len(rows), target.shape[1]), np.int64)
            widened[:, here] = source[:, there]
            np.add.at(target, places, widened)

    def _columns_of(self, version: bytes) -> _Columns:
        columns = self._columns.get(version)
        if columns is None:
            form = self._catalogue.form(Fingerprint(version))
            if form is None:
                raise ReadModelError(f"the read model's catalogue lacks form version {version.hex()}")
            measures = [measure.name for measure in form.measures]
            dimensions = [dimension.name for dimension in form.dimensions]
            columns = self._columns[version] = _Columns(
                len(measures),
                form.optional,
                len(dimensions),
                tuple(_position(measures, measure.name) for measure in self.form.measures),
                tuple(_position(dimensions, dimension.name) for dimension in self.form.dimensions),
            )
        return columns


def _parts(indices: Sequence[dict[Dims, int]], numbers: Integers, counts: Integers) -> list[Summed]:
    """Each group's part of the rows, sorted by dimensions."""
    found: list[Summed] = []
    start = 0
    for index in indices:
        part = slice(start, start := start + len(index))
        order = sorted(index)
        if list(index) == order:
            found.append(Summed(tuple(order), numbers[part], counts[part]))
        else:
            places = [part.start + index[dims] for dims in order]
            found.append(Summed(tuple(order), numbers[places], counts[places]))
    return found


def _position(names: list[str], name: str) -> int:
    return names.index(name) if name in names else -1
