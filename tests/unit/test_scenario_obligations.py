"""The obligations of the synthetic week of Tam Đường come out as its story has them, by rule and as stored."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import date, datetime
from functools import cache
from pathlib import Path

import pytest

from consumers.obligations import obligation_lines, obligations, regime_lines, summary_lines
from deploy.decisions import refused, return_refused
from producers.history import parse_history
from schemas.act import ACT_TYPE, Act, Decided, ObligationDecided, ReportReturned
from schemas.catalogue import Catalogue
from schemas.codec import encode_act
from schemas.figure import Slot
from schemas.form import FormId
from schemas.log import Record
from schemas.obligations import Moment, Obligation, Status, counted, decisions_at, duties, judged, owed
from schemas.period import PeriodText
from schemas.read_model import Arrival, Axis, Decision, FigureQuery, Return
from schemas.report import Millis, Offset, Revision, Source
from schemas.signature import sign
from schemas.topics import ACTS
from schemas.unit import UnitCode
from tests.support.read_model import OPERATOR, reading
from tests.support.released import released_catalogue
from tests.support.tam_duong import DISTRICT, WEEK, catalogue, week

MONDAY, SUNDAY = date(2021, 12, 13), date(2021, 12, 19)
FORMS = ("vaccination-daily", "testing-daily", "support-payout", "green-zone", "monthly-report", "review-report")
TABLE = {
    "vaccination-daily": (91, 87, 3, 1, 0),
    "testing-daily": (91, 88, 3, 0, 0),
    "support-friday": (13, 12, 1, 0, 0),
    "green-zone": (2, 1, 0, 0, 1),
    "monthly-report": (13, 11, 2, 0, 0),
    "review-interim": (19, 15, 2, 2, 0),
}
"""Owed, in time, late, missing, extended as of Monday 20/12 08:00."""


def at(text: str) -> Millis:
    return Millis(int(datetime.fromisoformat(f"{text}:00+07:00").timestamp() * 1000))


MONDAY_AFTER = Moment(at("2021-12-20T08:00"), Axis.ISSUED)
TOWN = ObligationDecided(
    "green-zone", UnitCode("03390"), PeriodText("T:2021-12-14:vung-xanh"), Decided.EXTENDED, at("2021-12-24T17:00"),
    UnitCode("106"), "chờ kết quả xét nghiệm",
)  # fmt: skip
EXTENSION = Decision(TOWN, at("2021-12-15T17:00"), at("2021-12-15T17:00"))


@cache
def whole() -> Catalogue:
    return released_catalogue()


@cache
def arrivals(form_id: str) -> tuple[Arrival, ...]:
    """A file's sends of the week in the order of issue, a revision each."""
    form = whole().form_in_force(next(f.id for f in whole().forms if f.id == form_id), MONDAY)
    assert form is not None
    history = parse_history((WEEK / f"{form_id}.csv").read_text(encoding="utf-8"), form, whole().units)
    assert not history.problems
    revisions: Counter[tuple[str, str, str]] = Counter()
    found = []
    for number, send in enumerate(history.sends):
        by = send.entered_by or ""
        revisions[send.unit, send.period, by] += 1
        found.append(Arrival(
            send.unit, send.period, Slot.ENTERED if by else Slot.OWN, Revision(revisions[send.unit, send.period, by]),
            Source(0, Offset(number)), send.kind, send.issued_at, send.issued_at, by))  # fmt: skip
    return tuple(found)


def week_as_of(moment: Moment) -> list[Obligation]:
    made = whole()
    decided = decisions_at([EXTENSION], moment)
    found = []
    for regime in made.regimes:
        for duty in duties(regime, made.units, made.calendar, UnitCode(DISTRICT), MONDAY, SUNDAY):
            mine: dict[PeriodText, list[Arrival]] = {}
            for one in arrivals(regime.form):
                if one.unit == duty.unit.code:
                    mine.setdefault(one.period, []).append(one)
            decision = decided.get((regime.id, duty.unit.code, duty.period.text))
            found.append(judged(duty, mine, decision, moment))
    return found


