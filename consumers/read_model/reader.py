"""The read model as others ask it: `schemas.read_model.ReadModel` on a read-only connection.

Each answer comes from one transaction, so figures, coverage and names belong together whatever the writer does in the
meantime. Nothing here writes.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from weakref import WeakSet

from consumers.read_model.answers import Answer, entered, form_for
from consumers.read_model.arrivals import KINDS, approvals, arrivals, decisions, locks, returns
from consumers.read_model.checking import check
from consumers.read_model.database import damage_as_not_ready, files_of, open_reader
from consumers.read_model.expected import asked_of
from consumers.read_model.filling import has_log, is_behind_itself, is_filling
from consumers.read_model.links import links
from consumers.read_model.standing import About, Contribution, Moment, Page, pages, standing
from consumers.read_model.trees import Trees
from schemas.catalogue import Catalogue
from schemas.figure import ScopeCode, Slot, State, unpack_table
from schemas.form import Fingerprint, FormId
from schemas.period import PeriodError, PeriodText, parse_period
from schemas.precedence import Outcome
from schemas.read_model import (
    Approval,
    Arrival,
    Axis,
    CountedLink,
    Coverage,
    Decision,
    FigureQuery,
    Figures,
    FormPeriods,
    Lock,
    NotReady,
    OwnRevision,
    ReadModelError,
    RejectedReport,
    Return,
    SeriesHead,
    StandingCheck,
    StoredOffset,
    UnknownUnit,
)
from schemas.receipt import Receipt
from schemas.report import Digest, Millis, Offset, Revision, Scope, Series, Source
from schemas.unit import UBND, LineName, Unit, UnitCode

_SCOPES = {Scope.OWN: ScopeCode.OWN, Scope.SUBTREE: ScopeCode.SUBTREE}
_HISTORY = """SELECT slot, revision, state, source_partition, source_offset, accepted_at, issued_at, entered_by, kid,
    digest, form_version, "values", given, dims
FROM own WHERE page = ? AND unit = ? ORDER BY accepted_at, source_partition, source_offset"""
_RECEIPT = """SELECT unit, line, form, period, entered_by, revision, kid, digest, source_partition, source_offset,
    outcome, reason, field, detail, highest_revision, accepted_at, figures_offset FROM receipts """
_RECEIPTS = _RECEIPT + "{where} ORDER BY accepted_at DESC, source_partition, source_offset DESC LIMIT ?"
_RECEIPTS_AFTER = (
    _RECEIPT
    + """
