"""Reading histories: what is a send, and which line is at fault."""

from __future__ import annotations

import csv
import gzip
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from producers.errors import Problem
from producers.history import History, HistoryError, parse_history, read_history, read_time
from schemas.catalogue import RELEASED, Catalogue
from schemas.form import Form, FormId
from schemas.report import Kind

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "deploy" / "demo" / "tam-duong"
MALAYSIA = ROOT / "tests" / "data" / "malaysia"
CATALOGUE = Catalogue.from_folder(RELEASED, ROOT / "tests" / "data" / "catalogue").with_tree(
    (MALAYSIA / "units.csv").read_text("utf-8"), "malaysia"
)
COLUMNS = "published_at,unit,period,kind,sent_by,method,sample,persons,tubes,positive_tubes,positive_persons"
GOOD = "2021-12-13T15:45:00+07:00,03390,2021-12-13,report,,antigen,single,16,16,0,0"
OTHER = "2021-12-13T15:46:00+07:00,03394,2021-12-13,nil,,,,,,,"


def form(name: str) -> Form:
    found = CATALOGUE.form_in_force(FormId(name), date(2021, 12, 13))
    assert found is not None
    return found


def history(*lines: str, columns: str = COLUMNS, name: str = "testing-daily", until: datetime | None = None) -> History:
    return parse_history("\n".join([columns, *lines]) + "\n", form(name), CATALOGUE.units, until)


def said(found: History) -> list[str]:
    return [str(problem) for problem in found.problems]


def test_lines_of_one_time_unit_period_and_sender_are_one_send() -> None:
    found = history(
        "2021-12-15T15:49:00+07:00,03406,2021-12-15,report,,rt-pcr,pooled,150,30,1,0",
        "2021-12-15T15:49:00+07:00,03406,2021-12-15,report,,rt-pcr,single,0,5,2,2",
    )
    assert [len(send.rows) for send in found.sends] == [2]
    assert found.problems == []


def test_entered_report_is_the_senders() -> None:
    entered = GOOD.replace("report,,", "report,106,")
    (send,) = history(entered).sends
    assert (send.unit, send.entered_by, send.sender) == ("03390", "106", "106")


def test_unit_that_names_itself_as_sender_sends_its_own_report() -> None:
    assert history(GOOD.replace("report,,", "report,03390,")).sends[0].entered_by is None


def test_column_sent_by_may_be_absent() -> None:
    columns = COLUMNS.replace("sent_by,", "")
    assert len(history(GOOD.replace("report,,", "report,"), columns=columns).sends) == 1


def test_columns_may_stand_in_any_order() -> None:
    names, cells = COLUMNS.split(","), GOOD.split(",")
    turned = history(",".join(reversed(cells)), columns=",".join(reversed(names)))
    assert turned.sends[0].rows == history(GOOD).sends[0].rows


def test_sends_come_in_the_order_of_their_times() -> None:
    found = history(OTHER, GOOD)
    assert [send.unit for send in found.sends] == ["03390", "03394"]


def test_time_without_offset_is_vietnamese() -> None:
    bare = history(GOOD.replace("+07:00", "")).sends[0]
    assert bare.issued_at == history(GOOD).sends[0].issued_at
    assert read_time("2021-12-13T00:00:00").astimezone(UTC) == datetime(2021, 12, 12, 17, tzinfo=UTC)


def test_until_is_inclusive() -> None:
    at = read_time("2021-12-13T15:45:00+07:00")
    assert [send.unit for send in history(GOOD, OTHER, until=at).sends] == ["03390"]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (GOOD.replace(",16,16,", ",16,x,"), "line 2: tubes 'x' is not a whole number; the send of 03390"),
        (GOOD.replace(",16,16,", ",16,,"), "line 2: tubes '' is not a whole number"),
        (GOOD.replace(",16,16,", ",16,1.0,"), "line 2: tubes '1.0' is not a whole number"),
        (GOOD.replace(",16,16,", ",16,1_0,"), "line 2: tubes '1_0' is not a whole number"),
        (GOOD.replace(",16,16,", ",16,9223372036854775808,"), "line 2: tubes 9223372036854775808 is too large"),
        (GOOD.replace(",0,0", ",0"), "line 2: 10 cells; 11 columns are expected; the send of 03390"),
        (GOOD + ",1", "line 2: 12 cells; 11 columns are expected"),
        ("2021-12-13", "line 2: 1 cells; 11 columns are expected; its send is left out"),
        (GOOD.replace("T15:45", "T25:45"), "line 2: published_at '2021-12-13T25:45:00+07:00' is not a time"),
        (GOOD.replace("2021-12-13T15", "1921-12-13T15"), "is not between 1970 and 9999"),
        (GOOD.replace(",2021-12-13,", ",2021-13-13,"), "line 2: period: '2021-13-13' is not a day of the calendar"),
        (GOOD.replace("report", "raport"), "line 2: kind 'raport' is not report, nil or withdrawal"),
        (GOOD.replace("03390", ""), "line 2: no unit; the send of no unit"),
        (GOOD.replace("report", "nil"), "line 2: method is given, but a nil has no rows"),
    ],
)
def test_bad_line_is_named_and_its_send_left_out_while_the_rest_goes_on(bad: str, message: str) -> None:
    found = history(bad, OTHER)
    assert [send.unit for send in found.sends] == ["03394"]
    assert len(found.problems) == 1
    assert message in said(found)[0]


