"""Indicators: divided once from totals, empty with a reason, with the people of their own time under them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consumers.cumulative import running
from consumers.indicators import DutyCounts, Measured, level, measured, ratio
from consumers.numbers import Blank, Number, Numbers, Span
from consumers.read_model.database import FILE_NAME
from schemas.catalogue import RELEASED, Catalogue, CatalogueError
from schemas.figure import State
from schemas.form import FormId
from schemas.indicator import Timeliness
from schemas.report import Cell, Millis
from schemas.unit import UnitCode
from tests.support.figures import Sent
from tests.support.read_model import FigureLog, reading
from tests.support.tam_duong import TamDuong, week

MONDAY, SUNDAY = date(2021, 12, 13), date(2021, 12, 19)
TREE = """code,name,level,parent,valid_from,valid_to
01,Tỉnh,province,,2021-01-01,
D,Huyện D,district,01,2021-01-01,
a1,Xã a1,commune,D,2021-01-01,
a2,Xã a2,commune,D,2021-01-01,
"""
INDICATORS = """
[[indicator]]
id = "positivity"
label_vi = "x"
label_en = "x"
unit = "%"
source = "test"
numerator = { term = { form = "testing-daily", value = "positive_persons" } }
denominator = { term = { form = "testing-daily", value = "persons" } }
[[indicator]]
id = "cases"
label_vi = "x"
label_en = "x"
unit = "per 100,000"
source = "test"
scale = 100000
numerator = { term = { form = "testing-daily", value = "positive_persons", over = "week" } }
denominator = { population = "all" }
[[indicator]]
id = "seen"
label_vi = "x"
label_en = "x"
unit = "%"
source = "test"
numerator = { term = { form = "stock-count", value = "distinct_persons" } }
denominator = { population = "all" }
[[indicator]]
id = "in-time"
label_vi = "x"
label_en = "x"
unit = "%"
source = "test"
numerator = { duties = "in-time" }
denominator = { duties = "owed" }
[[level]]
id = "level"
label_vi = "x"
label_en = "x"
source = "test"
rate = "cases"
coverage = "positivity"
enough = 70
at_levels = ["commune"]
step = [ { least = 0, covered = 1, uncovered = 1 }, { least = 20, covered = 1, uncovered = 2 },
         { least = 50, covered = 2, uncovered = 3 }, { least = 150, covered = 3, uncovered = 4 } ]
