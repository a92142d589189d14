"""Windows: every moment belongs to one report of a type, and an event keeps its own day."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.catalogue import ZONE
from schemas.period import PeriodType, parse_period
from schemas.window import MIDNIGHT, Window

PARTITIONING = [of for of in PeriodType if of.partitions_days]
WINDOWS = st.builds(Window, st.times() | st.just(MIDNIGHT), st.sampled_from([ZONE, ZoneInfo("UTC")]))
MOMENTS = st.datetimes(datetime(1990, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(WINDOWS, st.sampled_from(PARTITIONING), MOMENTS)
def test_every_moment_belongs_to_exactly_one_report_and_keeps_its_day(
    window: Window, of: PeriodType, moment: datetime
) -> None:
    counted = window.counts(of, moment)
    assert window.opens(counted.period) <= moment < window.closes(counted.period)
    following = counted.period.following
    assert following is not None
    assert window.closes(counted.period) == window.opens(following)
    assert counted.own_day == moment.astimezone(window.zone).date()
    assert counted.own_day in counted.period or counted.own_day + timedelta(days=1) in counted.period


@pytest.mark.parametrize(
    ("cut_off", "at", "period"),
    [
        (time(17, 30), "2021-12-13T17:29:59", "2021-12-13"), (time(17, 30), "2021-12-13T17:30:00", "2021-12-14"),
        (time(11), "2021-12-13T10:59:59", "2021-12-13"), (time(11), "2021-12-13T23:00:00", "2021-12-14"),
        (MIDNIGHT, "2021-12-13T23:59:59", "2021-12-13"), (MIDNIGHT, "2021-12-14T00:00:00", "2021-12-14"),
    ],
)  # fmt: skip
def test_an_event_after_the_cut_off_belongs_to_the_next_report(cut_off: time, at: str, period: str) -> None:
    moment = datetime.fromisoformat(at).replace(tzinfo=ZONE)
    counted = Window(cut_off, ZONE).counts(PeriodType.DAY, moment)
    assert (counted.period.text, counted.own_day) == (period, moment.date())


def test_the_last_hours_of_a_statutory_month_go_into_the_next_one() -> None:
    window = Window(time(17, 30), ZONE)
    late = window.counts(PeriodType.MONTH, datetime(2021, 12, 14, 18, tzinfo=ZONE))
    assert (late.period, late.own_day) == (parse_period("2022-01"), date(2021, 12, 14))
