"""What stands: of each unit's accepted reports on a page, the one that counts, now or as of a moment.

The fold of own rows behind every as-of figure (design decision 22). Within a slot SQL's max() over `rank` is
`schemas.precedence.rank`; between the slots the own report counts unless it is empty or withdrawn, then the entered one
(contract 2).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from schemas.figure import ScopeCode, Slot, State, day_of, days_since_1970
from schemas.form import FormId
from schemas.read_model import Axis
from schemas.report import Millis
from schemas.unit import LineName

_MANY = 400
"""Above so many units pages are read whole: a seek for each would cost more then."""

_STANDING = """SELECT page, unit, slot, state, accepted_at, form_version, "values", given, dims, max(rank)
FROM own WHERE page IN (SELECT value FROM json_each(:pages)){units}{moment}
GROUP BY page, unit, valid_from, slot"""
"""With max(), SQLite takes the other columns from the row that has it (its documentation of SELECT, 2.5)."""
_UNITS = " AND unit IN (SELECT value FROM json_each(:units))"


class Contribution(NamedTuple):
    """One unit's standing report on a page, or a stored total: who, what state, and the packed table."""

    unit: str
    slot: int
    state: int
    accepted_at: int
    form_version: bytes
    values: bytes
    given: bytes
    dims: str


class About(NamedTuple):
    """What all pages of a form on a line have in common."""

    form: FormId
    scope: ScopeCode
    line: LineName


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a form: its number in the database and its days."""

    page: int
    form: FormId
    scope: ScopeCode
    line: LineName
    period: str
    first_day: date
    last_day: date


@dataclass(frozen=True, slots=True)
class Moment:
    """As of when, inclusive, on which axis."""

    as_of: Millis | None = None
    axis: Axis = Axis.ACCEPTED


def pages(
    connection: sqlite3.Connection, about: About, first: date | None = None, last: date | None = None
) -> list[Page]:
    """The pages of a form whose days lie between `first` and `last`, oldest first."""
    rows = connection.execute(
        "SELECT page, period, first_day, last_day FROM pages WHERE form = ? AND scope = ? AND line = ? "
        "AND first_day >= ? AND last_day <= ? ORDER BY first_day, last_day, period",
        (*about, days_since_1970(first or date.min), days_since_1970(last or date.max)),
    )
    return [Page(page, *about, period, day_of(begin), day_of(end)) for page, period, begin, end in rows]


def standing(
    connection: sqlite3.Connection,
    page: Page,
    units: Collection[str],
    moment: Moment,
) -> dict[str, Contribution]:
    """By unit, what stands on a page among `units`. A withdrawn report is there, in that state; an empty slot is not.

    On a page a code is one unit: the one that bears it on the period's last day.
    """
    return standing_on(connection, (page,), units, moment).get(page.page, {})


def standing_on(
    connection: sqlite3.Connection,
    over: Sequence[Page],
    units: Collection[str],
    moment: Moment,
) -> dict[int, dict[str, Contribution]]:
    """The same for many pages, by page number, in one statement. Pages without any such report are left out."""
    filtered = len(units) <= _MANY
    column = "accepted_at" if moment.axis is Axis.ACCEPTED else "issued_at"
    statement = _STANDING.format(
        units=_UNITS if filtered else "", moment="" if moment.as_of is None else f" AND {column} <= :as_of"
    )
    parameters: dict[str, object] = {"pages": json.dumps([page.page for page in over]), "as_of": moment.as_of}
    if filtered:
        parameters["units"] = json.dumps(sorted(units))
    found: dict[int, dict[str, Contribution]] = {}
    for page, *columns, _ in connection.execute(statement, parameters):
        new = Contribution._make(columns)
        if filtered or new.unit in units:
            on_page = found.setdefault(page, {})
            known = on_page.get(new.unit)
            on_page[new.unit] = new if known is None else _counting(known, new)
    return found


def _counting(one: Contribution, other: Contribution) -> Contribution:
    own, entered = (one, other) if one.slot == Slot.OWN else (other, one)
    return entered if own.state == State.WITHDRAWAL and entered.state != State.WITHDRAWAL else own