"""
POPULATIONS = """unit,group,persons,on,source
a1,all,1000,2021-01-01,test
a1,all,2000,2021-12-18,test
a2,all,3000,2021-01-01,test
"""
STOCK = (Path(__file__).parents[1] / "data" / "catalogue" / "forms" / "stock-count.avsc").read_bytes()


def files(indicators: str = INDICATORS, populations: str = POPULATIONS) -> dict[str, bytes]:
    found = {path.relative_to(RELEASED).as_posix(): path.read_bytes()
             for pattern in ("forms/testing-daily.avsc", "codes/*.csv") for path in RELEASED.glob(pattern)}  # fmt: skip
    tree = Catalogue({**found, "forms/stock-count.avsc": STOCK}).with_tree(TREE, "small").files
    return {**tree, "indicators/a.toml": indicators.encode(), "populations/a.csv": populations.encode()}


CATALOGUE = Catalogue(files())


def examined(unit: str, day: date, persons: int, positives: int, at: int) -> Sent:
    row: dict[str, Cell] = {"method": "antigen", "sample": "single", "persons": persons, "tubes": persons,
                            "positive_tubes": positives, "positive_persons": positives}  # fmt: skip
    return Sent(unit, "testing-daily", day, 1, (0, at), State.REPORT, (tuple(row.items()),), "", at, at)


def stored(data: Path, sent: Sequence[Sent]) -> None:
    TamDuong(data, FigureLog(CATALOGUE)).send(sent)


def ask(data: Path, units: Sequence[str], first: date = MONDAY, last: date = SUNDAY) -> dict[tuple[str, str], Measured]:
    with reading(data / FILE_NAME) as model:
        numbers = Numbers(model)
        duties = DutyCounts(numbers, Millis(int(datetime(2021, 12, 20, 1, tzinfo=UTC).timestamp() * 1000)))
        found = measured(numbers, [UnitCode(unit) for unit in units], Span(first, last), duties)
    return {(one.indicator, one.unit): one for one in found}


# Ratios


@given(st.integers(-(10**12), 10**12), st.integers(1, 10**12), st.integers(1, 10**6), st.integers(0, 6))
def test_ratio_is_the_exact_fraction_rounded_once(numerator: int, denominator: int, scale: int, decimals: int) -> None:
    found = ratio(numerator, denominator, scale, decimals)
    assert isinstance(found, Decimal)
    error = abs(Fraction(found) - Fraction(numerator * scale, denominator))
    assert error <= Fraction(1, 2 * 10**decimals)


@pytest.mark.parametrize(
    ("numerator", "denominator", "expected"), [(1, 8, "12.5"), (1, 800, "0.1"), (1, 2000, "0.1"), (-1, 2000, "-0.1")]
)
def test_half_is_rounded_away_from_zero(numerator: int, denominator: int, expected: str) -> None:
    assert str(ratio(numerator, denominator, 100, 1)) == expected


def test_nothing_is_divided_by_nothing() -> None:
    blank = Blank("không", "none")
    assert ratio(blank, 5, 100, 1) is blank
    assert ratio(5, blank, 100, 1) is blank
    assert ratio(0, 0, 100, 1) == Blank("mẫu số bằng 0", "the denominator is 0")


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(["a1", "a2"]), st.integers(0, 6), st.integers(1, 500), st.integers(0, 500)),
                min_size=1, max_size=8, unique_by=lambda one: one[:2]))  # fmt: skip
def test_indicator_of_totals_is_that_of_the_sums_of_its_children(
    tmp_path_factory: pytest.TempPathFactory, reports: list[tuple[str, int, int, int]]
) -> None:
    data = tmp_path_factory.mktemp("sums")
    sent = [
        examined(unit, MONDAY + timedelta(days=day), persons, min(positives, persons), at)
        for at, (unit, day, persons, positives) in enumerate(reports, 1)
    ]
    stored(data, sent)
    found = ask(data, ["01", "D", "a1", "a2"])
    for name in ("positivity", "cases"):
        children = [found[name, unit] for unit in ("a1", "a2")]
        parts = [(one.numerator, one.denominator) for one in children if isinstance(one.numerator, int)]
        above = found[name, "D"]
        assert above.numerator == sum(part for part, _ in parts)
        if name == "positivity":
            assert above.denominator == sum(whole for _, whole in parts if isinstance(whole, int))
        assert (above.value, above.reported) == (found[name, "01"].value, len(reports))


def test_mean_of_ratios_is_not_what_is_shown(tmp_path: Path) -> None:
    stored(tmp_path, [examined("a1", MONDAY, 10, 5, 1), examined("a2", MONDAY, 990, 5, 2)])
    found = ask(tmp_path, ["D", "a1", "a2"])
    values = [found["positivity", unit].value for unit in ("a1", "a2", "D")]
    assert [str(value) for value in values] == ["50.0", "0.5", "1.0"]


# Denominators


def test_population_is_that_of_its_time_and_of_the_sum_of_places(tmp_path: Path) -> None:
    stored(tmp_path, [examined("a1", MONDAY, 100, 3, 1)])
    early = ask(tmp_path, ["a1", "D"], MONDAY, date(2021, 12, 17))
    late = ask(tmp_path, ["a1", "D"], MONDAY, SUNDAY)
    assert [early["cases", unit].denominator for unit in ("a1", "D")] == [1000, 4000]
    assert [late["cases", unit].denominator for unit in ("a1", "D")] == [2000, 5000]
    assert str(early["cases", "a1"].value) == "300.0"


def test_indicator_without_a_number_says_why(tmp_path: Path) -> None:
    stored(tmp_path, [examined("a1", MONDAY, 100, 3, 1)])
    before = ask(tmp_path, ["a1", "D"], date(2020, 12, 13), date(2020, 12, 19))
    assert before["positivity", "a1"].value == Blank("chưa có báo cáo", "not reported")
    found = ask(tmp_path, ["a1", "a2", "D"])
    assert found["positivity", "a2"].value == Blank("chưa có báo cáo", "not reported")
    assert found["in-time", "D"].value == Blank("chưa có chế độ báo cáo", "no reporting regime")


def test_population_that_lacks_one_place_is_no_population(tmp_path: Path) -> None:
    cut = Catalogue(files(populations=POPULATIONS.replace("a2,all,3000,2021-01-01,test\n", "")))
    TamDuong(tmp_path, FigureLog(cut)).send([examined("a1", MONDAY, 100, 3, 1)])
    found = ask(tmp_path, ["D", "a1"])
    assert found["cases", "D"].value == Blank("chưa có dân số (all) của Xã a2", "no population (all) of Xã a2")
    assert isinstance(found["cases", "a1"].value, Decimal)


def test_measure_that_must_not_be_added_leaves_the_superior_empty(tmp_path: Path) -> None:
    row: dict[str, Cell] = {
        "vaccine": "comirnaty",
        "doses_in_stock": 1,
        "fridges_checked": None,
        "distinct_persons": 50,
    }
    stored(tmp_path, [Sent("a1", "stock-count", MONDAY, 1, (0, 1), State.REPORT, (tuple(row.items()),), "", 1, 1)])
    found = ask(tmp_path, ["a1", "D"], MONDAY, MONDAY)
    assert str(found["seen", "a1"].value) == "5.0"
    value = found["seen", "D"].value
    assert isinstance(value, Blank)
    assert "must not be added over units" in value.reason_en


def test_reports_in_time_come_from_obligations(tmp_path: Path) -> None:
    stored(tmp_path, [examined("a1", MONDAY, 1, 0, 1)])

    def duties(unit: UnitCode, days: Span, what: Timeliness) -> Number:
        return 229 if what is Timeliness.OWED else 214

    with reading(tmp_path / FILE_NAME) as model:
        found = measured(Numbers(model), [UnitCode("D")], Span(MONDAY, SUNDAY), duties)
    assert str(next(one for one in found if one.indicator == "in-time").value) == "93.4"


# Levels


@pytest.mark.parametrize(
    ("rate", "coverage", "expected"),
    [(0, 0, 1), (Fraction(19_999, 1000), 0, 1), (20, 0, 2), (20, 70, 1), (50, Fraction(6999, 100), 3), (50, 70, 2),
     (149, 0, 3), (150, 69, 4), (150, 70, 3), (10**6, 100, 3)],
)  # fmt: skip
def test_level_by_thresholds(rate: Fraction, coverage: Fraction, expected: int) -> None:
    assert level(CATALOGUE.indicators.levels["level"], Fraction(rate), Fraction(coverage)) == expected


@given(st.fractions(0, 500), st.fractions(0, 500), st.fractions(0, 100))
def test_level_never_falls_with_more_cases_or_less_coverage(one: Fraction, other: Fraction, coverage: Fraction) -> None:
    scale = CATALOGUE.indicators.levels["level"]
    few, many = sorted((one, other))
    assert level(scale, few, coverage) <= level(scale, many, coverage)
    assert level(scale, many, Fraction(100)) <= level(scale, many, coverage)


def test_level_is_only_there_for_communes(tmp_path: Path) -> None:
    stored(tmp_path, [examined("a1", SUNDAY, 100, 3, 1), examined("a2", SUNDAY, 100, 0, 2)])
    found = ask(tmp_path, ["D", "a1", "a2"])
    assert ("level", "D") not in found
    assert [str(found["level", unit].value) for unit in ("a1", "a2")] == ["4", "1"]


# The released ones, on the week of Tam Đường


def test_released_indicators_of_the_week(tmp_path: Path) -> None:
    week(tmp_path)
    found = ask(tmp_path, ["106", "03424"])
    assert (found["positivity", "106"].numerator, found["positivity", "106"].denominator) == (3, 416)
    assert str(found["positivity", "106"].value) == "0.72"
    assert (found["paid-of-approved", "106"].numerator, found["paid-of-approved", "106"].denominator) == (
        597_000_000, 646_500_000,
    )  # fmt: skip
    assert str(found["paid-of-approved", "106"].value) == "92.3"
    assert str(found["paid-of-approved", "03424"].value) == "100.0"
    assert found["positivity", "106"].reported == 91


# Cumulative and brought forward


@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(0, 500), min_size=1, max_size=7), st.integers(0, 6), st.integers(0, 6))
def test_brought_forward_and_period_make_the_cumulative(
    tmp_path_factory: pytest.TempPathFactory, series: list[int], begin: int, end: int
) -> None:
    data = tmp_path_factory.mktemp("running")
    stored(data, [examined("a1", MONDAY + timedelta(days=n), persons, 0, n + 1) for n, persons in enumerate(series)])
    begin, end = sorted((begin, end))
    days = Span(MONDAY + timedelta(days=begin), MONDAY + timedelta(days=end))
    with reading(data / FILE_NAME) as model:
        cells = running(Numbers(model), UnitCode("01"), FormId("testing-daily"), days)
    for one in cells:
        if one.measure.name == "persons":
            assert one.brought_forward == sum(series[:begin])
            assert one.cumulative == sum(series[: end + 1])
            assert one.in_period == sum(series[begin : end + 1]) or isinstance(one.in_period, Blank)


def test_stock_is_brought_forward_and_never_accumulated(tmp_path: Path) -> None:
    def stock(day: date, doses: int, at: int) -> Sent:
        row: dict[str, Cell] = {"vaccine": "comirnaty", "doses_in_stock": doses, "fridges_checked": None,
                                "distinct_persons": 0}  # fmt: skip
        return Sent("a1", "stock-count", day, 1, (0, at), State.REPORT, (tuple(row.items()),), "", at, at)

    stored(tmp_path, [stock(MONDAY, 10, 1), stock(SUNDAY, 4, 2)])
    with reading(tmp_path / FILE_NAME) as model:
        cells = running(Numbers(model), UnitCode("01"), FormId("stock-count"), Span(SUNDAY, SUNDAY))
    found = next(one for one in cells if one.measure.name == "doses_in_stock")
    assert (found.brought_forward, found.in_period) == (10, 4)
    assert isinstance(found.cumulative, Blank)


# Loading


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('form = "testing-daily", value = "positive_persons" }', 'form = "tests", value = "positive_persons" }',
         "indicators/a.toml line 8: no form tests"),
        ('value = "persons" }', 'value = "people" }', "a.toml line 9: form testing-daily has no measure people"),
        ('population = "all"', 'population = "65+"', "a.toml line 18: no population of 65"),
        ('population = "all"', 'population = "all", duties = "owed"', "a.toml line 18: one of term, population"),
        ('rate = "cases"', 'rate = "deaths"', "a.toml line 40: no indicator deaths"),
        ('least = 50', 'least = 10', "a.toml line 44: steps must ascend"),
        ('id = "cases"', 'id = "positivity"', "a.toml line 11: indicator positivity is there twice"),
        ('unit = "%"', 'unit = "%"\ncolour = "red"', "a.toml line 7: unknown key indicator.0.colour"),
    ],
)  # fmt: skip
def test_bad_indicator_is_refused_by_file_and_line(old: str, new: str, why: str) -> None:
    assert old in INDICATORS
    with pytest.raises(CatalogueError, match=why):
        Catalogue(files(INDICATORS.replace(old, new, 1)))


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("zz,all,5,2021-01-01,test\n", "populations/a.csv line 5: no unit zz"),
        ("a2,all,many,2021-01-01,test\n", "populations/a.csv line 5: persons must be a whole number"),
        ("a2,all,5,2021-01-01,\n", "populations/a.csv line 5: .* source must be given"),
        ("a2,all,5,2021-01-01,test\n", "populations/a.csv line 5: all of a2 on 2021-01-01 is there twice"),
        ("a2,all,5,January,test\n", "populations/a.csv line 5: on 'January' is not a day"),
    ],
)
def test_bad_population_is_refused_by_file_and_line(row: str, why: str) -> None:
    with pytest.raises(CatalogueError, match=why):
        Catalogue(files(populations=POPULATIONS + row))
