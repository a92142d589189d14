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
from streams.arrays import Int32s, Int64s
from streams.columns import Columns, read_page, read_slot, sized, slot_bytes, write_figures
from streams.page import Page, PageError, Receiver

FOLD_VERSION = 1
"""Raised whenever the same log would give other totals or another checkpoint; old checkpoints are then not used."""

_OWN_PAGE = list(Scope).index(Scope.OWN)


class CatalogueBehind(Exception):
    """A contribution was made under a newer catalogue than this ledger's."""


class UnknownToCatalogue(PageError):
    """A contribution names a unit, form or period that the catalogue lacks; the worker stops and says so."""


@dataclass(frozen=True, slots=True)
class Folded:
    """What became of a batch: for each record outcome (streams.page) and highest revision, in the batch's order."""

    outcomes: Int32s
    highest: Int64s


@dataclass(frozen=True, slots=True)
class Totals:
    """Changed totals, encoded, and what to mark when the broker has acknowledged them all."""

    keys: list[bytes]
    values: list[bytes]
    upto: int
    """Everything folded below this offset is in them or was acknowledged before."""
    marks: list[tuple[Page, Int64s, Int64s]]
    times: list[tuple[str, Int64s]]
    """Newest acceptance by level of the unit, for the end-to-end histogram."""


