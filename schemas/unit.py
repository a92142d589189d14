"""Units and the lines (hierarchies) that join them, all with validity.

A unit is whoever reports. Its identity is (code, valid_from), never the code or the name alone: 3,316 of the 3,321
commune codes of July 2025 reuse an old code, and 1,807 of those under another name. The tree that counts is always the
one of a period's last day, so every question here takes a day.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from functools import cached_property
from itertools import pairwise
from operator import attrgetter
from typing import NewType

UnitCode = NewType("UnitCode", str)
LineName = NewType("LineName", str)

UBND = LineName("ubnd")
OPEN = date.max
"""End of a validity that has no end yet."""


_IDENTIFICATION_CODE = re.compile(r"[A-Z]\d{2}(\.[A-Z0-9]{1,4}){0,3}", re.ASCII)


class UnitKind(StrEnum):
    """What reports: a place's administration (its People's Committee), or an organisation placed in one."""

    ADMINISTRATIVE = "administrative"
    AGENCY = "agency"
    HEALTH_CENTRE = "health-centre"
    HEALTH_STATION = "health-station"
    POLICE = "police"
    MILITARY = "military"
    PARTY = "party"
    FRONT = "front"
    UNION = "union"
    INSURANCE = "insurance"
    ORGANISATION = "organisation"

    @property
    def label_vi(self) -> str:
        """As people call it."""
        return _KIND_LABELS[self]


_KIND_LABELS = {
    UnitKind.ADMINISTRATIVE: "đơn vị hành chính",
    UnitKind.AGENCY: "cơ quan chuyên môn",
    UnitKind.HEALTH_CENTRE: "trung tâm y tế",
    UnitKind.HEALTH_STATION: "trạm y tế",
    UnitKind.POLICE: "công an",
    UnitKind.MILITARY: "quân sự",
    UnitKind.PARTY: "cơ quan Đảng",
    UnitKind.FRONT: "Mặt trận Tổ quốc",
    UnitKind.UNION: "đoàn thể",
    UnitKind.INSURANCE: "bảo hiểm xã hội",
    UnitKind.ORGANISATION: "tổ chức khác",
}


class UnitError(ValueError):
    """A register of units that contradicts itself. `about`: the entries at fault, whose lines their reader knows."""

    def __init__(self, message: str, *about: Unit | Subordination) -> None:
        super().__init__(message)
        self.about = about


@dataclass(frozen=True, slots=True, order=True)
class UnitId:
    """Identity of a unit for ever."""

    code: UnitCode
    valid_from: date


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit during its validity (both days inclusive)."""

    code: UnitCode
    valid_from: date
    valid_to: date
    name: str
    level: str
    kind: UnitKind = UnitKind.ADMINISTRATIVE
    place: str = ""

    @property
    def id(self) -> UnitId:
        """Identity (code, valid_from)."""
        return UnitId(self.code, self.valid_from)

    @property
    def is_organisation(self) -> bool:
        """Whether it is placed in an administrative unit instead of being one."""
        return self.kind is not UnitKind.ADMINISTRATIVE


@dataclass(frozen=True, slots=True, order=True)
class Subordination:
    """`code` answers to `superior` on a line from one day to another, both inclusive. Ordered by line, code and day."""

    line: LineName
    code: UnitCode
    valid_from: date
    valid_to: date
    superior: UnitCode