WHERE unit = ? AND (accepted_at, source_partition, source_offset) > (?, ?, ?)
ORDER BY accepted_at, source_partition, source_offset LIMIT ?"""
)
_HEAD = """SELECT o.revision, o.digest, o.source_partition, o.source_offset FROM own o JOIN pages p ON p.page = o.page
WHERE p.form = ? AND p.scope = ? AND p.line = ? AND p.period = ? AND o.unit = ? AND o.slot = ?
ORDER BY o.revision DESC, o.source_partition, o.source_offset LIMIT 1"""
_REJECTIONS = """SELECT source_partition, source_offset, key, reason, field, detail_vi, detail_en, accepted_at
FROM rejections {where} ORDER BY accepted_at DESC, source_partition, source_offset DESC LIMIT ?"""


_OPENING = threading.Lock()
_OPEN: WeakSet[SqliteReadModel] = WeakSet()
"""The readers of this process that have a connection."""


class SqliteReadModel:
    """Questions to one database. Raises NotReady until the writer has made it.

    A database that was deleted and made anew (`rebuild`) is opened anew, so that a page outlives a rebuild; so is one
    whose write-ahead log was lost: SQLite would go on with the lost one, and answer for ever what was true then. All
    connections of a process to one file share the index of its log, so all are closed before the first is opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._asked = threading.Lock()
        self._files: tuple[int, ...] = ()
        self._connection: sqlite3.Connection | None = None
        self._catalogue: Catalogue | None = None
        self._trees: Trees | None = None

        self._follow()

    def close(self) -> None:
        """Give the database back."""
        with _OPENING:
            _OPEN.discard(self)
            self._let_go()

    def catalogue(self) -> Catalogue:
        """The newest catalogue released. Read from its bundle once, then remembered until there is a newer one."""
        with self._at_once():
            return self._current()[0]

    def figures(self, query: FigureQuery) -> Figures:
        """Figures by period and dimensions (contract 8)."""
        with self._at_once() as connection:
            return Answer(connection, *self._current(), query).figures()

    def coverage(
        self,
        unit: UnitCode,
        form: FormId,
        period: PeriodText,
        *,
        as_of: Millis | None = None,
        axis: Axis = Axis.ACCEPTED,
        line: LineName = UBND,
    ) -> Coverage:
        """Coverage of one unit's total, and the missing by name. Raises UnknownUnit also for a unit of other days."""
        with self._at_once() as connection:
            catalogue, trees = self._current()
            form_for(catalogue, form, ())
            last_day, moment = _last_day(period), Moment(as_of, axis)
            found_unit = _unit(catalogue, unit, last_day)
            subtree = trees.subtree(unit, line, last_day)
            asked = asked_of(connection, catalogue, trees, form, line, parse_period(period), unit, moment)
            codes = subtree.leaves if asked is None else sorted(asked)
            expected = tuple(one for code in codes if (one := catalogue.units.unit(code, last_day)) is not None)
            page = self._page(About(form, ScopeCode.OWN, line), period)
            found = standing(connection, page, subtree.codes, moment) if page else {}
            counting = {code: one for code, one in found.items() if one.state != State.WITHDRAWAL}
            counted = _counted(counting.values())
            version = ""
            if page is not None and as_of is None and not trees.is_leaf(unit, line, last_day):
                counted, version = self._stored_coverage(page, unit)
            reported, nil, by_others, first, newest = counted
            return Coverage(
                found_unit, form, period, reported, nil, by_others, expected,
                tuple(one for one in expected if one.code not in counting), Millis(first) if reported else None,
                Millis(newest) if reported else None, version, as_of, asked is not None)  # fmt: skip

    def form_periods(self) -> tuple[FormPeriods, ...]:
        """Forms and periods that have data, by form and line."""
        found: dict[tuple[str, str], list[str]] = {}
        with self._at_once() as connection:
            rows = connection.execute(
                "SELECT DISTINCT form, line, period, first_day, last_day FROM pages "
                "ORDER BY form, line, first_day, last_day"
            ).fetchall()
        for form, line, period, _, _ in rows:
            found.setdefault((form, line), []).append(period)
        return tuple(
            FormPeriods(FormId(form), LineName(line), tuple(parse_period(text) for text in texts))
            for (form, line), texts in found.items()
        )

    def history(
        self, unit: UnitCode, form: FormId, period: PeriodText, line: LineName = UBND, scope: Scope = Scope.OWN
    ) -> tuple[OwnRevision, ...]:
        """All accepted revisions of a series, own and entered, by acceptance."""
        with self._at_once() as connection:
            catalogue, _ = self._current()
            form_for(catalogue, form, ())
            _unit(catalogue, unit, _last_day(period))
            page = self._page(About(form, _SCOPES[scope], line), period)
            if page is None:
                return ()
            rows = connection.execute(_HISTORY, (page.page, unit)).fetchall()
            counts = standing(connection, page, (unit,), Moment()).get(unit)
            best = {slot: max((r for r in rows if r[0] == slot), key=lambda r: (r[1], -r[3], -r[4])) for slot in
                    {r[0] for r in rows}}  # fmt: skip
            return tuple(
                OwnRevision(
                    unit, form, line, scope, period, Slot(row[0]), Revision(row[1]), KINDS[State(row[2])],
                    Source(row[3], Offset(row[4])), Millis(row[5]), Millis(row[6]), row[7], row[8], Digest(row[9]),
                    _table(catalogue, *row[10:]), counts is not None and row[0] == counts.slot and row is best[row[0]],
                )
                for row in rows)  # fmt: skip

    def arrivals(
        self, form: FormId, line: LineName, periods: Collection[PeriodText], units: Collection[UnitCode],
        scope: Scope = Scope.OWN,
    ) -> Sequence[Arrival]:  # fmt: skip
        """What came of these series, by period."""
        with self._at_once() as connection:
            return tuple(arrivals(connection, form, line, periods, units, _SCOPES[scope]))

    def decisions(self) -> Sequence[Decision]:
        """All decisions on obligations, in the order of the log."""
        with self._at_once() as connection:
            return tuple(decisions(connection))

    def returns(self) -> Sequence[Return]:
        """All returns for correction, in the order of the log."""
        with self._at_once() as connection:
            return tuple(returns(connection))

    def approvals(self, unit: UnitCode) -> Sequence[Approval]:
        """All approvals of a unit's reports, in the order of the log."""
        with self._at_once() as connection:
            return tuple(approvals(connection, unit))

    def locks(self, form: FormId, line: LineName, period: PeriodText) -> Sequence[Lock]:
        """All locks of a period of a form, in the order of the log."""
        with self._at_once() as connection:
            return tuple(locks(connection, form, line, period))

    def counted_up_to(self, source: Source) -> tuple[CountedLink, ...]:
        """The units above an accepted report, lowest first, and whether each one's total covers it, link by link."""
        with self._at_once() as connection:
            return links(connection, self._current()[0], source)

    def heads(self, series: Sequence[Series]) -> list[SeriesHead | None]:
        """The highest accepted revision of each series."""
        with self._at_once() as connection:
            found = [connection.execute(_HEAD, _head_parameters(one)).fetchone() for one in series]
        return [
            None if row is None else SeriesHead(Revision(row[0]), Digest(row[1]), Source(row[2], Offset(row[3])))
            for row in found
        ]

    def receipts(self, unit: UnitCode | None = None, limit: int | None = None) -> Sequence[Receipt]:
        """The standing receipt of each source, newest acceptance first; of one unit, or of all."""
        where = "" if unit is None else "WHERE unit = ?"
        with self._at_once() as connection:
            rows = connection.execute(_RECEIPTS.format(where=where), _parameters(unit, limit)).fetchall()
        return [_receipt(*row) for row in rows]

    def receipt(self, source: Source) -> Receipt | None:
        """The standing receipt of one record of `reports`."""
        where = "WHERE source_partition = ? AND source_offset = ?"
        with self._at_once() as connection:
            row = connection.execute(_RECEIPTS.format(where=where), (source.partition, source.offset, 1)).fetchone()
        return None if row is None else _receipt(*row)

    def receipts_after(
        self, unit: UnitCode, accepted_at: Millis, after: Source | None = None, limit: int = 500
    ) -> Sequence[Receipt]:
        """Standing receipts of a unit from a moment on, oldest first."""
        place = (-1, -1) if after is None else (after.partition, after.offset)
        with self._at_once() as connection:
            rows = connection.execute(_RECEIPTS_AFTER, (unit, accepted_at, *place, limit)).fetchall()
        return [_receipt(*row) for row in rows]

    def rejections(self, unit: UnitCode | None = None, limit: int | None = None) -> Sequence[RejectedReport]:
        """Rejected records, newest first; of those with this key, or all."""
        where = "" if unit is None else "WHERE key = ?"
        with self._at_once() as connection:
            rows = connection.execute(_REJECTIONS.format(where=where), _parameters(unit, limit)).fetchall()
        return [RejectedReport(Source(partition, Offset(offset)), key, reason, field, vi, en, Millis(accepted_at))
                for partition, offset, key, reason, field, vi, en, accepted_at in rows]  # fmt: skip

    def freshness(self) -> tuple[StoredOffset, ...]:
        """How far each partition has been stored, by topic and partition."""
        with self._at_once(also_filling=True) as connection:
            rows = connection.execute(
                "SELECT topic, partition, next, time FROM positions ORDER BY topic, partition"
            ).fetchall()
        return tuple(StoredOffset(topic, partition, following, time) for topic, partition, following, time in rows)

    def standing_check(self, form: FormId | None = None) -> StandingCheck:
        """Compare the fold of own reports at the present with the ledger's totals, where these cover the reports."""
        with self._at_once() as connection:
            catalogue, trees = self._current()
            if form is not None:
                form_for(catalogue, form, ())
            return check(connection, catalogue, trees, form)

    @contextmanager
    def _at_once(self, *, also_filling: bool = False) -> Iterator[sqlite3.Connection]:
        log = has_log(self._path)
        connection = self._taken()
        try:
            connection.execute("BEGIN")
            try:
                with damage_as_not_ready(self._path):
                    behind = is_filling(connection) or is_behind_itself(connection, log=log)
                    if behind and not also_filling:
                        raise NotReady(
                            "the read model is being made from the log; it answers once all is counted again"
                        )
                    yield connection
            finally:
                connection.execute("ROLLBACK")
        finally:
            self._asked.release()

    def _taken(self) -> sqlite3.Connection:
        """The connection, for one question: `_asked` is held then."""
        while True:
            self._follow()
            self._asked.acquire()
            if self._connection is not None:
                return self._connection
            self._asked.release()  # another reader saw in between that the files are others

    def _follow(self) -> None:
        """Ask the files that are there now, whatever those that were opened have become."""
        with _OPENING:
            files = files_of(self._path)
            if files != self._files:
                for reader in [one for one in _OPEN if one._path == self._path]:
                    reader._let_go()
                self._connection = open_reader(self._path)
                self._files = files
                _OPEN.add(self)

    def _let_go(self) -> None:
        with self._asked:
            if self._connection is not None:
                self._connection.close()
            self._connection, self._files, self._catalogue = None, (), None

    def _current(self) -> tuple[Catalogue, Trees]:
        assert self._connection is not None
        row = self._connection.execute("SELECT epoch, serial FROM catalogue").fetchone()
        if row is None:
            raise NotReady("the read model has not read a catalogue yet")
        if self._catalogue is None or self._trees is None or (self._catalogue.epoch, self._catalogue.serial) < row:
            epoch, serial, bundle = self._connection.execute("SELECT epoch, serial, bundle FROM catalogue").fetchone()
            self._catalogue = Catalogue.from_bundle(bundle, epoch, serial)
            self._trees = Trees(self._catalogue.units)
        return self._catalogue, self._trees

    def _page(self, about: About, period: PeriodText) -> Page | None:
        day = parse_period(period)
        assert self._connection is not None
        found = pages(self._connection, about, day.first_day, day.last_day)
        return next((page for page in found if page.period == period), None)

    def _stored_coverage(self, page: Page, unit: UnitCode) -> tuple[tuple[int, int, int, int, int], str]:
        assert self._connection is not None
        row = self._connection.execute(
            "SELECT reported, nil, entered, first_accepted, newest_accepted, epoch, version FROM totals "
            "WHERE page = ? AND unit = ?", (page.page, unit)).fetchone()  # fmt: skip
        return ((0, 0, 0, -1, -1), "") if row is None else (row[:5], f"{row[5]}:{row[6]}")


