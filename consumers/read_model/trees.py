"""Who is below whom on a day, remembered: a tree changes a few times a decade and is asked thousands of times."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from schemas.obligations import obliged
from schemas.regime import Occasion, Regime, RegimeId
from schemas.unit import OPEN, LineName, UnitCode, Units


@dataclass(frozen=True, slots=True)
class Subtree:
    """A unit and everything below it on some days. `leaves`: those expected among them without children, by code."""

    codes: frozenset[str]
    leaves: tuple[UnitCode, ...]


class Trees:
    """The trees of one catalogue, by line and stretch of days between two changes."""

    def __init__(self, units: Units) -> None:
        self.units = units
        self._changes: dict[LineName, list[date]] = {}
        self._children: dict[tuple[LineName, int], Mapping[UnitCode, tuple[UnitCode, ...]]] = {}
        self._subtrees: dict[tuple[LineName, int, UnitCode], Subtree] = {}
        self._obliged: dict[tuple[RegimeId, date, int, UnitCode, tuple[UnitCode, ...]], frozenset[UnitCode]] = {}

    def children(self, code: UnitCode, line: LineName, day: date) -> tuple[UnitCode, ...]:
        """Units that answer to `code` that day, by code."""
        return self._below(line, self._stretch(line, day), day).get(code, ())

    def is_leaf(self, code: UnitCode, line: LineName, day: date) -> bool:
        """Whether nothing answers to `code` that day."""
        return not self.children(code, line, day)

    def subtree(self, code: UnitCode, line: LineName, day: date) -> Subtree:
        """`code` and everything below it that day."""
        stretch = self._stretch(line, day)
        found = self._subtrees.get((line, stretch, code))
        if found is None:
            below = self._below(line, stretch, day)
            codes, leaves, waiting = set[str](), list[UnitCode](), [code]
            while waiting:
                codes.add(here := waiting.pop())
                if children := below.get(here):
                    waiting.extend(children)
                elif here == code or self.units.expected(here, day, line):
                    leaves.append(here)
            found = self._subtrees[line, stretch, code] = Subtree(frozenset(codes), tuple(sorted(leaves)))
        return found

    def obliged(self, regime: Regime, occasion: Occasion, top: UnitCode) -> frozenset[UnitCode]:
        """Whom of `top` and those below it a regime obliges on an occasion."""
        key = (regime.id, regime.valid_from, self._stretch(regime.line, occasion.period.last_day), top, occasion.units)
        found = self._obliged.get(key)
        if found is None:
            units = obliged(regime, occasion, self.units, top)
            found = self._obliged[key] = frozenset(unit.code for unit in units)
        return found

    def _stretch(self, line: LineName, day: date) -> int:
        changes = self._changes.get(line)
        if changes is None:
            days: set[date] = set()
            for code in {unit.code for unit in self.units}:
                for entry in self.units.superiors_of(line, code):
                    days.add(entry.valid_from)
                    if entry.valid_to != OPEN:
                        days.add(entry.valid_to + timedelta(days=1))
            changes = self._changes[line] = sorted(days)
        return bisect_right(changes, day)

    def _below(self, line: LineName, stretch: int, day: date) -> Mapping[UnitCode, tuple[UnitCode, ...]]:
        below = self._children.get((line, stretch))
        if below is None:
            codes = sorted({unit.code for unit in self.units})
            found = {code: self.units.children(code, day, line) for code in codes}
            below = self._children[line, stretch] = {code: children for code, children in found.items() if children}
        return below
