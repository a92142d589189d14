"""Periods: one text each, and the calendar cut without gap or overlap by every type that partitions it."""

from __future__ import annotations

from contextlib import suppress
from datetime import date, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from schemas.period import (
    Period,
    PeriodError,
    PeriodType,
    day,
    named,
    parse_period,
    period_holding,
    periods_ending,
    statutory_month,
)

PARTITIONING = [of for of in PeriodType if of.partitions_days]
NINE = [PeriodType.NINE_MONTHS, PeriodType.CALENDAR_NINE_MONTHS]
NAMED = [PeriodType.ROUND, PeriodType.TOPICAL]
DAYS = st.dates(date(3, 1, 1), date(9998, 1, 1))
HELD = st.builds(period_holding, st.sampled_from(PARTITIONING), DAYS)
NAMES = st.from_regex(r"[a-z0-9]{1,12}(-[a-z0-9]{1,12}){0,3}", fullmatch=True)
GIVEN_A_NAME = st.builds(
    lambda of, name, first, more: named(of, name, first, first + timedelta(days=more)),
    st.sampled_from(NAMED), NAMES, DAYS, st.integers(0, 400),
)  # fmt: skip
ANY = HELD | st.builds(lambda of, year: parse_period(of.example.replace("2021", f"{year:04d}")), st.sampled_from(NINE),
                       st.integers(3, 9998)) | GIVEN_A_NAME  # fmt: skip
MONTHS = st.builds(statutory_month, DAYS)


@given(st.dates())
def test_text_of_a_day_is_read_as_that_day(value: date) -> None:
    period = day(value)
    assert parse_period(period.text) == period
    assert (period.first_day, period.last_day, period.type) == (value, value, PeriodType.DAY)
    assert str(period) == f"{value.year:04d}-{value.month:02d}-{value.day:02d}"


@given(ANY)
def test_a_period_is_read_back_from_its_text(period: Period) -> None:
    assert parse_period(period.text) == period
    assert "/" not in period.text


@given(
    st.text()
    | st.from_regex(r"[0-9TCWQHMRS:.\-]{1,14}")
    | st.dates().map(lambda d: d.strftime("%Y%m%d"))
    | st.from_regex(r"[CS]?[0-9]{4}(-[WQH9][0-9M]{1,2}|-[0-9]{2})?", fullmatch=True)
)
def test_what_is_read_is_written_the_same_way(text: str) -> None:
    with suppress(PeriodError):
        period = parse_period(text)
        assert period.text == text
        if period.type.partitions_days:
            assert period_holding(period.type, period.last_day) == period


@pytest.mark.parametrize(
    "text",
    [
        "", "20211213", "2021-W50-1", "2021-12-13 ", " 2021-12-13", "2021-12-13\n", "2021-12-13T00:00:00",
        "2021-13-01", "2021-02-29", "2021-00-10", "0000-01-01", "2021-1-3", "+2021-12-13", "13/12/2021",
        "２０２１-12-13", "2021‑12‑13", "2021-12-13\0", "2021-W00", "2021-W53", "2021-W5", "C2021-W50", "S2021",
        "S2021-12", "2021-13", "2021-00", "2021-Q0", "2021-Q5", "2021-H3", "2021-6M", "0000", "0001", "C0000-12",
        "C2021-12-13",
        "T:vung-xanh", "T:2021-12-14:", "T:2021-12-14..2021-12-14:a", "T:2021-12-15..2021-12-14:a",
        "T:2021-12-14:Vung", "T:2021-12-14:a--b", "T:2021-12-14:a/b", "T:2021-02-30:a", "U:2021-12-14:a",
        "T:2021-12-14:" + "a" * 96, "10000-W01", "9999-12-32",
    ],
)  # fmt: skip
def test_text_that_is_not_canonical_is_refused(text: str) -> None:
    with pytest.raises(PeriodError):
        parse_period(text)


@given(st.sampled_from(PARTITIONING), DAYS)
def test_periods_of_a_type_partition_the_days_in_order(of: PeriodType, value: date) -> None:
    here = period_holding(of, value)
    assert value in here
    assert here.type is of
    assert (period_holding(of, here.first_day), period_holding(of, here.last_day)) == (here, here)
    before, after = here.previous, here.following
    assert before is not None
    assert after is not None
    assert before < here < after
    assert before.last_day + timedelta(days=1) == here.first_day
    assert here.last_day + timedelta(days=1) == after.first_day
    assert (before.following, after.previous) == (here, here)