def table(found: list[Obligation]) -> dict[str, tuple[int, ...]]:
    states = (Status.IN_TIME, Status.LATE, Status.MISSING, Status.EXTENDED)
    return {regime: (owed(n), *(n[state] for state in states)) for regime, n in counted(found).items()}


def test_the_scenarios_table_comes_out() -> None:
    found = table(week_as_of(MONDAY_AFTER))
    assert found == TABLE
    assert tuple(map(sum, zip(*found.values(), strict=True))) == (229, 214, 11, 3, 1)


def test_225_series_came_in_232_sends() -> None:
    sends = [one for form in FORMS for one in arrivals(form) if one.issued_at >= at("2021-12-13T00:00")]
    assert len(sends) == 232
    assert sum(one.reported_at is not None for one in week_as_of(MONDAY_AFTER)) == 225


@pytest.mark.parametrize(
    ("as_of", "regime", "unit", "period", "status", "by"),
    [
        ("2021-12-13T17:31", "vaccination-daily", "03415", "2021-12-13", Status.MISSING, ""),
        ("2021-12-13T18:05", "vaccination-daily", "03415", "2021-12-13", Status.LATE, ""),
        ("2021-12-15T07:00", "vaccination-daily", "03430", "2021-12-14", Status.MISSING, ""),
        ("2021-12-15T09:20", "vaccination-daily", "03430", "2021-12-14", Status.LATE, "106"),
        ("2021-12-15T16:20", "green-zone", "03406", "T:2021-12-14:vung-xanh", Status.IN_TIME, ""),
        ("2021-12-15T16:59", "green-zone", "03390", "T:2021-12-14:vung-xanh", Status.OPEN, ""),
        ("2021-12-25T00:00", "green-zone", "03390", "T:2021-12-14:vung-xanh", Status.MISSING, ""),
        ("2021-12-15T18:00", "testing-daily", "03400", "2021-12-15", Status.IN_TIME, ""),
        ("2021-12-15T19:10", "testing-daily", "03400", "2021-12-15", Status.MISSING, ""),
        ("2021-12-16T08:05", "testing-daily", "03400", "2021-12-15", Status.LATE, ""),
        ("2021-12-20T08:00", "vaccination-daily", "03405", "2021-12-13", Status.IN_TIME, ""),
        ("2021-12-20T08:00", "vaccination-daily", "03418", "2021-12-19", Status.MISSING, ""),
    ],
)  # fmt: skip
def test_each_accident_of_the_week_shows_at_its_moment(
    as_of: str, regime: str, unit: str, period: str, status: Status, by: str
) -> None:
    (one,) = (
        found
        for found in week_as_of(Moment(at(as_of), Axis.ISSUED))
        if (found.duty.regime.id, found.duty.unit.code, found.duty.period.text) == (regime, unit, period)
    )
    assert (one.status, one.entered_by) == (status, by)


def test_the_read_model_gives_the_same_table_and_lines_for_people(tmp_path: Path) -> None:
    made = week(tmp_path)
    act = Act("1", at("2021-12-15T17:00"), TOWN)
    signed = sign(OPERATOR, key=b"03390", value=encode_act(act), event_type=ACT_TYPE, event_id="1", time="t")
    record = Record(ACTS, 0, Offset(1), Millis(7), signed.key, signed.value, signed.headers)
    made.store.apply({(ACTS, 0): [record]})
    with reading(tmp_path / "read-model.sqlite") as model:
        found = obligations(model, UnitCode(DISTRICT), MONDAY, SUNDAY, MONDAY_AFTER)
        assert model.decisions() == (Decision(TOWN, Millis(7), at("2021-12-15T17:00")),)
        monday = obligations(model, UnitCode("03415"), MONDAY, MONDAY, MONDAY_AFTER)
    stored = {regime: row for regime, row in table(list(found)).items() if regime in list(TABLE)[:3]}
    assert stored == {regime: TABLE[regime] for regime in list(TABLE)[:3]}
    lines = obligation_lines(monday, lambda code, day: f"{code} {day}")
    assert [(row[0], row[1], row[4], row[5], row[6]) for row in lines.rows] == [
        ("testing-daily", "03415", "2021-12-13 17:30", "in-time", "2021-12-13 15:52"),
        ("vaccination-daily", "03415", "2021-12-13 17:30", "late", "2021-12-13 18:05"),
    ]
    extended = next(row for row in obligation_lines(found).rows if row[5] == "extended")
    assert extended[4:] == ("2021-12-24 17:00", "extended", "", "", "106", "chờ kết quả xét nghiệm", "", "")
    assert summary_lines(found).rows[-1][:2] == ("all", 229)


