"""Figures by the thousand: a batch of encoded records as columns, and encoded records from columns.

fastavro reads a figure in 20 to 260 µs; here the numbers of a whole batch are one numpy array and what remains per
record is a handful of byte look-ups, because a figure's layout was chosen for it (contract 9). The bytes are plain
Avro: tests hold reader and writer against fastavro on generated records.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from schemas.codec import MARKER, PREFIX_BYTES, NotDecodable, record_schema
from schemas.figure import HEAD, Figure

BODY = PREFIX_BYTES + HEAD.itemsize
"""Where the page's identity begins in an encoded figure."""
FIGURE_PREFIX: bytes = MARKER + record_schema("figure")[1]

_TOGETHER = 16
"""Fewer records of one length are cut one by one: numpy's own cost is then the larger."""

_ONE_BYTE = [bytes([number]) for number in range(0x80)]


@dataclass(frozen=True, slots=True)
class Columns:
    """A batch of figures. Lists are parallel to `heads`, one entry per record, in the order of the records.

    `pages` and `slots` are runs of bytes: form, scope, line, period; and slot, unit, valid_from. `runs` are both and
    entered_by and kid, as a receipt repeats them. `dims` is the rest of the record.
    """

    heads: npt.NDArray[np.void]
    pages: list[bytes]
    slots: list[bytes]
    runs: list[bytes]
    values: list[bytes]
    given: list[bytes]
    dims: list[bytes]


def read_columns(records: Sequence[bytes]) -> Columns:
    """Decode a batch. Raises NotDecodable for a record that is not a figure, and for an unknown fingerprint.

    Records of one length mostly have one layout, and are then cut at the same places all at once.
    """
    numbers = b"".join([record[PREFIX_BYTES:BODY] for record in records])
    if len(numbers) != len(records) * HEAD.itemsize:
        raise NotDecodable("a figure is shorter than its numbers")
    lengths = np.fromiter(map(len, records), np.int64, len(records))
    parts = np.empty((len(records), 6), object)
    for length in np.unique(lengths).tolist():
        chosen = np.flatnonzero(lengths == length)
        alike = [records[index] for index in chosen.tolist()]
        cut = _cut_together(alike) if len(alike) >= _TOGETHER else None
        if cut is None:
            parts[chosen] = [_cut(record) for record in alike]
        else:
            for column, pieces in enumerate(cut):
                parts[chosen, column] = pieces
    return Columns(np.frombuffer(numbers, HEAD), *(parts[:, column].tolist() for column in range(6)))


def _layout(record: bytes) -> tuple[int, int, int, int, int, int, int]:
    """Ends of page, slot and run, and where values and given begin and end."""
    if record[:PREFIX_BYTES] != FIGURE_PREFIX:
        raise NotDecodable(f"fingerprint {record[2:PREFIX_BYTES].hex()} is not that of a figure")
    try:
        page_end, slot_end, run_end = _identity(record)
        values_at, size = _varint(record, run_end)
        given_at, given_size = _varint(record, values_at + size)
    except IndexError as error:
        raise NotDecodable("a figure is cut off") from error
    return page_end, slot_end, run_end, values_at, values_at + size, given_at, given_at + given_size


def _cut(record: bytes) -> tuple[bytes, bytes, bytes, bytes, bytes, bytes]:
    page_end, slot_end, run_end, values_at, values_end, given_at, given_end = _layout(record)
    return (
        record[BODY:page_end], record[page_end:slot_end], record[BODY:run_end], record[values_at:values_end],
        record[given_at:given_end], record[given_end:],
    )  # fmt: skip


def _cut_together(records: Sequence[bytes]) -> tuple[list[bytes], ...] | None:
    """All records cut where the first one is; None where one of them has another layout."""
    page_end, slot_end, run_end, values_at, values_end, given_at, given_end = _layout(records[0])
    whole = np.frombuffer(b"".join(records), np.uint8).reshape(len(records), -1)
    first = whole[0]
    line_at = _string_end(records[0], BODY) + 1
    fixed = [(0, PREFIX_BYTES), (run_end, values_at), (values_end, given_at)]
    for at in (BODY, line_at, _string_end(records[0], line_at), page_end + 1, slot_end,
               _string_end(records[0], slot_end)):  # fmt: skip
        fixed.append((at, _varint(records[0], at)[0]))
    for start, end in fixed:
        if (whole[:, start:end] != first[start:end]).any():
            return None
    spans = ((BODY, page_end), (page_end, slot_end), (BODY, run_end), (values_at, values_end), (given_at, given_end),
             (given_end, whole.shape[1]))  # fmt: skip
    return tuple(_pieces(whole, start, end) for start, end in spans)


def _pieces(whole: npt.NDArray[np.uint8], start: int, end: int) -> list[bytes]:
    if start == end:
        return [b""] * len(whole)
    found: list[bytes] = np.ascontiguousarray(whole[:, start:end]).view(f"V{end - start}").ravel().tolist()
    return found


def _varint(record: bytes, at: int) -> tuple[int, int]:
    """(position after it, value) of a zigzag varint that is not negative."""
    byte = record[at]
    if byte < 0x80:
        return at + 1, byte >> 1
    number, shift = byte & 0x7F, 7
    while True:
        at += 1
        byte = record[at]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return at + 1, number >> 1
        shift += 7


