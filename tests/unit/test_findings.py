"""Findings: what checks across forms, levels, units and days say of figures, and what they keep silent about."""

from __future__ import annotations

import json
import string
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.findings import findings
from consumers.numbers import Numbers, Span
from consumers.read_model.database import FILE_NAME
from consumers.robust import usual
from schemas.catalogue import RELEASED, Catalogue, CatalogueError
from schemas.cross_check import CheckKind
from schemas.figure import ScopeCode, State
from schemas.finding import Finding
from schemas.read_model import Axis
from schemas.report import Cell, Millis
from schemas.unit import LineName, UnitCode
from tests.support.figures import Sent, as_figure
from tests.support.read_model import FigureLog, reading
from tests.support.tam_duong import TamDuong, week

UNITS = """code,name,level,kind,place,valid_from,valid_to
VN,Việt Nam,nation,administrative,,2021-01-01,
G18,Bộ Y tế,nation,agency,VN,2021-01-01,
H35,Sở Y tế,province,agency,VN,2021-01-01,
"""
HEALTH = "code,superior,valid_from,valid_to\nH35,G18,2021-01-01,\n"
TREE = """code,name,level,parent,valid_from,valid_to
01,Thành phố Hà Nội,province,VN,2021-01-01,
"""
DAY = date(2021, 12, 17)


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    """The released catalogue without its units, which take a second to read."""
    folders = ("forms/*.avsc", "codes/*.csv", "checks/*.toml")
    found = {path.relative_to(RELEASED).as_posix(): path.read_bytes() for one in folders for path in RELEASED.glob(one)}
    return {**found, "units/base.csv": UNITS.encode(), "lines/health-base.csv": HEALTH.encode()}


def ask(data: Path, unit: str, first: date, last: date, as_of: str = "", only: tuple[str, ...] = ()) -> list[Finding]:
    at = Millis(int(datetime.fromisoformat(as_of).timestamp() * 1000)) if as_of else None
    with reading(data / FILE_NAME) as model:
        return [*findings(Numbers(model, at, Axis.ISSUED), UnitCode(unit), Span(first, last), only)]


# The released checks on the pair of Hà Nội and on the week of Tam Đường


def payout(unit: str, approved: int, amount_approved: int, paid: int, amount_paid: int) -> Sent:
    row: dict[str, Cell] = {"policy": "nq68-free-workers", "beneficiary": "person", "applied": approved,
                            "appraised": approved, "approved": approved, "paid": paid, "refused": 0, "recovered": 0,
                            "amount_approved": amount_approved, "amount_paid": amount_paid,
                            "amount_recovered": 0}  # fmt: skip
    return Sent(unit, "support-payout", DAY, 1, (0, 1), State.REPORT, (tuple(row.items()),), "", 1000, 1000)


def test_the_pair_of_ha_noi_is_found_and_the_exact_pair_is_not(tmp_path: Path, files: dict[str, bytes]) -> None:
    """228,599 persons approved at 342,748,500,000 đ is 100 persons off at 1,500,000 đ; the paid pair is exact."""
    made = TamDuong(tmp_path, FigureLog(Catalogue(files).with_tree(TREE, "small")))
    made.send([payout("01", 228_599, 342_748_500_000, 206_072, 309_108_000_000)])
    (found,) = ask(tmp_path, "VN", DAY, DAY)
    assert (found.check, found.unit, found.value, found.expected) == (
        "amount-approved-by-rate", "01", 342_748_500_000, 342_898_500_000,
    )  # fmt: skip
    assert found.difference == -100 * 1_500_000
    assert found.message_vi == (
        "Thành phố Hà Nội, NQ 68: lao động không có giao kết hợp đồng lao động (lao động tự do): số tiền được phê "
        "duyệt 342.748.500.000 đồng khác 228.599 đối tượng × 1.500.000 đồng = 342.898.500.000 đồng "
        "(chênh lệch -150.000.000 đồng)"
    )
    assert "342,748,500,000" in found.message_en


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return week(tmp_path_factory.mktemp("story")).data