@given(st.sampled_from(NINE), DAYS)
def test_nine_months_hold_the_days_of_three_quarters_and_no_other(of: PeriodType, value: date) -> None:
    quarter = PeriodType.QUARTER if of is PeriodType.NINE_MONTHS else PeriodType.CALENDAR_QUARTER
    if period_holding(quarter, value).text.endswith("Q4"):
        with pytest.raises(PeriodError):
            period_holding(of, value)
    else:
        nine = period_holding(of, value)
        assert [part.text[-2:] for part in nine.parts(quarter)] == ["Q1", "Q2", "Q3"]
        assert nine.following is not None
        assert nine.following.previous == nine


@given(ANY, st.sampled_from(PARTITIONING))
def test_parts_are_exactly_the_days_of_the_whole_or_there_are_none(whole: Period, of: PeriodType) -> None:
    assume(whole.days < 200)
    try:
        parts = whole.parts(of)
    except PeriodError:
        edges = period_holding(of, whole.first_day), period_holding(of, whole.last_day)
        assert edges[0].first_day != whole.first_day or edges[1].last_day != whole.last_day
    else:
        days = [part.first_day + timedelta(days=n) for part in parts for n in range(part.days)]
        assert days == [whole.first_day + timedelta(days=n) for n in range(whole.days)]


@given(MONTHS)
def test_statutory_months_make_quarters_halves_and_years_and_calendar_ones_do_not(month: Period) -> None:
    for of, months in ((PeriodType.QUARTER, 3), (PeriodType.HALF, 6), (PeriodType.YEAR, 12)):
        whole = period_holding(of, month.first_day)
        assert len(whole.parts(PeriodType.MONTH)) == months
        with pytest.raises(PeriodError):
            whole.parts(PeriodType.CALENDAR_MONTH)
        with pytest.raises(PeriodError):
            whole.parts(PeriodType.CALENDAR_QUARTER)


@given(ANY)
def test_the_same_period_a_year_before_has_its_type_and_ends_a_year_earlier(period: Period) -> None:
    before = period.year_before
    if period.type in NAMED:
        assert before is None
    else:
        assert before is not None
        assert before.type is period.type
        assert 360 <= (period.last_day - before.last_day).days <= 373
        if period.type is not PeriodType.DAY and "W53" not in period.text:
            assert before.text[-3:] == period.text[-3:] or before.text.lstrip("C") == f"{period.last_day.year - 1:04d}"


@given(st.sampled_from([*PARTITIONING, *NINE]), DAYS, st.integers(0, 90))
def test_periods_that_end_in_a_span_are_all_and_once(of: PeriodType, first: date, days: int) -> None:
    last = first + timedelta(days=days)
    found = list(periods_ending(of, first, last))
    ends = [first + timedelta(days=n) for n in range(days + 1)]
    expected = []
    for end in ends:
        with suppress(PeriodError):
            if (period := period_holding(of, end)).last_day == end:
                expected.append(period)
    assert found == expected


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2021-W50", "2021-12-13", "2021-12-19"), ("2020-W53", "2020-12-28", "2021-01-03"),
        ("S2021-W50", "2021-12-11", "2021-12-17"), ("2021-12", "2021-11-15", "2021-12-14"),
        ("2022-01", "2021-12-15", "2022-01-14"), ("2021-Q1", "2020-12-15", "2021-03-14"),
        ("2021-Q4", "2021-09-15", "2021-12-14"), ("2021-H1", "2020-12-15", "2021-06-14"),
        ("2021-H2", "2021-06-15", "2021-12-14"), ("2021-9M", "2020-12-15", "2021-09-14"),
        ("2021", "2020-12-15", "2021-12-14"), ("C2021-12", "2021-12-01", "2021-12-31"),
        ("C2024-02", "2024-02-01", "2024-02-29"), ("C2021-Q4", "2021-10-01", "2021-12-31"),
        ("C2021-H1", "2021-01-01", "2021-06-30"), ("C2021-9M", "2021-01-01", "2021-09-30"),
        ("C2021", "2021-01-01", "2021-12-31"), ("C9999", "9999-01-01", "9999-12-31"),
        ("T:2021-12-14:vung-xanh", "2021-12-14", "2021-12-14"),
        ("R:2021-12-01..2021-12-20:dot-12", "2021-12-01", "2021-12-20"),
    ],
)  # fmt: skip
def test_days_of_a_period_are_those_of_the_decree(text: str, first: str, last: str) -> None:
    period = parse_period(text)
    assert (period.first_day.isoformat(), period.last_day.isoformat()) == (first, last)


def test_every_type_has_an_example_of_itself() -> None:
    for of in PeriodType:
        assert parse_period(of.example).type is of


@pytest.mark.parametrize(
    "text", ["9999-12-31", "9999", "C9999-Q4", "9999-W51", "0001-01-01", "C0001", "0002", "C0001-01", "0001-W01"]
)
def test_at_the_ends_of_the_calendar_there_is_no_neighbour_rather_than_an_error(text: str) -> None:
    period = parse_period(text)
    assert None in (period.previous, period.following)
