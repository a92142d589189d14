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

from schemas.figure import ABSENT, Slot, State, days_since_1970
from schemas.form import AcrossUnits, Form
from streams.arrays import Bools, Int32s, Int64s, add_rows, grown, spread
from streams.columns import sized, slot_bytes, varint
from streams.judgment import NOTHING, judged
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
_Share = tuple[Int64s, Int64s, Int32s, npt.NDArray[np.void]]


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of some contributions, in the book's columns, one after the other."""

    cells: Int64s
    given: Int32s
    rows: Int32s
    counts: Int32s


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
        self._heap_cells: Int64s = np.zeros((64, self.measures), np.int64)
        self._heap_given: Int32s = np.zeros((64, self.optionals), np.int32)
        self._heap_rows: Int32s = np.zeros(64, np.int32)
        self._heap_size = 0
        self.accounts = np.zeros(64, ACCOUNT)
        self.account_count = 0
        self.receivers: list[Receiver] = []
        self.identities: list[bytes] = []
        """From form to kid, of each account's total as a figure."""
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
        page.children = np.r_[page.children, numbers]
        with_twin = np.flatnonzero(twin_slots >= 0)
        if len(with_twin):
            twins = page.known_children(twin_slots[with_twin])
            own, twins = numbers[with_twin][twins >= 0], twins[twins >= 0]
            self.children["twin"][own] = twins
            self.children["twin"][twins] = own

    def add_account(self, page: Page, receiver: Receiver, *, published: bool) -> int:
        """A new total of a page. One that is not published is kept for its receipts only (a superior's own claim)."""
        number = self.account_count
        self.account_count += 1
        if number >= len(self.accounts):
            self.accounts = grown(self.accounts, number + 1)
        account = self.accounts[number]
        account["version"] = account["acknowledged"] = account["newest"] = ABSENT
        account["first"] = _NEVER
        account["page"], account["kind"], account["published"] = page.number, receiver.kind, published
        account["base"] = self._new_block(page.room)
        self.receivers.append(receiver)
        unit = receiver.unit
        self.identities.append(page.run + slot_bytes(Slot.TOTAL, unit.code, days_since_1970(unit.valid_from)) + b"\0\0")
        page.accounts.append(number)
        page.receivers.append(receiver)
        page.account_of_unit[receiver.unit.code] = number
        return number

    def _new_block(self, room: int) -> int:
        base = self._total_size
        self._total_size += room
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
        for number in page.accounts:
            old = int(self.accounts["base"][number])
            new = self._new_block(page.room)
            for totals in (self._total_cells, self._total_given):
                totals[new : new + held] = totals[old : old + held]
                totals[old : old + held] = 0
            self.accounts["base"][number] = new

    # Fold

    def tables(self, pages: Sequence[Page], values: Sequence[bytes], given: Sequence[bytes],
               dims: Sequence[bytes]) -> Tables:  # fmt: skip
        """The tables of contributions to these pages (parallel), whose columns are the book's."""
        cells = np.frombuffer(b"".join(values), np.int64).reshape(-1, self.measures)
        counts = np.array([len(value) for value in values], np.int32) // (8 * self.measures)
        blanks = np.frombuffer(b"".join(given), np.int32) if self.optionals else np.zeros(0, np.int32)
        blanks = blanks.reshape(len(cells), -1) if len(cells) else np.zeros((0, self.optionals), np.int32)
        if blanks.shape[1] != self.optionals:
            raise PageError(f"{self.form.id}: a table and its blanks differ in length")
        if not self.form.dimensions:
            return Tables(cells, blanks, np.zeros(len(cells), np.int32), counts)
        rows: list[int] = []
        for page, run in zip(pages, dims, strict=True):
            rows += page.rows_of(run)
        if len(rows) != len(cells):
            raise PageError(f"{self.form.id}: a table and its dimensions differ in length")
        for page in set(pages):
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
        run_starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        if len(run_starts) == count:
            self._fold_distinct(arrivals, starts, np.arange(count), outcomes, highest)
        else:
            # Several contributions to one slot: the k-th of each in round k, so each is judged by what stood then.
            lengths = np.diff(np.r_[run_starts, count])
            turn = np.empty(count, np.int64)
            turn[order] = np.arange(count) - np.repeat(run_starts, lengths)
            by_turn = np.argsort(turn, kind="stable")
            bounds = np.r_[0, np.cumsum(np.bincount(turn))].tolist()
            for first, last in pairwise(bounds):
                self._fold_distinct(arrivals, starts, by_turn[first:last], outcomes, highest)
        self._compact()
        return outcomes, highest

    def _fold_distinct(
        self, arrivals: Arrivals, starts: Int64s, chosen: Int64s, outcomes: Int32s, highest: Int64s
    ) -> None:
        """Fold the `chosen` contributions, no two of them to one slot."""
        new = arrivals.heads[chosen]
        row = arrivals.children[chosen]
        old = self.children[row]
        wins, outcomes[chosen] = judged(new, old)
        highest[chosen] = np.where(old["present"], np.maximum(new["revision"], old["revision"]), new["revision"])
        winners = np.flatnonzero(wins)
        if len(winners):
            picked = chosen[winners]
            self._replace(new[winners], row[winners], arrivals, starts[picked], picked)

    def _replace(self, new: npt.NDArray[np.void], row: Int32s, arrivals: Arrivals, starts: Int64s,
                 picked: Int64s) -> None:  # fmt: skip
        """Put the winners into their slots and move the totals by the difference."""
        twins = self.children["twin"][row]
        affected = np.unique(np.r_[row, twins[twins >= 0]]) if (twins >= 0).any() else row
        removed = self._share(affected[self.children["counted"][affected]])
        self._store(new, row, arrivals.tables, starts, arrivals.tables.counts[picked])
        self._recount(affected)
        self._move(removed, -1)
        self._move(self._share(affected[self.children["counted"][affected]]), 1)
        touched = self.children["account"][row]
        np.maximum.at(self.accounts["version"], touched, arrivals.offsets[picked])
        np.maximum.at(self.accounts["epoch"], touched, new["epoch"].astype(np.int64))
        for page in np.unique(self.accounts["page"][touched]).tolist():
            self.pages[page].changed = True

    def _store(self, new: npt.NDArray[np.void], row: Int32s, tables: Tables, starts: Int64s, counts: Int32s) -> None:
        held = self.children[row]
        place = held["start"].copy()
        moved = held["count"] != counts
        needed = np.where(moved, counts, 0)
        ends = self._heap_size + np.cumsum(needed)
        place[moved] = (ends - needed)[moved]
        self._heap_size = int(ends[-1])
        if self._heap_size > len(self._heap_rows):
            self._heap_cells = grown(self._heap_cells, self._heap_size)
            self._heap_given = grown(self._heap_given, self._heap_size)
            self._heap_rows = grown(self._heap_rows, self._heap_size)
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
        self.children[row] = held

    def _recount(self, rows: Int32s) -> None:
        """A slot counts unless it is empty or withdrawn; an entered one only while the unit's own does not."""
        held = self.children[rows]
        stands: Bools = held["present"] & (held["state"] != State.WITHDRAWAL)
        entered = np.flatnonzero((held["slot"] == Slot.ENTERED) & (held["twin"] >= 0))
        if len(entered):
            own = self.children[held["twin"][entered]]
            stands[entered] &= ~(own["present"] & (own["state"] != State.WITHDRAWAL))
        self.children["counted"][rows] = stands

    def _share(self, rows: Int32s) -> _Share:
        """What counted children give: total row, cells and given of each table row; the children themselves."""
        held = self.children[rows]
        places = spread(held["start"], held["count"])
        base: Int64s = np.repeat(self.accounts["base"][held["account"]], held["count"])
        target: Int64s = base + self._heap_rows[places].astype(np.int64)
        return target, self._heap_cells[places], self._heap_given[places], held

    def _move(self, share: _Share, sign: int) -> None:
        target, cells, given, held = share
        if not len(held):
            return
        add_rows(self._total_cells, target, cells, sign)
        if self.optionals:
            add_rows(self._total_given, target, given, sign)
        accounts, number = self.accounts, held["account"]
        for name in ("reported", "nil", "entered"):
            np.add.at(accounts[name], number, sign * held[name].astype(np.int64))
        if sign > 0:
            np.minimum.at(accounts["first"], number, held["first"])
            np.maximum.at(accounts["newest"], number, held["newest"])
        else:
            leaves = (held["first"] <= accounts["first"][number]) | (held["newest"] >= accounts["newest"][number])
            accounts["stale"][number[leaves]] = True

    def _compact(self) -> None:
        """Drop heap rows that no child points to any more, once they are most of it."""
        if self._heap_size <= 4096:
            return
        held = self.children[: self.size]
        live = int(held["count"].sum())
        if self._heap_size > 2 * live + 4096:
            places = spread(held["start"], held["count"])
            self._heap_cells, self._heap_given = self._heap_cells[places], self._heap_given[places]
            self._heap_rows = self._heap_rows[places]
            held["start"] = np.cumsum(held["count"]) - held["count"]
            self._heap_size = live

    # Totals

    def dirty(self) -> Int64s:
        """Published totals that have changed since the broker acknowledged them last; acceptances are looked up."""
        held = self.accounts[: self.account_count]
        found = np.flatnonzero((held["version"] > held["acknowledged"]) & held["published"])
        stale = found[held["stale"][found]]
        if len(stale):
            for page in np.unique(held["page"][stale]).tolist():
                self._look_up_acceptances(self.pages[page])
        return found

    def _look_up_acceptances(self, page: Page) -> None:
        """First and newest acceptance over the standing children, for every total of a page."""
        mine = np.array(page.accounts)
        accounts = self.accounts
        accounts["first"][mine], accounts["newest"][mine], accounts["stale"][mine] = _NEVER, ABSENT, False
        held = self.children[page.children]
        held = held[held["counted"]]
        np.minimum.at(accounts["first"], held["account"], held["first"])
        np.maximum.at(accounts["newest"], held["account"], held["newest"])

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
        held = self.children[page.children]
        places = spread(held["start"], held["count"])
        held["start"] = np.cumsum(held["count"]) - held["count"]
        accounts = np.array(page.accounts, np.int32)
        held["account"] = np.searchsorted(accounts, held["account"])
        twins = held["twin"] >= 0
        held["twin"][twins] = np.searchsorted(page.children, held["twin"][twins])
        return {
            "children": held,
            "cells": self._heap_cells[places],
            "given": self._heap_given[places],
            "rows": self._heap_rows[places],
            "version": self.accounts["version"][accounts],
            "epoch": self.accounts["epoch"][accounts],
            "dims": [list(row) for row in page.rows],
            "receivers": [receiver.unit.code for receiver in page.receivers],
        }

    def load(self, page: Page, state: dict[str, Any], receivers: Sequence[Receiver], *, published: bool) -> None:
        """Take over a state into a new page. Totals are computed anew from the children."""
        for row in state["dims"]:
            page.row(tuple(row))
        self._make_row_room(page)
        for receiver in receivers:
            self.add_account(page, receiver, published=published)
        accounts = np.array(page.accounts, np.int32)
        self.accounts["version"][accounts], self.accounts["epoch"][accounts] = state["version"], state["epoch"]
        first = self.size
        held = state["children"].copy()
        held["start"] += self._heap_size
        held["account"] = accounts[held["account"]]
        held["twin"][held["twin"] >= 0] += first
        self.size += len(held)
        self._heap_size += len(state["rows"])
        if self.size > len(self.children):
            self.children = grown(self.children, self.size)
        if self._heap_size > len(self._heap_rows):
            self._heap_cells = grown(self._heap_cells, self._heap_size)
            self._heap_given = grown(self._heap_given, self._heap_size)
            self._heap_rows = grown(self._heap_rows, self._heap_size)
        at = self._heap_size - len(state["rows"])
        self._heap_cells[at : self._heap_size] = state["cells"]
        self._heap_given[at : self._heap_size] = state["given"]
        self._heap_rows[at : self._heap_size] = state["rows"]
        self.children[first : self.size] = held
        page.children = np.arange(first, self.size, dtype=np.int32)
        page.known_children(held["slot_id"])
        page.child_of_slot[held["slot_id"]] = page.children
        self._move(self._share(page.children[held["counted"]]), 1)
