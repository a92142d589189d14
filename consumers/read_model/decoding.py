"""Figures and receipts from their bytes, a batch at a time: fixed numbers at once, the rest by slices and memos.

The same bytes as `schemas.codec.decode_figure` and `decode_receipts` read (the oracle of the tests), several times
faster: the numbers of all figures are one structured array, and form, line, period, unit, key and dimensions repeat so
often that a dictionary knows them. Anything that is not exactly a figure, or receipts, raises NotDecodable, as there.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from schemas.codec import MARKER, PREFIX_BYTES, NotDecodable, record_schema
from schemas.figure import HEAD
from schemas.precedence import Outcome

TAIL: Final = PREFIX_BYTES + HEAD.itemsize
"""Where the page's identity begins."""

_MEMO_LIMIT = 100_000
_RECEIPT_HEAD = struct.Struct("<5q32siB")
"""`schemas.receipt.HEAD` for one receipt."""
_OUTCOMES = [outcome.value for outcome in Outcome]
"""Their order is the wire's."""


class Head(NamedTuple):
    """The fixed numbers of a figure, in the order of `HEAD`."""

    version: int
    revision: int
    source_offset: int
    accepted_at: int
    issued_at: int
    first_accepted: int
    newest_accepted: int
    digest: bytes
    form_version: bytes
    source_partition: int
    epoch: int
    catalogue: int
    reported: int
    nil: int
    entered: int
    kind: int
    state: int


class PageKey(NamedTuple):
    """What a page of a ledger is about."""

    form: str
    scope: int
    line: str
    period: str


class SlotKey(NamedTuple):
    """Whose contribution it is: slot, unit and `valid_from` (days since 1970)."""

    slot: int
    unit: str
    valid_from: int


class Decoded(NamedTuple):
    """One figure as it is stored: the table still packed, the dimensions as JSON text."""

    head: Head
    page: PageKey
    slot: SlotKey
    entered_by: str
    kid: str
    values: bytes
    given: bytes
    dims: str


class ReceiptRow(NamedTuple):
    """One receipt as it is stored, in the order of the table's columns."""

    source_partition: int
    source_offset: int
    unit: str
    line: str
    form: str
    period: str
    entered_by: str
    revision: int
    kid: str
    digest: bytes
    outcome: str
    reason: str
    field: str
    detail: str
    highest_revision: int
    accepted_at: int
    figures_offset: int