def test_the_week_has_the_table_sent_by_the_wrong_commune_until_it_is_withdrawn(story: Path) -> None:
    day = date(2021, 12, 15)
    at_once = ask(story, "12", day, day, "2021-12-15T16:30:00+07:00")
    assert [(one.check, one.unit) for one in at_once] == [("same-table-twice", "03400"), ("same-table-twice", "03405")]
    assert "Xã Giang Ma" in at_once[0].message_vi
    assert "Xã Tả Lèng" in at_once[1].message_vi
    assert ask(story, "12", day, day, "2021-12-15T19:30:00+07:00") == []


def test_the_week_has_more_paid_than_approved_until_it_is_corrected(story: Path) -> None:
    (found,) = ask(story, "106", DAY, DAY, "2021-12-17T16:00:00+07:00")
    assert (found.check, found.unit, found.difference) == ("paid-within-approved-to-date", "03424", 1_500_000)
    assert ask(story, "106", DAY, DAY, "2021-12-17T17:00:00+07:00") == []


def test_the_week_has_the_report_by_telephone_that_differs_from_the_own_one(story: Path) -> None:
    day = date(2021, 12, 14)
    assert ask(story, "106", day, day, "2021-12-16T07:00:00+07:00") == []
    found = ask(story, "106", day, day, "2021-12-16T08:00:00+07:00")
    assert {(one.check, one.unit) for one in found} == {("two-senders-disagree", "03430")}
    used = next(one for one in found if one.field == "doses_used")
    assert (used.value, used.expected) == (135, 130)
    assert "Huyện Tam Đường đã nhập hộ 130" in used.message_vi


def test_nothing_else_stands_out_in_the_week(story: Path) -> None:
    found = ask(story, "12", date(2021, 12, 13), date(2021, 12, 19))
    assert {one.check for one in found} == {"two-senders-disagree"}
    assert found == sorted(found)
    assert ask(story, "12", date(2021, 12, 13), date(2021, 12, 19), only=("same-table-twice",)) == []


def test_claim_for_the_whole_subtree_is_compared_with_the_total(tmp_path: Path) -> None:
    made = week(tmp_path, ("testing-daily",))
    row: dict[str, Cell] = {"method": "antigen", "sample": "single", "persons": 20, "tubes": 19, "positive_tubes": 0,
                            "positive_persons": 0}  # fmt: skip
    day = date(2021, 12, 14)
    sent = Sent("106", "testing-daily", day, 1, (0, 9_999), State.REPORT, (tuple(row.items()),), "", 5, 5)
    made.log._append("106", replace(as_figure(made.log.catalogue, sent), scope=ScopeCode.SUBTREE), 5)
    made.send([])
    (found,) = ask(tmp_path, "12", day, day, only=("claim-is-total",))
    assert (found.unit, found.field, found.value, found.expected) == ("106", "tubes", 19, 20)


# Stock, receipts and lines, by checks of the tests' own


RECEIPTS = """
[[check]]
id = "within-receipts"
kind = "compare"
at = "total"
every = "days"
by = ["vaccine"]
value = "used"
compare = "<="
expected = "there"
label_vi = "x"
label_en = "x"
message_vi = "{unit} {row}: {value} > {expected} ({difference})"
message_en = "{unit} {row}: {value} > {expected} ({difference})"
source = "test"
[check.terms.used]
form = "vaccination-daily"
value = "doses_used + doses_discarded"
over = "to-date"
[check.terms.there]
form = "stock-count"
value = "doses_in_stock"
over = "OVER"
"""
STOCK = (Path(__file__).parents[1] / "data" / "catalogue" / "forms" / "stock-count.avsc").read_bytes()


def vaccinated(day: date, unit: str, used: int, at: int) -> Sent:
    row: dict[str, Cell] = dict.fromkeys(
        ["targeted", "referred", "refused", "deferred", "contraindicated", "dose1", "dose2", "doses_used",
         "doses_discarded", "reactions_common", "reactions_serious"], 0)  # fmt: skip
    row |= {"round": "1", "vaccine": "comirnaty", "doses_used": used}
    return Sent(unit, "vaccination-daily", day, 1, (0, at), State.REPORT, (tuple(row.items()),), "", at, at)


def stock(day: date, unit: str, doses: int, at: int) -> Sent:
    row: dict[str, Cell] = {"vaccine": "comirnaty", "doses_in_stock": doses, "fridges_checked": None,
                            "distinct_persons": 0}  # fmt: skip
    return Sent(unit, "stock-count", day, 1, (0, at), State.REPORT, (tuple(row.items()),), "", at, at)


