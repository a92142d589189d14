"""A page of the ledger: all contributions of one form, scope, line and period, and the totals they make.

children x rows x measures as numpy arrays, folded thousands of contributions at a time. The invariant that everything
hangs on: a receiver's total is the sum over its children's *counted* tables, where of a unit's own report and the one
entered for it at most one is counted, and each slot holds the contribution that takes precedence, whatever the order of
arrival. The difference to be added is always computed from what this page itself stores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.figure import ABSENT, FigureKind, Slot, State
from schemas.form import AcrossUnits, Form
from schemas.unit import Unit, UnitCode
from streams.arrays import Bools, Int32s, Int64s, add_rows, grown, spread
from streams.columns import dims_bytes, read_dims
from streams.judgment import NOTHING, judged

CHILD = np.dtype(
    [
        ("revision", "<i8"),
        ("source_offset", "<i8"),
        ("version", "<i8"),
        ("first", "<i8"),
        ("newest", "<i8"),
        ("start", "<i8"),
        ("digest", "V32"),
        ("source_partition", "<i4"),
        ("epoch", "<i4"),
        ("reported", "<i4"),
        ("nil", "<i4"),
        ("entered", "<i4"),
        ("count", "<i4"),
        ("receiver", "<i4"),
        ("twin", "<i4"),
        ("slot_id", "<i4"),
        ("slot", "u1"),
        ("state", "u1"),
        ("present", "?"),
        ("counted", "?"),
    ]
)
"""What a page keeps of one slot. `start` and `count`: its table's rows in the heap; `twin`: the unit's other slot."""

_REPEATED_DIMS = 100_000


class PageError(Exception):
    """A contribution that this page can't hold; rollup stops rather than truncates."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """A unit whose total this page keeps, and where that total goes."""

    unit: Unit
    key: bytes
    kind: FigureKind


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of some contributions, in the page's columns, one after the other."""

    cells: Int64s
    given: Int32s
    rows: Int32s
    counts: Int32s


