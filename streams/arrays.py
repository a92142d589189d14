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


def add_rows(target: npt.NDArray[Any], rows: Int64s, cells: npt.NDArray[Any], sign: int) -> None:
    """target[rows] += sign * cells, where rows may repeat: sorted sums, several times faster than `np.add.at`."""
    if not len(rows):
        return
    order = np.argsort(rows, kind="stable")
    ordered = rows[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    sums = np.add.reduceat(cells[order], starts, axis=0)
    if sign > 0:
        target[ordered[starts]] += sums
    else:
        target[ordered[starts]] -= sums


def grown(array: Any, needed: int, fill: int = 0) -> Any:
    """A copy with room for at least `needed` rows, at least half as many again as before."""
    room = max(needed, len(array) + len(array) // 2, 16)
    larger = (
        np.zeros((room, *array.shape[1:]), array.dtype)
        if not fill
        else np.full((room, *array.shape[1:]), fill, array.dtype)
    )
    larger[: len(array)] = array
    return larger
