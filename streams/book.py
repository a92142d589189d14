"""A book of the ledger: all contributions of one form version, and the totals they make, whatever the period.

Children x rows x measures as numpy arrays, folded thousands of contributions at a time; pages of many periods in one
batch cost no more than one. The invariant that everything hangs on: an account's total is the sum over its children's
*counted* tables, where of a unit's own report and the one entered for it at most one is counted, and each slot holds
the contribution that takes precedence, whatever the order of arrival. The difference to be added is always computed
from what the book itself stores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.figure import ABSENT, Slot, State
from schemas.form import AcrossUnits, Form
from streams.arrays import Bools, Groups, Int32s, Int64s, grown, put, stretches, taken
from streams.columns import sized, varint
from streams.heap import Heap, Tables
from streams.judgment import NOTHING, judged
from streams.packed import Packed
from streams.page import Page, PageError, Receiver

CHILD = np.dtype([
    ("revision", "<i8"), ("source_offset", "<i8"), ("version", "<i8"), ("first", "<i8"), ("newest", "<i8"),
    ("start", "<i8"), ("digest", "V32"), ("source_partition", "<i4"), ("epoch", "<i4"), ("reported", "<i4"),
    ("nil", "<i4"), ("entered", "<i4"), ("count", "<i4"), ("account", "<i4"), ("twin", "<i4"), ("slot_id", "<i4"),
    ("slot", "u1"), ("state", "u1"), ("present", "?"), ("counted", "?"),
])  # fmt: skip
"""What is kept of one slot. `start` and `count`: its table's rows in the heap; `twin`: the unit's other slot."""

ACCOUNT = np.dtype([
    ("base", "<i8"), ("version", "<i8"), ("acknowledged", "<i8"), ("epoch", "<i8"), ("reported", "<i8"), ("nil", "<i8"),
    ("entered", "<i8"), ("first", "<i8"), ("newest", "<i8"), ("page", "<i4"), ("kind", "u1"), ("published", "?"),
    ("stale", "?"),
])  # fmt: skip
"""What is kept of one total beside its numbers. `stale`: first and newest acceptance have to be looked up again."""

_NEVER = np.iinfo(np.int64).max
Heads = npt.NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Contributions to be folded, parallel: heads, the book's children, tables, offsets in `figures`."""

    heads: npt.NDArray[np.void]
    children: Int32s
    tables: Tables
    offsets: Int64s