COMMUNES = TREE + "a1,Xã a1,commune,01,2021-01-01,\na2,Xã a2,commune,01,2021-01-01,\n"
DAYS = (date(2021, 12, 13), date(2021, 12, 14))


def small(data: Path, files: dict[str, bytes], check: str) -> TamDuong:
    kept = {name: text for name, text in files.items() if not name.startswith("checks/")}
    made = Catalogue({**kept, "forms/stock-count.avsc": STOCK}).with_tree(COMMUNES, "small")
    return TamDuong(data, FigureLog(Catalogue({**made.files, "checks/a.toml": check.encode()})))


@pytest.mark.parametrize(
    ("over", "stocks", "expected"),
    [
        ("to-date", [(0, "a1", 10), (0, "a2", 5), (1, "a1", 4)], [("01", 12, 9), ("VN", 12, 9), ("a1", 9, 4)]),
        ("before", [(0, "a1", 10), (0, "a2", 3), (1, "a1", 0)], []),
        ("days", [(1, "a1", 20)], []),
        ("to-date", [], []),
    ],
)
def test_comparison_over_days_levels_and_stocks(
    tmp_path: Path, files: dict[str, bytes], over: str, stocks: list[tuple[int, str, int]],
    expected: list[tuple[str, int, int]],
) -> None:  # fmt: skip
    """a1 uses 4 and 5, a2 3; what is in stock is taken per unit on its last day, then added; blank says nothing."""
    made = small(tmp_path, files, RECEIPTS.replace("OVER", over))
    made.send([vaccinated(DAYS[0], "a1", 4, 1), vaccinated(DAYS[1], "a1", 5, 2), vaccinated(DAYS[0], "a2", 3, 3)])
    made.send([stock(DAYS[day], unit, doses, 10 + number) for number, (day, unit, doses) in enumerate(stocks)])
    found = ask(tmp_path, "VN", DAYS[1], DAYS[1])
    assert [(one.unit, one.value, one.expected) for one in found] == expected


def row_of(files: dict[str, bytes], form: str, **given: Cell) -> tuple[tuple[str, Cell], ...]:
    """A row of a form with zeros where nothing is given."""
    fields = json.loads(files[f"forms/{form}.avsc"])["fields"][2]["type"]["items"]["fields"]
    return tuple((one["name"], given.get(one["name"], 0)) for one in fields)


def test_released_checks_follow_the_doses_from_receipt_to_stock(tmp_path: Path, files: dict[str, bytes]) -> None:
    """40 received, 30 used and 11 discarded; 12 said to be left of 10 + 40 − 30 − 11; 29 taken from stock for 30."""
    made = TamDuong(tmp_path, FigureLog(Catalogue(files).with_tree(COMMUNES, "small")))
    here: dict[str, Cell] = {"round": "1", "vaccine": "comirnaty"}
    day, before = DAYS[1], DAYS[0]
    tables: list[tuple[str, date, dict[str, Cell]]] = [
        ("vaccine-receipt", day, {"doses_received": 40}),
        ("vaccination-daily", day, {"doses_used": 30, "doses_discarded": 11}),
        ("vaccine-stock", before, {"received": 10, "closing": 10}),
        ("vaccine-stock", day, {"opening": 10, "received": 40, "used": 29, "discarded": 11, "closing": 12}),
    ]
    made.send(
        [
            Sent("a1", form, on, 1, (0, at), State.REPORT, (row_of(files, form, **here, **cells),), "", at + 1, at + 1)
            for at, (form, on, cells) in enumerate(tables)
        ]
    )
    found = ask(tmp_path, "a1", day, day)
    assert [(one.check, one.value, one.expected) for one in found] == [
        ("doses-within-received", 41, 40), ("stock-is-in-less-out", 12, 10), ("stock-used-is-doses-used", 29, 30),
    ]  # fmt: skip


