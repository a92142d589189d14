"""How far up a report has been counted, link by link (design decision 21).

A superior's total covers a contribution when its version is at least the first offset at which that contribution stands
in `figures`; the total itself then stands at an offset of its own, which the next superior has to cover. Versions and
offsets are compared with their epoch in front: offsets of an older epoch say nothing about the new one.
"""

from __future__ import annotations

import sqlite3

from schemas.catalogue import Catalogue
from schemas.figure import ScopeCode
from schemas.period import parse_period
from schemas.precedence import Outcome
from schemas.read_model import CountedLink
from schemas.report import Source
from schemas.unit import LineName, UnitCode

_SOURCE = """SELECT o.page, o.unit, o.epoch, o.figures_offset, p.line, p.period, r.outcome
FROM own o JOIN pages p ON p.page = o.page
LEFT JOIN receipts r ON r.source_partition = o.source_partition AND r.source_offset = o.source_offset
WHERE o.source_partition = ? AND o.source_offset = ? AND p.scope = ?"""
_FIRST_COVERING = """SELECT epoch, min(figures_offset) FROM emissions
WHERE page = ? AND unit = ? AND (epoch, version) >= (?, ?) GROUP BY epoch ORDER BY epoch LIMIT 1"""


def links(connection: sqlite3.Connection, catalogue: Catalogue, source: Source) -> tuple[CountedLink, ...]:
    """One link per unit above the report, lowest first. Empty for a source that is not counted by itself."""
    row = connection.execute(_SOURCE, (source.partition, source.offset, int(ScopeCode.OWN))).fetchone()
    if row is None or row[6] not in (None, Outcome.ACCEPTED.value):
        return ()
    page, code, epoch, offset = row[:4]
    line, day = LineName(row[4]), parse_period(row[5]).last_day
    units = catalogue.units
    superior = units.superior(UnitCode(code), day, line)
    here: UnitCode | None = UnitCode(code) if units.has_children(code, day, line) else superior or UnitCode(code)
    needed: tuple[int, int] | None = (epoch, offset)
    found: list[CountedLink] = []
    while here is not None:
        total = connection.execute(
            "SELECT epoch, version FROM totals WHERE page = ? AND unit = ?", (page, here)).fetchone()  # fmt: skip
        counted = total is not None and needed is not None and tuple(total) >= needed
        unit = units.unit(here, day)
        found.append(
            CountedLink(here, unit.name if unit else "", unit.level if unit else "", counted,
                        f"{total[0]}:{total[1]}" if total else ""))  # fmt: skip
        needed = connection.execute(_FIRST_COVERING, (page, here, *needed)).fetchone() if counted and needed else None
        here = units.superior(here, day, line)
    return tuple(found)
