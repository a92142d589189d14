"""A send: what a unit wants to say at one moment, before it has a revision and a signature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from schemas.form import Form
from schemas.period import PeriodText
from schemas.report import Header, Kind, Millis, Report, Revision, Row, Scope, Series
from schemas.unit import UBND, LineName, UnitCode


@dataclass(frozen=True, slots=True)
class Send:
    """One whole table, or nil, or withdrawal. Known by (series, issued_at), so a repeated import is the same sends.

    `where` names its place in the input ("line 12") for messages. `rows` carry the columns of `form`. `principal` is
    the account that a gateway attests it for; `traceparent` and `request_id` travel with the record, unsigned.
    """

    form: Form
    unit: UnitCode
    period: PeriodText
    kind: Kind
    issued_at: Millis
    rows: Sequence[Row] = ()
    entered_by: UnitCode | None = None
    line: LineName = UBND
    scope: Scope = Scope.OWN
    narrative: Mapping[str, str] | None = None
    where: str = ""
    principal: str | None = None
    traceparent: str | None = None
    request_id: str | None = None

    @property
    def sender(self) -> UnitCode:
        """Whose outbox and key it goes through."""
        return self.entered_by or self.unit

    @property
    def series(self) -> Series:
        """What its revision counts within."""
        return Series(self.line, self.unit, self.form.id, self.period, self.entered_by, self.scope)

    def report(self, revision: Revision, sequence: int) -> Report:
        """The report that is signed. `unit_name` stays null: a name in a file may be stale, a code is not."""
        header = Header(
            unit=self.unit,
            period=self.period,
            kind=self.kind,
            revision=revision,
            sequence=sequence,
            issued_at=self.issued_at,
            line=self.line,
            scope=self.scope,
            entered_by=self.entered_by,
            principal=self.principal,
        )
        return Report(self.form.id, header, self.rows, self.narrative)
