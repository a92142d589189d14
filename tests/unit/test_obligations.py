"""Obligations: who owes what by when, and what became of it, by the scenario's table and by its single rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime
from functools import cache

import pytest

from schemas.act import Decided, ObligationDecided, ReportReturned
from schemas.catalogue import Catalogue
from schemas.figure import Slot
from schemas.form import FormId
from schemas.fulfilment import in_force
from schemas.obligations import Duty, Moment, Obligation, Status, asking, decisions_at, duties, judged, owed
from schemas.period import PeriodText, parse_period
from schemas.read_model import Arrival, Axis, Decision, Return
from schemas.report import Kind, Millis, Offset, Revision, Source
from schemas.unit import UBND, UnitCode
from tests.support.regimes import REGIME, catalogue_with

DAY = date(2021, 12, 13)
PERIOD = PeriodText("2021-12-13")


def at(text: str) -> Millis:
    return Millis(int(datetime.fromisoformat(f"{text}:00+07:00").timestamp() * 1000))


def came(
    when: str,
    revision: int = 1,
    kind: Kind = Kind.REPORT,
    *,
    by: str = "",
    issued: str | None = None,
    period: str = PERIOD,
) -> Arrival:
    slot = Slot.ENTERED if by else Slot.OWN
    return Arrival(UnitCode("a1"), PeriodText(period), slot, Revision(revision), Source(0, Offset(at(when))), kind,
                   at(when), at(issued or when), by)  # fmt: skip


def decided(what: Decided, recorded: str, until: str | None = None, *, issued: str | None = None) -> Decision:
    about = ObligationDecided("day-regime", UnitCode("a1"), PERIOD, what, None if until is None else at(until),
                              UnitCode("A"), "mất đường truyền")  # fmt: skip
    return Decision(about, at(recorded), at(issued or recorded))


@cache
def catalogue() -> Catalogue:
    return catalogue_with({"day.toml": REGIME})


def owed_on(made: Catalogue, top: str, first: date, last: date | None = None) -> list[Duty]:
    return [
        duty
        for regime in made.regimes
        for duty in duties(regime, made.units, made.calendar, UnitCode(top), first, last or first)
    ]


def of_a1(
    arrivals: Sequence[Arrival],
    as_of: str,
    axis: Axis = Axis.ACCEPTED,
    decisions: Sequence[Decision] = (),
    returns: Sequence[Return] = (),
) -> Obligation:
    (duty,) = owed_on(catalogue(), "a1", DAY)
    moment = Moment(at(as_of), axis)
    by_period: dict[PeriodText, list[Arrival]] = {}
    for one in arrivals:
        by_period.setdefault(one.period, []).append(one)
    decision = decisions_at(decisions, moment).get(("day-regime", "a1", PERIOD))
    return judged(duty, by_period, decision, moment, in_force(returns, moment.at, moment.axis))


WITHDRAWN, NIL = Kind.WITHDRAWAL, Kind.NIL


@pytest.mark.parametrize(
    ("arrivals", "status", "reported"),
    [
        ([came("2021-12-13T17:00")], Status.IN_TIME, "2021-12-13T17:00"),
        ([came("2021-12-13T17:30")], Status.IN_TIME, "2021-12-13T17:30"),
        ([came("2021-12-13T17:31")], Status.LATE, "2021-12-13T17:31"),
        ([came("2021-12-13T17:00", kind=NIL)], Status.IN_TIME, "2021-12-13T17:00"),
        ([], Status.MISSING, None),
        # a later correction keeps the time
        ([came("2021-12-13T17:00"), came("2021-12-15T09:00", 2)], Status.IN_TIME, "2021-12-13T17:00"),
        # a withdrawal takes it, what comes after it counts
        ([came("2021-12-13T17:00"), came("2021-12-13T19:00", 2, WITHDRAWN)], Status.MISSING, None),
        ([came("2021-12-13T15:00"), came("2021-12-13T16:00", 2, WITHDRAWN), came("2021-12-14T08:00", 3)],
         Status.LATE, "2021-12-14T08:00"),
        # by revision, not by arrival: the withdrawal came last and is not the newest
        ([came("2021-12-13T15:00", 3), came("2021-12-13T16:00", 2, WITHDRAWN)], Status.IN_TIME, "2021-12-13T15:00"),
        # entered by the superior
        ([came("2021-12-13T16:00", by="A"), came("2021-12-14T16:00")], Status.IN_TIME, "2021-12-13T16:00"),
        ([came("2021-12-14T09:20", by="A"), came("2021-12-15T07:10")], Status.LATE, "2021-12-14T09:20"),
        ([came("2021-12-13T15:00"), came("2021-12-13T16:00", 2, WITHDRAWN), came("2021-12-13T17:00", by="A")],
         Status.IN_TIME, "2021-12-13T17:00"),
        ([came("2021-12-13T15:00", by="A"), came("2021-12-13T16:00", 2, WITHDRAWN, by="A")], Status.MISSING, None),
    ],
)  # fmt: skip
def test_in_time_is_the_first_report_after_the_newest_withdrawal(
    arrivals: list[Arrival], status: Status, reported: str | None
) -> None:
    found = of_a1(arrivals, "2021-12-20T08:00")
    assert (found.status, found.reported_at) == (status, None if reported is None else at(reported))


def test_an_entered_report_is_marked_with_who_entered_it() -> None:
    assert of_a1([came("2021-12-13T16:00", by="A")], "2021-12-20T08:00").entered_by == "A"
    assert of_a1([came("2021-12-13T16:00")], "2021-12-20T08:00").entered_by == ""


def test_before_the_deadline_nothing_is_missing_and_what_is_not_known_yet_does_not_count() -> None:
    report = came("2021-12-13T17:00")
    assert of_a1([report], "2021-12-13T16:59").status is Status.OPEN
    assert of_a1([report], "2021-12-13T17:00").status is Status.IN_TIME
    assert of_a1([], "2021-12-13T17:30").status is Status.OPEN
    assert of_a1([], "2021-12-13T17:31").status is Status.MISSING


def test_a_line_that_was_down_is_late_by_acceptance_and_not_by_issue() -> None:
    report = came("2021-12-16T07:10", issued="2021-12-13T16:00")
    assert of_a1([report], "2021-12-20T08:00").status is Status.LATE
    assert of_a1([report], "2021-12-20T08:00", Axis.ISSUED).status is Status.IN_TIME


EXTENDED = decided(Decided.EXTENDED, "2021-12-13T12:00", "2021-12-15T17:00")


@pytest.mark.parametrize(
    ("arrivals", "as_of", "status"),
    [
        ([], "2021-12-14T08:00", Status.EXTENDED),
        ([], "2021-12-15T17:01", Status.MISSING),
        ([came("2021-12-15T16:00")], "2021-12-20T08:00", Status.IN_TIME),
        ([came("2021-12-15T18:00")], "2021-12-20T08:00", Status.LATE),
        ([], "2021-12-13T11:00", Status.OPEN),
    ],
)
def test_an_extension_moves_the_deadline_from_when_it_was_known(
    arrivals: list[Arrival], as_of: str, status: Status
) -> None:
    found = of_a1(arrivals, as_of, decisions=[EXTENDED])
    assert found.status is status
    if found.decision is not None:
        assert found.decision.about.reason == "mất đường truyền"
        assert found.due == datetime.fromisoformat("2021-12-15T17:00:00+07:00")


def test_not_subject_stands_until_it_is_taken_back_and_is_not_owed() -> None:
    lifted = decided(Decided.NOT_SUBJECT, "2021-12-14T08:00")
    restored = decided(Decided.RESTORED, "2021-12-16T08:00")
    assert of_a1([], "2021-12-15T08:00", decisions=[lifted, restored]).status is Status.NOT_SUBJECT
    assert of_a1([], "2021-12-17T08:00", decisions=[lifted, restored]).status is Status.MISSING
    assert owed(Counter({Status.NOT_SUBJECT: 2, Status.LATE: 3})) == 3


def sent_back(report: Arrival, when: str, until: str | None, *, issued: str | None = None) -> Return:
    about = ReportReturned(report.source, UnitCode("a1"), None if until is None else at(until), UnitCode("A"), "sai số")
    return Return(about, at(when), at(issued or when))


IN_TIME, LATE = came("2021-12-13T17:00"), came("2021-12-13T18:00")
BY_A = came("2021-12-13T16:00", by="A")
BACK = sent_back(IN_TIME, "2021-12-14T09:00", "2021-12-15T17:00")


@pytest.mark.parametrize(
    ("arrivals", "returns", "as_of", "status", "due"),
    [
        ([IN_TIME], [BACK], "2021-12-14T08:59", Status.IN_TIME, "2021-12-13T17:30"),
        ([IN_TIME], [BACK], "2021-12-14T09:00", Status.OPEN, "2021-12-15T17:00"),
        ([IN_TIME], [BACK], "2021-12-15T17:01", Status.MISSING, "2021-12-15T17:00"),
        ([IN_TIME, came("2021-12-15T17:00", 2)], [BACK], "2021-12-20T08:00", Status.IN_TIME, "2021-12-15T17:00"),
        ([IN_TIME, came("2021-12-15T17:01", 2)], [BACK], "2021-12-20T08:00", Status.LATE, "2021-12-15T17:00"),
        # who was late has time to correct and stays late
        ([LATE], [sent_back(LATE, "2021-12-14T09:00", "2021-12-15T17:00")], "2021-12-15T08:00", Status.OPEN,
         "2021-12-15T17:00"),
        ([LATE, came("2021-12-14T10:00", 2)], [sent_back(LATE, "2021-12-14T09:00", "2021-12-15T17:00")],
         "2021-12-20T08:00", Status.LATE, "2021-12-15T17:00"),
        # a correction crossed the return of what it corrects
        ([IN_TIME, came("2021-12-14T08:30", 2)], [BACK], "2021-12-20T08:00", Status.IN_TIME, "2021-12-13T17:30"),
        # taken back, and returned twice
        ([IN_TIME], [BACK, sent_back(IN_TIME, "2021-12-14T10:00", None)], "2021-12-20T08:00", Status.IN_TIME,
         "2021-12-13T17:30"),
        ([IN_TIME], [BACK, sent_back(IN_TIME, "2021-12-15T10:00", "2021-12-16T17:00")], "2021-12-16T08:00",
         Status.OPEN, "2021-12-16T17:00"),
        # withdrawn instead of corrected, then sent anew within the time of the return
        ([IN_TIME, came("2021-12-14T10:00", 2, WITHDRAWN)], [BACK], "2021-12-14T12:00", Status.OPEN,
         "2021-12-15T17:00"),
        ([IN_TIME, came("2021-12-14T10:00", 2, WITHDRAWN), came("2021-12-14T11:00", 3)], [BACK], "2021-12-20T08:00",
         Status.IN_TIME, "2021-12-15T17:00"),
        # what the superior had entered before says nothing beside the own report that it returned
        ([BY_A, IN_TIME], [BACK], "2021-12-20T08:00", Status.MISSING, "2021-12-15T17:00"),
        ([BY_A], [sent_back(BY_A, "2021-12-14T09:00", "2021-12-15T17:00")], "2021-12-14T12:00", Status.OPEN,
         "2021-12-15T17:00"),
        ([BY_A, came("2021-12-15T09:00")], [sent_back(BY_A, "2021-12-14T09:00", "2021-12-15T17:00")],
         "2021-12-20T08:00", Status.IN_TIME, "2021-12-15T17:00"),
    ],
)  # fmt: skip
def test_a_returned_report_is_owed_again_until_its_correction(
    arrivals: list[Arrival], returns: list[Return], as_of: str, status: Status, due: str
) -> None:
    found = of_a1(arrivals, as_of, returns=returns)
    assert (found.status, found.due) == (status, datetime.fromisoformat(f"{due}:00+07:00"))


def test_a_return_is_known_on_its_own_axis_and_told_with_who_returned_it() -> None:
    backdated = sent_back(IN_TIME, "2022-06-01T08:00", "2021-12-15T17:00", issued="2021-12-14T09:00")
    found = of_a1([IN_TIME], "2021-12-14T10:00", Axis.ISSUED, returns=[backdated])
    assert (found.status, found.returned) == (Status.OPEN, backdated)
    assert of_a1([IN_TIME], "2021-12-14T10:00", Axis.ACCEPTED, returns=[backdated]).status is Status.IN_TIME


def test_a_decision_is_known_on_its_own_axis() -> None:
    backdated = decided(Decided.EXTENDED, "2022-06-01T08:00", "2021-12-15T17:00", issued="2021-12-13T12:00")
    assert of_a1([], "2021-12-14T08:00", Axis.ISSUED, [backdated]).status is Status.EXTENDED
    assert of_a1([], "2021-12-14T08:00", Axis.ACCEPTED, [backdated]).status is Status.MISSING


def test_the_tree_of_the_periods_last_day_says_who_owes() -> None:
    assert [(d.unit.code, d.unit.name) for d in owed_on(catalogue(), "A", date(2021, 12, 13))] == [
        ("a1", "Xã a1"), ("a2", "Xã a2")]  # fmt: skip
    assert [(d.unit.code, d.unit.name) for d in owed_on(catalogue(), "B", date(2021, 12, 14))] == [
        ("a2", "Xã a2 mới"), ("b1", "Xã b1")]  # fmt: skip
    assert len(owed_on(catalogue(), "R", date(2021, 12, 13), date(2021, 12, 15))) == 9


def test_a_regime_on_weekdays_and_one_by_levels() -> None:
    fridays = REGIME.replace('cut_off = "17:30"', 'cut_off = "17:30"\non = ["friday"]')
    made = catalogue_with({"a.toml": fridays})
    assert {d.period.text for d in owed_on(made, "R", date(2021, 12, 13), date(2021, 12, 26))} == {
        "2021-12-17", "2021-12-24"}  # fmt: skip
    levels = REGIME.replace("lowest = true", 'levels = ["province"]\nbelow = ["B"]')
    assert [d.unit.code for d in owed_on(catalogue_with({"a.toml": levels}), "R", DAY)] == ["B"]


MONTHLY = (
    REGIME.replace("day-regime", "month-regime").replace('form = "covid-doses"', 'form = "monthly"')
    .replace('frequency = "day"', 'frequency = "month"').replace('cut_off = "17:30"', 'cut_off = "24:00"')
    .replace('time = "17:30"', 'time = "17:00"\nworking_days = 2')
)  # fmt: skip


def test_what_is_due_on_a_day_is_asked_by_the_deadline_also_of_longer_periods() -> None:
    made = catalogue_with({"month.toml": MONTHLY})
    assert [d.period.text for d in owed_on(made, "a1", date(2021, 12, 16))] == ["2021-12"]
    assert owed_on(made, "a1", date(2021, 12, 14)) == []
    year = MONTHLY.replace('"month"', '"year"')
    assert [d.parts[-1] for d in owed_on(catalogue_with({"y.toml": year}), "a1", date(2021, 12, 16))] == ["2021-12"]


def test_who_is_asked_for_a_form_and_period_is_known_without_a_deadline() -> None:
    week = (REGIME.replace("day-regime", "weekly").replace('frequency = "day"', 'frequency = "week"')
            .replace('time = "17:30"', 'time = "09:00"\nworking_days = 1'))  # fmt: skip
    fridays = REGIME.replace('cut_off = "17:30"', 'cut_off = "17:30"\non = ["friday"]')
    made = catalogue_with({"week.toml": week, "fridays.toml": fridays, "month.toml": MONTHLY})

    def asked(form: str, period: str) -> list[tuple[str, str]] | None:
        found = asking(made.regimes, FormId(form), UBND, parse_period(period))
        return None if found is None else [(regime.id, occasion.period.text) for regime, occasion in found]

    assert asked("covid-doses", "2021-12-13") == [("weekly", "2021-W50")]
    assert asked("covid-doses", "2021-12-17") == [("day-regime", "2021-12-17"), ("weekly", "2021-W50")]
    assert asked("covid-doses", "C2021-12") == []
    assert asked("monthly", "2021-12") == [("month-regime", "2021-12")]
    assert asked("weekly", "2021-W50") is None
    assert asked("covid-doses", "2001-12-17") is None


def test_one_report_serves_several_regimes_and_days_serve_a_week() -> None:
    twice = REGIME.replace("day-regime", "again").replace('time = "17:30"', 'time = "18:00"')
    week = (REGIME.replace("day-regime", "weekly").replace('frequency = "day"', 'frequency = "week"')
            .replace('time = "17:30"', 'time = "09:00"\nworking_days = 1'))  # fmt: skip
    made = catalogue_with({"a.toml": REGIME, "b.toml": twice, "c.toml": week})
    arrivals = {
        PeriodText(f"2021-12-{day}"): [came(f"2021-12-{day}T17:45", period=f"2021-12-{day}")] for day in range(13, 20)
    }
    moment = Moment(at("2021-12-21T08:00"))
    found = {d.regime.id: judged(d, arrivals, None, moment) for d in owed_on(made, "a1", DAY)
             if d.regime.id != "weekly"}  # fmt: skip
    assert {name: one.status for name, one in found.items()} == {"day-regime": Status.LATE, "again": Status.IN_TIME}
    (weekly,) = [d for d in owed_on(made, "a1", date(2021, 12, 20)) if d.regime.id == "weekly"]
    assert judged(weekly, arrivals, None, moment).reported_at == at("2021-12-19T17:45")
    arrivals.pop(PeriodText("2021-12-15"))
    assert judged(weekly, arrivals, None, moment).status is Status.MISSING
