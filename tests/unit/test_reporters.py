"""Reporters: tables read whole or refused by file and line, a plan before anything changes, heads kept apart."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

from deploy.cli.main import run
from deploy.errors import RefusedError
from deploy.reporters import HEADS, below, everything_below, exported, heads_of, intake
from schemas.catalogue import Catalogue, CatalogueError, refusal
from schemas.exit import Exit
from schemas.head import Heads, plan_heads, read_heads
from schemas.reporters import plan
from schemas.table import TableError
from schemas.unit import UBND, LineName, UnitCode, UnitKind
from tests.support.released import released_catalogue
from tests.support.signed import CATALOGUE as SMALL

DAY = date(2021, 12, 13)
DEMO_HEADS = Path(__file__).resolve().parents[2] / "deploy" / "demo" / "tam-duong" / HEADS
HEALTH = LineName("health")
UNIT_HEAD = "code,name,level,kind,place,valid_from,valid_to\n"
LINE_HEAD = "code,superior,valid_from,valid_to\n"
SUPERIOR_HEAD = "line,code,superior,valid_from,valid_to\n"
HEAD_HEAD = "code,name,title,phone,valid_from,valid_to\n"
# Line 2 is the ministry, 3 the station; both answer to nobody yet.
ORGANISATIONS = (
    UNIT_HEAD + "G18,Bộ Y tế,nation,agency,R,2021-01-01,\nH35.14,Trạm Y tế,commune,health-station,c1,2021-01-01,\n"
)
STATIONS = LINE_HEAD + "H35.14,G18,2021-01-01,\n"


@pytest.fixture(scope="module")
def released() -> Catalogue:
    return released_catalogue()


def with_tables(units: str = ORGANISATIONS, line: str = STATIONS) -> Catalogue:
    return Catalogue({**SMALL.files, "units/more.csv": units.encode(), "lines/health-more.csv": line.encode()})


# Bad input: by file and line, and no half a catalogue


@pytest.mark.parametrize(
    ("units", "line", "why"),
    [
        (ORGANISATIONS, LINE_HEAD + "H35.14,G99,2021-01-01,\n", "health-more.csv line 2: line health: superior G99"),
        (ORGANISATIONS, STATIONS + "G18,,2021-01-01,\n", "lines/health-more.csv line 3: no superior"),
        (ORGANISATIONS, STATIONS + ",G18,2021-01-01,\n", "lines/health-more.csv line 3: no code"),
        (ORGANISATIONS, STATIONS + "G18,H35.14,2022-01-01,\n", "health-more.csv line 3 and .* line 2: line health"),
        (ORGANISATIONS, STATIONS + "H35.14,c2,2021-06-01,\n", "health-more.csv line 3: unit H35.14: two superiors"),
        (ORGANISATIONS, STATIONS + "H35.14,G18,2021-01-01,\n", "health-more.csv line 3: .*health-more.csv line 2"),
        (ORGANISATIONS, LINE_HEAD + "H35.14,G18,2020-01-01,\n", "more.csv line 2: .* not in force from 2020-01-01"),
        (ORGANISATIONS, LINE_HEAD + "H35.14,G18,2021-02-01,2021-01-01\n", "line 2: .* before 2021-02-01"),
        (ORGANISATIONS + "H35.14,Trạm,commune,health-station,c1,2021-06-01,\n", STATIONS,
         "units/more.csv line 4: unit H35.14: valid from 2021-06-01 while an earlier one still is"),
        (ORGANISATIONS + "H35.14,Trạm,commune,health-station,c1,2021-01-01,\n", STATIONS, "more.csv line 4: .* line 3"),
        (ORGANISATIONS + "H35.15,Trạm,commune,clinic,c1,2021-01-01,\n", STATIONS,
         "units/more.csv line 4: kind 'clinic' is not one of administrative, agency"),
        (ORGANISATIONS + "station,Trạm,commune,health-station,c1,2021-01-01,\n", STATIONS,
         "units/more.csv line 4: unit station: not an electronic identification code"),
        (ORGANISATIONS + "H35.15,Trạm,commune,health-station,,2021-01-01,\n", STATIONS, r"line 4: .* place \(none\)"),
        (ORGANISATIONS + "H35.15,Trạm,commune,health-station,zz,2021-01-01,\n", STATIONS, "line 4: .* its place zz"),
        (ORGANISATIONS + "H35.15,Trạm,commune,health-station,e1,2021-01-01,\n", STATIONS, "line 4: .* its place e1"),
        (ORGANISATIONS + "H35.15,Trạm,commune,health-station,G18,2021-01-01,\n", STATIONS, "itself an organisation"),
        (ORGANISATIONS + "H35.15,Trạm  Y tế,commune,agency,c1,2021-01-01,\n", STATIONS, "line 4: name .* stray spaces"),
    ],
)  # fmt: skip
def test_table_that_contradicts_itself_is_refused_by_file_and_line(units: str, line: str, why: str) -> None:
    with pytest.raises(CatalogueError, match=why) as refused:
        with_tables(units, line)
    assert "\n" not in str(refused.value)


def test_what_is_planted_above_is_all_that_is_wrong() -> None:
    found = with_tables().units
    assert found.superior(UnitCode("H35.14"), DAY, HEALTH) == "G18"
    assert [unit.code for unit in found.placed_in(UnitCode("c1"), DAY)] == ["H35.14"]
    assert found.unit(UnitCode("H35.14"), DAY).kind is UnitKind.HEALTH_STATION  # type: ignore[union-attr]


# Lines


def test_unit_has_a_superior_per_line(released: Catalogue) -> None:
    centre = UnitCode("H35.14.26")
    assert (released.units.superior(centre, DAY), released.units.superior(centre, DAY, HEALTH)) == ("106", "H35.14.01")
    assert len(released.units.children(centre, DAY, HEALTH)) == 13
    assert released.units.children(centre, DAY, UBND) == ()


def test_tam_duong_has_thirteen_communes_and_six_agencies(released: Catalogue) -> None:
    units = released.units
    children = [units.unit(code, DAY) for code in units.children(UnitCode("106"), DAY)]
    kinds = [unit.kind for unit in children if unit]
    assert (kinds.count(UnitKind.ADMINISTRATIVE), len(kinds)) == (13, 19)
    assert sum(units.expected(code, DAY) for code in units.children(UnitCode("106"), DAY)) == 13
    lines = {UBND, HEALTH, LineName("front"), LineName("police"), LineName("insurance")}
    assert units.lines == lines


def test_every_organisation_of_a_line_leads_up_to_one_root(released: Catalogue) -> None:
    units = released.units
    for line in units.lines - {UBND}:
        members = {unit.code for unit in units if unit.is_organisation and units.stands_on(line, unit.code, DAY)}
        roots = [code for code in members if units.superior(code, DAY, line) is None]
        assert len(roots) == 1, line
        assert set(units.subtree(roots[0], DAY, line)) == members


def test_new_line_may_follow_and_units_below_a_known_one_may_not(released: Catalogue) -> None:
    ours = (
        "units/lai",
        "checks/",
        "regimes/",
        *(f"lines/{line}-lai" for line in ("front", "health", "insurance", "police", "ubnd")),
    )
    files = {name: content for name, content in released.files.items() if not name.startswith(ours)}
    assert refusal(Catalogue(files), released, date(2026, 11, 22)) is None
    moved = {**released.files, "lines/health-lai-chau.csv": released.files["lines/health-lai-chau.csv"].replace(
        b"H35.14.26.01,H35.14.26", b"H35.14.26.01,H35.14.01")}  # fmt: skip
    assert refusal(released, Catalogue(moved), date(2026, 11, 22)) == (
        "unit H35.14.26.01 would get another superior on line health on days up to 2026-11-22"
    )


# Plans


NEW_UNITS = UNIT_HEAD + "G18,Bộ Y tế,nation,agency,R,2021-01-01,\nc1,Xã Thèn Sin,commune,administrative,,2021-01-01,\n"
ENDED = SUPERIOR_HEAD + "ubnd,c2,D,2021-01-01,2030-12-31\nubnd,c1,D,2021-01-01,\n"


def test_plan_names_what_is_new_and_changed_and_leaves_the_rest() -> None:
    found = plan(SMALL.files, [("units.csv", NEW_UNITS.encode()), ("superiors.csv", ENDED.encode())])
    assert [(change.what, change.table, change.now[:2]) for change in found.changes] == [
        ("new", "unit", ("G18", "Bộ Y tế")), ("changed", "superior", ("ubnd", "c2")),
    ]  # fmt: skip
    assert found.changes[1].was == ("ubnd", "c2", "D", "2021-01-01", "")
    assert found.unchanged == 2
    assert set(found.files) - set(SMALL.files) == {"units/local.csv", "lines/ubnd-local.csv"}
    taken = Catalogue(found.files)
    assert taken.units.superior(UnitCode("c2"), date(2031, 1, 1)) is None
    assert [u.name for u in taken.units.versions(UnitCode("c1"))] == ["Xã Thèn Sin"]


def test_same_tables_again_change_nothing() -> None:
    tables = [("units.csv", NEW_UNITS.encode()), ("superiors.csv", ENDED.encode())]
    first = plan(SMALL.files, tables)
    again = plan(first.files, tables)
    assert (again.changes, again.unchanged, again.files) == ((), 4, first.files)


def test_plan_of_a_later_import_keeps_the_earlier_one() -> None:
    first = plan(SMALL.files, [("units.csv", NEW_UNITS.encode())])
    line = SUPERIOR_HEAD + "health,c1,G18,2021-01-01,\n"
    second = Catalogue(plan(first.files, [("s.csv", line.encode())]).files)
    assert second.units.superior(UnitCode("c1"), DAY, HEALTH) == "G18"


@pytest.mark.parametrize(
    ("table", "why"),
    [
        (UNIT_HEAD + "G18,Bộ Y tế,world,agency,R,2021-01-01,\n", "given.csv line 2: level 'world'"),
        (UNIT_HEAD + "c2,Xã,commune,administrative,,2021-06-01,\n", "given.csv line 2: .* an earlier one still is"),
        (SUPERIOR_HEAD + "ubnd,c2,nobody,2021-01-01,\n", "given.csv line 2: line ubnd: superior nobody"),
        (SUPERIOR_HEAD + "ubnd,R,c1,2021-01-01,\n", "line 2 and given.csv line 2 and .* is its own superior"),
    ],
)
def test_table_that_does_not_fit_what_is_there_is_refused_by_its_line(table: str, why: str) -> None:
    with pytest.raises(TableError, match=why):
        plan(SMALL.files, [("given.csv", table.encode())])


def test_export_is_read_again_without_a_change(released: Catalogue, tmp_path: Path) -> None:
    heads = read_heads("heads.csv", DEMO_HEADS.read_bytes(), released.units)
    codes = everything_below(released.units, UnitCode("106"))
    assert len([code for code in codes if code.startswith("H35.14.26.")]) == 13
    files = []
    for name, text in exported(released.units, heads, codes).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        files.append(tmp_path / name)
    found = intake(released, heads, files)
    assert (found.changes, found.unchanged) == ((), 141)
    assert found.heads.table == heads.table


def test_listing_has_those_below_on_a_line_and_those_placed_there(released: Catalogue) -> None:
    found = [unit.code for unit in below(released.units, UnitCode("106"), DAY)]
    assert found[0] == "106"
    assert {"M01.35.26", "G24.35.26", "H35.14.26", "03390"} < set(found)
    assert [u.code for u in below(released.units, UnitCode("G24.35"), DAY, LineName("insurance"))] == [
        "G24.35",
        "G24.35.26",
    ]


# Heads


HEADS_TABLE = (
    HEAD_HEAD + "c1,Lò Văn Mẫu,Chủ tịch,0213 000 0001,2021-01-01,2021-12-31\nc1,Tao Thị Mẫu,Chủ tịch,,2022-01-01,\n"
)


def test_head_is_found_by_unit_and_day() -> None:
    heads = read_heads("heads.csv", HEADS_TABLE.encode(), SMALL.units)
    found = [heads.head(UnitCode("c1"), date(2021, 12, 31)), heads.head(UnitCode("c1"), date(2022, 1, 1))]
    assert [head.name for head in found if head] == ["Lò Văn Mẫu", "Tao Thị Mẫu"]
    assert heads.head(UnitCode("c2"), DAY) is None
    assert heads.head(UnitCode("c1"), date(2020, 12, 31)) is None


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("zz,Lò Văn Mẫu,Chủ tịch,0213 000 0001,2021-01-01,\n", "heads.csv line 2: no unit zz is in force"),
        ("c1,Lò Văn Mẫu,Chủ tịch,call me,2021-01-01,\n", "heads.csv line 2: phone 'call me'"),
        ("c1,Lò Văn Mẫu,Chủ tịch,,2021-02-01,2021-01-01\n", "heads.csv line 2: head of c1 to 2021-01-01"),
        ("c1,A,Chủ tịch,,2021-01-01,\nc1,B,Chủ tịch,,2021-06-01,\n", "heads.csv line 3: two heads of c1"),
        ("c1,A,Chủ tịch,,2021-01-01,\nc1,B,Chủ tịch,,2021-01-01,\n", "heads.csv line 3: .* at heads.csv line 2 too"),
        ("c1,A,Chủ tịch,,yesterday,\n", "heads.csv line 2: valid_from 'yesterday'"),
    ],
)  # fmt: skip
def test_bad_head_is_refused_by_its_line(row: str, why: str) -> None:
    with pytest.raises(TableError, match=why):
        read_heads("heads.csv", (HEAD_HEAD + row).encode(), SMALL.units)


def test_head_without_a_name_is_erased_for_good() -> None:
    heads = read_heads("heads.csv", HEADS_TABLE.encode(), SMALL.units)
    row = HEAD_HEAD + "c1,,,,2021-01-01,\n"
    erased, (changes, unchanged) = plan_heads(heads, [("erase.csv", row.encode())], SMALL.units)
    assert [(change.what, change.was[1]) for change in changes] == [("erased", "Lò Văn Mẫu")]
    assert unchanged == 0
    assert "Lò Văn Mẫu" not in erased.table


def test_heads_are_no_part_of_a_catalogue(released: Catalogue) -> None:
    """What is released lies in the log for ever; a phone number must not."""
    found = intake(released, Heads(), [DEMO_HEADS])
    assert found.register.files == released.files
    assert len(found.head_changes) == 33
    assert not re.search(rb"0213 ?000|phone", released.bundle)


def test_table_of_no_known_layout_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(RefusedError, match=r"x\.csv line 1: none of the layouts code,name,level"):
        intake(SMALL, Heads(), [tmp_path / "x.csv"])


# The commands, without a stack


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The small catalogue in place of the released one, which takes a second to read."""
    for name, content in with_tables().files.items():
        path = tmp_path / "released" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    monkeypatch.setattr("deploy.catalogue_release.RELEASED", tmp_path / "released")


