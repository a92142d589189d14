"""What obligations are judged by: which reports came when, and what was decided about them."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator

from schemas.act import Decided, ObligationDecided, PeriodLocked, ReportApproved, ReportReturned
from schemas.figure import ScopeCode, Slot, State
from schemas.form import FormId
from schemas.period import PeriodText
from schemas.read_model import Approval, Arrival, Decision, Lock, Return
from schemas.report import Kind, Millis, Offset, Revision, Source
from schemas.unit import LineName, UnitCode

_MANY = 400
"""Above so many units a page is read whole, as in `standing`."""

KINDS = {State.REPORT: Kind.REPORT, State.NIL: Kind.NIL, State.WITHDRAWAL: Kind.WITHDRAWAL}

_ARRIVALS = """SELECT own.unit, slot, revision, source_partition, source_offset, state, accepted_at, issued_at,
    entered_by
FROM own JOIN pages ON own.page = pages.page
WHERE pages.form = ? AND pages.scope = ? AND pages.line = ? AND pages.period = ?"""
_DECISIONS = """SELECT regime, unit, period, decided, until, by_unit, reason, recorded_at, issued_at
FROM decisions ORDER BY recorded_at, acts_partition, acts_offset"""
_RETURNS = """SELECT source_partition, source_offset, unit, until, by_unit, reason, recorded_at, issued_at
FROM returns ORDER BY recorded_at, acts_partition, acts_offset"""

_APPROVALS = """SELECT source_partition, source_offset, unit, approved, by_unit, reason, recorded_at, issued_at
FROM approvals WHERE unit = ? ORDER BY recorded_at, acts_partition, acts_offset"""
_LOCKS = """SELECT form, line, unit, period, locked, reason, recorded_at, issued_at
FROM locks WHERE form = ? AND line = ? AND period = ? ORDER BY recorded_at, acts_partition, acts_offset"""


def arrivals(
    connection: sqlite3.Connection,
    form: FormId,
    line: LineName,
    periods: Collection[PeriodText],
    units: Collection[UnitCode],
    scope: ScopeCode = ScopeCode.OWN,
) -> Iterator[Arrival]:
    """Every accepted report of these series, period by period."""
    few = len(units) <= _MANY
    wanted = sorted(units)
    statement = _ARRIVALS + (f" AND own.unit IN ({', '.join('?' * len(wanted))})" if few else "")
    for period in periods:
        parameters = (form, scope, line, period, *(wanted if few else ()))
        for unit, slot, revision, partition, offset, state, accepted, issued, by in connection.execute(
            statement, parameters
        ):
            if few or unit in units:
                yield Arrival(
                    unit, period, Slot(slot), Revision(revision), Source(partition, Offset(offset)),
                    KINDS[State(state)], Millis(accepted), Millis(issued), by,
                )  # fmt: skip


def decisions(connection: sqlite3.Connection) -> Iterator[Decision]:
    """All decisions on obligations, in the order of the log."""
    for regime, unit, period, decided, until, by, reason, recorded, issued in connection.execute(_DECISIONS):
        about = ObligationDecided(
            regime, unit, period, Decided(decided), None if until is None else Millis(until), by, reason
        )
        yield Decision(about, Millis(recorded), Millis(issued))


def returns(connection: sqlite3.Connection) -> Iterator[Return]:
    """All returns for correction, in the order of the log."""
    for partition, offset, unit, until, by, reason, recorded, issued in connection.execute(_RETURNS):
        about = ReportReturned(
            Source(partition, Offset(offset)), unit, None if until is None else Millis(until), by, reason
        )
        yield Return(about, Millis(recorded), Millis(issued))


def approvals(connection: sqlite3.Connection, unit: UnitCode) -> Iterator[Approval]:
    """All approvals of a unit's reports, in the order of the log."""
    for partition, offset, code, approved, by, reason, recorded, issued in connection.execute(_APPROVALS, (unit,)):
        about = ReportApproved(Source(partition, Offset(offset)), code, bool(approved), by, reason)
        yield Approval(about, Millis(recorded), Millis(issued))


def locks(connection: sqlite3.Connection, form: FormId, line: LineName, period: PeriodText) -> Iterator[Lock]:
    """All locks of a period of a form, in the order of the log."""
    for *named, locked, reason, recorded, issued in connection.execute(_LOCKS, (form, line, period)):
        form_id, line_name, unit, text = named
        about = PeriodLocked(FormId(form_id), LineName(line_name), unit, PeriodText(text), bool(locked), reason)
        yield Lock(about, Millis(recorded), Millis(issued))
