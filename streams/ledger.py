"""The ledger of one partition of `figures`: the fold of that partition from offset 0, and nothing else.

No Kafka, no clock, no files: batches, catalogue and acknowledgements come in as arguments, totals and outcomes go out.
It folds only from its own next offset, so a redelivered batch changes nothing, and a gap is an error of the caller.
Versions need no clock: a total's version is the offset of the newest contribution folded into it (design decision 5).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.catalogue import Catalogue
from schemas.figure import ABSENT, HEAD, FigureKind, Slot, State, day_of, days_since_1970
from schemas.form import Form, FormId
from schemas.period import parse_period
from schemas.report import Scope
from schemas.unit import LineName, UnitCode
from streams.arrays import Int32s, Int64s, grown, taken
from streams.book import Arrivals, Book
from streams.columns import Columns, read_page, read_slot, slot_bytes, write_figures
from streams.packed import Packed
from streams.page import Page, PageError, Receiver

FOLD_VERSION = 2
"""Raised whenever the same log would give other totals or another checkpoint; old checkpoints are then not used."""

_OWN_PAGE = list(Scope).index(Scope.OWN)


class CatalogueBehind(Exception):
    """A contribution was made under a newer catalogue than this ledger's."""


class UnknownToCatalogue(PageError):
    """A contribution names a unit, form or period that the catalogue lacks; the worker stops and says so."""


@dataclass(frozen=True, slots=True)
class Folded:
    """What became of a batch, for each record in the batch's order.

    `outcomes` (streams.judgment) and `highest` revision; `slots`: the ledger's number of its slot, and `page_of`: which
    of `pages` it is about, both -1 for a record that was not folded.
    """

    outcomes: Int32s
    highest: Int64s
    slots: Int32s
    pages: list[Page]
    page_of: Int32s


@dataclass(frozen=True, slots=True)
class Totals:
    """Changed totals, encoded, and what to mark when the broker has acknowledged them all."""

    keys: list[bytes]
    values: list[bytes]
    upto: int
    """Everything folded below this offset is in them or was acknowledged before."""
    marks: list[tuple[Book, Int64s, Int64s]]
    times: list[tuple[str, int]]
    """Level of the unit and newest acceptance (ms since 1970, ABSENT where none stands) of each."""