class Units:
    """All units and lines of a catalogue, asked by day."""

    def __init__(self, units: Iterable[Unit], subordinations: Iterable[Subordination]) -> None:
        self._by_code: dict[UnitCode, tuple[Unit, ...]] = _grouped(units)
        self._superiors: dict[tuple[LineName, UnitCode], tuple[Subordination, ...]] = {}
        self._children: dict[tuple[LineName, UnitCode], tuple[Subordination, ...]] = {}
        upward: dict[tuple[LineName, UnitCode], list[Subordination]] = {}
        downward: dict[tuple[LineName, UnitCode], list[Subordination]] = {}
        for entry in sorted(subordinations, key=_line_code_day):
            upward.setdefault((entry.line, entry.code), []).append(entry)
            downward.setdefault((entry.line, entry.superior), []).append(entry)
        self._superiors = {key: tuple(entries) for key, entries in upward.items()}
        self._children = {key: tuple(entries) for key, entries in downward.items()}
        self.lines: frozenset[LineName] = frozenset(line for line, _ in self._superiors)
        self._check()

    def __iter__(self) -> Iterator[Unit]:
        for versions in self._by_code.values():
            yield from versions

    def __contains__(self, code: object) -> bool:
        return code in self._by_code

    def versions(self, code: UnitCode) -> tuple[Unit, ...]:
        """Every unit that ever bore `code`, oldest first."""
        return self._by_code.get(code, ())

    @cached_property
    def changes(self) -> list[date]:
        """Days on which any unit or line begins, or is over: between two of them the tree is one."""
        days = {unit.valid_from for unit in self}
        days |= {unit.valid_to + timedelta(days=1) for unit in self if unit.valid_to < OPEN}
        for entries in self._superiors.values():
            days |= {e.valid_from for e in entries}
            days |= {e.valid_to + timedelta(days=1) for e in entries if e.valid_to < OPEN}
        return sorted(days)

    @cached_property
    def levels(self) -> frozenset[str]:
        """The levels that any unit is of."""
        return frozenset(unit.level for unit in self)

    def unit(self, code: UnitCode, day: date) -> Unit | None:
        """The unit that bears `code` on `day`, or None."""
        for unit in self._by_code.get(code, ()):
            if unit.valid_from <= day <= unit.valid_to:
                return unit
        return None

    def superior(self, code: UnitCode, day: date, line: LineName = UBND) -> UnitCode | None:
        """The unit that `code` answers to on `line` that day; None for a root and for a unit outside the line."""
        entry = self._entry(line, code, day)
        return None if entry is None else entry.superior

    def _entry(self, line: LineName, code: UnitCode, day: date) -> Subordination | None:
        for entry in self._superiors.get((line, code), ()):
            if entry.valid_from <= day <= entry.valid_to:
                return entry
        return None

    def children(self, code: UnitCode, day: date, line: LineName = UBND) -> tuple[UnitCode, ...]:
        """Units that answer to `code` on `line` that day, by code."""
        entries = self._children.get((line, code), ())
        return tuple(entry.code for entry in entries if entry.valid_from <= day <= entry.valid_to)

    def has_children(self, code: UnitCode, day: date, line: LineName = UBND) -> bool:
        """Whether any unit answers to `code` on `line` that day."""
        return any(e.valid_from <= day <= e.valid_to for e in self._children.get((line, code), ()))

    def subtree(self, code: UnitCode, day: date, line: LineName = UBND) -> Iterator[UnitCode]:
        """`code` and everything below it that day, superiors before their children."""
        yield code
        for child in self.children(code, day, line):
            yield from self.subtree(child, day, line)

    def stands_on(self, line: LineName, code: UnitCode, day: date) -> bool:
        """Whether `code` has a superior or a unit below it on `line` that day.

        On the line of the People's Committees an administrative unit stands even alone.
        """
        if self.superior(code, day, line) is not None or self.has_children(code, day, line):
            return True
        unit = self.unit(code, day)
        return line == UBND and unit is not None and not unit.is_organisation

    def expected(self, code: UnitCode, day: date, line: LineName = UBND) -> bool:
        """Whether a unit without others below it is expected to report where no regime says who is.

        On the line of the People's Committees the places are. What an agency owes there only a regime can say.
        """
        unit = self.unit(code, day)
        return unit is not None and not (line == UBND and unit.is_organisation)

    def placed_in(self, place: UnitCode, day: date) -> tuple[Unit, ...]:
        """Organisations that lie in `place` that day, by code."""
        return tuple(u for u in self._placed.get(place, ()) if u.valid_from <= day <= u.valid_to)

    @cached_property
    def _placed(self) -> Mapping[UnitCode, Sequence[Unit]]:
        placed: dict[UnitCode, list[Unit]] = {}
        for unit in self:
            if unit.is_organisation:
                placed.setdefault(UnitCode(unit.place), []).append(unit)
        return {place: sorted(units, key=lambda u: u.id) for place, units in placed.items()}

    def superiors_of(self, line: LineName, code: UnitCode) -> tuple[Subordination, ...]:
        """All entries of `code` on `line`, oldest first."""
        return self._superiors.get((line, code), ())

    def children_of(self, line: LineName, code: UnitCode) -> tuple[Subordination, ...]:
        """All entries under `code` on `line`, by child and day."""
        return self._children.get((line, code), ())

    def _check(self) -> None:
        for code, versions in self._by_code.items():
            for earlier, later in pairwise(versions):
                if later.valid_from <= earlier.valid_to:
                    raise UnitError(f"unit {code}: valid from {later.valid_from} while an earlier one still is", later)
            for unit in versions:
                if unit.is_organisation:
                    self._check_organisation(unit)
        for (line, code), entries in self._superiors.items():
            for earlier_entry, later_entry in pairwise(entries):
                if later_entry.valid_from <= earlier_entry.valid_to:
                    raise UnitError(
                        f"unit {code}: two superiors on line {line} on {later_entry.valid_from}", later_entry
                    )
            for entry in entries:
                if entry.valid_to < entry.valid_from:
                    raise UnitError(f"unit {code}: line {line} to {entry.valid_to}, before {entry.valid_from}", entry)
                for role, bearer in (("unit", entry.code), ("superior", entry.superior)):
                    if not self._covers(bearer, entry.valid_from, entry.valid_to):
                        raise UnitError(
                            f"line {line}: {role} {bearer} is not in force {span(entry.valid_from, entry.valid_to)} "
                            "without a gap",
                            entry,
                        )
        self._check_no_circle()

    def _check_organisation(self, unit: Unit) -> None:
        """Its code is an electronic identification code, and it lies in a place that is there as long as it is."""
        if not _IDENTIFICATION_CODE.fullmatch(unit.code):
            raise UnitError(
                f"unit {unit.code}: not an electronic identification code such as H35.26.01 (QĐ 20/2020/QĐ-TTg)", unit
            )
        place = UnitCode(unit.place)
        if not place or not self._covers(place, unit.valid_from, unit.valid_to):
            when = span(unit.valid_from, unit.valid_to)
            message = f"unit {unit.code}: its place {place or '(none)'} is not in force {when} without a gap"
            raise UnitError(message, unit)
        if any(bearer.is_organisation for bearer in self._by_code[place]):
            raise UnitError(f"unit {unit.code}: its place {place} is itself an organisation", unit)

    def _covers(self, code: UnitCode, first: date, last: date) -> bool:
        day = first
        for unit in self._by_code.get(code, ()):
            if unit.valid_from <= day <= unit.valid_to:
                if unit.valid_to >= last:
                    return True
                day = unit.valid_to + timedelta(days=1)
        return False

    def _check_no_circle(self) -> None:
        for line, code in self._superiors:
            for start in self._superiors[line, code]:
                seen = {code: start}
                above = start
                while (following := self._entry(line, above.superior, start.valid_from)) is not None:
                    if following.code in seen:
                        circle = [*seen.values()][[*seen].index(following.code) :]
                        message = f"line {line}: unit {following.code} is its own superior on {start.valid_from}"
                        raise UnitError(message, *circle)
                    seen[following.code] = following
                    above = following


_line_code_day = attrgetter("line", "code", "valid_from", "valid_to", "superior")
"""The order of subordinations, without a call of Python for each of 10^5 comparisons: every process reads all units."""


def _grouped(units: Iterable[Unit]) -> dict[UnitCode, tuple[Unit, ...]]:
    grouped: dict[UnitCode, list[Unit]] = {}
    for unit in units:
        if unit.valid_to < unit.valid_from:
            raise UnitError(f"unit {unit.code}: valid to {unit.valid_to}, before {unit.valid_from}", unit)
        grouped.setdefault(unit.code, []).append(unit)
    return {code: tuple(sorted(group, key=lambda u: u.valid_from)) for code, group in grouped.items()}


def span(first: date, last: date) -> str:
    """From when to when, for messages."""
    return f"from {first} on" if last == OPEN else f"from {first} to {last}"


def names(units: Units, codes: Iterable[UnitCode], day: date) -> Mapping[UnitCode, str]:
    """Names in force on `day`, the code itself where none is."""
    found = {code: units.unit(code, day) for code in codes}
    return {code: unit.name if unit else str(code) for code, unit in found.items()}
