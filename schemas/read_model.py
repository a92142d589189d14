"""The port through which pages, exports and the command line read figures, and the plain values it answers with.

The middle rooms never import one another, so the protocol lives here; `consumers/read_model` implements it on SQLite
and `deploy/` hands it in. Every number comes with its coverage, and as-of is a query (design decisions 21, 22).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Protocol

from schemas.act import ObligationDecided, PeriodLocked, ReportApproved, ReportReturned
from schemas.catalogue import Catalogue
from schemas.figure import Slot
from schemas.form import Form, FormId
from schemas.period import Period, PeriodText, PeriodType
from schemas.receipt import Receipt
from schemas.report import Digest, Kind, Millis, Revision, Scope, Series, Source
from schemas.unit import UBND, LineName, Unit, UnitCode


class ReadModelError(Exception):
    """A question that has no answer; one line for people."""


class UnknownUnit(ReadModelError):
    """No unit of the catalogue ever bore this code."""


class UnknownForm(ReadModelError):
    """The catalogue has no form of this name."""


class OverlappingPeriods(ReadModelError):
    """A sum over periods that share days would count these twice."""


class NotReady(ReadModelError):
    """The database is not there yet, or has not read a catalogue yet."""


class Axis(StrEnum):
    """Which time as-of means: the broker's at acceptance, or the sender's at issue."""

    ACCEPTED = "accepted"
    ISSUED = "issued"


class RowKind(StrEnum):
    """A unit's own report, or its total: that plus everything below it. A leaf's total is its own report."""

    OWN = "own"
    TOTAL = "total"


@dataclass(frozen=True, slots=True)
class FigureQuery:
    """Figures of one unit and form. `first` and `last` are days, inclusive: periods that lie between them.

    `of`: only periods of this type; `period`: only this one. `sum`: one table over these periods instead of one each;
    they must not overlap. `children`: the unit's children as counted, and its own report, instead of itself. `as_of`
    (inclusive, None: the present) is read on `axis`.
    """

    unit: UnitCode
    form: FormId
    first: date | None = None
    last: date | None = None
    kind: RowKind = RowKind.TOTAL
    sum: bool = False
    children: bool = False
    as_of: Millis | None = None
    axis: Axis = Axis.ACCEPTED
    line: LineName = UBND
    scope: Scope = Scope.OWN
    of: PeriodType | None = None
    period: PeriodText | None = None


@dataclass(frozen=True, slots=True)
class FigureRow:
    """One line of `figures` (contract 8).

    `period` is a period's text, or `FROM/TO` of a sum. `dims` are all empty texts for a nil and for coverage 0, where
    `measures` are all 0 or all None. `version` is `epoch:version`, empty for leaves, sums, own reports and as-of.
    """

    unit: UnitCode
    form: FormId
    period: str
    kind: RowKind
    dims: tuple[str, ...]
    measures: tuple[int | None, ...]
    units_reported: int
    version: str


@dataclass(frozen=True, slots=True)
class Figures:
    """The answer to a FigureQuery.

    Columns are those of `form`, the version in force on the newest period's last day; other versions map by name.
    """

    form: Form
    rows: Sequence[FigureRow]


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many of the expected units a figure holds, and who is missing by name.

    `expected` are those of `unit` and below that regimes ask for this form and period, places and agencies, without who
    was exempted; where no regime is about the form that day (`by_regime` False), the units without children. By when
    they owe it is an obligation (`schemas/obligations.py`). `reported` (nil and entered included) may exceed it: who is
    not asked may report too. A withdrawn report is missing. Without `as_of` the counts are those of the published
    total, `missing` and `expected` of the present reports.
    """

    unit: Unit
    form: FormId
    period: PeriodText
    reported: int
    nil: int
    entered: int
    expected: tuple[Unit, ...]
    missing: tuple[Unit, ...]
    first_accepted: Millis | None
    newest_accepted: Millis | None
    version: str
    as_of: Millis | None = None
    by_regime: bool = False


@dataclass(frozen=True, slots=True)
class OwnRevision:
    """One accepted report of a series as it was admitted; `standing`: the one that counts now for its unit."""

    unit: UnitCode
    form: FormId
    line: LineName
    scope: Scope
    period: PeriodText
    slot: Slot
    revision: Revision
    kind: Kind
    source: Source
    accepted_at: Millis
    issued_at: Millis
    entered_by: str
    kid: str
    digest: Digest
    rows: tuple[tuple[tuple[str, ...], tuple[int | None, ...]], ...]
    """Dimensions and measures, in the columns of the form version in force on the period's last day."""
    standing: bool


@dataclass(frozen=True, slots=True)
class SeriesHead:
    """The highest accepted revision of a series, and the digest of its content."""

    revision: Revision
    digest: Digest
    source: Source