class Ledger:
    """All pages of one partition. `next_offset`: the offset of the record that is folded next."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.next_offset = 0
        self.pages: dict[bytes, Page] = {}
        self.slots: dict[bytes, int] = {}
        self.slot_runs: list[bytes] = []
        self.slot_names: list[tuple[int, UnitCode, int]] = []
        """The same runs, read: slot, unit, valid_from."""
        self._twins: Int32s = np.full(64, -1, np.int32)
        self._kinds: npt.NDArray[np.uint8] = np.zeros(64, np.uint8)
        self._codes: dict[UnitCode, int] = {}
        self._code_list: list[UnitCode] = []
        self._eras: dict[tuple[str, int, int], Int32s] = {}
        self._receivers: dict[tuple[str, int, UnitCode], Receiver] = {}
        self._changes = catalogue.units.changes
        self._books: dict[bytes, Book] = {}

    def use(self, catalogue: Catalogue) -> None:
        """Go on under a newer catalogue. Nothing folded so far changes: such a catalogue is refused at its release."""
        self.catalogue = catalogue
        self._changes = catalogue.units.changes
        self._eras.clear()
        self._receivers.clear()

    @property
    def epoch(self) -> int:
        """The highest epoch among the contributions folded."""
        return max((int(book.accounts["epoch"].max()) for book in self._books.values()), default=0)

    # Fold

    def fold(self, columns: Columns, offsets: Int64s) -> Folded:
        """Fold records of this partition. Those below `next_offset` change nothing; the rest must follow on it.

        Raises CatalogueBehind or UnknownToCatalogue before anything is changed.
        """
        heads = columns.heads
        nowhere = np.full(len(heads), -1, np.int32)
        result = Folded(nowhere, np.zeros(len(heads), np.int64), nowhere.copy(), [], nowhere.copy())
        fresh = offsets >= self.next_offset
        if not fresh.any():
            return result
        first = int(offsets[fresh][0])
        if first != self.next_offset:
            raise ValueError(f"a gap: offset {first} where {self.next_offset} is next")
        if int(heads["catalogue"][fresh].max()) > self.catalogue.serial:
            raise CatalogueBehind(f"catalogue {int(heads['catalogue'].max())} is not known yet")
        folded = np.flatnonzero(fresh & (heads["kind"] != FigureKind.ROOT))
        if len(folded):
            self._fold(columns, offsets, folded, result)
        self.next_offset = int(offsets[-1]) + 1
        return result

    def _fold(self, columns: Columns, offsets: Int64s, folded: Int64s, result: Folded) -> None:
        """Fold the records `folded`, book by book."""
        slots = self._slot_numbers(columns.slots.take(folded))
        runs, page_of = columns.pages.take(folded).distinct()
        for run in runs:
            if run not in self.pages:
                self._add_page(run)
        pages = [self.pages[run] for run in runs]
        result.pages.extend(pages)
        result.slots[folded], result.page_of[folded] = slots, page_of
        children = self._children_of(pages, page_of, slots)
        books: dict[bytes, list[int]] = {}
        for number, page in enumerate(pages):
            books.setdefault(page.form.fingerprint, []).append(number)
        for fingerprint, numbers in books.items():
            book, here = self._books[fingerprint], np.arange(len(folded))
            if len(books) > 1:
                here = np.flatnonzero(np.isin(page_of, numbers))
            chosen = folded[here]
            arrivals = self._arrivals(book, columns, chosen, pages, page_of[here], children[here], offsets)
            result.outcomes[chosen], result.highest[chosen] = book.fold(arrivals)

    def _slot_numbers(self, slots: Packed) -> Int32s:
        """The ledger's number of each slot, new or known."""
        runs = slots.tolist()
        known = list(map(self.slots.get, runs))
        if None in known:
            known = [self._add_slot(run) if run not in self.slots else self.slots[run] for run in runs]
        return np.array(known, np.int32)

    def _children_of(self, pages: Sequence[Page], page_of: Int64s, slots: Int32s) -> Int32s:
        """The child of its book that each record goes to, by the slots' numbers."""
        if len(pages) == 1:
            return self._children(pages[0], slots)
        order = np.argsort(page_of.astype(np.int32), kind="stable")
        bounds = np.cumsum(np.bincount(page_of)).tolist()
        children = np.empty(len(slots), np.int32)
        first = 0
        for page, last in zip(pages, bounds, strict=True):
            chosen = order[first:last]
            children[chosen] = self._children(page, slots[chosen])
            first = last
        return children

    def _arrivals(self, book: Book, columns: Columns, chosen: Int64s, pages: Sequence[Page], page_of: Int64s,
                  children: Int32s, offsets: Int64s) -> Arrivals:  # fmt: skip
        heads = taken(columns.heads, chosen)
        values, given = columns.values.take(chosen), columns.given.take(chosen)
        other = np.flatnonzero(heads["form_version"] != np.void(book.form.fingerprint)).tolist()
        if other:
            listed = list(zip(values.tolist(), given.tolist(), strict=True))
            for at in other:
                listed[at] = self._converted(book, bytes(heads["form_version"][at]), *listed[at])
            values, given = (Packed.of(column) for column in zip(*listed, strict=True))
        tables = book.tables(pages, page_of, values, given, columns.dims.take(chosen))
        return Arrivals(heads, children, tables, offsets[chosen])

    def _converted(self, book: Book, fingerprint: bytes, values: bytes, given: bytes) -> tuple[bytes, bytes]:
        """A table of another version of the form, its columns mapped by name."""
        other = next((form for form in self.catalogue.forms if form.fingerprint == fingerprint), None)
        if other is None:
            raise UnknownToCatalogue(f"form version {fingerprint.hex()} is not in catalogue {self.catalogue.serial}")
        return convert_table(other, book.form, values, given)

    # Slots, pages, receivers

    def _add_slot(self, run: bytes) -> int:
        slot, unit, valid_from = read_slot(run)
        slot_id = self.slots[run] = len(self.slot_runs)
        self.slot_runs.append(run)
        self.slot_names.append((slot, UnitCode(unit), valid_from))
        if slot_id >= len(self._twins):
            self._twins, self._kinds = grown(self._twins, slot_id + 1, -1), grown(self._kinds, slot_id + 1)
        self._kinds[slot_id] = slot
        if slot != Slot.TOTAL:
            twin = self.slots.get(slot_bytes(Slot.ENTERED if slot == Slot.OWN else Slot.OWN, unit, valid_from), -1)
            if twin >= 0:
                self._twins[slot_id], self._twins[twin] = twin, slot_id
        return slot_id

    def _add_page(self, run: bytes) -> Page:
        form_id, scope, line, period_text = read_page(run)
        period = parse_period(period_text)
        form = self.catalogue.form_in_force(FormId(form_id), period.last_day)
        if form is None:
            raise UnknownToCatalogue(
                f"form {form_id} is not in force on {period.last_day} in catalogue {self.catalogue.serial}"
            )
        page = self.pages[run] = Page(run, form, scope, line, period_text, period.last_day, len(self.slot_runs))
        if form.fingerprint not in self._books:
            self._books[form.fingerprint] = Book(form)
        self._books[form.fingerprint].add_page(page)
        return page

    def _children(self, page: Page, slot_ids: Int32s) -> Int32s:
        """The book's children in these slots of a page, made where they are new."""
        children = page.known_children(slot_ids)
        if (children >= 0).all():
            return children
        new = np.unique(slot_ids[children < 0])
        accounts = self._accounts(page, new)
        self._books[page.form.fingerprint].add_children(page, new, self._kinds[new], accounts, self._twins[new])
        return page.known_children(slot_ids)

    def _accounts(self, page: Page, slot_ids: Int32s) -> Int32s:
        """The accounts of the units that the slots' contributions go to in the period's tree."""
        era = self._era(page)
        if len(era) < len(self.slot_runs):
            era = self._eras[page.line, self._era_of(page.last_day), page.scope] = grown(era, len(self.slot_runs), -1)
        for slot_id in slot_ids[era[slot_ids] < 0].tolist():
            era[slot_id] = self._code_number(self._receiver(page, slot_id))
        codes = era[slot_ids]
        if len(page.account_of_code) < len(self._code_list):
            page.account_of_code = grown(page.account_of_code, len(self._code_list), -1)
        new = np.unique(codes[page.account_of_code[codes] < 0])
        if len(new):
            receivers = [self._as_receiver(page, self._code_list[number]) for number in new.tolist()]
            book = self._books[page.form.fingerprint]
            page.account_of_code[new] = book.add_accounts(page, receivers, published=page.scope == _OWN_PAGE)
        return page.account_of_code[codes]

    def _code_number(self, code: UnitCode) -> int:
        number = self._codes.setdefault(code, len(self._codes))
        if number == len(self._code_list):
            self._code_list.append(code)
        return number

    def _era(self, page: Page) -> Int32s:
        return self._eras.setdefault((page.line, self._era_of(page.last_day), page.scope), np.full(64, -1, np.int32))

    def _era_of(self, day: date) -> int:
        """Days between two changes of units or lines have one tree and share what is known about it."""
        return bisect_right(self._changes, day)

    def _receiver(self, page: Page, slot_id: int) -> UnitCode:
        slot, code, valid_from = self.slot_names[slot_id]
        units, line, day = self.catalogue.units, LineName(page.line), page.last_day
        unit = units.unit(code, day)
        if unit is None or days_since_1970(unit.valid_from) != valid_from:
            raise UnknownToCatalogue(
                f"unit {code} from {day_of(valid_from)} is not in force on {day} in catalogue {self.catalogue.serial}"
            )
        superior = units.superior(unit.code, day, line)
        if superior is None or page.scope != _OWN_PAGE:
            return unit.code
        keeps_own = slot != Slot.TOTAL and units.has_children(unit.code, day, line)
        return unit.code if keeps_own else superior

    def _as_receiver(self, page: Page, code: UnitCode) -> Receiver:
        known = (page.line, self._era_of(page.last_day), code)
        if known not in self._receivers:
            self._receivers[known] = self._new_receiver(page, code)
        return self._receivers[known]

    def _new_receiver(self, page: Page, code: UnitCode) -> Receiver:
        units = self.catalogue.units
        unit = units.unit(code, page.last_day)
        if unit is None:
            raise UnknownToCatalogue(f"unit {code} is not in force on {page.last_day}")
        superior = units.superior(code, page.last_day, LineName(page.line))
        key, kind = (code, FigureKind.ROOT) if superior is None else (superior, FigureKind.TOTAL)
        identity = slot_bytes(Slot.TOTAL, code, days_since_1970(unit.valid_from)) + b"\0\0"
        return Receiver(unit, key.encode(), kind, identity)

    # Totals

    def totals(self) -> Totals:
        """Every total that changed since the broker acknowledged it last, coalesced to its present state."""
        result = Totals([], [], self.next_offset, [], [])
        for book in self._books.values():
            if len(dirty := book.dirty()):
                self._write(book, dirty, result)
        return result

    def _write(self, book: Book, dirty: Int64s, result: Totals) -> None:
        accounts = book.accounts[dirty]
        heads = np.zeros(len(dirty), HEAD)
        for name in ("revision", "source_offset", "accepted_at", "issued_at", "source_partition"):
            heads[name] = ABSENT
        for name in ("version", "epoch", "reported", "nil", "entered", "kind"):
            heads[name] = accounts[name]
        nobody = accounts["newest"] == ABSENT
        heads["first_accepted"] = np.where(nobody, ABSENT, accounts["first"])
        heads["newest_accepted"] = accounts["newest"]
        heads["form_version"] = np.void(book.form.fingerprint)
        heads["catalogue"] = self.catalogue.serial
        all_nil = accounts["reported"] == accounts["nil"]
        heads["state"] = np.where(
            accounts["reported"] == 0, State.WITHDRAWAL, np.where(all_nil, State.NIL, State.REPORT)
        )
        listed = dirty.tolist()
        receivers = [book.receivers[number] for number in listed]
        result.keys.extend(receiver.key for receiver in receivers)
        newest = accounts["newest"].tolist()
        result.times.extend(zip((receiver.unit.level for receiver in receivers), newest, strict=True))
        identities = [book.identity(number) for number in listed]
        result.values.extend(write_figures(heads, identities, book.encoded_totals(dirty)))
        result.marks.append((book, dirty, accounts["version"].copy()))

    @staticmethod
    def acknowledged(totals: Totals) -> None:
        """The broker has them all."""
        for book, numbers, versions in totals.marks:
            held = book.accounts["acknowledged"]
            held[numbers] = np.maximum(held[numbers], versions)

    def all_acknowledged(self, below: int) -> None:
        """After a restore: whatever was folded below the committed offset was acknowledged before it was committed."""
        for book in self._books.values():
            book.accounts["acknowledged"] = np.minimum(book.accounts["version"], below - 1)

    # Checkpoints

    def page_state(self, run: bytes) -> dict[str, Any]:
        """One page's state for a checkpoint."""
        page = self.pages[run]
        return self._books[page.form.fingerprint].state(page)

    def load_slots(self, runs: Sequence[bytes]) -> None:
        """Slot ids as they were when the pages' states were taken."""
        for run in runs:
            self._add_slot(run)

    def load_page(self, run: bytes, state: Mapping[str, Any]) -> None:
        """Take over one page's state. The slots must have been loaded."""
        page = self._add_page(run)
        codes = [UnitCode(code) for code in state["receivers"]]
        numbers = np.array([self._code_number(code) for code in codes], np.int32)
        page.account_of_code = np.full(max(16, len(self._code_list)), -1, np.int32)
        receivers = [self._as_receiver(page, code) for code in codes]
        book = self._books[page.form.fingerprint]
        book.load(page, dict(state), receivers, published=page.scope == _OWN_PAGE)
        page.account_of_code[numbers] = page.accounts


def convert_table(source: Form, target: Form, values: bytes, given: bytes) -> tuple[bytes, bytes]:
    """`values` and `given` in the columns of another version of the form, by name; what the source lacks is blank."""
    cells: npt.NDArray[np.int64] = np.frombuffer(values, np.int64).reshape(-1, len(source.measures))
    blanks = (
        np.frombuffer(given, np.int32).reshape(-1, len(source.optional))
        if source.optional
        else np.zeros((len(cells), 0), np.int32)
    )
    names = [measure.name for measure in source.measures]
    optional = [source.measures[index].name for index in source.optional]
    out = np.zeros((len(cells), len(target.measures)), np.int64)
    marks = np.zeros((len(cells), len(target.optional)), np.int32)
    for index, measure in enumerate(target.measures):
        if measure.name in names:
            out[:, index] = cells[:, names.index(measure.name)]
    for index, position in enumerate(target.optional):
        name = target.measures[position].name
        marks[:, index] = blanks[:, optional.index(name)] if name in optional else int(name in names)
    return out.tobytes(), marks.tobytes()
