"""Regimes are read strictly: a released one as it is meant, a bad one refused by file and line, nothing half loaded."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from functools import cache

import pytest

from schemas.catalogue import ZONE, Catalogue, CatalogueError
from schemas.period import parse_period
from schemas.regime import DayOff, Deadline, Regime, RegimeKind
from schemas.toml_lines import lines_of_keys
from schemas.window import MIDNIGHT, Window
from schemas.working_days import WorkCalendar
from tests.support.regimes import LADDERS, REGIME, catalogue_with, regime_of
from tests.support.released import released_catalogue

WEEKENDS_ONLY = WorkCalendar({})


@cache
def released() -> Catalogue:
    return released_catalogue()


def test_released_regimes_have_every_part_that_the_decree_demands() -> None:
    assert released().regimes
    for regime in released().regimes:
        parts = (regime.name_vi, regime.basis.document, regime.basis.issuer, regime.content_vi, regime.outline_vi,
                 regime.recipients_vi, regime.way_vi, regime.deadlines, regime.form)  # fmt: skip
        assert all(parts), regime.id
        assert regime.frequency is not None or regime.occasions


def test_a_regime_is_read_as_it_is_written() -> None:
    regime = regime_of(REGIME)
    assert (regime.id, regime.kind, regime.form, regime.line) == (
        "day-regime",
        RegimeKind.PERIODIC,
        "covid-doses",
        "ubnd",
    )
    assert regime.window == Window(datetime(2021, 1, 1, 17, 30).time(), ZONE)  # noqa: DTZ001
    assert regime.reporters.lowest


@pytest.mark.parametrize(
    ("change", "line", "message"),
    [
        (("way_vi = ", "ways_vi = "), 10, "unknown key ways_vi"),
        (('way_vi = "thư"\n', ""), 1, "way_vi is missing"),
        (('confirmed = true', 'confirmed = true\ncolour = "red"'), 22, "unknown key basis.colour"),
        (('time = "17:30"', 'time = "17:00"'), 24, "the deadline 17:00 precedes the cut-off 17:30"),
        (('time = "17:30"', 'time = "25:00"'), 25, "deadline.0.time"),
        (('time = "17:30"', "working_days = 0"), 25, "deadline.0.working_days"),
        (('time = "17:30"', "days_after = 1"), 24, "a deadline needs its time"),
        (('time = "17:30"', 'time = "17:30"\ndays_after = 1\nworking_days = 1'), 24, "days_after or working_days"),
        (('time = "17:30"', "hours_after_event = 48"), 24, "a deadline in hours belongs to occasions"),
        (('form = "covid-doses"', 'form = "covid-dozes"'), 11, "no form covid-dozes"),
        (('line = "ubnd"', 'line = "moon"'), 12, "no line moon"),
        (('frequency = "day"', 'frequency = "week"'), 24, "a week report needs a day between"),
        (('frequency = "day"', 'frequency = "fortnight"'), 13, "frequency"),
        (('frequency = "day"', 'frequency = "topical"'), 13, "set one by one"),
        (('frequency = "day"\n', ""), 2, "needs its frequency"),
        (('issuer_level = "ministry"', 'issuer_level = "district"'), 2, "a district can't create a periodic regime"),
        (('issuer_level = "ministry"', 'issuer_level = "king"'), 19, "issuer_level"),
        (("lowest = true", 'units = ["zz"]'), 28, "no unit zz"),
        (("lowest = true", 'units = ["old"]'), 28, "unit old is not in force while the regime is"),
        (("lowest = true", 'levels = ["village"]'), 28, "no level village"),
        (("lowest = true", 'kinds = ["circus"]'), 28, "no kind circus"),
        (("lowest = true", 'below = ["R"]'), 27, "nobody is obliged"),
        (("lowest = true", 'lowest = true\nbelow = ["nowhere"]'), 29, "no unit nowhere"),
        (("valid_from = 2021-11-01", "valid_from = 2021-11-01\nvalid_to = 2021-10-01"), 4, "valid to 2021-10-01"),
        (('cut_off = "17:30"', 'cut_off = "17.30"'), 14, "cut_off"),
        (('cut_off = "17:30"\n', ""), 1, "cut_off is missing"),
        (('cut_off = "17:30"', 'ladder = "none"'), 14, "a ladder brings its own"),
        (('name_vi = "Báo cáo', "name_vi = Báo cáo"), 5, "not TOML"),
    ],
)  # fmt: skip
def test_a_bad_regime_is_refused_by_file_and_line(change: tuple[str, str], line: int, message: str) -> None:
    assert change[0] in REGIME
    with pytest.raises(CatalogueError) as refused:
        catalogue_with({"day.toml": REGIME.replace(*change)})
    assert str(refused.value).startswith(f"regimes/day.toml line {line}: ")
    assert message in str(refused.value)


OCCASION = (
    REGIME.replace('kind = "periodic"', 'kind = "ad-hoc"').replace('frequency = "day"\n', "")
    .replace('form = "covid-doses"', 'form = "on-orders"').replace('cut_off = "17:30"', 'cut_off = "24:00"')
    .replace('time = "17:30"', "hours_after_event = 48").replace('[reporters]\nlowest = true\n', "")
    + '\n[[occasion]]\nperiod = "T:2021-12-14:vung-xanh"\nevent = 2021-12-14T08:00:00+07:00\nunits = ["a1"]\n'
)  # fmt: skip


def test_an_ad_hoc_regime_has_occasions() -> None:
    (occasion,) = regime_of(OCCASION).occasions
    assert (occasion.period.text, occasion.units) == ("T:2021-12-14:vung-xanh", ("a1",))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("event = 2021-12-14T08:00:00+07:00\n", ""), "needs the occasion's event"),
        (("T08:00:00+07:00", "T08:00:00"), "an event needs its offset"),
        (("hours_after_event = 48", "hours_after_event = 2"), "the deadline 2021-12-14 10:00 precedes the cut-off"),
        (('units = ["a1"]', 'units = ["zz"]'), "no unit zz"),
        (('units = ["a1"]\n', ""), "nobody is obliged"),
        (("T:2021-12-14:vung-xanh", "2021-12-14"), "form on-orders takes no day period"),
        (("T:2021-12-14:vung-xanh", "T:2021-12-14"), "is not a period"),
        (("T:2021-12-14:vung-xanh", "T:2020-12-14:vung-xanh"), "ends outside the regime's validity"),
        (("hours_after_event = 48", 'hours_after_event = 48\ntime = "17:00"'), "stands alone"),
        (('kind = "ad-hoc"', 'kind = "periodic"'), "needs its frequency"),
        (('way_vi', 'frequency = "week"\nway_vi'), "a frequency or occasions, not both"),
    ],
)  # fmt: skip
def test_a_bad_occasion_is_refused(change: tuple[str, str], message: str) -> None:
    assert change[0] in OCCASION
    with pytest.raises(CatalogueError, match=r"regimes/day\.toml line \d+: ") as refused:
        catalogue_with({"day.toml": OCCASION.replace(*change)})
    assert message in str(refused.value)


def test_an_ad_hoc_regime_without_an_occasion_is_refused() -> None:
    with pytest.raises(CatalogueError, match="nobody would ever owe it"):
        catalogue_with({"day.toml": OCCASION[: OCCASION.index("[[occasion]]")]})


def test_a_topical_regime_that_repeats_needs_an_end() -> None:
    topical = REGIME.replace('kind = "periodic"', 'kind = "topical"').replace('"ministry"', '"district"')
    with pytest.raises(CatalogueError, match="line 2: a topical regime that repeats needs an end"):
        catalogue_with({"day.toml": topical})
    ended = topical.replace("valid_from = 2021-11-01", "valid_from = 2021-11-01\nvalid_to = 2021-12-31")
    assert regime_of(ended).valid_to == date(2021, 12, 31)


def test_two_versions_in_force_on_one_day_are_refused_and_two_after_each_other_are_not() -> None:
    first = REGIME.replace("valid_from = 2021-11-01", "valid_from = 2021-11-01\nvalid_to = 2021-12-13")
    second = REGIME.replace("valid_from = 2021-11-01", "valid_from = 2021-12-14")
    assert len(catalogue_with({"a.toml": first, "b.toml": second}).regimes) == 2
    with pytest.raises(CatalogueError, match=r"regimes/b\.toml line 3: day-regime is in force from 2021-12-13 while"):
        catalogue_with({"a.toml": first, "b.toml": second.replace("2021-12-14", "2021-12-13")})


@pytest.mark.parametrize(
    ("ladders", "message"),
    [
        (LADDERS.replace('time = "16:00"', 'time = "15:10"'), "line 9: the level district is due before commune"),
        (LADDERS.replace('cut_off = "15:00"', 'cut_off = "15:45"'), "line 5: the deadline 15:30 precedes the cut-off"),
        (LADDERS.replace("label_vi", "label"), "line 3: unknown key city.label"),
        (LADDERS.replace("[city]", "[city"), "line 2: not TOML"),
    ],
)
def test_a_bad_ladder_is_refused_by_line(ladders: str, message: str) -> None:
    with pytest.raises(CatalogueError, match=r"^ladders\.toml ") as refused:
        catalogue_with({}, ladders=ladders)
    assert message in str(refused.value)


def test_a_ladder_gives_a_regime_its_window_and_the_deadline_of_each_level() -> None:
    laddered = REGIME[: REGIME.index("[[deadline]]")].replace('cut_off = "17:30"', 'ladder = "city"')
    regime = regime_of(laddered + "[reporters]\nlowest = true\n")
    assert [(d.level, str(d.at)) for d in regime.deadlines] == [("commune", "15:30:00"), ("district", "16:00:00")]


def test_days_off_are_read_strictly() -> None:
    for row, message in (("2021-12-16,maybe,x", "neither yes nor no"), ("16/12/2021,no,x", "is not a day"),
                         ("2021-12-16,no,x\n2021-12-16,yes,x", "decided twice")):  # fmt: skip
        with pytest.raises(CatalogueError, match=r"days-off\.csv line \d: .*") as refused:
            catalogue_with({}, days_off=f"day,works,decision\n{row}\n")
        assert message in str(refused.value)


def clock(at: str, **given: object) -> Deadline:
    fields = {"days_after": 0, "working_days": None, "hours_after": None, "day_off": DayOff.NEXT_WORKING_DAY} | given
    return Deadline("", datetime.strptime(at, "%H:%M").time(), **fields)  # type: ignore[arg-type]  # noqa: DTZ007


@pytest.mark.parametrize(
    ("deadline", "period", "due"),
    [
        (clock("17:00", working_days=2), "2021-12", "2021-12-16T17:00"),
        (clock("17:00", working_days=1), "2022-01", "2022-01-17T17:00"),
        # Tết of 2022: 31/1 to 4/2 off, then a weekend.
        (clock("09:00", days_after=1), "2022-01-30", "2022-02-07T09:00"),
        (clock("09:00", days_after=1, day_off=DayOff.STAYS), "2022-01-30", "2022-01-31T09:00"),
        # 26/4/2025, a Saturday, is worked for 2/5/2025.
        (clock("09:00", days_after=1), "2025-04-25", "2025-04-26T09:00"),
        (clock("09:00", days_after=1), "2025-05-01", "2025-05-05T09:00"),
        # Ministries report by the 25th of the period's last month (NĐ 09/2019, Điều 13).
        (clock("17:00", days_after=11), "2021-Q4", "2021-12-27T17:00"),
    ],
)  # fmt: skip
def test_deadlines_know_working_days(deadline: Deadline, period: str, due: str) -> None:
    found = deadline.due(parse_period(period), None, Window(MIDNIGHT, ZONE), WEEKENDS_ONLY)
    assert found == datetime.fromisoformat(f"{due}:00+07:00")


def test_a_deadline_in_hours_runs_from_its_event_through_the_night() -> None:
    deadline = Deadline("", None, 0, None, 48, DayOff.STAYS)
    event = datetime.fromisoformat("2021-12-14T01:00:00+00:00")
    due = deadline.due(parse_period("T:2021-12-14:a"), event, Window(MIDNIGHT, ZONE), WEEKENDS_ONLY)
    assert due == event + timedelta(hours=48)


def test_a_decision_of_the_year_stands_before_the_library() -> None:
    decided = catalogue_with({}, days_off="day,works,decision\n2021-12-16,no,QĐ 1\n2021-12-18,yes,QĐ 1\n").calendar
    assert not decided.works(date(2021, 12, 16))
    assert decided.after(date(2021, 12, 15), 2) == date(2021, 12, 18)
    assert WEEKENDS_ONLY.after(date(2021, 12, 15), 2) == date(2021, 12, 17)


def test_lines_of_keys_are_found_through_tables_arrays_and_long_texts() -> None:
    text = 'a = """\nb = 1\n"""\n[t]\nc = 1\n[[x]]\nd = 1\n[[x]]\nd = 2\n[x.y]\ne = 3\n'
    found = lines_of_keys(text)
    assert (found["a",], found["t", "c"], found["x", 1, "d"], found["x", 1, "y", "e"]) == (1, 5, 9, 11)
    assert ("b",) not in found


def test_regimes_are_part_of_the_catalogues_identity() -> None:
    def with_way(way: str) -> Regime:
        return regime_of(REGIME.replace('"thư"', f'"{way}"'))

    assert with_way("điện").way_vi == "điện"
    assert catalogue_with({"a.toml": REGIME}).digest != catalogue_with({}).digest