def _counted(counting: Collection[Contribution]) -> tuple[int, int, int, int, int]:
    times = [one.accepted_at for one in counting]
    nil = sum(one.state == State.NIL for one in counting)
    return len(counting), nil, entered(counting), min(times, default=-1), max(times, default=-1)


def _last_day(period: PeriodText) -> date:
    try:
        return parse_period(period).last_day
    except PeriodError as error:
        raise ReadModelError(str(error)) from error


def _unit(catalogue: Catalogue, code: UnitCode, day: date) -> Unit:
    unit = catalogue.units.unit(code, day)
    if unit is None:
        raise UnknownUnit(f"no unit {code} in the catalogue on {day}")
    return unit


def _table(
    catalogue: Catalogue, version: bytes, values: bytes, given: bytes, dims: str
) -> tuple[tuple[tuple[str, ...], tuple[int | None, ...]], ...]:
    form = catalogue.form(Fingerprint(version))
    if form is None:
        raise ReadModelError(f"the read model's catalogue lacks form version {version.hex()}")
    return tuple(unpack_table(form, values, given, tuple(json.loads(dims))).items()) if values else ()


def _parameters(unit: UnitCode | None, limit: int | None) -> tuple[object, ...]:
    return (*(() if unit is None else (unit,)), -1 if limit is None else limit)


def _head_parameters(series: Series) -> tuple[object, ...]:
    slot = Slot.ENTERED if series.entered_by else Slot.OWN
    return series.form, int(_SCOPES[series.scope]), series.line, series.period, series.unit, int(slot)


def _receipt(
    unit: str, line: str, form: str, period: str, entered_by: str, revision: int, kid: str, digest: bytes,
    partition: int, offset: int, outcome: str, reason: str, field: str, detail: str, highest: int, accepted_at: int,
    figures_offset: int,
) -> Receipt:  # fmt: skip
    return Receipt(
        unit, line, form, period, entered_by, Revision(revision), kid, Digest(digest),
        Source(partition, Offset(offset)), Outcome(outcome), reason, field, detail, Revision(highest),
        Millis(accepted_at), Offset(figures_offset),
    )  # fmt: skip