def test_two_lines_are_compared_at_one_place(tmp_path: Path, files: dict[str, bytes]) -> None:
    """What the committee of a1 reports, and what the health station placed in a1 does."""
    tree = Catalogue(files).with_tree(COMMUNES, "small").files
    station = UNITS.splitlines()[0] + "\nH35.14,Trạm Y tế a1,commune,health-station,a1,2021-01-01,\n"
    health = {"units/more.csv": station.encode(), "lines/health-more.csv": HEALTH.replace("H35", "H35.14").encode()}
    made = TamDuong(tmp_path, FigureLog(Catalogue({**tree, **health})))
    here: dict[str, Cell] = {"round": "1", "vaccine": "comirnaty", "dose1": 7}
    own = Sent("a1", "vaccination-daily", DAY, 1, (0, 1), State.REPORT,
               (row_of(files, "vaccination-daily", **here),), "", 1, 1)  # fmt: skip
    theirs = replace(
        own, unit="H35.14", source=(0, 2), rows=(row_of(files, "vaccination-daily", **{**here, "dose1": 9}),)
    )
    made.log.report(own)
    made.log._append("G18", replace(as_figure(made.log.catalogue, theirs), line=LineName("health")), 2)
    made.send([])
    found = ask(tmp_path, "a1", DAY, DAY, only=("health-line-agrees",))
    assert [(one.unit, one.value, one.expected) for one in found] == [("a1", 7, 9)]


# What stands out