def test_a_returned_report_is_owed_again_and_stays_counted(tmp_path: Path) -> None:
    made = week(tmp_path, ["vaccination-daily"])
    unit, form, tuesday = UnitCode("03430"), FormId("vaccination-daily"), PeriodText("2021-12-14")
    with reading(tmp_path / "read-model.sqlite") as model:
        report = next(one for one in model.history(unit, form, tuesday) if one.standing)
        total = model.figures(FigureQuery(UnitCode(DISTRICT), form, period=tuesday))
        about = ReportReturned(report.source, unit, at("2021-12-17T17:00"), UnitCode(DISTRICT), "số hủy quá lớn")
        issued = at("2021-12-16T09:00")
        assert return_refused(catalogue(), about, report, issued) is None
        for wrong, said in (
            (replace(about, by=UnitCode("03394")), "is not above 03430 on ubnd: 106, 12, VN may return"),
            (replace(about, reason=""), "needs its reason"),
            (replace(about, until=issued), "lies before that"),
        ):
            assert said in (return_refused(catalogue(), wrong, report, issued) or "")
        act = encode_act(Act("1", issued, about))
        signed = sign(OPERATOR, key=unit.encode(), value=act, event_type=ACT_TYPE, event_id="1", time="t")
        record = Record(ACTS, 0, Offset(1), Millis(issued + 5), signed.key, signed.value, signed.headers)
        made.store.apply({(ACTS, 0): [record]})
        assert model.returns() == (Return(about, Millis(issued + 5), issued),)
        day = date(2021, 12, 14)
        (one,) = [
            found
            for found in obligations(model, unit, day, day, Moment(at("2021-12-16T12:00"), Axis.ISSUED))
            if found.duty.regime.form == form
        ]
        assert (one.status, one.returned, one.reported_at) == (Status.OPEN, model.returns()[0], None)
        row = dict(zip(obligation_lines([one]).columns, obligation_lines([one]).rows[0], strict=True))
        assert (row["due"], row["reason"], row["returned_by"]) == ("2021-12-17 17:00", "số hủy quá lớn", "106")
        assert model.figures(FigureQuery(UnitCode(DISTRICT), form, period=tuesday)) == total


def test_a_decision_that_makes_no_sense_is_refused_with_its_reason() -> None:
    def why(**changes: object) -> str | None:
        return refused(catalogue(), replace(TOWN, **changes))  # type: ignore[arg-type]

    assert why() is None
    assert why(by=UnitCode("12")) is None
    assert why(regime="x") == "no regime x; `chungsuc regimes` lists them"
    assert why(unit=UnitCode("03394")) == "03394 owes no report under green-zone for T:2021-12-14:vung-xanh"
    assert "owes no report" in (why(period=PeriodText("2021-12-14")) or "")
    assert "is not above 03390" in (why(by=UnitCode("03394")) or "")
    assert why(reason="") == "a decision needs its reason"
    assert "after the deadline, 2021-12-16 08:00" in (why(until=at("2021-12-16T08:00")) or "")
    assert why(decided=Decided.NOT_SUBJECT, until=None) is None


def test_regimes_are_listed_with_what_people_ask() -> None:
    lines = regime_lines(whole().regimes)
    rows = {str(row[0]): dict(zip(lines.columns, row, strict=True)) for row in lines.rows}
    assert rows["support-friday"]["frequency"] == "day (Fri)"
    assert rows["green-zone"]["deadline"] == "48 h after the event"
    assert rows["monthly-report"]["deadline"] == "17:00 + 2 working days"
    assert rows["green-zone"]["reporters"] == "03390, 03406"
