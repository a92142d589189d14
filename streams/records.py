"""What a fetch brings from Kafka, as columns: record batches (message format v2) read without an object per record.

Offsets, times, keys and values of all records are arrays of positions in the fetched buffer; a record becomes an object
only where somebody asks for it. Read is exactly what aiokafka reads, which is the oracle of the property tests, but
for one thing: a header's name that is not UTF-8 does not end the fetch, and the partition (`schemas/headers.py`).
Format: Kafka's documentation, "Record Batch" and "Record"; KIP-98 (control batches), KIP-82 (headers).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import aiokafka.codec
import numpy as np
from aiokafka.errors import CorruptRecordException, UnsupportedCodecError
from aiokafka.record.util import calc_crc32c

from schemas.headers import BadHeaders, read_headers, read_varint
from schemas.signature import Header
from streams.arrays import Int64s
from streams.packed import Bytes, Cursor, CutOff, Packed

_HEADER = struct.Struct(">qiibIhiqqqhii")
_SIZE = struct.Struct(">i")
_SIZE_AT = 8
OVERHEAD = 12
"""Offset and length, which come before what the length counts."""
_CRC_FROM = 21
_CODEC, _LOG_APPEND_TIME, _CONTROL = 0x07, 0x08, 0x20
_FORMAT = 2
_SMALLEST_RECORD = 7

_codec = aiokafka.codec
_DECODERS: dict[int, tuple[str, Callable[[], bool], Callable[[bytes], bytes]]] = {
    1: ("gzip", _codec.has_gzip, _codec.gzip_decode),
    2: ("snappy", _codec.has_snappy, _codec.snappy_decode),
    3: ("lz4", _codec.has_lz4, _codec.lz4_decode),
    4: ("zstd", _codec.has_zstd, _codec.zstd_decode),
}


@dataclass(frozen=True, slots=True)
class Record:
    """One record. `timestamp` in ms since 1970, by the topic's own rule (the broker's or the sender's).

    A header's value may be null on the wire; as everywhere here it is then None, and admission refuses the record.
    """

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...]


@dataclass(frozen=True, slots=True)
class Records:
    """Records of one partition, ascending by offset. Sizes of null keys and values are -1; arrays are parallel."""

    data: Bytes
    offsets: Int64s
    timestamps: Int64s
    key_at: Int64s
    key_sizes: Int64s
    value_at: Int64s
    value_sizes: Int64s
    headers_at: Int64s
    ends: Int64s

    def __len__(self) -> int:
        return len(self.offsets)

    def __iter__(self) -> Iterator[Record]:
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, index: int) -> Record:
        return Record(
            int(self.offsets[index]),
            int(self.timestamps[index]),
            self._field(int(self.key_at[index]), int(self.key_sizes[index])),
            self._field(int(self.value_at[index]), int(self.value_sizes[index])),
            self._headers(int(self.headers_at[index]), int(self.ends[index])),
        )

    @property
    def values(self) -> Packed:
        """All values; null reads as empty."""
        return Packed(self.data, self.value_at, np.maximum(self.value_sizes, 0))

    def cut(self, first: int, last: int) -> Records:
        """Records [first, last) by their places."""
        part = slice(first, last)
        return Records(
            self.data, self.offsets[part], self.timestamps[part], self.key_at[part], self.key_sizes[part],
            self.value_at[part], self.value_sizes[part], self.headers_at[part], self.ends[part],
        )  # fmt: skip

    def between(self, start: int, upto: int) -> Records:
        """Those with offsets in [start, upto)."""
        first, last = np.searchsorted(self.offsets, (start, upto)).tolist()
        return self if last - first == len(self) else self.cut(first, last)

    def _field(self, at: int, size: int) -> bytes | None:
        return None if size < 0 else self.data[at : at + size].tobytes()

    def _headers(self, at: int, end: int) -> tuple[Header, ...]:
        try:
            return read_headers(self.data[at:end].tobytes())
        except BadHeaders as error:
            raise CorruptRecordException(str(error)) from error


@dataclass(frozen=True, slots=True)
class _Area:
    """The records of one batch: where they lie, how many, and what their deltas are added to."""

    content: bytes
    """Decompressed; empty where they lie in the fetched bytes themselves."""
    start: int
    end: int
    count: int
    base: int
    first_time: int
    time: int | None
    """The one time of all, where the broker sets it."""


def read_records(fetched: bytes, start: int, *, check_crcs: bool = True) -> tuple[Records, int]:
    """Records from offset `start` on, and the offset to go on from.

    A last batch that is cut off is left for the next fetch, control batches are passed over. Raises
    CorruptRecordException for a batch that is damaged, once it is the first that is read: those before it come first.
    """
    areas: list[_Area] = []
    at, following = 0, start
    while (end := _batch_end(fetched, at)) is not None:
        try:
            area, following = _area(fetched, at, end, check_crcs=check_crcs), _next_offset(fetched, at)
        except CorruptRecordException:
            if areas:
                break
            raise
        if area is not None:
            areas.append(area)
        at = end
    try:
        found = _parsed(fetched, areas)
    except CutOff as error:
        raise CorruptRecordException(f"a record batch from {areas[0].base} on: {error}") from error
    return found.between(start, 2**63 - 1), following


def has_batch(fetched: bytes) -> bool:
    """Whether at least one batch has come whole."""
    return _batch_end(fetched, 0) is not None


def _batch_end(fetched: bytes, at: int) -> int | None:
    if len(fetched) - at < OVERHEAD:
        return None
    end: int = at + OVERHEAD + _SIZE.unpack_from(fetched, at + _SIZE_AT)[0]
    if end < at + OVERHEAD:
        raise CorruptRecordException("a record batch of negative length")
    return end if end <= len(fetched) else None


def _next_offset(fetched: bytes, at: int) -> int:
    """Also where records have been compacted away, so that the next fetch begins with the next batch."""
    header = _HEADER.unpack_from(fetched, at)
    return int(header[0] + header[6] + 1)


def _area(fetched: bytes, at: int, end: int, *, check_crcs: bool) -> _Area | None:
    """Where a batch's records lie; None for a control batch."""
    if end - at <= _CRC_FROM or fetched[at + 16] != _FORMAT:
        raise CorruptRecordException(f"a record batch of another message format than {_FORMAT}")
    if end - at < _HEADER.size:
        raise CorruptRecordException("a record batch is shorter than its header")
    base, _, _, _, crc, attributes, _, first_time, max_time, _, _, _, count = _HEADER.unpack_from(fetched, at)
    if check_crcs and calc_crc32c(memoryview(fetched)[at + _CRC_FROM : end]) != crc:
        raise CorruptRecordException(f"the record batch from {base} on is damaged: its CRC does not fit")
    if attributes & _CONTROL:
        return None
    start = at + _HEADER.size
    content = b""
    if attributes & _CODEC:
        content = _decompressed(attributes & _CODEC, fetched[start:end])
        start, end = 0, len(content)
    if not 0 <= count <= (end - start) // _SMALLEST_RECORD:
        raise CorruptRecordException(f"the record batch from {base} on claims {count} records")
    time = max_time if attributes & _LOG_APPEND_TIME else None
    return _Area(content, start, end, count, base, first_time, time)


