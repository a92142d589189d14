"""Working days in Vietnam: weekends, public holidays, Tết by the lunar calendar, and what a year's decision changes.

Holidays come from the library `holidays`; days that a decision swaps, which nobody can compute, are in
`released/days-off.csv`, which stands before the library. So a new decision is one line, not another library.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from schemas.table import TableError, table_day, table_rows

if TYPE_CHECKING:
    from holidays import HolidayBase

DAYS_OFF = "days-off.csv"
DAYS_OFF_COLUMNS = ("day", "works", "decision")
_ONE_DAY = timedelta(days=1)


def read_days_off(files: Mapping[str, bytes]) -> dict[date, bool]:
    """What the file of decisions says of single days: whether they are worked. Raises TableError by line."""
    decided: dict[date, bool] = {}
    for where, row in table_rows(DAYS_OFF, files[DAYS_OFF], DAYS_OFF_COLUMNS) if DAYS_OFF in files else ():
        day = table_day(row, "day", where)
        if row["works"] not in ("yes", "no"):
            raise TableError(f"{where}: works {row['works']!r} is neither yes nor no")
        if day in decided:
            raise TableError(f"{where}: {day} is decided twice")
        decided[day] = row["works"] == "yes"
    return decided


class WorkCalendar:
    """Which days are worked. `decided` maps days to whether they are, where a decision says so."""

    def __init__(self, decided: Mapping[date, bool]) -> None:
        self._decided = dict(decided)

    def works(self, day: date) -> bool:
        """Whether offices work that day."""
        decided = self._decided.get(day)
        return self._holidays.is_working_day(day) if decided is None else decided

    def next_working(self, day: date) -> date:
        """That day, or the first working day after it."""
        while not self.works(day):
            day += _ONE_DAY
        return day

    def after(self, day: date, count: int) -> date:
        """The `count`-th working day after a day, which itself is not counted. `count` is at least 1."""
        for _ in range(count):
            day = self.next_working(day + _ONE_DAY)
        return day

    @cached_property
    def _holidays(self) -> HolidayBase:
        # A tenth of a second to import, and only deadlines need it: not every process that reads a catalogue.
        from holidays import country_holidays

        return country_holidays("VN")