def test_units_are_listed_for_people_and_machines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = ["units", "--unit", "106", "--on", "2021-12-13", "--data", str(tmp_path)]
    assert run(["units-import", str(DEMO_HEADS), "--apply", "--data", str(tmp_path)]) == 0
    capsys.readouterr()
    assert run(wanted) == 0
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 23
    assert shown[1].startswith("106 ")
    assert any("Xã Khun Há" in line and "ubnd 106" in line and "0213 000 0014" in line for line in shown)
    assert run([*wanted, "--line", "health", "--format", "csv"]) == 0
    _, line = capsys.readouterr().out.splitlines()
    assert line.startswith(
        "106,Huyện Tam Đường,administrative,district,,ubnd 12,Vàng A Mẫu 01,Chủ tịch UBND huyện,0213 0"
    )


@pytest.mark.usefixtures("small")
def test_plan_is_printed_and_nothing_changes_until_it_is_applied(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "units.csv"
    table.write_text(UNIT_HEAD + "H35.26.09,Phòng Tài chính,district,agency,D,2021-01-01,\n", encoding="utf-8")
    data = tmp_path / "data"
    assert run(["units-import", str(table), "--data", str(data)]) == 0
    said = capsys.readouterr()
    assert "new     unit   H35.26.09,Phòng Tài chính,district" in said.out
    assert "add --apply" in said.err
    assert not data.exists()
    assert run(["units-import", str(table), "--apply", "--data", str(data)]) == 0
    capsys.readouterr()
    assert run(["units", "--unit", "H35.26.09", "--on", "2021-12-13", "--data", str(data)]) == 0
    assert "Phòng Tài chính" in capsys.readouterr().out


@pytest.mark.usefixtures("small")
def test_bad_table_is_one_line_and_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "units.csv"
    table.write_text(UNIT_HEAD + "H35.26.09,Phòng,district,agency,999,2021-01-01,\n", encoding="utf-8")
    assert run(["units-import", str(table), "--apply", "--data", str(tmp_path / "data")]) == Exit.REFUSED
    said = capsys.readouterr()
    assert said.out == ""
    assert f"{table} line 2: unit H35.26.09: its place 999 is not in force" in said.err
    assert said.err.count("\n") == 1
    assert not (tmp_path / "data").exists()


def test_heads_that_others_may_read_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "reporters" / HEADS
    path.parent.mkdir()
    path.write_text(HEADS_TABLE, encoding="utf-8")
    path.chmod(0o644)
    with pytest.raises(RefusedError, match="others may read it"):
        heads_of(tmp_path, SMALL.units)
    path.chmod(0o600)
    assert heads_of(tmp_path, SMALL.units).table == HEADS_TABLE


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    "arguments",
    [["--unit", "999999"], ["--unit", "D", "--line", "moon"], ["--unit", "e1", "--on", "2031-01-01"]],
)
def test_question_without_an_answer_is_wrong_usage(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["units", *arguments, "--data", str(tmp_path)]) == Exit.USAGE
    assert capsys.readouterr().err.count("\n") == 1