class Decoder:
    """Decodes batches; its memos live as long as it does and are bounded."""

    def __init__(self) -> None:
        self._figure_prefix = MARKER + record_schema("figure")[1]
        self._receipts_prefix = MARKER + record_schema("receipts")[1]
        self._pages: dict[bytes, PageKey] = {}
        self._slots: dict[bytes, SlotKey] = {}
        self._texts: dict[bytes, str] = {}
        self._dims: dict[bytes, str] = {}

    def figures(self, values: Sequence[bytes]) -> list[Decoded]:
        """All figures of a batch, in order. Raises NotDecodable for the first that is none."""
        for value in values:
            if value[:PREFIX_BYTES] != self._figure_prefix:
                raise NotDecodable(f"prefix {value[:PREFIX_BYTES].hex()} is not that of a figure")
            if len(value) <= TAIL:
                raise NotDecodable(f"a figure of {len(value)} bytes is cut off")
        self._forget()
        heads = np.frombuffer(b"".join([value[PREFIX_BYTES:TAIL] for value in values]), HEAD).tolist()
        try:
            return [self._tail(Head._make(head), value) for head, value in zip(heads, values, strict=True)]
        except (IndexError, UnicodeDecodeError) as error:
            raise NotDecodable(f"the body is not a figure: {error}") from error

    def receipts(self, value: bytes) -> list[ReceiptRow]:
        """All receipts of one record, in order. Raises NotDecodable."""
        if value[:PREFIX_BYTES] != self._receipts_prefix:
            raise NotDecodable(f"prefix {value[:PREFIX_BYTES].hex()} is not that of receipts")
        self._forget()
        found: list[ReceiptRow] = []
        at = PREFIX_BYTES
        try:
            while True:
                count, at = _long(value, at)
                if count == 0:
                    break
                if count < 0:  # a block that states its size in bytes
                    _, at = _long(value, at)
                for _ in range(abs(count)):
                    receipt, at = self._receipt(value, at)
                    found.append(receipt)
        except (IndexError, UnicodeDecodeError, struct.error) as error:
            raise NotDecodable(f"the body is not receipts: {error}") from error
        if at != len(value):
            raise NotDecodable(f"{len(value) - at} bytes follow the body")
        return found

    def _receipt(self, value: bytes, at: int) -> tuple[ReceiptRow, int]:
        """The receipt that begins at `at`, and where it ends."""
        revision, source_offset, accepted_at, highest, figures_offset, digest, partition, outcome = (
            _RECEIPT_HEAD.unpack_from(value, at)
        )
        start = end = at + _RECEIPT_HEAD.size
        for skipped in (0, 1, 0):  # form, scope (one byte) and line, period
            end = _skip(value, end + skipped)
        page = self._pages.get(key := value[start:end]) or self._page(key)
        start, end = end, _skip(value, end + 1) + 4
        slot = self._slots.get(key := value[start:end]) or self._slot(key)
        texts: list[str] = []
        for _ in range(5):  # entered_by, kid, reason, field, detail
            start, end = end, _skip(value, end)
            texts.append(self._text(value[start:end]))
        entered_by, kid, reason, field, detail = texts
        row = ReceiptRow(
            partition, source_offset, slot.unit, page.line, page.form, page.period, entered_by, revision, kid, digest,
            _OUTCOMES[outcome], reason, field, detail, highest, accepted_at, figures_offset,
        )  # fmt: skip
        return row, end

    def _forget(self) -> None:
        for memo in (self._pages, self._slots, self._texts, self._dims):
            if len(memo) > _MEMO_LIMIT:
                memo.clear()

    def _tail(self, head: Head, value: bytes) -> Decoded:
        end = TAIL
        for skipped in (0, 1, 0):  # form, scope (one byte) and line, period
            end = _skip(value, end + skipped)
        page = self._pages.get(key := value[TAIL:end]) or self._page(key)
        start, end = end, _skip(value, end + 1) + 4
        slot = self._slots.get(key := value[start:end]) or self._slot(key)
        start, end = end, _skip(value, end)
        entered_by = self._text(value[start:end])
        start, end = end, _skip(value, end)
        kid = self._text(value[start:end])
        numbers, end = _block(value, end)
        given, end = _block(value, end)
        dims = self._dims.get(key := value[end:]) or self._dimensions(key)
        return Decoded(head, page, slot, entered_by, kid, numbers, given, dims)

    def _page(self, run: bytes) -> PageKey:
        form, at = _block(run, 0)
        line, end = _block(run, at + 1)
        period, _ = _block(run, end)
        page = self._pages[run] = PageKey(form.decode(), run[at], line.decode(), period.decode())
        return page

    def _slot(self, run: bytes) -> SlotKey:
        unit, at = _block(run, 1)
        slot = self._slots[run] = SlotKey(run[0], unit.decode(), int.from_bytes(run[at:], "little", signed=True))
        return slot

    def _text(self, run: bytes) -> str:
        text = self._texts.get(run)
        if text is None:
            text = self._texts[run] = _block(run, 0)[0].decode()
        return text

    def _dimensions(self, run: bytes) -> str:
        dims: list[str] = []
        at = 0
        while True:
            count, at = _long(run, at)
            if count == 0:
                break
            if count < 0:  # a block that states its size in bytes
                _, at = _long(run, at)
            for _ in range(abs(count)):
                text, at = _block(run, at)
                dims.append(text.decode())
        if at != len(run):
            raise NotDecodable(f"{len(run) - at} bytes follow the body")
        encoded = self._dims[run] = json.dumps(dims, ensure_ascii=False, separators=(",", ":"))
        return encoded


def _long(value: bytes, at: int) -> tuple[int, int]:
    """An Avro long at `at`, and where it ends."""
    byte = value[at]
    at += 1
    number = byte & 0x7F
    shift = 7
    while byte & 0x80:
        byte = value[at]
        at += 1
        number |= (byte & 0x7F) << shift
        shift += 7
    return (number >> 1) ^ -(number & 1), at


def _skip(value: bytes, at: int) -> int:
    """Where the text or bytes that begin at `at` end."""
    length = value[at]
    if length & 0x81:  # more than one byte, or negative
        size, at = _long(value, at)
        end = at + size
    else:
        end = at + 1 + (length >> 1)
    if not at < end <= len(value):
        raise IndexError(f"a length points from {at} to {end} of {len(value)} bytes")
    return end


def _block(value: bytes, at: int) -> tuple[bytes, int]:
    """The text or bytes that begin at `at`, and where they end."""
    size, start = _long(value, at)
    end = start + size
    if not start <= end <= len(value):
        raise IndexError(f"a length points from {start} to {end} of {len(value)} bytes")
    return value[start:end], end
