"""Whatever way the log comes in, the read model answers the same, and as-of is what brute force says it was."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.read_model.decoding import Decoder
from consumers.read_model.store import Partition, Store
from schemas.codec import NotDecodable, decode_figure, decode_receipts, encode_receipts
from schemas.figure import State
from schemas.log import Record
from schemas.period import PeriodText
from schemas.precedence import Outcome
from schemas.read_model import Axis, FigureQuery
from schemas.receipt import Receipt
from schemas.report import Digest, Millis, Offset, Revision, Source
from schemas.topics import FIGURES
from schemas.unit import UnitCode
from tests.support.figures import Sent
from tests.support.read_model import (
    CATALOGUE,
    DAYS,
    FORMS,
    UNITS,
    FigureLog,
    catalogue_act,
    known_at,
    lines,
    reading,
    store_at,
    without_version,
)

SUPERIORS = {"a1": "A", "b1": "B", "c1": "b2", "A": "R", "B": "R", "b2": "B"}


@st.composite
def tables(draw: st.DrawFn, form: str) -> tuple[tuple[tuple[str, Any], ...], ...]:
    if form == "covid-doses":
        return (tuple((f"dose{i}", draw(st.integers(-3, 5))) for i in range(1, 5)),)
    vaccines = draw(st.lists(st.sampled_from(["comirnaty", "vero-cell"]), min_size=1, unique=True))
    return tuple(
        (
            ("vaccine", vaccine),
            ("doses_in_stock", draw(st.integers(0, 3))),
            ("fridges_checked", draw(st.none() | st.integers(0, 2))),
            ("distinct_persons", draw(st.integers(0, 3))),
        )
        for vaccine in vaccines
    )


@st.composite
def histories(draw: st.DrawFn) -> list[Sent]:
    reports = []
    for offset in range(draw(st.integers(1, 14))):
        form = draw(st.sampled_from(["covid-doses", "stock-count"]))
        state = draw(st.sampled_from([State.REPORT] * 3 + [State.NIL, State.WITHDRAWAL]))
        unit = draw(st.sampled_from(UNITS))
        day = draw(st.sampled_from(DAYS))
        if CATALOGUE.units.unit(UnitCode(unit), day) is None:
            continue
        entered = unit in SUPERIORS and draw(st.booleans())
        reports.append(
            Sent(
                unit,
                form,
                day,
                draw(st.integers(1, 3)),
                (draw(st.integers(0, 1)), offset),
                state,
                draw(tables(form)) if state is State.REPORT else (),
                SUPERIORS[unit] if entered else "",
                accepted_at=1000 + offset,
                issued_at=draw(st.integers(990, 1020)),
            )
        )
    return reports


@st.composite
def logs(draw: st.DrawFn) -> FigureLog:
    """Reports, some of them appended twice; totals now and then, and all of them at the end."""
    log = FigureLog()
    for sent in draw(histories()):
        for _ in range(draw(st.sampled_from([1, 1, 1, 2]))):
            log.report(sent, totals=draw(st.booleans()))
    for unit, form, day in {(sent.unit, sent.form, sent.day) for sent in log.reports}:
        for code in (unit, CATALOGUE.units.superior(UnitCode(unit), day)):
            if code and (code, form, day) in log.newest:
                log.totals(code, form, day)
    return log


def apply_in_parts(store: Store, log: FigureLog, sizes: list[int]) -> None:
    """Partition after partition, so many records at a time, then what is left."""
    done = [0] * len(log.partitions)
    store.apply({("acts", 0): [catalogue_act()]})
    for turn, size in enumerate([*sizes, *[10_000] * len(done)]):
        at = turn % len(done)
        records = log.partitions[at][done[at] : done[at] + size]
        done[at] += len(records)
        batch: dict[Partition, list[Record]] = {(FIGURES, at): records}
        store.apply(batch)


def answers(path: Path) -> list[object]:
    found: list[object] = []
    with reading(path) as model:
        for form in FORMS:
            for code in UNITS:
                unit = UnitCode(code)
                found += [
                    model.figures(FigureQuery(unit, form)),
                    model.figures(FigureQuery(unit, form, sum=True)),
                    model.figures(FigureQuery(unit, form, children=True)),
                ]
                for day in DAYS:
                    if CATALOGUE.units.unit(unit, day) is not None:
                        found += [
                            model.coverage(unit, form, PeriodText(day.isoformat())),
                            model.history(unit, form, PeriodText(day.isoformat())),
                        ]
        found += [model.freshness(), model.standing_check(), model.form_periods()]
    return found


@settings(max_examples=40, deadline=None)
@given(logs(), st.lists(st.integers(1, 4), max_size=30))
def test_any_cut_into_batches_and_any_repetition_answers_the_same(log: FigureLog, sizes: list[int]) -> None:
    with TemporaryDirectory() as folder:
        at_once, in_parts = Path(folder) / "at-once.sqlite", Path(folder) / "in-parts.sqlite"
        store_at(at_once).apply(log.batch())
        apply_in_parts(store_at(in_parts), log, sizes)
        assert answers(at_once) == answers(in_parts)


@settings(max_examples=40, deadline=None)
@given(logs())
def test_present_figures_are_those_of_a_plain_sum_and_the_standing_check_agrees(log: FigureLog) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "db.sqlite"
        store_at(path).apply(log.batch())
        with reading(path) as model:
            for form in FORMS:
                for unit in UNITS:
                    rows = model.figures(FigureQuery(UnitCode(unit), form)).rows
                    assert without_version(rows) == lines(CATALOGUE, log.reports, unit, form), unit
            check = model.standing_check()
        assert check.differing == 0, check.differences
        assert check.compared + check.waiting >= len({(s.form, s.day) for s in log.reports})


@settings(max_examples=60, deadline=None)
@given(logs(), st.integers(990, 1025), st.sampled_from(Axis))
def test_as_of_is_a_plain_sum_of_what_was_known_then(log: FigureLog, moment: int, axis: Axis) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "db.sqlite"
        store_at(path).apply(log.batch())
        known = known_at(log.reports, moment, axis)
        with reading(path) as model:
            for form in FORMS:
                for unit in UNITS:
                    query = FigureQuery(UnitCode(unit), form, as_of=Millis(moment), axis=axis)
                    assert list(model.figures(query).rows) == lines(CATALOGUE, known, unit, form), unit


@settings(max_examples=40, deadline=None)
@given(logs())
def test_the_numpy_reader_equals_fastavro(log: FigureLog) -> None:
    values = [record.value or b"" for records in log.partitions for record in records]
    for value, read in zip(values, Decoder().figures(values), strict=True):
        figure = decode_figure(value)
        for name in read.head._fields:
            assert getattr(read.head, name) == getattr(figure, name), name
        assert read.page == (figure.form, figure.scope, figure.line, figure.period)
        assert read.slot == (figure.slot, figure.unit, figure.valid_from)
        assert (read.entered_by, read.kid) == (figure.entered_by, figure.kid)
        assert (read.values, read.given) == (figure.values, figure.given)
        assert read.dims.count(",") + bool(figure.dims) == len(figure.dims)


TEXTS = st.sampled_from(["", "ubnd", "Số người dương tính", "x" * 90])
LONGS = st.integers(-1, 2**62)
RECEIPTS = st.builds(
    Receipt, unit=TEXTS, line=TEXTS, form=TEXTS, period=TEXTS, entered_by=TEXTS, revision=LONGS.map(Revision),
    kid=TEXTS, digest=st.binary(min_size=32, max_size=32).map(Digest),
    source=st.builds(Source, st.integers(0, 99), LONGS.map(Offset)), outcome=st.sampled_from(Outcome), reason=TEXTS,
    field=TEXTS, detail=TEXTS, highest_revision=LONGS.map(Revision), accepted_at=LONGS.map(Millis),
    figures_offset=LONGS.map(Offset),
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(RECEIPTS, max_size=4), min_size=1, max_size=3))
def test_the_fast_reader_of_receipts_equals_fastavro(records: list[list[Receipt]]) -> None:
    decoder = Decoder()
    for value in map(encode_receipts, records):
        rows = decoder.receipts(value)
        for row, receipt in zip(rows, decode_receipts(value), strict=True):
            assert (row.source_partition, row.source_offset) == (receipt.source.partition, receipt.source.offset)
            for name in set(row._fields) - {"source_partition", "source_offset"}:
                assert getattr(row, name) == getattr(receipt, name), name
        with pytest.raises(NotDecodable):
            decoder.receipts(value + b"\0")
        with pytest.raises(NotDecodable):
            decoder.receipts(value[:-1])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["a1", "b1"]), st.sampled_from(DAYS), st.integers(0, 9)), min_size=1))
def test_a_stock_over_time_is_each_units_last_period_then_summed(sent: list[tuple[str, date, int]]) -> None:
    log = FigureLog()
    last: dict[str, tuple[date, int]] = {}
    for number, (unit, day, stock) in enumerate(sent):
        row = (("vaccine", "comirnaty"), ("doses_in_stock", stock), ("fridges_checked", 1), ("distinct_persons", 2))
        log.report(Sent(unit, "stock-count", day, number + 1, (0, number), rows=(row,)))
        if unit not in last or day >= last[unit][0]:
            last[unit] = (day, stock)
    series = {(unit, day) for unit, day, _ in sent}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "db.sqlite"
        store_at(path).apply(log.batch())
        with reading(path) as model:
            query = FigureQuery(UnitCode("R"), FORMS[1], DAYS[0], DAYS[-1], sum=True)
            rows = model.figures(query).rows
    assert [(row.period, row.dims, row.units_reported, row.version) for row in rows] == [
        (f"{DAYS[0]}/{DAYS[-1]}", ("comirnaty",), len(series), "")
    ]
    assert rows[0].measures == (sum(stock for _, stock in last.values()), len(series), None)