@given(st.lists(st.integers(-1000, 1000), min_size=7, max_size=40), st.integers(0, 10**9))
def test_one_wild_number_hardly_moves_what_is_usual(values: list[int], wild: int) -> None:
    calm, shaken = usual(values), usual([*values, wild])
    ordered = sorted(values)
    assert ordered[0] <= calm.middle <= ordered[-1]
    assert ordered[len(ordered) // 2 - 1] <= shaken.middle <= max(ordered[len(ordered) // 2], ordered[-1])


@given(st.lists(st.integers(0, 100), min_size=3, max_size=40), st.integers(1, 9), st.integers(-50, 50))
def test_what_is_usual_moves_with_the_numbers(values: list[int], factor: int, shift: int) -> None:
    here, there = usual(values), usual([factor * value + shift for value in values])
    assert there.middle == pytest.approx(factor * here.middle + shift)
    assert there.spread == pytest.approx(factor * here.spread)


def test_any_other_number_stands_out_from_equal_ones() -> None:
    assert usual([5, 5, 5]).stands_out(6, 3.5)
    assert not usual([5, 5, 5]).stands_out(5, 3.5)


JUMP = """
[[check]]
id = "jump"
kind = "KIND"
days = 10
fewest = 3
least = 20
label_vi = "x"
label_en = "x"
message_vi = "{unit} {value} {expected} {spread}"
message_en = "{unit} {value} {expected} {spread}"
source = "test"
[check.terms.used]
form = "vaccination-daily"
value = "doses_used"
"""


def test_jump_is_found_against_the_units_own_days_before(tmp_path: Path, files: dict[str, bytes]) -> None:
    made = small(tmp_path, files, JUMP.replace("KIND", "jump"))
    series = {"a1": [10, 12, 11, 90], "a2": [10, 50, 90, 100]}
    made.send(
        [
            vaccinated(date(2021, 12, 10 + day), unit, used, 10 * day + len(unit) + number)
            for number, (unit, values) in enumerate(series.items())
            for day, used in enumerate(values)
        ]
    )
    (found,) = ask(tmp_path, "VN", date(2021, 12, 13), date(2021, 12, 13))
    assert (found.unit, found.value, found.expected, found.difference) == ("a1", 90, 11, 79)
    assert ask(tmp_path, "VN", date(2021, 12, 12), date(2021, 12, 12)) == []


def test_days_with_nothing_are_no_days_where_a_check_skips_them(tmp_path: Path, files: dict[str, bytes]) -> None:
    """Communes vaccinate in rounds: a day like those of the round before is no jump from the zeros between."""
    made = small(tmp_path, files, JUMP.replace("KIND", "jump").replace("days = 10", "days = 10\nskip_zero = true"))
    series = [80, 90, 100, 0, 0, 0, 0, 0, 95, 0]
    made.send([vaccinated(date(2021, 12, 1 + day), "a1", used, day + 1) for day, used in enumerate(series)])
    assert ask(tmp_path, "VN", date(2021, 12, 9), date(2021, 12, 10)) == []


def test_outlier_is_found_against_its_siblings(tmp_path: Path, files: dict[str, bytes]) -> None:
    more = "".join(f"b{n},Xã b{n},commune,01,2021-01-01,\n" for n in range(4))
    made = small(tmp_path, files, JUMP.replace("KIND", "outlier"))
    made.log.catalogue = made.log.catalogue.with_tree(COMMUNES + more, "small")
    made.send([vaccinated(DAYS[0], unit, used, n) for n, (unit, used) in enumerate(
        [("a1", 3), ("a2", 100), ("b0", 4), ("b1", 5), ("b2", 3)])])  # fmt: skip
    (found,) = ask(tmp_path, "VN", DAYS[0], DAYS[0])
    assert (found.unit, found.value, found.expected) == ("a2", 100, 4)


# Loading: a check about nothing is refused at start, by file and line


GOOD = RECEIPTS.replace("OVER", "days").strip() + "\n"


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('form = "vaccination-daily"', 'form = "vaccination"', "a.toml line 16: no form vaccination"),
        ('value = "doses_used + doses_discarded"', 'value = "doses_lost"', "line 17: .* has no measure doses_lost"),
        ('value = "doses_used + doses_discarded"', 'value = "doses_used / 2"', "line 17: rule .* not in the"),
        ('value = "doses_used + doses_discarded"', "value = \"__import__('os')\"", "a.toml line 17: rule"),
        ('value = "used"', 'value = "given"', "a.toml line 7: value names no term given"),
        ('expected = "there"', 'expected = "there * used"', "a.toml line 9: rule .* multiplies two measures"),
        ('by = ["vaccine"]', 'by = ["policy"]', "line 6: form vaccination-daily of used has no dim"),
        ('kind = "compare"', 'kind = "guess"', "a.toml line 3: check.0.kind"),
        ('compare = "<="', 'compare = "<"', "a.toml line 8: check.0.compare"),
        ('over = "to-date"', 'over = "always"', "a.toml line 18: check.0.terms.used.over"),
        ('over = "to-date"', 'line = "moon"', "a.toml line 18: no line moon"),
        ('over = "to-date"', 'where = { vaccine = ["water"] }', "a.toml line 18: no code water in the list vaccine"),
        ('over = "to-date"', 'where = { place = ["x"] }', "line 18: form .* has no dimension place"),
        ('over = "to-date"', 'period = "week"', "a.toml line 18: form vaccination-daily is not reported by week"),
        ('source = "test"', "", "a.toml line 1: check.0.source is missing"),
        ('source = "test"', 'source = "test"\nspeed = 3', "a.toml line 15: unknown key check.0.speed"),
        ("{unit} {row}: {value}", "{unit} {wind}: {value}", r"a.toml line 12: \{wind\} stands for nothing"),
        ("{unit} {row}: {value}", "{unit} {row}:", r"a.toml line 12: says nothing about \{value\}"),
        ('id = "within-receipts"', "id = within", "a.toml line 2: not TOML"),
        ('source = "test"', 'source = "test"\nrates = "none"\nrates_by = "vaccine"', "line 15: no rates none"),
        ('over = "days"', 'over = "days"\n' + GOOD, "a.toml line 24: check within-receipts is there twice"),
    ],
)  # fmt: skip
def test_bad_check_is_refused_by_file_and_line(files: dict[str, bytes], old: str, new: str, why: str) -> None:
    assert old in GOOD
    kept = {name: text for name, text in files.items() if not name.startswith("checks/")}
    kept |= {"forms/stock-count.avsc": STOCK}
    tree = Catalogue(kept).with_tree(COMMUNES, "small").files
    Catalogue({**tree, "checks/a.toml": GOOD.encode()})
    with pytest.raises(CatalogueError, match=why) as refused:
        Catalogue({**tree, "checks/a.toml": GOOD.replace(old, new, 1).encode()})
    assert "\n" not in str(refused.value)


def test_every_released_check_says_value_and_expectation_in_both_languages(files: dict[str, bytes]) -> None:
    checks = Catalogue(files).checks
    assert {check.kind for check in checks} == set(CheckKind)
    for check in checks:
        texts = (check.message_vi, check.message_en)
        named = [{field for _, field, _, _ in string.Formatter().parse(text) if field} for text in texts]
        assert named[0] == named[1], check.id
        assert {"unit", "value"} <= named[0], check.id
