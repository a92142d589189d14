"""Record batches read as columns are what aiokafka reads from the same bytes, and damage is never read as data."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import kafka.record
import pytest
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.kafka_client import read_any_header_names
from streams.records import Record, has_batch, read_records

CONTROL, LOG_APPEND_TIME, TRANSACTIONAL = 0x20, 0x08, 0x10
SIZES = st.sampled_from([0, 1, 63, 64, 130, 9_000])

contents = st.none() | st.builds(lambda size, byte: bytes([byte]) * size, SIZES, st.integers(0, 255))
headers = st.lists(st.tuples(st.text(max_size=5), st.none() | st.binary(max_size=70)), max_size=3)


@dataclass
class Part:
    """One record batch: (offset delta, time, key, value, headers) of each record."""

    records: list[tuple[int, int, bytes | None, bytes | None, list[tuple[str, bytes | None]]]]
    compression: int = 0
    attributes: int = 0
    gap_before: int = 0
    lost_at_end: int = 0
    """Offsets that compaction has taken away after the last record."""

    def encoded(self, base: int) -> bytes:
        builder = DefaultRecordBatchBuilder(2, self.compression, 0, 7, 0, 0, 2**30)
        for delta, time, key, value, named in self.records:
            assert builder.append(delta, time, key, value, named) is not None
        raw = bytearray(builder.build())
        struct.pack_into(">q", raw, 0, base)
        (attributes,) = struct.unpack_from(">h", raw, 21)
        struct.pack_into(">h", raw, 21, attributes | self.attributes)
        struct.pack_into(">i", raw, 23, self.span - 1)
        return sealed(raw)

    @property
    def span(self) -> int:
        return self.records[-1][0] + 1 + self.lost_at_end


@dataclass
class Log:
    """Batches one after the other as a fetch brings them."""

    parts: list[Part]
    base: int
    bases: list[int] = field(default_factory=list)

    def encoded(self) -> bytes:
        raw, at = b"", self.base
        self.bases.clear()
        for part in self.parts:
            at += part.gap_before
            self.bases.append(at)
            raw += part.encoded(at)
            at += part.span
        return raw

    @property
    def end(self) -> int:
        return self.bases[-1] + self.parts[-1].span


def sealed(raw: bytearray) -> bytes:
    """With the CRC that its content has now."""
    struct.pack_into(">I", raw, 17, calc_crc32c(bytes(raw[21:])))
    return bytes(raw)


@st.composite
def parts(draw: st.DrawFn) -> Part:
    delta, records = -1, []
    for _ in range(draw(st.integers(1, 5))):
        delta += draw(st.sampled_from([1, 1, 2, 100]))
        time = draw(st.sampled_from([0, 1, 1_600_000_000_000, 1_600_000_000_070]))
        records.append((delta, time, draw(contents), draw(contents), draw(headers)))
    return Part(
        records,
        draw(st.sampled_from([0, 0, 1])),
        draw(st.sampled_from([0, LOG_APPEND_TIME, CONTROL, TRANSACTIONAL, TRANSACTIONAL | CONTROL])),
        draw(st.integers(0, 2)),
        draw(st.sampled_from([0, 0, 3])),
    )


logs = st.builds(Log, st.lists(parts(), min_size=1, max_size=4), st.sampled_from([0, 1, 2**40]))


def read_by_aiokafka(raw: bytes, start: int) -> tuple[list[Record], int]:
    found, following = [], start
    memory = MemoryRecords(raw)
    while memory.has_next():
        batch = memory.next_batch()
        assert batch.validate_crc()
        if not batch.is_control_batch:
            found += [
                Record(one.offset, one.timestamp, one.key, one.value, tuple(one.headers))
                for one in batch
                if one.offset >= start
            ]
        following = batch.next_offset
    return found, following


@settings(deadline=None)
@given(logs, st.data())
def test_records_are_those_that_aiokafka_reads_from_any_offset_on(log: Log, data: st.DataObject) -> None:
    raw = log.encoded()
    start = data.draw(st.integers(log.base, log.end - 1))
    expected, following = read_by_aiokafka(raw, start)
    found, after = read_records(raw, start)
    assert list(found) == expected
    assert after == following == log.end
    assert found.values.tolist() == [record.value or b"" for record in expected]
    assert [one for at in range(len(found)) for one in found.cut(at, at + 1)] == expected


@settings(deadline=None)
@given(logs, st.data())
def test_a_last_batch_that_is_cut_off_is_left_for_the_next_fetch(log: Log, data: st.DataObject) -> None:
    raw = log.encoded()
    last = len(log.parts[-1].encoded(log.bases[-1]))
    cut = raw[: len(raw) - data.draw(st.integers(1, last))]
    expected, following = read_by_aiokafka(cut, log.base)
    found, after = read_records(cut, log.base)
    assert (list(found), after) == (expected, following)
    assert has_batch(cut) == (len(log.parts) > 1)


@settings(deadline=None)
@given(logs, st.data())
def test_a_damaged_batch_is_refused_once_those_before_it_are_read(log: Log, data: st.DataObject) -> None:
    raw = bytearray(log.encoded())
    hit = data.draw(st.integers(0, len(log.parts) - 1))
    begins = sum(len(part.encoded(base)) for part, base in zip(log.parts[:hit], log.bases, strict=False))
    size = len(log.parts[hit].encoded(log.bases[hit]))
    raw[begins + data.draw(st.integers(17, size - 1))] ^= data.draw(st.integers(1, 255))
    before, following = read_by_aiokafka(bytes(raw[:begins]), log.base)
    if any(not part.attributes & CONTROL for part in log.parts[:hit]):
        found, after = read_records(bytes(raw), log.base)
        assert (list(found), after) == (before, following)
    with pytest.raises(CorruptRecordException):
        read_records(bytes(raw[begins:]), following)


@settings(deadline=None)
@given(parts(), st.data())
def test_spoilt_records_with_a_fitting_crc_are_read_as_by_aiokafka_or_not_at_all(
    part: Part, data: st.DataObject
) -> None:
    part.compression, part.attributes = 0, 0
    raw = bytearray(part.encoded(5))
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(61, len(raw) - 1))] = data.draw(st.integers(0, 255))
    spoilt = sealed(raw)
    try:
        found, after = read_records(spoilt, 0)
        ours = list(found)
    except CorruptRecordException:
        return
    if not any("\\" in name for record in ours for name, _ in record.headers):
        assert (ours, after) == read_by_aiokafka(spoilt, 0)


@pytest.mark.parametrize("size", [0, 11])
def test_a_fetch_without_a_whole_batch_holds_none(size: int) -> None:
    found, after = read_records(bytes(size), 3)
    assert (len(found), after, has_batch(bytes(size))) == (0, 3, False)


def test_header_name_that_is_not_utf8_is_shown_with_its_bytes() -> None:
    raw = bytearray(Part([(0, 0, b"k", b"v", [("ab", b"1"), ("c", None)])]).encoded(0))
    at = raw.index(b"ab")
    raw[at : at + 2] = b"\xff\xfe"
    (record,) = read_records(sealed(raw), 0)[0]
    assert list(record.headers) == [(r"\xff\xfe", b"1"), ("c", None)]
    read_any_header_names()
    (other,) = kafka.record.MemoryRecords(sealed(raw)).next_batch()
    assert (other.offset, other.key, other.value) == (record.offset, record.key, record.value)
    assert list(other.headers) == list(record.headers)


def test_an_older_message_format_is_refused() -> None:
    raw = bytearray(Part([(0, 0, None, b"v", [])]).encoded(0))
    raw[16] = 1
    with pytest.raises(CorruptRecordException, match="format"):
        read_records(bytes(raw), 0)