def _decompressed(codec: int, content: bytes) -> bytes:
    name, is_there, decode = _DECODERS.get(codec, (str(codec), lambda: False, bytes))
    if not is_there():
        raise UnsupportedCodecError(f"no library to read batches compressed with {name}")
    return decode(content)


def _parsed(fetched: bytes, areas: list[_Area]) -> Records:
    """All records of these batches."""
    content = fetched
    if any(area.content for area in areas):
        parts = [area.content or fetched[area.start : area.end] for area in areas]
        content = b"".join(parts)
        ends = np.cumsum([len(part) for part in parts]).tolist()
        places = [(end - len(part), end) for part, end in zip(parts, ends, strict=True)]
    else:
        places = [(area.start, area.end) for area in areas]
    starts: list[int] = []
    ends_of: list[int] = []
    for area, (first, last) in zip(areas, places, strict=True):
        found = _starts(content, first, last, area.count)
        starts += found
        ends_of += found[1:]
        if found:
            ends_of.append(last)
    counts = [area.count for area in areas]
    base = np.repeat(np.array([area.base for area in areas], np.int64), counts)
    first_time = np.repeat(np.array([area.first_time for area in areas], np.int64), counts)
    times = np.repeat(np.array([-1 if area.time is None else area.time for area in areas], np.int64), counts)
    by_broker = np.repeat(np.array([area.time is not None for area in areas], np.bool_), counts)
    data = np.frombuffer(content, np.uint8)
    ends_at = np.array(ends_of, np.int64)
    cursor = Cursor(data, np.array(starts, np.int64), ends_at)
    size = cursor.number()
    if (cursor.at + size != ends_at).any():
        raise CutOff("a record's length is not its own")
    cursor.number()  # attributes, unused; aiokafka too reads them as a varint
    time_delta, offset_delta = cursor.number(), cursor.number()
    key_at, key_sizes = cursor.nullable()
    value_at, value_sizes = cursor.nullable()
    headers_at = cursor.at
    headers = cursor.number()
    if (headers < 0).any() or ((headers == 0) & (cursor.at != ends_at)).any():
        raise CutOff("a record is longer than its fields")
    timestamps = np.where(by_broker, times, first_time + time_delta)
    return Records(data, base + offset_delta, timestamps, key_at, key_sizes, value_at, value_sizes, headers_at, ends_at)


def _starts(content: bytes, at: int, end: int, count: int) -> list[int]:
    """Where each record's length stands: the one thing that only the record before it tells."""
    found: list[int] = []
    try:
        for _ in range(count):
            found.append(at)
            low = content[at]
            if low < 0x80:
                at += 1 + (low >> 1)
                continue
            high = content[at + 1]
            if high < 0x80:
                at += 2 + ((low & 0x7F | high << 7) >> 1)
            else:
                size, after = read_varint(content, at)
                at = after + size
    except (IndexError, BadHeaders) as error:
        raise CutOff("a record lies beyond its batch") from error
    if at != end:
        raise CutOff(f"{end - at} bytes follow the records")
    return found
