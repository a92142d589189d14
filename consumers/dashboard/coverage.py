"""Coverage in words: how many reported, and who is missing by name. No number is shown without it (decision 21).

Expected are those whom a regime asks, else the units without children; who owes what by when, obligations say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from schemas import words
from schemas.period import Period
from schemas.read_model import Coverage
from schemas.report import Millis
from schemas.unit import LineName, Unit, UnitCode, UnitId, Units

NAMED = 200
"""So many missing units are named, or none: of a nation's 10,603 the first ones would say nothing, and the units below
name theirs."""


@dataclass(frozen=True, slots=True)
class Missing:
    """A unit that has not reported; `under`: the child that it is, or is below; `when`: on which days."""

    unit: Unit
    under: UnitCode | None
    when: str = ""


@dataclass(frozen=True, slots=True)
class Counts:
    """Reports owed (units × periods) and not there."""

    expected: int = 0
    missing: int = 0

    @property
    def there(self) -> int:
        """Reports of expected units that are there."""
        return self.expected - self.missing

    def plus(self, expected: int, missing: int) -> Counts:
        """With some more."""
        return Counts(self.expected + expected, self.missing + missing)


@dataclass(frozen=True, slots=True)
class Covered:
    """Coverage of what a page shows. `waiting`: reports that are there and not yet in the published total."""

    counts: Counts
    reported: int
    nil: int
    entered: int
    waiting: int
    newest: Millis | None
    missing: tuple[Missing, ...]
    unnamed: int
    below: Mapping[UnitCode, Counts]
    """By child, as on each period's last day."""


def covered(units: Units, unit: UnitCode, line: LineName, found: Sequence[tuple[Period, Coverage]]) -> Covered:
    """Coverage of a unit over one or more periods, together and by child."""
    counts, below = Counts(), dict[UnitCode, Counts]()
    absent: dict[UnitId, tuple[Unit, UnitCode | None, list[Period]]] = {}
    for period, coverage in found:
        counts = counts.plus(len(coverage.expected), len(coverage.missing))
        child_of = ChildOf(units, unit, line, period.last_day)
        for owing in coverage.expected:
            if (child := child_of(owing.code)) is not None:
                below[child] = below.get(child, Counts()).plus(1, 0)
        for missed in coverage.missing:
            if (child := child_of(missed.code)) is not None:
                below[child] = below[child].plus(0, 1)
            absent.setdefault(missed.id, (missed, child, []))[2].append(period)
    reported = sum(coverage.reported for _, coverage in found)
    names = [
        Missing(missed, child, _when(periods, len(found)) if len(found) > 1 else "")
        for missed, child, periods in absent.values()
    ]
    accepted = [coverage.newest_accepted for _, coverage in found if coverage.newest_accepted is not None]
    return Covered(
        counts, reported, sum(c.nil for _, c in found), sum(c.entered for _, c in found),
        max(0, counts.there - reported), max(accepted, default=None),
        tuple(names) if len(names) <= NAMED else (), 0 if len(names) <= NAMED else len(names), below,
    )  # fmt: skip


def _when(periods: Sequence[Period], of: int) -> str:
    if len(periods) == of:
        return "tất cả các ngày"
    return ", ".join(words.period(period) for period in periods)


class ChildOf:
    """Which child of a unit another one is, or is below, on a line and day; None for the unit itself."""

    def __init__(self, units: Units, top: UnitCode, line: LineName, day: date) -> None:
        self._units = units
        self._top = top
        self._line = line
        self._day = day
        self._known: dict[UnitCode, UnitCode | None] = {top: None}

    def __call__(self, code: UnitCode) -> UnitCode | None:
        """The child of the top that `code` is, or is below."""
        if code not in self._known:
            above = self._units.superior(code, self._day, self._line)
            self._known[code] = code if above == self._top else None if above is None else self(above)
        return self._known[code]
