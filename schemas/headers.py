r"""Headers of a Kafka record as they lie in its bytes, also where a name is not UTF-8 as it should be.

Both clients decode names strictly and raise in the middle of a fetch, so that one such record of a direct writer would
end whoever reads its partition, for ever. Here its bytes show as `\xff`; admission refuses a name with a backslash, so
the record ends in `rejected`, the same in ingest and in `verify`.
Format: Kafka's documentation, "Record" and "Record Header" (KIP-82).
"""

from __future__ import annotations

from typing import cast

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
