"""Periods: what a report covers, as text and as days.

Callers hold a `Period` and ask it for its first and last day; nothing outside this module looks into the text. For now
a period is a day; weeks, statutory months and the rest join `PeriodType` and `parse_period` and no caller changes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import lru_cache
from typing import NewType

PeriodText = NewType("PeriodText", str)

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


class PeriodType(StrEnum):
    """Closed list of the kinds of period that are understood."""

    DAY = "day"


class PeriodError(ValueError):
    """The text names no period that is understood."""


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """Consecutive days under one name. Ordered by first day."""

    first_day: date
    last_day: date
    type: PeriodType
    text: PeriodText

    def __str__(self) -> str:
        return self.text


def day(value: date) -> Period:
    """The period that is just that day."""
    return Period(value, value, PeriodType.DAY, PeriodText(value.isoformat()))


@lru_cache(maxsize=65_536)
def parse_period(text: str) -> Period:
    """Read a period's text (`design.md` 5). Raises PeriodError for anything but the canonical form.

    `date.fromisoformat` alone would take `20211213` and `2021-W50-1` as well: two texts for one period would be two
    series.
    """
    if not _DAY.fullmatch(text):
        message = f"{text!r} is not a period; a day is written 2021-12-13"
        raise PeriodError(message)
    try:
        return day(date.fromisoformat(text))
    except ValueError as error:
        message = f"{text!r} is not a day of the calendar"
        raise PeriodError(message) from error