def test_send_with_one_bad_line_is_left_out_whole() -> None:
    found = history(GOOD, GOOD.replace("single,16", "pooled,x"))
    assert found.sends == []
    assert said(found) == ["line 3: persons 'x' is not a whole number; the send of 03390 for 2021-12-13 is left out"]


def test_two_rows_about_the_same_are_no_table() -> None:
    found = history(GOOD, GOOD)
    assert found.sends == []
    assert "line 3: a second row about antigen/single in the send of line 2" in said(found)[0]


def test_two_kinds_at_one_time_are_no_send() -> None:
    found = history(GOOD, "2021-12-13T15:45:00+07:00,03390,2021-12-13,nil,,,,,,,")
    assert found.sends == []
    assert "line 3: a nil in the send of line 2, which is a report" in said(found)[0]


def test_missing_column_leaves_everything_out() -> None:
    found = history(GOOD, columns=COLUMNS.replace(",tubes", ",tubez"))
    assert found.sends == []
    assert said(found)[0] == "line 1: no column tubes; nothing is sent of this file"


def test_unknown_column_is_told() -> None:
    found = history(GOOD + ",x", columns=COLUMNS + ",remark")
    assert len(found.sends) == 1
    assert said(found) == ["line 1: column remark is not one of testing-daily and is not sent"]


def test_empty_file_is_told() -> None:
    assert said(parse_history("", form("testing-daily"), CATALOGUE.units)) == ["line 1: the file is empty"]


@pytest.mark.parametrize("line", [GOOD.replace("03390", "99999"), GOOD.replace("report,,", "report,99999,")])
def test_unknown_unit_is_told_and_sent(line: str) -> None:
    found = history(line)
    assert len(found.sends) == 1
    assert "'99999' is no unit on 2021-12-13; it is sent, and will be rejected" in said(found)[0]


def test_optional_measure_may_be_blank() -> None:
    columns = "published_at,unit,period,kind,vaccine,doses_in_stock,fridges_checked,distinct_persons"
    line = "2021-12-13T15:45:00+07:00,03390,2021-12-13,report,abdala,5,,3"
    (send,) = history(line, columns=columns, name="stock-count").sends
    assert send.rows[0]["fridges_checked"] is None


def test_broken_quotes_end_the_reading_with_their_line() -> None:
    found = history(GOOD, 'x"y"z,"open')
    assert len(found.sends) == 1
    assert found.problems


def test_line_numbers_are_those_of_the_file_after_cells_with_line_breaks() -> None:
    found = history(GOOD.replace("antigen", '"anti\ngen"'), OTHER.replace("nil", "nul"))
    assert said(found)[0].startswith("line 4: kind 'nul'")


def test_unreadable_file_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "bad.csv.gz").write_bytes(b"no gzip")
    (tmp_path / "latin.csv").write_bytes("Tả Lèng".encode("utf-16"))
    for name in ("absent.csv", "bad.csv.gz", "latin.csv"):
        with pytest.raises(HistoryError, match=f"can't read .*{name}"):
            read_history(tmp_path / name, [form("testing-daily")], CATALOGUE.units)


def test_real_history_is_read_whole() -> None:
    found = read_history(MALAYSIA / "history.csv.gz", [form("covid-doses")], CATALOGUE.units)
    assert (len(found.sends), found.problems) == (72_868, [])
    assert sum(send.kind is Kind.WITHDRAWAL for send in found.sends) == 64
    assert gzip.decompress((MALAYSIA / "history.csv.gz").read_bytes()).count(b"\n") == 72_869


@pytest.mark.parametrize("name", ["vaccination-daily", "testing-daily", "support-payout"])
def test_week_of_tam_duong_is_read_whole(name: str) -> None:
    path = DEMO / f"{name}.csv"
    found = read_history(path, [form(name)], CATALOGUE.units)
    with path.open(encoding="utf-8", newline="") as lines:
        sends = {(row["published_at"], row["unit"], row["period"], row["sent_by"]) for row in csv.DictReader(lines)}
    assert (len(found.sends), found.problems) == (len(sends), [])


def test_problem_reads_as_its_place_and_message() -> None:
    assert str(Problem("line 3", "wrong")) == "line 3: wrong"
    assert str(Problem("", "wrong")) == "wrong"
