"""The fast reader and writer of figures see exactly what fastavro sees."""

from __future__ import annotations

from dataclasses import replace

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
from streams.columns import read_columns, read_dims, read_page, read_slot, write_contribution
from streams.receipts import PREFIX, records

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
    columns = read_columns([encode_figure(figure) for figure in batch])
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
        read_columns([encode_figure(figure)[:kept]])


@settings(deadline=None)
@given(figures(), st.lists(figures(), max_size=2), st.lists(longs, min_size=2, max_size=12))
def test_records_of_one_length_are_cut_alike(figure: Figure, others: list[Figure], versions: list[int]) -> None:
    batch = [replace(figure, version=version, digest=Digest(bytes([at]) * 32)) for at, version in enumerate(versions)]
    batch[1:1] = others
    encoded = [encode_figure(one) for one in batch]
    alone = read_columns(encoded)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("streams.columns._TOGETHER", 2)
        together = read_columns(encoded)
    for name in ("pages", "slots", "runs", "values", "given", "dims"):
        assert getattr(together, name) == getattr(alone, name), name
    assert together.heads.tobytes() == alone.heads.tobytes()


@settings(deadline=None)
@given(figures(), st.integers(0, 400), st.integers(1, 255))
def test_one_spoilt_record_among_equals_is_not_cut_like_them(figure: Figure, at: int, spoilt: int) -> None:
    good = encode_figure(figure)
    at %= len(good)
    bad = good[:at] + bytes([good[at] ^ spoilt]) + good[at + 1 :]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("streams.columns._TOGETHER", 1_000)
        try:
            alone = read_columns([good, bad, good])
        except NotDecodable:
            alone = None
        patch.setattr("streams.columns._TOGETHER", 2)
        try:
            together = read_columns([good, bad, good])
        except NotDecodable:
            together = None
    assert (alone is None) == (together is None)
    if alone is not None and together is not None:
        assert together.runs == alone.runs
        assert together.values == alone.values


def test_an_unknown_fingerprint_is_refused() -> None:
    with pytest.raises(NotDecodable, match="fingerprint"):
        read_columns([b"\xc3\x01" + bytes(300)])


def test_receipts_are_split_into_records_of_bounded_size() -> None:
    one = bytes(77) + b"\x02f\x00\x02l\x02p\x00\x02u" + bytes(4) + b"\x00\x02k\x00\x00\x00"
    found = list(records([one] * 20_000))
    assert len(found) > 1
    assert all(record.startswith(PREFIX) and len(record) < 2**20 for record in found)
    assert sum(len(decode_receipts(record)) for record in found) == 20_000


def test_dims_in_negative_block_counts_are_read() -> None:
    assert read_dims(b"\x03\x08\x02a\x02b\x00") == ["a", "b"]
    with pytest.raises(NotDecodable, match="follow"):
        read_dims(b"\x00\x00")


def test_heads_of_a_batch_are_one_array() -> None:
    assert read_columns([]).heads.shape == np.zeros(0).shape
