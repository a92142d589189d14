"""What returns for correction may change about an obligation, whatever came and in whatever order."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from schemas.act import ReportReturned
from schemas.figure import Slot
from schemas.fulfilment import Fulfilment, fulfilment, in_force
from schemas.period import PeriodText
from schemas.read_model import Arrival, Axis, Return
from schemas.report import Kind, Millis, Offset, Revision, Source
from schemas.unit import UnitCode

DUE = Millis(50)
END = Millis(1_000)


@st.composite
def arrivals(draw: st.DrawFn) -> list[Arrival]:
    """Reports of one series in both slots; the offset is the order of acceptance."""
    times = draw(st.lists(st.integers(0, 100), max_size=7))
    kinds = st.sampled_from([Kind.REPORT, Kind.REPORT, Kind.NIL, Kind.WITHDRAWAL])
    return [
        Arrival(UnitCode("a1"), PeriodText("2021-12-13"), draw(st.sampled_from([Slot.OWN, Slot.ENTERED])),
                Revision(draw(st.integers(1, 4))), Source(0, Offset(place)), draw(kinds), Millis(time),
                Millis(draw(st.integers(0, 100))), "")
        for place, time in enumerate(sorted(times))
    ]  # fmt: skip


@st.composite
def returns(draw: st.DrawFn) -> list[Return]:
    """Acts in the order of the log, some of them taking a return back."""
    times = draw(st.lists(st.integers(0, 120), max_size=5))
    untils = st.one_of(st.none(), st.integers(0, 200).map(Millis))
    return [
        Return(ReportReturned(Source(0, Offset(draw(st.integers(0, 6)))), UnitCode("a1"), draw(untils), UnitCode("A"),
                              "sai số"), Millis(time), Millis(draw(st.integers(0, 120))))
        for time in sorted(times)
    ]  # fmt: skip


def found(came: Sequence[Arrival], back: Sequence[Return], axis: Axis, at: Millis = END) -> Fulfilment:
    return fulfilment(came, in_force(back, at, axis), DUE, at, axis)


def in_time(one: Fulfilment, axis: Axis) -> bool:
    return one.met is not None and not one.late and one.met.came_at(axis) <= one.limit


AXES = st.sampled_from(Axis)


@given(arrivals(), returns(), AXES, st.randoms(use_true_random=False))
def test_the_order_in_which_reports_are_told_changes_nothing(
    came: list[Arrival], back: list[Return], axis: Axis, shuffled: object
) -> None:
    other = list(came)
    shuffled.shuffle(other)  # type: ignore[attr-defined]
    assert found(other, back, axis) == found(came, back, axis)


@given(arrivals(), returns(), AXES)
def test_a_return_never_shortens_a_deadline_and_never_makes_the_late_punctual(
    came: list[Arrival], back: list[Return], axis: Axis
) -> None:
    before, after = found(came, [], axis), found(came, back, axis)
    assert after.limit >= before.limit == DUE
    first = min((one.came_at(axis) for one in came if one.kind is not Kind.WITHDRAWAL), default=END)
    if first > DUE:
        assert not in_time(after, axis)


@given(arrivals(), returns(), AXES)
def test_what_was_returned_meets_nothing_and_only_what_stands_waits_for_its_correction(
    came: list[Arrival], back: list[Return], axis: Axis
) -> None:
    one = found(came, back, axis)
    if one.returned is not None:
        assert one.met is None
        assert any(report.source == one.returned.about.source for report in came)
    if one.met is None and one.returned is None:
        assert found(came, [], axis).met is None


@given(arrivals(), returns(), AXES)
def test_returns_that_are_all_taken_back_never_were(came: list[Arrival], back: list[Return], axis: Axis) -> None:
    sources = {one.about.source for one in back}
    taken_back = [
        Return(ReportReturned(source, UnitCode("a1"), None, UnitCode("A"), ""), Millis(130), Millis(130))
        for source in sorted(sources, key=str)
    ]
    assert found(came, [*back, *taken_back], axis) == found(came, [], axis)


@given(arrivals(), returns(), AXES, st.integers(0, 130).map(Millis))
def test_what_is_known_at_a_moment_needs_nothing_that_came_later(
    came: list[Arrival], back: list[Return], axis: Axis, at: Millis
) -> None:
    known = [one for one in came if one.came_at(axis) <= at]
    told = [one for one in back if one.made_at(axis) <= at]
    assert found(came, back, axis, at) == found(known, told, axis, at)
