"""The rows of all tables that a book's children hold, one after the other in three arrays.

A child keeps where its rows begin and how many there are. A table of another length gets a new place; what no child
points to any more is dropped once it is most of the heap. Invariant: `live` is the sum of the children's counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streams.arrays import Int32s, Int64s, grown, put, spread, taken


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of some contributions, in the book's columns, one after the other; `counts` rows of each."""

    cells: Int64s
    given: Int32s
    rows: Int32s
    counts: Int32s


class Heap:
    """Rows of tables: their cells, their `given`, and which of the page's rows each is."""

    def __init__(self, measures: int, optionals: int) -> None:
        self.cells: Int64s = np.zeros((64, measures), np.int64)
        self.given: Int32s = np.zeros((64, optionals), np.int32)
        self.rows: Int32s = np.zeros(64, np.int32)
        self._size = 0
        self._live = 0

    def replace(self, held: npt.NDArray[np.void], tables: Tables, starts: Int64s, counts: Int32s) -> Int64s:
        """Put tables in the place of those that the children `held` have, and return where they begin now.

        `starts` and `counts`: the rows of `tables` that go to each child.
        """
        place: Int64s = held["start"].copy()
        moved = held["count"] != counts
        self._live += int(counts.sum(dtype=np.int64) - held["count"].sum(dtype=np.int64))
        needed = np.where(moved, counts, 0)
        ends = self._size + np.cumsum(needed)
        place[moved] = (ends - needed)[moved]
        self._make_room(int(ends[-1]))
        source, target = spread(starts, counts), spread(place, counts)
        put(self.cells, target, taken(tables.cells, source))
        put(self.given, target, taken(tables.given, source))
        self.rows[target] = tables.rows[source]
        return place

    def append(self, tables: Tables) -> int:
        """Add tables behind all others; returns where the first begins."""
        at, count = self._size, len(tables.rows)
        self._make_room(at + count)
        self._live += count
        self.cells[at : at + count], self.given[at : at + count] = tables.cells, tables.given
        self.rows[at : at + count] = tables.rows
        return at

    def tables(self, held: npt.NDArray[np.void]) -> Tables:
        """The tables of these children."""
        places = spread(held["start"], held["count"])
        return Tables(taken(self.cells, places), taken(self.given, places), self.rows[places], held["count"])

    def compact(self, children: npt.NDArray[np.void]) -> None:
        """Drop rows that none of the children, which are all there are, points to, once they are most of the heap."""
        if self._size <= 2 * self._live + 4096:
            return
        kept = self.tables(children)
        self.cells, self.given, self.rows = kept.cells, kept.given, kept.rows
        children["start"] = np.cumsum(children["count"]) - children["count"]
        self._size = self._live

    def _make_room(self, size: int) -> None:
        self._size = size
        if size > len(self.rows):
            self.cells, self.given, self.rows = (grown(array, size) for array in (self.cells, self.given, self.rows))
