"""Arithmetic on runs of rows that the pages of the ledger share: spreads, sums by row, growth."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]


def spread(starts: Int64s, counts: Int32s) -> Int64s:
    """Every index in [start, start + count) of each pair, in order."""
    total = int(counts.sum())
    if total == len(starts) and (counts == 1).all():
        return starts.astype(np.int64)
    before = np.cumsum(counts) - counts
    return np.repeat(starts.astype(np.int64) - before, counts) + np.arange(total)


def stretches(ordered: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Where each stretch of equal neighbours begins."""
    first = np.zeros(min(1, len(ordered)), np.intp)
    return np.concatenate((first, np.flatnonzero(ordered[1:] != ordered[:-1]) + 1))


class Groups:
    """Equal keys together: sums, minima and maxima by key, each several times faster than `ufunc.at`."""

    def __init__(self, keys: npt.NDArray[Any]) -> None:
        self._order = np.argsort(keys)
        ordered = keys[self._order]
        self._starts = stretches(ordered)
        self.keys = ordered[self._starts]
        """The distinct keys, ascending."""

    def sums(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Of each key; of each column where `values` are rows. Booleans and small integers count as int64."""
        wide = taken(values, self._order) if values.ndim > 1 else values[self._order].astype(np.int64)
        return np.add.reduceat(wide, self._starts, axis=0) if len(self.keys) else wide

    def minima(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The least of each key."""
        return np.minimum.reduceat(values[self._order], self._starts) if len(self.keys) else values[:0]

    def maxima(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The greatest of each key."""
        return np.maximum.reduceat(values[self._order], self._starts) if len(self.keys) else values[:0]


def whole_rows(array: npt.NDArray[Any]) -> npt.NDArray[np.void]:
    """An array's records, or a table's rows, as plain bytes.

    Numpy copies a structured array field by field, which costs ten times the copy of the bytes.
    """
    width = array.dtype.itemsize * (array.shape[1] if array.ndim > 1 else 1)
    rows: npt.NDArray[np.void] = array.view(f"V{width}")
    return rows.reshape(-1)


def taken(array: npt.NDArray[Any], rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """array[rows] of a structured array or of a table, copied as whole rows."""
    if array.ndim > 1 and not array.shape[1]:
        return np.zeros((len(rows), 0), array.dtype)
    found: npt.NDArray[Any] = whole_rows(array)[rows].view(array.dtype)
    shaped: npt.NDArray[Any] = found.reshape(-1, array.shape[1]) if array.ndim > 1 else found
    return shaped


def put(array: npt.NDArray[Any], rows: npt.NDArray[Any], content: npt.NDArray[Any]) -> None:
    """array[rows] = content, as whole rows."""
    if array.ndim == 1 or array.shape[1]:
        whole_rows(array)[rows] = whole_rows(np.ascontiguousarray(content))


def grown(array: Any, needed: int, fill: int = 0) -> Any:
    """A copy with room for at least `needed` rows, at least twice as many as before.

    Memory that nothing has been written to yet costs nothing, so doubling costs less than smaller steps.
    """
    room = max(needed, 2 * len(array), 16)
    shape = (room, *array.shape[1:])
    larger = np.full(shape, fill, array.dtype) if fill else np.zeros(shape, array.dtype)
    if array.ndim == 1 or array.shape[1]:
        whole_rows(larger)[: len(array)] = whole_rows(array)
    return larger
