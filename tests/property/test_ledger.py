"""Any order, duplication, cutting into batches, restart and redelivery come to the same figures."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.catalogue import RELEASED, Catalogue
from schemas.codec import decode_figure, encode_figure
from schemas.figure import Figure, FigureKind, State, unpack_table
from schemas.form import FormId
from streams.columns import read_columns
from streams.ledger import Ledger
from streams.packed import Packed
from tests.support.figures import Sent, as_figure, expected_totals

TREE = """code,name,level,parent,valid_from,valid_to
R,Nước,nation,,2021-01-01,
A,Tỉnh A,province,R,2021-01-01,
B,Tỉnh B,province,R,2021-01-01,
a1,Xã a1,commune,A,2021-01-01,
a2,Xã a2,commune,A,2021-01-01,
b1,Xã b1,commune,B,2021-01-01,
"""
SUPERIORS = {"a1": "A", "a2": "A", "b1": "B", "A": "R", "B": "R"}
CATALOGUE = Catalogue(
    {
        name: content
        for name, content in Catalogue.from_folder(RELEASED, Path("tests/data/catalogue")).files.items()
        if name.startswith(("codes/", "forms/covid", "forms/stock"))
    }
).with_tree(TREE, "small")
DAYS = (date(2021, 12, 13), date(2021, 12, 14))

numbers = st.integers(-3, 5)


@st.composite
def tables(draw: st.DrawFn, form: str) -> tuple[tuple[tuple[str, Any], ...], ...]:
    if form == "covid-doses":
        return (tuple((f"dose{i}", draw(numbers)) for i in range(1, 5)),)
    vaccines = draw(st.lists(st.sampled_from(["comirnaty", "vero-cell", "janssen"]), min_size=1, unique=True))
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
    for offset in range(draw(st.integers(1, 25))):
        form = draw(st.sampled_from(["covid-doses", "stock-count"]))
        state = draw(st.sampled_from([State.REPORT, State.REPORT, State.REPORT, State.NIL, State.WITHDRAWAL]))
        unit = draw(st.sampled_from([*SUPERIORS, "R"]))
        entered = draw(st.booleans()) and unit in SUPERIORS
        reports.append(
            Sent(
                unit,
                form,
                draw(st.sampled_from(DAYS)),
                draw(st.integers(1, 4)),
                (draw(st.integers(0, 1)), offset),
                state,
                draw(tables(form)) if state is State.REPORT else (),
                SUPERIORS[unit] if entered else "",
                accepted_at=1000 + offset,
            )
        )
    return reports


class Cluster:
    """Three partitions of `figures` and their ledgers, without a broker; totals go where their key says."""

    def __init__(self) -> None:
        self.log: list[list[bytes]] = [[], [], []]
        self.ledgers = [Ledger(CATALOGUE) for _ in self.log]
        self.committed = [0, 0, 0]

    def append(self, key: bytes, value: bytes) -> None:
        self.log[sum(key) % 3].append(value)

    def step(self, partition: int, size: int, back: int = 0) -> None:
        """Fold up to `size` records, beginning `back` before the next one (a redelivery)."""
        ledger = self.ledgers[partition]
        first = max(0, ledger.next_offset - back)
        batch = self.log[partition][first : first + size]
        if batch:
            ledger.fold(read_columns(Packed.of(batch)), np.arange(first, first + len(batch), dtype=np.int64))

    def emit(self, partition: int, *, lost: bool = False) -> None:
        totals = self.ledgers[partition].totals()
        for key, value in zip(totals.keys, totals.values, strict=True):
            self.append(key, value)
        if not lost:
            Ledger.acknowledged(totals)
            self.committed[partition] = totals.upto

    def restart(self, partition: int, behind: int) -> None:
        """Another ledger takes over from a checkpoint of this one; the committed offset may lie behind."""
        old = self.ledgers[partition]
        new = Ledger(CATALOGUE)
        new.load_slots(old.slot_runs)
        for run in old.pages:
            new.load_page(run, old.page_state(run))
        new.next_offset = old.next_offset
        new.all_acknowledged(max(0, self.committed[partition] - behind))
        self.ledgers[partition] = new

    def settle(self) -> None:
        while any(ledger.next_offset < len(log) for ledger, log in zip(self.ledgers, self.log, strict=True)) or any(
            ledger.totals().keys for ledger in self.ledgers
        ):
            for partition in range(3):
                self.step(partition, 10_000)
                self.emit(partition)

    def figures(self) -> list[Figure]:
        return [decode_figure(value) for log in self.log for value in log]


def newest_totals(figures: list[Figure]) -> dict[tuple[str, str, date], Figure]:
    newest: dict[tuple[str, str, date], Figure] = {}
    for figure in figures:
        if figure.kind is not FigureKind.OWN:
            key = (str(figure.unit), str(figure.form), date.fromisoformat(figure.period))
            if key not in newest or figure.version > newest[key].version:
                newest[key] = figure
    return newest


def assert_equal_to_oracle(figures: list[Figure], reports: list[Sent]) -> None:
    newest = newest_totals(figures)
    expected = expected_totals(CATALOGUE, reports)
    assert set(newest) == set(expected)
    for key, total in expected.items():
        figure = newest[key]
        form = CATALOGUE.form_in_force(FormId(key[1]), key[2])
        assert form is not None
        table = unpack_table(form, figure.values, figure.given, figure.dims)
        shown = {
            about: tuple(
                0 if cell is None and not measure.optional else cell
                for measure, cell in zip(form.measures, cells, strict=True)
            )
            for about, cells in total.table.items()
        }
        assert table == shown, key
        assert list(table) == sorted(table)
        assert (figure.reported, figure.nil, figure.entered) == (total.reported, total.nil, total.entered)
        assert figure.first_accepted == min(total.accepted, default=-1)
        assert figure.newest_accepted == max(total.accepted, default=-1)
        assert (figure.state is State.WITHDRAWAL) == (total.reported == 0)


@settings(max_examples=150, deadline=None)
@given(histories(), st.data())
def test_any_order_duplication_batching_restart_and_redelivery_give_the_same_figures(
    reports: list[Sent], data: st.DataObject
) -> None:
    cluster = Cluster()
    arrival = data.draw(st.permutations(reports)) + data.draw(st.lists(st.sampled_from(reports), max_size=8))
    for sent in arrival:
        figure = as_figure(CATALOGUE, sent)
        cluster.append(
            SUPERIORS.get(sent.unit, sent.unit).encode() if sent.unit in ("a1", "a2", "b1") else sent.unit.encode(),
            encode_figure(figure),
        )
        action = data.draw(st.sampled_from(["none", "step", "emit", "lost", "restart"]))
        partition = data.draw(st.integers(0, 2))
        if action == "step":
            cluster.step(partition, data.draw(st.integers(1, 5)), data.draw(st.integers(0, 3)))
        elif action in ("emit", "lost"):
            cluster.emit(partition, lost=action == "lost")
        elif action == "restart":
            cluster.restart(partition, data.draw(st.integers(0, 10)))
    cluster.settle()
    assert_equal_to_oracle(cluster.figures(), reports)