def _string_end(record: bytes, at: int) -> int:
    start, size = _varint(record, at)
    return start + size


def _identity(record: bytes) -> tuple[int, int, int]:
    """Ends of page, slot and run. Names shorter than 64 bytes have one byte of length: read without a call each."""
    try:
        form_end = BODY + 1 + (record[BODY] >> 1)
        line_end = form_end + 2 + (record[form_end + 1] >> 1)
        page_end = line_end + 1 + (record[line_end] >> 1)
        slot_end = page_end + 6 + (record[page_end + 1] >> 1)
        entered_end = slot_end + 1 + (record[slot_end] >> 1)
        run_end = entered_end + 1 + (record[entered_end] >> 1)
        lengths = (
            record[BODY]
            | record[form_end + 1]
            | record[line_end]
            | record[page_end + 1]
            | record[slot_end]
            | record[entered_end]
        )
    except IndexError:
        lengths = 0x80
    if lengths < 0x80:
        return page_end, slot_end, run_end
    form_end = _string_end(record, BODY)
    page_end = _string_end(record, _string_end(record, form_end + 1))
    slot_end = _string_end(record, page_end + 1) + 4
    return page_end, slot_end, _string_end(record, _string_end(record, slot_end))


def read_dims(rest: bytes) -> list[str]:
    """The dimensions of a record from what follows its `given`: an Avro array of strings."""
    found: list[str] = []
    at = 0
    while True:
        raw_at, count = _signed(rest, at)
        at = raw_at
        if count == 0:
            break
        if count < 0:
            at, _ = _signed(rest, at)
            count = -count
        for _ in range(count):
            start, size = _varint(rest, at)
            at = start + size
            found.append(rest[start:at].decode())
    if at != len(rest):
        raise NotDecodable(f"{len(rest) - at} bytes follow a figure")
    return found


def _signed(record: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = record[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return at, (number >> 1) ^ -(number & 1)
        shift += 7


def varint(number: int) -> bytes:
    """A zigzag varint of a number that is not negative."""
    number <<= 1
    if number < 0x80:
        return _ONE_BYTE[number]
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def string(text: str) -> bytes:
    """An Avro string."""
    encoded = text.encode()
    return varint(len(encoded)) + encoded


def dims_bytes(dims: Sequence[str]) -> bytes:
    """An Avro array of strings, as fastavro writes it: one block."""
    if not dims:
        return b"\0"
    return varint(len(dims)) + b"".join([string(dim) for dim in dims]) + b"\0"


def page_bytes(form: str, scope: int, line: str, period: str) -> bytes:
    """The run of bytes that identifies a page."""
    return string(form) + bytes([scope]) + string(line) + string(period)


def slot_bytes(slot: int, unit: str, valid_from: int) -> bytes:
    """The run of bytes that identifies a slot; `valid_from` in days since 1970."""
    return bytes([slot]) + string(unit) + valid_from.to_bytes(4, "little", signed=True)


def read_page(run: bytes) -> tuple[str, int, str, str]:
    """(form, scope, line, period) of a page's run of bytes."""
    at, size = _varint(run, 0)
    form = run[at : at + size].decode()
    scope = run[at + size]
    at, size = _varint(run, at + size + 1)
    line = run[at : at + size].decode()
    at, size = _varint(run, at + size)
    return form, scope, line, run[at : at + size].decode()


def read_slot(run: bytes) -> tuple[int, str, int]:
    """(slot, unit, valid_from) of a slot's run of bytes."""
    at, size = _varint(run, 1)
    return run[0], run[at : at + size].decode(), int.from_bytes(run[at + size :], "little", signed=True)


def write_figures(heads: npt.NDArray[np.void], identities: Sequence[bytes], tables: Sequence[bytes]) -> list[bytes]:
    """Encoded figures. `identities`: from form to kid; `tables`: values, given and dims with their lengths."""
    raw = heads.tobytes()
    size = HEAD.itemsize
    return [
        FIGURE_PREFIX + raw[index * size : (index + 1) * size] + identity + table
        for index, (identity, table) in enumerate(zip(identities, tables, strict=True))
    ]


_CONTRIBUTION = struct.Struct("<7q32s8s6i2B")
"""`HEAD` for one record."""


def write_contribution(figure: Figure) -> bytes:
    """One encoded figure, ten times faster than by fastavro: the plain path for records that come one at a time."""
    f = figure
    return b"".join(
        (
            FIGURE_PREFIX,
            _CONTRIBUTION.pack(
                f.version,
                f.revision,
                f.source_offset,
                f.accepted_at,
                f.issued_at,
                f.first_accepted,
                f.newest_accepted,
                f.digest,
                f.form_version,
                f.source_partition,
                f.epoch,
                f.catalogue,
                f.reported,
                f.nil,
                f.entered,
                f.kind,
                f.state,
            ),
            page_bytes(f.form, f.scope, f.line, f.period),
            slot_bytes(f.slot, f.unit, f.valid_from),
            string(f.entered_by),
            string(f.kid),
            sized(f.values),
            sized(f.given),
            dims_bytes(f.dims),
        )
    )


def sized(content: bytes) -> bytes:
    """Avro `bytes`."""
    return varint(len(content)) + content
