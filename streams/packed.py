"""Byte strings that lie in one buffer, cut and read by numpy without a Python object for each.

A fetch brings tens of thousands of small fields. As `bytes` each costs more to make and to collect than everything that
is then done with it; as positions in the fetched buffer a field of all records is one array operation. `Cursor` reads
the same field of every record at once and never leaves a record's end, whatever lengths the bytes claim.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from streams.arrays import Int64s, stretches

Bytes = npt.NDArray[np.uint8]
Unsigned = npt.NDArray[np.uint64]
_LONGEST_VARINT = 10
_ALL_BITS = 2**64 - 1
_ONE = np.uint64(1)
_FEW = 16


class CutOff(ValueError):
    """A length that leads out of its record, or is negative."""


@dataclass(frozen=True, slots=True)
class Packed:
    """Byte strings `data[start : start + size]`, in order; they may overlap and lie in any order."""

    data: Bytes
    starts: Int64s
    sizes: Int64s

    @classmethod
    def of(cls, parts: Sequence[bytes]) -> Packed:
        """The same strings in one buffer."""
        sizes = np.fromiter(map(len, parts), np.int64, len(parts))
        return cls(np.frombuffer(b"".join(parts), np.uint8), np.cumsum(sizes) - sizes, sizes)

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int) -> bytes:
        start = int(self.starts[index])
        return self.data[start : start + int(self.sizes[index])].tobytes()

    def take(self, chosen: Int64s) -> Packed:
        """Some of them, in the order of `chosen`."""
        return Packed(self.data, self.starts[chosen], self.sizes[chosen])

    def tolist(self) -> list[bytes]:
        """All as `bytes`."""
        width = self._width()
        if width is not None:
            return self._cut(width, self.starts)
        found = np.empty(len(self), object)
        for size in np.unique(self.sizes).tolist():
            chosen = np.flatnonzero(self.sizes == size)
            found[chosen] = self._cut(size, self.starts[chosen])
        return list(found)

    def distinct(self) -> tuple[list[bytes], npt.NDArray[np.intp]]:
        """The distinct strings in the order of their first appearance, and for each string which of them it is."""
        if not len(self):
            return [], np.zeros(0, np.intp)
        width = self._width()
        if width:
            # Neighbours are mostly equal: only the first of a stretch becomes an object.
            whole = window(self.data, width)[self.starts]
            heads = stretches(whole)
            runs: list[bytes] = whole[heads].tolist()
            lengths = np.diff(heads, append=len(self))
        else:
            runs, lengths = self.tolist(), np.ones(len(self), np.int64)
        numbers = {run: number for number, run in enumerate(dict.fromkeys(runs))}
        return list(numbers), np.repeat(np.fromiter(map(numbers.__getitem__, runs), np.intp, len(runs)), lengths)

    def joined(self) -> Bytes:
        """All in one contiguous array, one after the other."""
        width = self._width()
        if width is not None:
            return window(self.data, width)[self.starts].view(np.uint8) if width else np.zeros(0, np.uint8)
        out = np.empty(int(self.sizes.sum()), np.uint8)
        self.put(out, np.cumsum(self.sizes) - self.sizes)
        return out

    def put(self, out: Bytes, places: Int64s) -> None:
        """Write each of them into `out` from its place on."""
        for size in np.unique(self.sizes).tolist():
            if size:
                chosen = np.flatnonzero(self.sizes == size)
                window(out, size)[places[chosen]] = window(self.data, size)[self.starts[chosen]]

    def _width(self) -> int | None:
        """The size that all have, None where they differ."""
        if not len(self):
            return 0
        first = int(self.sizes[0])
        return first if bool((self.sizes == first).all()) else None

    def _cut(self, width: int, starts: Int64s) -> list[bytes]:
        if not width:
            return [b""] * len(starts)
        found: list[bytes] = window(self.data, width)[starts].tolist()
        return found


def window(data: Bytes, width: int) -> npt.NDArray[np.void]:
    """The `width` bytes from each position on: indexing it copies whole fields, each by one memcpy."""
    return np.ndarray((max(0, len(data) - width + 1),), f"V{width}", data, 0, (1,))


def structured(data: Bytes, starts: Int64s, dtype: np.dtype[Any]) -> npt.NDArray[np.void]:
    """The packed record of `dtype` at each position."""
    return window(data, dtype.itemsize)[starts].view(dtype)


class Cursor:
    """One position in each of many records, moved over their fields together. Raises CutOff at a record's end."""

    def __init__(self, data: Bytes, starts: Int64s, ends: Int64s) -> None:
        self._data = data
        self._ends = ends
        self.at = starts

    def skip(self, size: Int64s | int) -> None:
        """Move on by `size` bytes, which may differ by record."""
        outside = (self._ends - self.at < size).any() or (size < 0 if isinstance(size, int) else (size < 0).any())
        if outside:
            raise CutOff("a field does not end within its record")
        self.at = self.at + size

    def number(self) -> Int64s:
        """A zigzag varint of each record, of up to 64 bits."""
        try:
            number, at = self._each() if len(self.at) <= _FEW else self._together()
        except IndexError as error:
            raise CutOff("a number does not end within its record") from error
        if (at > self._ends).any():
            raise CutOff("a number does not end within its record")
        self.at = at
        return (number >> _ONE).view(np.int64) ^ -(number & _ONE).view(np.int64)

    def _together(self) -> tuple[Unsigned, Int64s]:
        byte = self._data[self.at]
        number = (byte & 0x7F).astype(np.uint64)
        at = self.at + 1
        more = np.flatnonzero(byte & 0x80)
        shift = 7
        while len(more):
            if shift == 7 * _LONGEST_VARINT:
                raise CutOff("a number is longer than 64 bits")
            byte = self._data[at[more]]
            number[more] |= (byte & 0x7F).astype(np.uint64) << np.uint64(shift)
            at[more] += 1
            more = more[(byte & 0x80) != 0]
            shift += 7
        return number, at

    def _each(self) -> tuple[Unsigned, Int64s]:
        """The same one by one: for a handful of records an array operation costs more than the loop."""
        data = self._data.data
        numbers, places = [], []
        for at in self.at.tolist():
            byte = data[at]
            number, after, shift = byte & 0x7F, at + 1, 7
            while byte & 0x80:
                if shift == 7 * _LONGEST_VARINT:
                    raise CutOff("a number is longer than 64 bits")
                byte = data[after]
                number |= (byte & 0x7F) << shift
                after += 1
                shift += 7
            numbers.append(number & _ALL_BITS)
            places.append(after)
        return np.array(numbers, np.uint64), np.array(places, np.int64)

    def string(self) -> tuple[Int64s, Int64s]:
        """(start, size) of a field that its length precedes."""
        size = self.number()
        start = self.at
        self.skip(size)
        return start, size

    def nullable(self) -> tuple[Int64s, Int64s]:
        """(start, size) of such a field that may be null: its size is then -1."""
        size = self.number()
        start = self.at
        if (size < -1).any():
            raise CutOff("a negative length")
        self.skip(np.maximum(size, 0))
        return start, size
