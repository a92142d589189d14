"""Coverage in words: how many reported, and who is missing by name. No number is shown without it (decision 21).

Until regimes exist the units expected are those without children on a period's last day.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from consumers.dashboard import words
from schemas.period import Period
from schemas.read_model import Coverage
from schemas.report import Millis
from schemas.unit import UBND, Unit, UnitCode, UnitId, Units

NAMED = 60
"""So many missing units are named; a nation's 10,603 would make the page unreadable, and each level names its own."""


@dataclass(frozen=True, slots=True)
class Missing:
    """A unit that has not reported; `when`: on which days, where several are shown."""

    unit: Unit
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


def covered(units: Units, unit: UnitCode, found: Sequence[tuple[Period, Coverage]]) -> Covered:
    """Coverage of a unit over one or more periods, together and by child."""
    counts, below = Counts(), dict[UnitCode, Counts]()
    absent: dict[UnitId, tuple[Unit, list[Period]]] = {}
    for period, coverage in found:
        counts = counts.plus(len(coverage.expected), len(coverage.missing))
        for missed in coverage.missing:
            absent.setdefault(missed.id, (missed, []))[1].append(period)
        for child, more in _by_child(units, unit, period, coverage).items():
            below[child] = below.get(child, Counts()).plus(more.expected, more.missing)
    reported = sum(coverage.reported for _, coverage in found)
    several = len(found) > 1
    names = [Missing(missed, _when(periods, len(found)) if several else "") for missed, periods in absent.values()]
    accepted = [coverage.newest_accepted for _, coverage in found if coverage.newest_accepted is not None]
    return Covered(
        counts, reported, sum(c.nil for _, c in found), sum(c.entered for _, c in found),
        max(0, counts.there - reported), max(accepted, default=None),
        tuple(names[:NAMED]), max(0, len(names) - NAMED), below,
    )  # fmt: skip


def _when(periods: Sequence[Period], of: int) -> str:
    if len(periods) == of:
        return "tất cả các ngày"
    return ", ".join(words.period(period) for period in periods)


def _by_child(units: Units, top: UnitCode, period: Period, coverage: Coverage) -> dict[UnitCode, Counts]:
    found: dict[UnitCode, Counts] = {}
    remembered: dict[UnitCode, UnitCode | None] = {}

    def child_of(code: UnitCode) -> UnitCode | None:
        if code not in remembered:
            above = units.superior(code, period.last_day, UBND)
            remembered[code] = code if above == top else None if above is None else child_of(above)
        return remembered[code]

    def count(among: Iterable[Unit], expected: int, missing: int) -> None:
        for unit in among:
            if unit.code != top and (child := child_of(unit.code)) is not None:
                found[child] = found.get(child, Counts()).plus(expected, missing)

    count(coverage.expected, 1, 0)
    count(coverage.missing, 0, 1)
    return found
