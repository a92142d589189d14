r"""Headers of a Kafka record as they lie in its bytes, also where a name is not UTF-8 as it should be.

Both clients decode names strictly and raise in the middle of a fetch, so that one such record of a direct writer would
end whoever reads its partition, for ever. Here its bytes show as `\xff`; admission refuses a name with a backslash, so
the record ends in `rejected`, the same in ingest and in `verify`.
Format: Kafka's documentation, "Record" and "Record Header" (KIP-82).
"""

from __future__ import annotations

from typing import Any, cast

from kafka.record import memory_records
from kafka.record.default_records import DefaultRecord, DefaultRecordBatch
from kafka.record.util import decode_varint

from schemas.signature import Header

ESCAPE = "\\"
"""What no name of the contract contains, and every name that is not UTF-8 when read."""


class BadHeaders(ValueError):
    """The bytes are no headers."""


def read_headers(raw: bytes) -> tuple[Header, ...]:
    """Names and values, as many as the bytes say. A null value is None, which admission refuses. Raises BadHeaders."""
    try:
        count, at = read_varint(raw, 0)
        found = []
        for _ in range(count):
            name, at = _sized(raw, at)
            value, at = _sized(raw, at)
            if name is None:
                raise BadHeaders("a header without a name")
            found.append((name.decode("utf-8", "backslashreplace"), cast(bytes, value)))
    except IndexError as error:
        raise BadHeaders("a record's headers are cut off") from error
    if at != len(raw):
        raise BadHeaders(f"{len(raw) - at} bytes follow a record's headers")
    return tuple(found)


def read_varint(raw: bytes, at: int) -> tuple[int, int]:
    """(value, position after it) of a zigzag varint. Raises IndexError at the end of the bytes, BadHeaders."""
    number = shift = 0
    while True:
        byte = raw[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1), at
        shift += 7
        if shift > 63:
            raise BadHeaders("a number is longer than 64 bits")


def _sized(raw: bytes, at: int) -> tuple[bytes | None, int]:
    size, at = read_varint(raw, at)
    if not -1 <= size <= len(raw) - at:
        raise BadHeaders("a header does not end within its record")
    return (raw[at : at + size], at + size) if size >= 0 else (None, at)


class _AnyNames(DefaultRecordBatch):  # type: ignore[misc]
    """kafka-python's reader of a batch, which goes on after a name that is not UTF-8."""

    _pos: int

    def _read_msg(self, *given: Any) -> Any:
        try:
            return super()._read_msg(*given)
        except UnicodeDecodeError:
            return self._read_escaped()

    def _read_escaped(self) -> Any:
        buffer = self._buffer
        length, at = decode_varint(buffer, self._pos)
        end = at + length
        _, at = decode_varint(buffer, at)  # attributes
        delta, at = decode_varint(buffer, at)
        time = self.max_timestamp if self.timestamp_type == self.LOG_APPEND_TIME else self.first_timestamp + delta
        offset, at = decode_varint(buffer, at)
        parts: list[bytes | None] = []
        for _ in range(2):
            size, at = decode_varint(buffer, at)
            parts.append(bytes(buffer[at : at + size]) if size >= 0 else None)
            at += max(size, 0)
        headers = list(read_headers(bytes(buffer[at:end])))
        self._pos = end
        return DefaultRecord(length, self.base_offset + offset, time, self.timestamp_type, *parts, headers)


def read_any_header_names() -> None:
    """Make every kafka-python consumer of this process read records whose headers' names are not UTF-8."""
    memory_records.DefaultRecordBatch = _AnyNames
