"""The fast reader and writer of figures see exactly what fastavro sees."""

from __future__ import annotations

import io

import fastavro
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codec import NotDecodable, decode_figure, decode_receipts, encode_figure
from schemas.figure import Figure, FigureKind, ScopeCode, Slot, State
from schemas.form import Fingerprint, FormId
from schemas.period import PeriodText
from schemas.report import Digest, KeyId, Millis, Offset, Revision
from schemas.unit import LineName, UnitCode
from streams.arrays import Groups
from streams.columns import Columns, read_columns, read_dims, read_page, read_slot, write_contribution
from streams.packed import Cursor, CutOff, Packed
from streams.receipts import PREFIX, Receipts, records

longs = st.integers(-(2**63), 2**63 - 1)
ints = st.integers(-(2**31), 2**31 - 1)
names = st.text(max_size=90)


@st.composite
def figures(draw: st.DrawFn) -> Figure:
    return Figure(
        kind=draw(st.sampled_from(FigureKind)),
        state=draw(st.sampled_from(State)),
        form=FormId(draw(names)),
        scope=draw(st.sampled_from(ScopeCode)),
        line=LineName(draw(names)),
        period=PeriodText(draw(names)),
        slot=draw(st.sampled_from(Slot)),
        unit=UnitCode(draw(names)),
        valid_from=draw(ints),
        form_version=Fingerprint(draw(st.binary(min_size=8, max_size=8))),
        epoch=draw(ints),
        catalogue=draw(ints),
        values=draw(st.binary(max_size=300)),
        given=draw(st.binary(max_size=40)),
        dims=tuple(draw(st.lists(names, max_size=70))),
        version=draw(longs),
        revision=Revision(draw(longs)),
        source_partition=draw(ints),
        source_offset=Offset(draw(longs)),
        accepted_at=Millis(draw(longs)),
        issued_at=Millis(draw(longs)),
        first_accepted=Millis(draw(longs)),
        newest_accepted=Millis(draw(longs)),
        digest=Digest(draw(st.binary(min_size=32, max_size=32))),
        reported=draw(ints),
        nil=draw(ints),
        entered=draw(ints),
        entered_by=draw(names),
        kid=KeyId(draw(names)),
    )


@settings(deadline=None)
@given(st.lists(figures(), min_size=1, max_size=5))
def test_reader_of_figures_equals_fastavro(batch: list[Figure]) -> None:
    columns = read_columns(Packed.of([encode_figure(figure) for figure in batch]))
    for at, figure in enumerate(batch):
        head = columns.heads[at]
        for name in (
            "version",
            "revision",
            "source_offset",
            "accepted_at",
            "issued_at",
            "first_accepted",
            "newest_accepted",
            "source_partition",
            "epoch",
            "catalogue",
            "reported",
            "nil",
            "entered",
            "kind",
            "state",
        ):
            assert int(head[name]) == getattr(figure, name), name
        assert bytes(head["digest"]) == figure.digest
        assert bytes(head["form_version"]) == figure.form_version
        assert read_page(columns.pages[at]) == (figure.form, figure.scope, figure.line, figure.period)
        assert read_slot(columns.slots[at]) == (figure.slot, figure.unit, figure.valid_from)
        assert columns.values[at] == figure.values
        assert columns.given[at] == figure.given
        assert tuple(read_dims(columns.dims[at])) == figure.dims


@settings(deadline=None)
@given(figures())
def test_writer_of_figures_writes_the_bytes_of_fastavro(figure: Figure) -> None:
    assert write_contribution(figure) == encode_figure(figure)
    assert decode_figure(write_contribution(figure)) == figure


@settings(deadline=None)
@given(figures(), st.integers(0, 120))
def test_a_cut_off_figure_is_not_read_as_another(figure: Figure, kept: int) -> None:
    with pytest.raises(NotDecodable):
        read_columns(Packed.of([encode_figure(figure)[:kept]]))


def fields_of(columns: Columns, at: int) -> list[bytes]:
    packed = (columns.pages, columns.slots, columns.runs, columns.values, columns.given, columns.dims)
    return [columns.heads[at].tobytes(), *(column[at] for column in packed)]