@dataclass(frozen=True, slots=True)
class Arrival:
    """That an accepted report of a series came, and when; its numbers left out."""

    unit: UnitCode
    period: PeriodText
    slot: Slot
    revision: Revision
    source: Source
    kind: Kind
    accepted_at: Millis
    issued_at: Millis
    entered_by: str

    def came_at(self, axis: Axis) -> Millis:
        """When it came, on an axis."""
        return self.accepted_at if axis is Axis.ACCEPTED else self.issued_at


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision on an obligation: what it says, and its broker's and its author's time."""

    about: ObligationDecided
    recorded_at: Millis
    issued_at: Millis

    def made_at(self, axis: Axis) -> Millis:
        """When it was made, on an axis."""
        return self.recorded_at if axis is Axis.ACCEPTED else self.issued_at


@dataclass(frozen=True, slots=True)
class Approval:
    """A report approved by a superior, or no longer: what it says, its broker's and author's time."""

    about: ReportApproved
    recorded_at: Millis
    issued_at: Millis


@dataclass(frozen=True, slots=True)
class Lock:
    """A period locked by a superior, or no longer: what it says, its broker's and author's time."""

    about: PeriodLocked
    recorded_at: Millis
    issued_at: Millis


@dataclass(frozen=True, slots=True)
class Return:
    """A report returned for correction, or such a return taken back: what it says, its broker's and author's time."""

    about: ReportReturned
    recorded_at: Millis
    issued_at: Millis

    def made_at(self, axis: Axis) -> Millis:
        """When it was made, on an axis."""
        return self.recorded_at if axis is Axis.ACCEPTED else self.issued_at


@dataclass(frozen=True, slots=True)
class CountedLink:
    """One level on a report's way up. `version` is that of the unit's total now, empty where it has none yet."""

    unit: UnitCode
    name: str
    level: str
    counted: bool
    version: str


@dataclass(frozen=True, slots=True)
class RejectedReport:
    """One record of `rejected`, without its bytes. `key` is the record's key as text, usually the unit's code."""

    source: Source
    key: str
    reason: str
    field: str
    detail_vi: str
    detail_en: str
    accepted_at: Millis


@dataclass(frozen=True, slots=True)
class FormPeriods:
    """What there is of a form on a line: periods with at least one report, oldest first."""

    form: FormId
    line: LineName
    periods: tuple[Period, ...]


@dataclass(frozen=True, slots=True)
class StoredOffset:
    """How far the read model has come in one partition: `next` is the first offset not yet stored.

    `time` is the broker's of the newest stored record, None before the first.
    """

    topic: str
    partition: int
    next: int
    time: Millis | None


@dataclass(frozen=True, slots=True)
class StandingCheck:
    """The fold of own reports against the ledger's totals. `waiting`: not compared, the total is still on its way."""

    compared: int
    differing: int
    waiting: int
    differences: tuple[str, ...]
    """The first ones, in words."""


class ReadModel(Protocol):
    """Read-only questions; each is answered from one consistent state of the database.

    Raises UnknownUnit, UnknownForm, OverlappingPeriods, NotReady. Usable from one thread at a time.
    """

    def catalogue(self) -> Catalogue:
        """The newest catalogue released: units, names, forms, code lists."""

    def figures(self, query: FigureQuery) -> Figures:
        """Figures by period and dimensions (contract 8). A unit that never reported has no line."""

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
        """Coverage of one unit's total. Never reported: `reported` 0 and everybody missing."""

    def form_periods(self) -> tuple[FormPeriods, ...]:
        """Forms and periods that have data, by form and line."""

    def history(
        self, unit: UnitCode, form: FormId, period: PeriodText, line: LineName = UBND, scope: Scope = Scope.OWN
    ) -> tuple[OwnRevision, ...]:
        """All accepted revisions of a series, own and entered, by acceptance."""

    def heads(self, series: Sequence[Series]) -> list[SeriesHead | None]:
        """The highest accepted revision of each series, None where nothing was accepted; no series is unknown."""

    def arrivals(
        self,
        form: FormId,
        line: LineName,
        periods: Collection[PeriodText],
        units: Collection[UnitCode],
        scope: Scope = Scope.OWN,
    ) -> Sequence[Arrival]:
        """What came of these series, whatever became of it later."""

    def decisions(self) -> Sequence[Decision]:
        """All decisions on obligations, in the order of the log."""

    def returns(self) -> Sequence[Return]:
        """All returns for correction, in the order of the log."""

    def approvals(self, unit: UnitCode) -> Sequence[Approval]:
        """All approvals of a unit's reports, in the order of the log."""

    def locks(self, form: FormId, line: LineName, period: PeriodText) -> Sequence[Lock]:
        """All locks of a period of a form, in the order of the log."""

    def counted_up_to(self, source: Source) -> tuple[CountedLink, ...]:
        """The units above an accepted report, lowest first, and whether each one's total covers it, link by link.

        A unit with children that reports itself is its own first link. Empty for a source that is no accepted report,
        and for a claim, which is never added.
        """

    def receipts(self, unit: UnitCode | None = None, limit: int | None = None) -> Sequence[Receipt]:
        """The standing receipt of each source, newest acceptance first; of one unit, or of all."""

    def receipt(self, source: Source) -> Receipt | None:
        """The standing receipt of one record of `reports`; None while there is none, or no more (kept for 90 days)."""

    def receipts_after(
        self, unit: UnitCode, accepted_at: Millis, after: Source | None = None, limit: int = 500
    ) -> Sequence[Receipt]:
        """Standing receipts of a unit, oldest first: from that moment on, `after` left out with all before it.

        One moment may have many; they come by source, so that whoever reads in parts misses and repeats none.
        """

    def rejections(self, unit: UnitCode | None = None, limit: int | None = None) -> Sequence[RejectedReport]:
        """Rejected records, newest first; of those with this key, or all."""

    def freshness(self) -> tuple[StoredOffset, ...]:
        """How far each partition has been stored, by topic and partition. Topics without the settings' prefix."""

    def standing_check(self, form: FormId | None = None) -> StandingCheck:
        """Compare the fold of own reports at the present with the ledger's totals, where these cover the reports."""

    def close(self) -> None:
        """Give the database back."""