class Page:
    """One page. `receivers` grows as units appear; `rows` are the distinct tuples of dimensions seen so far."""

    def __init__(self, form: Form, scope: int, line: str, period: str, last_day: date) -> None:
        self.form = form
        self.scope = scope
        self.line = line
        self.period = period
        self.last_day = last_day
        self.measures = len(form.measures)
        self.optionals = len(form.optional)
        self.children = np.zeros(64, CHILD)
        self.size = 0
        self.row_of_slot = np.full(64, -1, np.int32)
        self._heap_cells: Int64s = np.zeros((64, self.measures), np.int64)
        self._heap_given: Int32s = np.zeros((64, self.optionals), np.int32)
        self._heap_rows: Int32s = np.zeros(64, np.int32)
        self._heap_size = 0
        self.rows: list[tuple[str, ...]] = []
        self._row_index: dict[tuple[str, ...], int] = {}
        self._rows_of_dims: dict[bytes, tuple[int, ...]] = {}
        self._row_order: Int32s | None = None
        self._dims_of_rows: dict[bytes, bytes] = {}
        self.receivers: list[Receiver] = []
        self.receiver_numbers: dict[UnitCode, int] = {}
        self.receiver_of_code: Int32s = np.full(16, -1, np.int32)
        """Receiver by the ledger's number of its code, -1 where it has none here yet."""
        self._row_room = 1
        self._total_cells: Int64s = np.zeros((16, self.measures), np.int64)
        self._total_given: Int32s = np.zeros((16, self.optionals), np.int32)
        self.coverage: Int64s = np.zeros((16, 3), np.int64)
        self.version: Int64s = np.full(16, ABSENT, np.int64)
        self.acknowledged: Int64s = np.full(16, ABSENT, np.int64)
        self.epoch: Int64s = np.zeros(16, np.int64)
        self.changed = False
        """Whether a checkpoint has to write it again."""
        across = np.array([measure.across_units is AcrossUnits.SUM for measure in form.measures], np.int64)
        self._added: Int64s | None = None if across.all() else across
        if not form.dimensions:
            self._row(())

    # Slots and receivers

    def known_rows(self, slot_ids: Int32s) -> Int32s:
        """The child row of each slot, -1 where the page has none yet."""
        if len(slot_ids) and (top := int(slot_ids.max())) >= len(self.row_of_slot):
            self.row_of_slot = grown(self.row_of_slot, top + 1, -1)
        return self.row_of_slot[slot_ids]

    def add_children(
        self, slot_ids: Int32s, slots: npt.NDArray[np.uint8], receivers: Int32s, twin_slots: Int32s
    ) -> None:
        """Give new slots their rows. `twin_slots`: the slot id of the unit's other slot, -1 where it has none."""
        first, last = self.size, self.size + len(slot_ids)
        if last > len(self.children):
            self.children = grown(self.children, last)
        new = self.children[first:last]
        new[:] = np.zeros(len(slot_ids), CHILD)
        new["slot_id"], new["slot"], new["receiver"], new["twin"] = slot_ids, slots, receivers, -1
        self.known_rows(slot_ids)
        self.row_of_slot[slot_ids] = np.arange(first, last, dtype=np.int32)
        self.size = last
        with_twin = np.flatnonzero(twin_slots >= 0)
        if len(with_twin):
            twins = self.known_rows(twin_slots[with_twin])
            rows, twins = (first + with_twin)[twins >= 0], twins[twins >= 0]
            self.children["twin"][rows] = twins
            self.children["twin"][twins] = rows

    def add_receiver(self, receiver: Receiver) -> int:
        """A new receiver's number within the page."""
        number = self.receiver_numbers[receiver.unit.code] = len(self.receivers)
        self.receivers.append(receiver)
        if number >= len(self.version):
            self.coverage = grown(self.coverage, number + 1)
            self.version = grown(self.version, number + 1, ABSENT)
            self.acknowledged = grown(self.acknowledged, number + 1, ABSENT)
            self.epoch = grown(self.epoch, number + 1)
        self._make_total_room()
        return number

    # Rows

    def tables(self, values: Sequence[bytes], given: Sequence[bytes], dims: Sequence[bytes]) -> Tables:
        """The tables of contributions whose columns are this page's form's."""
        cells = np.frombuffer(b"".join(values), np.int64).reshape(-1, self.measures)
        counts = np.array([len(value) for value in values], np.int32) // (8 * self.measures)
        blanks = (
            np.frombuffer(b"".join(given), np.int32).reshape(-1, self.optionals)
            if self.optionals
            else np.zeros((len(cells), 0), np.int32)
        )
        if len(blanks) != len(cells):
            raise PageError(f"{self.form.id} {self.period}: a table and its blanks differ in length")
        if not self.form.dimensions:
            return Tables(cells, blanks, np.zeros(len(cells), np.int32), counts)
        rows: list[int] = []
        for run in dims:
            known = self._rows_of_dims.get(run)
            rows += self._rows_in(run) if known is None else known
        if len(rows) != len(cells):
            raise PageError(f"{self.form.id} {self.period}: a table and its dimensions differ in length")
        return Tables(cells, blanks, np.array(rows, np.int32), counts)

    def _rows_in(self, run: bytes) -> tuple[int, ...]:
        dims = read_dims(run)
        width = len(self.form.dimensions)
        rows = tuple(self._row(tuple(dims[at : at + width])) for at in range(0, len(dims), width))
        if len(self._rows_of_dims) >= _REPEATED_DIMS:
            self._rows_of_dims.clear()
        self._rows_of_dims[run] = rows
        return rows

    def _row(self, about: tuple[str, ...]) -> int:
        number = self._row_index.get(about)
        if number is None:
            number = self._row_index[about] = len(self.rows)
            if number >= self.form.max_total_rows:
                raise PageError(f"{self.form.id} {self.period}: more than {self.form.max_total_rows} rows in a total")
            self.rows.append(about)
            self._row_order = None
            self._make_total_room()
        return number

    def _make_total_room(self) -> None:
        """Totals lie as receiver x room + row; more rows than room means a new layout."""
        room = self._row_room
        while room < len(self.rows):
            room *= 2
        needed = max(1, len(self.receivers)) * room
        if room != self._row_room:
            held = len(self._total_cells) // self._row_room
            for name in ("_total_cells", "_total_given"):
                old = getattr(self, name)[: held * self._row_room]
                new = np.zeros((held, room, old.shape[1]), old.dtype)
                new[:, : self._row_room] = old.reshape(held, self._row_room, -1)
                setattr(self, name, new.reshape(held * room, -1))
            self._row_room = room
        if needed > len(self._total_cells):
            self._total_cells = grown(self._total_cells, needed)
            self._total_given = grown(self._total_given, needed)

    # Fold

    def fold(self, heads: npt.NDArray[np.void], rows: Int32s, tables: Tables, offsets: Int64s) -> tuple[Int32s, Int64s]:
        """Fold contributions to child rows, in their order. Returns (outcome, highest revision) of each.

        `offsets` are those of the records in `figures`.
        """
        count = len(rows)
        outcomes = np.full(count, NOTHING, np.int32)
        highest = np.zeros(count, np.int64)
        starts = np.zeros(count, np.int64)
        np.cumsum(tables.counts[:-1], out=starts[1:])
        order = np.argsort(rows, kind="stable")
        ordered = rows[order]
        run_starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        if len(run_starts) == count:
            self._fold_distinct(heads, rows, tables, starts, offsets, np.arange(count), outcomes, highest)
            return outcomes, highest
        # Several contributions to one slot: the k-th of each slot in round k, so each is judged by what stood then.
        lengths = np.diff(np.r_[run_starts, count])
        turn = np.empty(count, np.int64)
        turn[order] = np.arange(count) - np.repeat(run_starts, lengths)
        by_turn = np.argsort(turn, kind="stable")
        bounds = np.r_[0, np.cumsum(np.bincount(turn))]
        for k in range(len(bounds) - 1):
            chosen = by_turn[bounds[k] : bounds[k + 1]]
            self._fold_distinct(heads, rows, tables, starts, offsets, chosen, outcomes, highest)
        return outcomes, highest

    def _fold_distinct(
        self,
        heads: npt.NDArray[np.void],
        rows: Int32s,
        tables: Tables,
        starts: Int64s,
        offsets: Int64s,
        chosen: Int64s,
        outcomes: Int32s,
        highest: Int64s,
    ) -> None:
        """Fold the `chosen` contributions, no two of them to one slot."""
        new = heads[chosen]
        row = rows[chosen]
        old = self.children[row]
        wins, outcome = judged(new, old)
        outcomes[chosen] = outcome
        highest[chosen] = np.where(old["present"], np.maximum(new["revision"], old["revision"]), new["revision"])
        winners = np.flatnonzero(wins)
        if len(winners):
            picked = chosen[winners]
            self._replace(new[winners], row[winners], tables, starts[picked], tables.counts[picked], offsets[picked])

    def _replace(
        self, new: npt.NDArray[np.void], row: Int32s, tables: Tables, starts: Int64s, counts: Int32s, offsets: Int64s
    ) -> None:
        """Put the winners into their slots and move the totals by the difference."""
        self.changed = True
        children = self.children
        twins = children["twin"][row]
        affected = np.unique(np.r_[row, twins[twins >= 0]]) if (twins >= 0).any() else row
        before = affected[children["counted"][affected]]
        removed = self._share(before)
        self._store(new, row, tables, starts, counts)
        self._recount(affected)
        added = self._share(affected[self.children["counted"][affected]])
        self._move(removed, -1)
        self._move(added, 1)
        receivers = children["receiver"][row]
        np.maximum.at(self.version, receivers, offsets)
        np.maximum.at(self.epoch, receivers, new["epoch"].astype(np.int64))

    def _store(self, new: npt.NDArray[np.void], row: Int32s, tables: Tables, starts: Int64s, counts: Int32s) -> None:
        children = self.children
        held = children[row]
        place = held["start"].copy()
        moved = held["count"] != counts
        grown = np.where(moved, counts, 0)
        ends = self._heap_size + np.cumsum(grown)
        place[moved] = (ends - grown)[moved]
        self._make_heap_room(int(ends[-1]))
        self._heap_size = int(ends[-1])
        source, target = spread(starts, counts), spread(place, counts)
        self._heap_cells[target] = tables.cells[source]
        self._heap_given[target] = tables.given[source]
        self._heap_rows[target] = tables.rows[source]
        is_total = held["slot"] == Slot.TOTAL
        held["start"], held["count"], held["present"] = place, counts, True
        for name in ("revision", "source_offset", "source_partition", "version", "epoch", "state", "digest"):
            held[name] = new[name]
        held["reported"] = np.where(is_total, new["reported"], 1)
        held["nil"] = np.where(is_total, new["nil"], new["state"] == State.NIL)
        held["entered"] = np.where(is_total, new["entered"], held["slot"] == Slot.ENTERED)
        held["first"] = np.where(is_total, new["first_accepted"], new["accepted_at"])
        held["newest"] = np.where(is_total, new["newest_accepted"], new["accepted_at"])
        children[row] = held

    def _recount(self, rows: Int32s) -> None:
        """A slot counts unless it is empty or withdrawn; an entered one only while the unit's own does not."""
        held = self.children[rows]
        stands = held["present"] & (held["state"] != State.WITHDRAWAL)
        entered = np.flatnonzero((held["slot"] == Slot.ENTERED) & (held["twin"] >= 0))
        if len(entered):
            own = self.children[held["twin"][entered]]
            stands[entered] &= ~(own["present"] & (own["state"] != State.WITHDRAWAL))
        self.children["counted"][rows] = stands

    def _share(self, rows: Int32s) -> tuple[Int64s, Int64s, Int32s, Int64s, Int64s]:
        """What counted children give: (total row, cells, given) of each table row; (receiver, coverage) of each."""
        held = self.children[rows]
        places = spread(held["start"], held["count"])
        receivers = held["receiver"].astype(np.int64)
        target = np.repeat(receivers, held["count"]) * self._row_room + self._heap_rows[places]
        coverage = np.stack([held["reported"], held["nil"], held["entered"]], axis=1).astype(np.int64)
        return target, self._heap_cells[places], self._heap_given[places], receivers, coverage

    def _move(self, share: tuple[Int64s, Int64s, Int32s, Int64s, Int64s], sign: int) -> None:
        target, cells, given, receivers, coverage = share
        add_rows(self._total_cells, target, cells, sign)
        if self.optionals:
            add_rows(self._total_given, target, given, sign)
        add_rows(self.coverage, receivers, coverage, sign)

    def _make_heap_room(self, size: int) -> None:
        if size > len(self._heap_rows):
            self._heap_cells = grown(self._heap_cells, size)
            self._heap_given = grown(self._heap_given, size)
            self._heap_rows = grown(self._heap_rows, size)

    # Totals

    def dirty(self) -> Int64s:
        """Receivers whose total has changed since the broker acknowledged it last."""
        count = len(self.receivers)
        return np.flatnonzero(self.version[:count] > self.acknowledged[:count])

    def acceptances(self) -> tuple[Int64s, Int64s]:
        """First and newest acceptance over the standing children of each receiver, ABSENT where none stands."""
        held = self.children[: self.size]
        held = held[held["counted"]]
        first = np.full(len(self.receivers), np.iinfo(np.int64).max, np.int64)
        newest = np.full(len(self.receivers), ABSENT, np.int64)
        np.minimum.at(first, held["receiver"], held["first"])
        np.maximum.at(newest, held["receiver"], held["newest"])
        first[newest == ABSENT] = ABSENT
        return first, newest

    def total(self, receiver: int) -> tuple[bytes, bytes, bytes]:
        """(values, given, encoded dims) of a total: rows sorted by dimensions, rows of nothing but zeros dropped."""
        first = receiver * self._row_room
        cells = self._total_cells[first : first + len(self.rows)]
        given = self._total_given[first : first + len(self.rows)]
        if self._added is not None:
            cells = cells * self._added
        kept: Bools = np.any(cells != 0, axis=1)
        if self.optionals:
            kept = kept | np.any(given != 0, axis=1)
        if self._row_order is None:
            self._row_order = np.array(sorted(range(len(self.rows)), key=self.rows.__getitem__), np.int32)
            self._dims_of_rows.clear()
        shown = self._row_order[kept[self._row_order]]
        mark = shown.tobytes()
        dims = self._dims_of_rows.get(mark)
        if dims is None:
            dims = self._dims_of_rows[mark] = dims_bytes([name for row in shown for name in self.rows[row]])
        return cells[shown].tobytes(), given[shown].tobytes(), dims

    # Checkpoints

    def state(self) -> dict[str, Any]:
        """All that `from_state` needs, as arrays and plain values; totals are left out, they follow from the rest."""
        held = self.children[: self.size].copy()
        places = spread(held["start"], held["count"])
        held["start"] = np.cumsum(held["count"]) - held["count"]
        receivers = len(self.receivers)
        return {
            "children": held,
            "cells": self._heap_cells[places],
            "given": self._heap_given[places],
            "rows": self._heap_rows[places],
            "version": self.version[:receivers].copy(),
            "epoch": self.epoch[:receivers].copy(),
            "dims": [list(row) for row in self.rows],
            "receivers": [receiver.unit.code for receiver in self.receivers],
        }

    def load(self, state: dict[str, Any], receivers: Sequence[Receiver]) -> None:
        """Take over a state into this empty page. Totals are computed anew from the children."""
        for row in state["dims"]:
            self._row(tuple(row))
        for receiver in receivers:
            self.add_receiver(receiver)
        children = state["children"]
        self.children = grown(children.copy(), max(64, len(children)))
        self.size = len(children)
        self._heap_cells, self._heap_given = state["cells"].copy(), state["given"].copy()
        self._heap_rows = state["rows"].copy()
        self._heap_size = len(self._heap_rows)
        self.version[: len(receivers)] = state["version"]
        self.epoch[: len(receivers)] = state["epoch"]
        slot_ids = children["slot_id"]
        self.known_rows(slot_ids)
        self.row_of_slot[slot_ids] = np.arange(self.size, dtype=np.int32)
        self._move(self._share(np.flatnonzero(children["counted"]).astype(np.int32)), 1)

    def compact(self) -> None:
        """Drop heap rows that no child points to any more, once they are most of it."""
        live = int(self.children["count"][: self.size].sum())
        if self._heap_size > 2 * live + 4096:
            held = self.children[: self.size]
            places = spread(held["start"], held["count"])
            self._heap_cells, self._heap_given = self._heap_cells[places], self._heap_given[places]
            self._heap_rows = self._heap_rows[places]
            held["start"] = np.cumsum(held["count"]) - held["count"]
            self._heap_size = live