@settings(deadline=None)
@given(figures(), figures(), st.integers(0, 400), st.integers(1, 255))
def test_a_spoilt_record_is_read_like_alone_and_spoils_no_other(
    good: Figure, other: Figure, at: int, spoilt: int
) -> None:
    whole = encode_figure(other)
    at %= len(whole)
    bad = whole[:at] + bytes([whole[at] ^ spoilt]) + whole[at + 1 :]
    try:
        alone = fields_of(read_columns(Packed.of([bad])), 0)
    except NotDecodable:
        with pytest.raises(NotDecodable):
            read_columns(Packed.of([encode_figure(good), bad, encode_figure(good)]))
        return
    together = read_columns(Packed.of([encode_figure(good), bad, encode_figure(good)]))
    assert fields_of(together, 1) == alone
    assert fields_of(together, 0) == fields_of(together, 2)
    assert together.values[0] == good.values


@settings(deadline=None)
@given(st.lists(st.binary(max_size=6), max_size=30), st.data())
def test_packed_strings_are_those_that_were_packed(parts: list[bytes], data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.integers(0, len(parts) - 1), max_size=20) if parts else st.just([]))
    packed = Packed.of(parts).take(np.array(chosen, np.int64))
    expected = [parts[index] for index in chosen]
    assert packed.tolist() == [packed[at] for at in range(len(packed))] == expected
    assert packed.joined().tobytes() == b"".join(expected)
    runs, numbers = packed.distinct()
    assert len(set(runs)) == len(runs)
    assert [runs[number] for number in numbers.tolist()] == expected


@settings(deadline=None)
@given(st.lists(st.integers(-5, 5), max_size=30), st.data())
def test_sums_by_group_are_those_of_a_plain_loop(keys: list[int], data: st.DataObject) -> None:
    values = data.draw(st.lists(st.integers(-(2**40), 2**40), min_size=len(keys), max_size=len(keys)))
    groups = Groups(np.array(keys, np.int64))
    found = {key: [value for value, other in zip(values, keys, strict=True) if other == key] for key in sorted({*keys})}
    numbers = np.array(values, np.int64)
    assert groups.keys.tolist() == list(found)
    assert groups.sums(numbers).tolist() == [sum(some) for some in found.values()]
    assert groups.sums(np.stack([numbers, -numbers], axis=1)).tolist() == [[sum(x), -sum(x)] for x in found.values()]
    assert groups.minima(numbers).tolist() == [min(some) for some in found.values()]
    assert groups.maxima(numbers).tolist() == [max(some) for some in found.values()]


def numbers_of(data: bytes, at: list[int], few: int) -> tuple[list[int], list[int]] | None:
    cursor = Cursor(np.frombuffer(data, np.uint8), np.array(at, np.int64), np.full(len(at), len(data)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("streams.packed._FEW", few)
        try:
            return cursor.number().tolist(), cursor.at.tolist()
        except CutOff:
            return None


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=14) | st.binary(max_size=8).map(lambda some: b"\xff" * 9 + some), st.data())
def test_numbers_read_one_by_one_are_those_read_together(raw: bytes, data: st.DataObject) -> None:
    at = data.draw(st.lists(st.integers(0, len(raw) - 1), min_size=1, max_size=4))
    assert numbers_of(raw, at, 16) == numbers_of(raw, at, 0)


@settings(deadline=None)
@given(longs)
def test_a_number_of_64_bits_is_read_as_fastavro_writes_it(number: int) -> None:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, "long", number)
    raw = out.getvalue()
    assert numbers_of(raw, [0], 16) == numbers_of(raw, [0], 0) == ([number], [len(raw)])


def test_an_unknown_fingerprint_is_refused() -> None:
    with pytest.raises(NotDecodable, match="fingerprint"):
        read_columns(Packed.of([b"\xc3\x01" + bytes(300)]))


def test_receipts_are_split_into_records_of_bounded_size() -> None:
    one = bytes(77) + b"\x02f\x00\x02l\x02p\x00\x02u" + bytes(4) + b"\x00\x02k\x00\x00\x00"
    found = list(records([Receipts(one * 10_000, np.full(10_000, len(one), np.int64))] * 2))
    assert len(found) > 1
    assert all(record.startswith(PREFIX) and len(record) < 2**20 for record in found)
    assert sum(len(decode_receipts(record)) for record in found) == 20_000


def test_dims_in_negative_block_counts_are_read() -> None:
    assert read_dims(b"\x03\x08\x02a\x02b\x00") == ["a", "b"]
    with pytest.raises(NotDecodable, match="follow"):
        read_dims(b"\x00\x00")


def test_heads_of_a_batch_are_one_array() -> None:
    assert read_columns(Packed.of([])).heads.shape == np.zeros(0).shape