class Book:
    """All pages of one form version."""

    def __init__(self, form: Form) -> None:
        self.form = form
        self.measures = len(form.measures)
        self.optionals = len(form.optional)
        self.pages: list[Page] = []
        self.children = np.zeros(64, CHILD)
        self.size = 0
        self._heap = Heap(self.measures, self.optionals)
        self.accounts = np.zeros(64, ACCOUNT)
        self.account_count = 0
        self.receivers: list[Receiver] = []
        """Of each account."""
        self._total_cells: Int64s = np.zeros((64, self.measures), np.int64)
        self._total_given: Int32s = np.zeros((64, self.optionals), np.int32)
        self._total_size = 0
        across = np.array([measure.across_units is AcrossUnits.SUM for measure in form.measures], np.int64)
        self._added: Int64s | None = None if across.all() else across

    # Pages, children, accounts

    def add_page(self, page: Page) -> None:
        """Take a page of this form version."""
        page.number = len(self.pages)
        self.pages.append(page)

    def add_children(
        self, page: Page, slot_ids: Int32s, slots: npt.NDArray[np.uint8], accounts: Int32s, twin_slots: Int32s
    ) -> None:
        """Give a page's new slots their children. `twin_slots`: slot of the unit's other report, -1 without one."""
        first, last = self.size, self.size + len(slot_ids)
        if last > len(self.children):
            self.children = grown(self.children, last)
        new = self.children[first:last]
        new["slot_id"], new["slot"], new["account"], new["twin"] = slot_ids, slots, accounts, -1
        self.size = last
        numbers = np.arange(first, last, dtype=np.int32)
        page.known_children(slot_ids)
        page.child_of_slot[slot_ids] = numbers
        page.children = np.concatenate((page.children, numbers))
        with_twin = np.flatnonzero(twin_slots >= 0)
        if len(with_twin):
            twins = page.known_children(twin_slots[with_twin])
            own, twins = numbers[with_twin][twins >= 0], twins[twins >= 0]
            self.children["twin"][own] = twins
            self.children["twin"][twins] = own

    def add_accounts(self, page: Page, receivers: Sequence[Receiver], *, published: bool) -> Int32s:
        """New totals of a page. Those not published are kept for their receipts only (a superior's own claim)."""
        first, last = self.account_count, self.account_count + len(receivers)
        self.account_count = last
        if last > len(self.accounts):
            self.accounts = grown(self.accounts, last)
        new = self.accounts[first:last]
        new["version"] = new["acknowledged"] = new["newest"] = ABSENT
        new["first"] = _NEVER
        new["page"], new["published"] = page.number, published
        new["kind"] = [receiver.kind for receiver in receivers]
        new["base"] = self._new_blocks(page.room, len(receivers))
        self.receivers += receivers
        numbers = np.arange(first, last, dtype=np.int32)
        page.accounts = np.concatenate((page.accounts, numbers))
        return numbers

    def _new_blocks(self, room: int, count: int) -> Int64s:
        """Where each of `count` new totals with room for so many rows begins."""
        base = self._total_size + room * np.arange(count)
        self._total_size += room * count
        if self._total_size > len(self._total_cells):
            self._total_cells = grown(self._total_cells, self._total_size)
            self._total_given = grown(self._total_given, self._total_size)
        return base

    def _make_row_room(self, page: Page) -> None:
        """More rows than room: every total of the page moves to a block twice as large."""
        held = page.room
        while page.room < len(page.rows):
            page.room *= 2
        if page.room == held:
            return
        moved = self._new_blocks(page.room, len(page.accounts))
        for number, new in zip(page.accounts.tolist(), moved.tolist(), strict=True):
            old = int(self.accounts["base"][number])
            for totals in (self._total_cells, self._total_given):
                totals[new : new + held] = totals[old : old + held]
                totals[old : old + held] = 0
            self.accounts["base"][number] = new

    # Fold

    def tables(self, pages: Sequence[Page], page_of: Int64s, values: Packed, given: Packed, dims: Packed) -> Tables:
        """The tables of contributions whose columns are the book's; the page of each is `pages[page_of]`."""
        width = 8 * self.measures
        cells = values.joined().view(np.int64).reshape(-1, self.measures)
        if (values.sizes % width).any():
            raise PageError(f"{self.form.id}: a table that is cut within a row")
        counts = (values.sizes // width).astype(np.int32)
        blanks = given.joined().view(np.int32) if self.optionals else np.zeros(0, np.int32)
        blanks = blanks.reshape(len(cells), -1) if len(cells) else np.zeros((0, self.optionals), np.int32)
        if blanks.shape[1] != self.optionals:
            raise PageError(f"{self.form.id}: a table and its blanks differ in length")
        if not self.form.dimensions:
            return Tables(cells, blanks, np.zeros(len(cells), np.int32), counts)
        rows: list[int] = []
        for number, run in zip(page_of.tolist(), dims.tolist(), strict=True):
            rows += pages[number].rows_of(run)
        if len(rows) != len(cells):
            raise PageError(f"{self.form.id}: a table and its dimensions differ in length")
        for page in pages:
            self._make_row_room(page)
        return Tables(cells, blanks, np.array(rows, np.int32), counts)

    def fold(self, arrivals: Arrivals) -> tuple[Int32s, Int64s]:
        """Fold contributions in their order. Returns (outcome, highest revision) of each."""
        rows, counts = arrivals.children, arrivals.tables.counts
        count = len(rows)
        outcomes = np.full(count, NOTHING, np.int32)
        highest = np.zeros(count, np.int64)
        starts = (np.cumsum(counts) - counts).astype(np.int64)
        order = np.argsort(rows, kind="stable")
        ordered = rows[order]
        run_starts = stretches(ordered)
        if len(run_starts) == count:
            self._fold_distinct(arrivals, starts, np.arange(count), outcomes, highest)
        else:
            # Several contributions to one slot: the k-th of each in round k, so each is judged by what stood then.
            lengths = np.diff(run_starts, append=count)
            turn = np.empty(count, np.int64)
            turn[order] = np.arange(count) - np.repeat(run_starts, lengths)
            by_turn = np.argsort(turn, kind="stable")
            bounds = np.r_[0, np.cumsum(np.bincount(turn))].tolist()
            for first, last in pairwise(bounds):
                self._fold_distinct(arrivals, starts, by_turn[first:last], outcomes, highest)
        self._heap.compact(self.children[: self.size])
        return outcomes, highest

    def _fold_distinct(
        self, arrivals: Arrivals, starts: Int64s, chosen: Int64s, outcomes: Int32s, highest: Int64s
    ) -> None:
        """Fold the `chosen` contributions, no two of them to one slot."""
        new = taken(arrivals.heads, chosen)
        row = arrivals.children[chosen]
        old = taken(self.children, row)
        wins, outcomes[chosen] = judged(new, old)
        highest[chosen] = np.where(old["present"], np.maximum(new["revision"], old["revision"]), new["revision"])
        winners = np.flatnonzero(wins)
        if len(winners):
            picked = chosen[winners]
            self._replace(taken(new, winners), taken(old, winners), row[winners], arrivals, starts[picked], picked)

    def _replace(self, new: Heads, held: Heads, row: Int32s, arrivals: Arrivals, starts: Int64s,
                 picked: Int64s) -> None:  # fmt: skip
        """Put the winners into their slots (now as `held`) and move the totals by the difference."""
        twins = held["twin"]
        affected, before = row, held
        if (twins >= 0).any():
            affected = np.unique(np.r_[row, twins[twins >= 0]])
            before = taken(self.children, affected)
        self._move(taken(before, np.flatnonzero(before["counted"])), -1)
        self._store(new, held, row, arrivals.tables, starts, arrivals.tables.counts[picked])
        after = self._recounted(affected)
        self._move(taken(after, np.flatnonzero(after["counted"])), 1)
        touched = Groups(held["account"])
        accounts, numbers = self.accounts, touched.keys
        for name, values in (("version", arrivals.offsets[picked]), ("epoch", new["epoch"])):
            accounts[name][numbers] = np.maximum(accounts[name][numbers], touched.maxima(values))
        for page in np.unique(accounts["page"][numbers]).tolist():
            self.pages[page].changed = True

    def _store(self, new: Heads, held: Heads, row: Int32s, tables: Tables, starts: Int64s, counts: Int32s) -> None:
        is_total = held["slot"] == Slot.TOTAL
        held["start"] = self._heap.replace(held, tables, starts, counts)
        held["count"], held["present"] = counts, True
        for name in ("revision", "source_offset", "source_partition", "version", "epoch", "state", "digest"):
            held[name] = new[name]
        held["reported"] = np.where(is_total, new["reported"], 1)
        held["nil"] = np.where(is_total, new["nil"], new["state"] == State.NIL)
        held["entered"] = np.where(is_total, new["entered"], held["slot"] == Slot.ENTERED)
        held["first"] = np.where(is_total, new["first_accepted"], new["accepted_at"])
        held["newest"] = np.where(is_total, new["newest_accepted"], new["accepted_at"])
        put(self.children, row, held)

    def _recounted(self, rows: Int32s) -> Heads:
        """These children with `counted` as it is now.

        A slot counts unless it is empty or withdrawn; an entered one only while the unit's own does not.
        """
        held = taken(self.children, rows)
        stands: Bools = held["present"] & (held["state"] != State.WITHDRAWAL)
        entered = np.flatnonzero((held["slot"] == Slot.ENTERED) & (held["twin"] >= 0))
        if len(entered):
            own = taken(self.children, held["twin"][entered])
            stands[entered] &= ~(own["present"] & (own["state"] != State.WITHDRAWAL))
        self.children["counted"][rows] = held["counted"] = stands
        return held

    def _move(self, held: Heads, sign: int) -> None:
        """Add what counted children give to their accounts, or take it away."""
        if not len(held):
            return
        groups, accounts = Groups(held["account"]), self.accounts
        numbers = groups.keys
        self._move_tables(held, groups, sign)
        for name in ("reported", "nil", "entered"):
            accounts[name][numbers] += sign * groups.sums(held[name])
        first, newest = groups.minima(held["first"]), groups.maxima(held["newest"])
        if sign > 0:
            accounts["first"][numbers] = np.minimum(accounts["first"][numbers], first)
            accounts["newest"][numbers] = np.maximum(accounts["newest"][numbers], newest)
        else:
            leaves = (first <= accounts["first"][numbers]) | (newest >= accounts["newest"][numbers])
            accounts["stale"][numbers[leaves]] = True

    def _move_tables(self, held: Heads, groups: Groups, sign: int) -> None:
        tables = self._heap.tables(held)
        rows, by_row = self.accounts["base"][groups.keys], groups
        if self.form.dimensions or (tables.counts != 1).any():
            base = np.repeat(self.accounts["base"][held["account"]], tables.counts)
            by_row = Groups(base + tables.rows)
            rows = by_row.keys
        for totals, moved in ((self._total_cells, tables.cells), (self._total_given, tables.given)):
            if moved.shape[1]:
                totals[rows] += sign * by_row.sums(moved)

    # Totals

    def identity(self, number: int) -> bytes:
        """From form to kid, of an account's total as a figure."""
        return self.pages[int(self.accounts["page"][number])].run + self.receivers[number].identity

    def dirty(self) -> Int64s:
        """Published totals that have changed since the broker acknowledged them last; acceptances are looked up."""
        held = self.accounts[: self.account_count]
        found = np.flatnonzero((held["version"] > held["acknowledged"]) & held["published"])
        stale = found[held["stale"][found]]
        if len(stale):
            self._look_up_acceptances(stale)
        return found

    def _look_up_acceptances(self, stale: Int64s) -> None:
        """First and newest acceptance over the standing children of totals that have lost one."""
        accounts, children = self.accounts, self.children
        accounts["first"][stale], accounts["newest"][stale], accounts["stale"][stale] = _NEVER, ABSENT, False
        sought = np.zeros(self.account_count, np.bool_)
        sought[stale] = True
        pages = np.unique(accounts["page"][stale]).tolist()
        rows = np.concatenate([self.pages[page].children for page in pages])
        rows = rows[sought[children["account"][rows]]]
        rows = rows[children["counted"][rows]]
        groups = Groups(children["account"][rows])
        accounts["first"][groups.keys] = groups.minima(children["first"][rows])
        accounts["newest"][groups.keys] = groups.maxima(children["newest"][rows])

    def encoded_totals(self, numbers: Int64s) -> list[bytes]:
        """Values, given and dims of totals as figures carry them; all at once where a form has no dimension."""
        if self.form.dimensions:
            return [self._encoded_total(number) for number in numbers.tolist()]
        base = self.accounts["base"][numbers]
        cells, given = self._total_cells[base], self._total_given[base]
        if self._added is not None:
            cells = cells * self._added
        kept = np.any(cells != 0, axis=1) | np.any(given != 0, axis=1)
        raw, blanks = cells.tobytes(), given.tobytes()
        width, blank_width = 8 * self.measures, 4 * self.optionals
        before, between = varint(width), varint(blank_width)
        return [
            before + raw[at * width : (at + 1) * width] + between + blanks[at * blank_width : (at + 1) * blank_width]
            + b"\0" if is_kept else b"\0\0\0"
            for at, is_kept in enumerate(kept.tolist())
        ]  # fmt: skip

    def _encoded_total(self, number: int) -> bytes:
        """Rows sorted by dimensions, rows of nothing but zeros dropped."""
        account = self.accounts[number]
        page, base = self.pages[account["page"]], int(account["base"])
        cells = self._total_cells[base : base + len(page.rows)]
        given = self._total_given[base : base + len(page.rows)]
        if self._added is not None:
            cells = cells * self._added
        kept: Bools = np.any(cells != 0, axis=1)
        if self.optionals:
            kept = kept | np.any(given != 0, axis=1)
        order = page.row_order()
        shown = order[kept[order]]
        encoded: bytes = sized(cells[shown].tobytes()) + sized(given[shown].tobytes()) + page.encoded_dims(shown)
        return encoded

    # Checkpoints

    def state(self, page: Page) -> dict[str, Any]:
        """All that `load` needs of a page, under the page's own numbers; totals are left out, they follow."""
        held = taken(self.children, page.children)
        tables = self._heap.tables(held)
        held["start"] = np.cumsum(held["count"]) - held["count"]
        accounts = page.accounts
        held["account"] = np.searchsorted(accounts, held["account"])
        twins = held["twin"] >= 0
        held["twin"][twins] = np.searchsorted(page.children, held["twin"][twins])
        return {
            "children": held,
            "cells": tables.cells,
            "given": tables.given,
            "rows": tables.rows,
            "version": self.accounts["version"][accounts],
            "epoch": self.accounts["epoch"][accounts],
            "dims": [list(row) for row in page.rows],
            "receivers": [self.receivers[number].unit.code for number in accounts.tolist()],
        }

    def load(self, page: Page, state: dict[str, Any], receivers: Sequence[Receiver], *, published: bool) -> None:
        """Take over a state into a new page. Totals are computed anew from the children."""
        for row in state["dims"]:
            page.row(tuple(row))
        self._make_row_room(page)
        accounts = self.add_accounts(page, receivers, published=published)
        self.accounts["version"][accounts], self.accounts["epoch"][accounts] = state["version"], state["epoch"]
        first = self.size
        held = state["children"].copy()
        held["start"] += self._heap.append(Tables(state["cells"], state["given"], state["rows"], held["count"]))
        held["account"] = accounts[held["account"]]
        held["twin"][held["twin"] >= 0] += first
        self.size += len(held)
        if self.size > len(self.children):
            self.children = grown(self.children, self.size)
        self.children[first : self.size] = held
        page.children = np.arange(first, self.size, dtype=np.int32)
        page.known_children(held["slot_id"])
        page.child_of_slot[held["slot_id"]] = page.children
        self._move(taken(held, np.flatnonzero(held["counted"])), 1)
