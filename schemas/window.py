"""Windows: from which moment to which a period's report counts events (thời gian chốt số liệu).

A window is the regime's, never the period's name: with the cut-off 17:30 the report of 13/12 counts what happened from
17:30 on 12/12 to before 17:30 on 13/12. An event after the cut-off belongs to the next report and keeps its own day, so
that no event falls between two reports and none is counted in both.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo

from schemas.period import Period, PeriodType, period_holding

MIDNIGHT = time()
"""As a cut-off: the end of the period's last day."""


@dataclass(frozen=True, slots=True)
class Counted:
    """Where an event is counted, and the day it happened on."""

    period: Period
    own_day: date


@dataclass(frozen=True, slots=True)
class Window:
    """A cut-off on the clock of one zone, on each period's last day."""

    cut_off: time
    zone: tzinfo

    def closes(self, period: Period) -> datetime:
        """The first moment that belongs to the next report."""
        last_day = period.last_day + (timedelta(days=1) if self.cut_off == MIDNIGHT else timedelta())
        return datetime.combine(last_day, self.cut_off, self.zone)

    def opens(self, period: Period) -> datetime:
        """The first moment that belongs to the period's own report."""
        first_day = period.first_day - (timedelta() if self.cut_off == MIDNIGHT else timedelta(days=1))
        return datetime.combine(first_day, self.cut_off, self.zone)

    def counts(self, of: PeriodType, moment: datetime) -> Counted:
        """Which period's report an event belongs to. `moment` is aware. Raises PeriodError for named types."""
        local = moment.astimezone(self.zone)
        own_day = local.date()
        after = self.cut_off != MIDNIGHT and local.time() >= self.cut_off
        return Counted(period_holding(of, own_day + timedelta(days=1) if after else own_day), own_day)