class Ledger:
    """All pages of one partition. `next_offset`: the offset of the record that is folded next."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.next_offset = 0
        self.pages: dict[bytes, Page] = {}
        self.slots: dict[bytes, int] = {}
        self.slot_runs: list[bytes] = []
        self._twins: list[int] = []
        self._codes: dict[UnitCode, int] = {}
        self._code_list: list[UnitCode] = []
        self._eras: dict[tuple[str, int, int], Int32s] = {}
        self._changes = catalogue.units.changes

    def use(self, catalogue: Catalogue) -> None:
        """Go on under a newer catalogue. Nothing folded so far changes: such a catalogue is refused at its release."""
        self.catalogue = catalogue
        self._changes = catalogue.units.changes
        self._eras.clear()

    @property
    def epoch(self) -> int:
        """The highest epoch among the contributions folded."""
        return max((int(page.epoch.max()) for page in self.pages.values()), default=0)

    # Fold

    def fold(self, columns: Columns, offsets: Int64s) -> Folded:
        """Fold records of this partition. Those below `next_offset` change nothing; the rest must follow on it.

        Raises CatalogueBehind or UnknownToCatalogue before anything is changed.
        """
        heads = columns.heads
        outcomes = np.full(len(heads), -1, np.int32)
        highest = np.zeros(len(heads), np.int64)
        fresh = offsets >= self.next_offset
        if not fresh.any():
            return Folded(outcomes, highest)
        first = int(offsets[fresh][0])
        if first != self.next_offset:
            raise ValueError(f"a gap: offset {first} where {self.next_offset} is next")
        if int(heads["catalogue"][fresh].max()) > self.catalogue.serial:
            raise CatalogueBehind(f"catalogue {int(heads['catalogue'].max())} is not known yet")
        folded = np.flatnonzero(fresh & (heads["kind"] != FigureKind.ROOT))
        groups, slot_ids = self._grouped(columns, folded)
        for page, chosen in groups:
            outcomes[chosen], highest[chosen] = self._fold_page(page, columns, chosen, slot_ids[chosen], offsets)
        self.next_offset = int(offsets[-1]) + 1
        return Folded(outcomes, highest)

    def _grouped(self, columns: Columns, folded: Int64s) -> tuple[list[tuple[Page, Int64s]], Int32s]:
        """Records by page, in their order, and every record's slot id."""
        slot_ids = np.full(len(columns.heads), -1, np.int32)
        picked = folded.tolist()
        runs = [columns.slots[index] for index in picked]
        for run in set(runs) - self.slots.keys():
            self._add_slot(run)
        slot_ids[folded] = list(map(self.slots.__getitem__, runs))
        page_runs = [columns.pages[index] for index in picked]
        numbers = {run: number for number, run in enumerate(dict.fromkeys(page_runs))}
        page_numbers = np.array(list(map(numbers.__getitem__, page_runs)), np.int64)
        groups = []
        for run, number in numbers.items():
            page = self.pages.get(run) or self._add_page(run)
            groups.append((page, folded[page_numbers == number]))
        for page, chosen in groups:
            self._add_children(page, slot_ids[chosen])
        return groups, slot_ids

    def _fold_page(
        self, page: Page, columns: Columns, chosen: Int64s, slot_ids: Int32s, offsets: Int64s
    ) -> tuple[Int32s, Int64s]:
        picked = chosen.tolist()
        values = [columns.values[index] for index in picked]
        given = [columns.given[index] for index in picked]
        heads = columns.heads[chosen]
        own_columns = heads["form_version"] == np.void(page.form.fingerprint)
        for at in np.flatnonzero(~own_columns).tolist():
            values[at], given[at] = self._converted(page, bytes(heads["form_version"][at]), values[at], given[at])
        tables = page.tables(values, given, [columns.dims[index] for index in picked])
        result = page.fold(heads, page.known_rows(slot_ids), tables, offsets[chosen])
        page.compact()
        return result

    def _converted(self, page: Page, fingerprint: bytes, values: bytes, given: bytes) -> tuple[bytes, bytes]:
        """A table of another version of the form, its columns mapped by name."""
        other = next((form for form in self.catalogue.forms if form.fingerprint == fingerprint), None)
        if other is None:
            raise UnknownToCatalogue(f"form version {fingerprint.hex()} is not in catalogue {self.catalogue.serial}")
        return convert_table(other, page.form, values, given)

    # Slots, pages, receivers

    def _add_slot(self, run: bytes) -> int:
        slot, unit, valid_from = read_slot(run)
        slot_id = self.slots[run] = len(self.slot_runs)
        self.slot_runs.append(run)
        self._twins.append(-1)
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
        page = self.pages[run] = Page(form, scope, line, period_text, period.last_day)
        return page

    def _add_children(self, page: Page, slot_ids: Int32s) -> None:
        rows = page.known_rows(slot_ids)
        if (rows >= 0).all():
            return
        new = np.unique(slot_ids[rows < 0])
        listed = new.tolist()
        slots = np.array([self.slot_runs[slot_id][0] for slot_id in listed], np.uint8)
        twins = np.array([self._twins[slot_id] for slot_id in listed], np.int32)
        page.add_children(new, slots, self._receivers(page, new), twins)

    def _receivers(self, page: Page, slot_ids: Int32s) -> Int32s:
        """Within the page, the numbers of the units that the slots' contributions go to in the period's tree."""
        era = self._era(page)
        if len(era) < len(self.slot_runs):
            era = self._eras[page.line, self._era_of(page.last_day), page.scope] = np.r_[
                era, np.full(len(self.slot_runs) * 2 - len(era), -1, np.int32)
            ]
        for slot_id in slot_ids[era[slot_ids] < 0].tolist():
            code = self._receiver(page, slot_id)
            era[slot_id] = self._codes.setdefault(code, len(self._codes))
            if era[slot_id] == len(self._code_list):
                self._code_list.append(code)
        codes = era[slot_ids]
        if len(page.receiver_of_code) < len(self._code_list):
            page.receiver_of_code = np.r_[
                page.receiver_of_code, np.full(len(self._code_list) * 2 - len(page.receiver_of_code), -1, np.int32)
            ]
        for number in np.unique(codes[page.receiver_of_code[codes] < 0]).tolist():
            page.receiver_of_code[number] = self._receiver_number(page, self._code_list[number])
        return page.receiver_of_code[codes]

    def _era(self, page: Page) -> Int32s:
        return self._eras.setdefault((page.line, self._era_of(page.last_day), page.scope), np.full(64, -1, np.int32))

    def _era_of(self, day: date) -> int:
        """Days between two changes of units or lines have one tree and share what is known about it."""
        return bisect_right(self._changes, day)

    def _receiver(self, page: Page, slot_id: int) -> UnitCode:
        slot, code, valid_from = read_slot(self.slot_runs[slot_id])
        units, line, day = self.catalogue.units, LineName(page.line), page.last_day
        unit = units.unit(UnitCode(code), day)
        if unit is None or days_since_1970(unit.valid_from) != valid_from:
            raise UnknownToCatalogue(
                f"unit {code} from {day_of(valid_from)} is not in force on {day} in catalogue {self.catalogue.serial}"
            )
        superior = units.superior(unit.code, day, line)
        if superior is None or page.scope != _OWN_PAGE:
            return unit.code
        keeps_own = slot != Slot.TOTAL and units.has_children(unit.code, day, line)
        return unit.code if keeps_own else superior

    def _receiver_number(self, page: Page, code: UnitCode) -> int:
        number = page.receiver_numbers.get(code)
        return page.add_receiver(self._as_receiver(page, code)) if number is None else number

    def _as_receiver(self, page: Page, code: UnitCode) -> Receiver:
        units = self.catalogue.units
        unit = units.unit(code, page.last_day)
        if unit is None:
            raise UnknownToCatalogue(f"unit {code} is not in force on {page.last_day}")
        superior = units.superior(code, page.last_day, LineName(page.line))
        if superior is None:
            return Receiver(unit, code.encode(), FigureKind.ROOT)
        return Receiver(unit, superior.encode(), FigureKind.TOTAL)

    # Totals

    def totals(self) -> Totals:
        """Every total that changed since the broker acknowledged it last, coalesced to its present state."""
        result = Totals([], [], self.next_offset, [], [])
        for run, page in self.pages.items():
            if page.scope == _OWN_PAGE and len(dirty := page.dirty()):
                self._write_page(run, page, dirty, result)
        return result

    def _write_page(self, run: bytes, page: Page, dirty: Int64s, result: Totals) -> None:
        first, newest = page.acceptances()
        heads = np.zeros(len(dirty), HEAD)
        coverage = page.coverage[dirty]
        for name in ("revision", "source_offset", "accepted_at", "issued_at", "source_partition"):
            heads[name] = ABSENT
        heads["version"], heads["epoch"] = page.version[dirty], page.epoch[dirty]
        heads["first_accepted"], heads["newest_accepted"] = first[dirty], newest[dirty]
        heads["form_version"] = np.void(page.form.fingerprint)
        heads["catalogue"] = self.catalogue.serial
        heads["reported"], heads["nil"], heads["entered"] = coverage[:, 0], coverage[:, 1], coverage[:, 2]
        heads["state"] = np.where(
            coverage[:, 0] == 0, State.WITHDRAWAL, np.where(coverage[:, 0] == coverage[:, 1], State.NIL, State.REPORT)
        )
        heads["kind"] = [page.receivers[number].kind for number in dirty.tolist()]
        identities, tables = [], []
        for number in dirty.tolist():
            receiver = page.receivers[number]
            result.keys.append(receiver.key)
            unit = receiver.unit
            identities.append(run + slot_bytes(Slot.TOTAL, unit.code, days_since_1970(unit.valid_from)) + b"\0\0")
            values, given, dims = page.total(number)
            tables.append(sized(values) + sized(given) + dims)
        result.values.extend(write_figures(heads, identities, tables))
        result.marks.append((page, dirty, page.version[dirty].copy()))
        levels = np.array([page.receivers[number].unit.level for number in dirty.tolist()])
        result.times.extend((str(level), newest[dirty][levels == level]) for level in np.unique(levels))

    @staticmethod
    def acknowledged(totals: Totals) -> None:
        """The broker has them all."""
        for page, numbers, versions in totals.marks:
            page.acknowledged[numbers] = np.maximum(page.acknowledged[numbers], versions)

    def all_acknowledged(self, below: int) -> None:
        """After a restore: whatever was folded below the committed offset was acknowledged before it was committed."""
        for page in self.pages.values():
            np.copyto(page.acknowledged, np.minimum(page.version, below - 1))

    # Checkpoints

    def page_state(self, run: bytes) -> dict[str, Any]:
        """One page's state for a checkpoint."""
        return self.pages[run].state()

    def load_slots(self, runs: Sequence[bytes]) -> None:
        """Slot ids as they were when the pages' states were taken."""
        for run in runs:
            self._add_slot(run)

    def load_page(self, run: bytes, state: Mapping[str, Any]) -> None:
        """Take over one page's state. The slots must have been loaded."""
        page = self._add_page(run)
        page.load(dict(state), [self._as_receiver(page, UnitCode(code)) for code in state["receivers"]])


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
