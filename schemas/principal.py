"""Principals: accounts that people and programs without a signing key report under, and what each may do.

Default deny: an account may do what a binding in force says and nothing else. Bindings are acts, so ingest judges what
a gateway attested by the log alone, as the gateway did before it (design decision 15). An account's name goes into
reports, which are kept for ever: it names an office (`03390-vp-1`), never a person.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import NewType

from schemas.form import FormId
from schemas.unit import OPEN, LineName, UnitCode, Units

PrincipalName = NewType("PrincipalName", str)

ALL_FORMS = "*"
ALL_UNITS = UnitCode("*")
"""Of a gateway that serves everybody."""
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,62}[a-z0-9])?", re.ASCII)


class Role(StrEnum):
    """Closed list of what an account is there for."""

    CLERK = "clerk"
    APPROVER = "approver"
    SUPERIOR = "superior"
    SUPERVISOR = "supervisor"
    OPERATOR = "operator"


SUBMITTING = frozenset({Role.CLERK, Role.APPROVER, Role.SUPERIOR})
"""Roles that report for their own unit."""
_OVERSEEING = frozenset({Role.SUPERIOR, Role.SUPERVISOR})
"""Roles that read everything below their unit."""


@dataclass(frozen=True, slots=True, order=True)
class Binding:
    """An account may act in a role for a unit, on some forms, from one day to another (inclusive, Vietnamese days)."""

    unit: UnitCode
    role: Role
    forms: tuple[str, ...] = (ALL_FORMS,)
    valid_from: date = date.min
    valid_to: date = OPEN

    def in_force(self, day: date) -> bool:
        """Whether it counts on that day."""
        return self.valid_from <= day <= self.valid_to

    def covers(self, form: FormId) -> bool:
        """Whether it is about that form."""
        return ALL_FORMS in self.forms or form in self.forms


def is_name(text: str) -> bool:
    """Whether an account may be called so: lower-case letters, digits, dots and hyphens, at most 64."""
    return _NAME.fullmatch(text) is not None


def may_submit(bindings: Iterable[Binding], sender: UnitCode, form: FormId, day: date, *, for_other: bool) -> bool:
    """Whether an account may let `sender` report on a form; `for_other`: for a unit below it (nhập hộ)."""
    roles = frozenset({Role.SUPERIOR}) if for_other else SUBMITTING
    return any(b.unit == sender and b.role in roles and b.covers(form) and b.in_force(day) for b in bindings)


def may_decide(bindings: Iterable[Binding], by: UnitCode, form: FormId | None, day: date) -> bool:
    """Whether an account may decide for `by` about those below it; `form` None: not known here."""
    return any(
        b.unit == by and b.role is Role.SUPERIOR and b.in_force(day) and (form is None or b.covers(form))
        for b in bindings
    )  # fmt: skip


def may_read(bindings: Iterable[Binding], units: Units, unit: UnitCode, day: date) -> bool:
    """Whether an account may read what a unit reported and what became of it.

    Those who report read their own unit, those who oversee also whatever was below theirs at any time, an operator all.
    """
    return any(
        b.in_force(day)
        and (b.role is Role.OPERATOR or b.unit == unit or (b.role in _OVERSEEING and ever_below(units, unit, b.unit)))
        for b in bindings
    )


def ever_below(units: Units, unit: UnitCode, above: UnitCode, line: LineName | None = None) -> bool:
    """Whether `unit` is or ever was below `above`, on a line or on any."""
    lines = units.lines if line is None else (line,)
    for one in lines:
        seen: set[UnitCode] = set()
        waiting = [unit]
        while waiting:
            for entry in units.superiors_of(one, waiting.pop()):
                if entry.superior == above:
                    return True
                if entry.superior not in seen:
                    seen.add(entry.superior)
                    waiting.append(entry.superior)
    return False
