"""Periods: each day has one text, and each text that is understood is the only one of its day."""

from __future__ import annotations

from contextlib import suppress
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.period import Period, PeriodError, PeriodType, day, parse_period


@given(st.dates())
def test_text_of_a_day_is_read_as_that_day(value: date) -> None:
    period = day(value)
    assert parse_period(period.text) == period
    assert (period.first_day, period.last_day, period.type) == (value, value, PeriodType.DAY)
    assert str(period) == f"{value.year:04d}-{value.month:02d}-{value.day:02d}"


@given(st.text() | st.from_regex(r"[0-9TCWQHM:\-]{1,12}") | st.dates().map(lambda d: d.strftime("%Y%m%d")))
def test_what_is_read_is_written_the_same_way(text: str) -> None:
    with suppress(PeriodError):
        assert parse_period(text).text == text


@pytest.mark.parametrize(
    "text",
    [
        "", "2021", "20211213", "2021-W50-1", "2021-12-13 ", " 2021-12-13", "2021-12-13\n", "2021-12-13T00:00:00",
        "2021-13-01", "2021-02-29", "2021-00-10", "0000-01-01", "2021-1-3", "+2021-12-13", "13/12/2021",
        "２０２１-12-13", "2021‑12‑13", "2021-12-13\0",
    ],
)  # fmt: skip
def test_text_that_is_not_canonical_is_refused(text: str) -> None:
    with pytest.raises(PeriodError):
        parse_period(text)


@given(st.dates(max_value=date.max - timedelta(days=1)))
def test_days_partition_the_calendar_in_order(value: date) -> None:
    here, following = day(value), day(value + timedelta(days=1))
    assert here < following
    assert here.last_day + timedelta(days=1) == following.first_day
    assert isinstance(here, Period)
