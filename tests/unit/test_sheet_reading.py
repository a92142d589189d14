"""What a clerk's table says: Excel's habits are understood, what is ambiguous is refused with its cell and reason."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, time
from io import BytesIO
from typing import Any

import openpyxl
import pytest
from openpyxl.utils import get_column_letter

from producers.sheets.columns import IGNORED
from producers.sheets.flaw import SheetError, Trouble, Wrong
from producers.sheets.form_sheet import Wanted
from producers.sheets.letters import folded
from producers.sheets.marking import marked
from producers.sheets.reading import PageRead, Reading, State, read_workbook
from producers.sheets.writing import write_workbook
from schemas.report import Cell, Kind
from tests.support.released import released_catalogue
from tests.support.sheets import (
    DAY,
    TESTING_HEAD,
    TESTING_LINE,
    TESTING_ROW,
    UNIT,
    asked,
    form_of,
    saved,
    template,
    typed,
    xlsx,
)

FOREIGN = asked("testing-daily", DAY)


def table(*lines: list[Any], head: list[str] = TESTING_HEAD, **more: Any) -> PageRead:
    """The only page of a foreign workbook."""
    (page,) = read_workbook(xlsx([head, *lines], **more), FOREIGN).pages
    return page


def persons(value: Any, number_format: str = "General") -> PageRead:
    """A table whose first number is what is tried."""
    book = openpyxl.Workbook()
    book.active.append(TESTING_HEAD)
    book.active.append(TESTING_LINE)
    book.active["C2"].value = value
    book.active["C2"].number_format = number_format
    (page,) = read_workbook(saved(book), FOREIGN).pages
    return page


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (1234, 1234), (1234.0, 1234), ("1234", 1234), (" 1 234 ", 1234), ("1.234", 1234), ("1,234", 1234),
        ("1.234.567", 1234567), ("1\u00a0234", 1234), ("1'234", 1234), ("'1234", 1234), ("12.0", 12), ("12,00", 12),
        ("-", 0), ("–", 0), ("0", 0), ("+5", 5), (10**12, 10**12),
    ],
)  # fmt: skip
def test_number_as_people_write_it_is_read(value: Any, number: int) -> None:
    page = persons(value)
    assert page.flaws == ()
    assert page.rows[0]["persons"] == number


@pytest.mark.parametrize(
    ("value", "number_format", "wrong"),
    [
        (1.5, "General", Wrong.DECIMAL), ("1,5", "General", Wrong.DECIMAL), ("1.234,5", "General", Wrong.DECIMAL),
        (1.234, "General", Wrong.DECIMAL), ("12.3456", "General", Wrong.DECIMAL), (0.5, "0%", Wrong.PERCENT),
        (2, "0.0%", Wrong.PERCENT), ("50%", "General", Wrong.PERCENT), (date(2021, 12, 13), "dd/mm/yyyy", Wrong.A_DATE),
        (date(2021, 12, 1), "d/m", Wrong.A_DATE), (time(3, 30), "hh:mm", Wrong.A_DATE), ("13/12/2021", "General",
        Wrong.A_DATE), ("#REF!", "General", Wrong.AN_ERROR), ("=A1+1", "General", Wrong.NO_RESULT),
        (True, "General", Wrong.NOT_A_NUMBER), ("mười", "General", Wrong.NOT_A_NUMBER), ("1.23.456", "General",
        Wrong.NOT_A_NUMBER), (None, "General", Wrong.VALUE_MISSING), ("…", "General", Wrong.VALUE_MISSING),
        (-1, "General", Wrong.VALUE_RANGE), (10**12 + 1, "General", Wrong.VALUE_RANGE), (1e300, "General",
        Wrong.NOT_A_NUMBER), ("9" * 30, "General", Wrong.NOT_A_NUMBER),
    ],
)  # fmt: skip
def test_what_is_no_whole_number_is_refused_with_its_cell(value: Any, number_format: str, wrong: Wrong) -> None:
    page = persons(value, number_format)
    (flaw,) = page.flaws
    assert (flaw.cell, flaw.wrong, flaw.heading) == ("C2", wrong, "Số người được xét nghiệm")
    assert page.state is State.FLAWED
    assert all(flaw.words)


def test_code_is_read_by_code_and_by_label_in_any_case_and_without_accents() -> None:
    for code, entry in FOREIGN.catalogue.codes["testing-method"].items():
        for written in (code, entry.label_vi, entry.label_en, entry.label_vi.upper(), folded(entry.label_vi)):
            assert table([written, *TESTING_LINE[1:]]).rows[0]["method"] == code


def test_unknown_code_is_refused_with_codes_there_are() -> None:
    (flaw,) = table(["nước bọt", *TESTING_LINE[1:]]).flaws
    assert (flaw.cell, flaw.wrong) == ("A2", Wrong.UNKNOWN_CODE)
    assert "nước bọt" in flaw.words[0]


def test_leading_zeros_that_excel_took_come_back() -> None:
    form = next(f for f in FOREIGN.catalogue.forms if any(d.code_list == "province" for d in f.dimensions))
    dimension = next(d for d in form.dimensions if d.code_list == "province")
    head = [d.label_vi for d in form.dimensions] + [m.label_vi for m in form.measures]
    others = {d.name: next(iter(FOREIGN.catalogue.codes[d.code_list])) for d in form.dimensions}
    line = [1 if d is dimension else others[d.name] for d in form.dimensions] + [0 for _ in form.measures]
    (page,) = read_workbook(xlsx([head, line]), asked(form.id, DAY)).pages
    assert page.rows[0][dimension.name] == "01"


def test_unit_without_its_leading_zero_is_the_unit() -> None:
    lines: list[list[Any]] = [["Mã đơn vị", 3390], ["Ngày báo cáo", date(2021, 12, 13)], [], TESTING_HEAD, TESTING_LINE]
    (page,) = read_workbook(xlsx(lines), asked("testing-daily")).pages
    assert (page.flaws, page.period, page.rows) == ((), DAY, (TESTING_ROW,))


def test_sheet_of_another_unit_is_refused() -> None:
    (page,) = read_workbook(xlsx([["Mã đơn vị", "03394"], TESTING_HEAD, TESTING_LINE]), FOREIGN).pages
    assert [flaw.wrong for flaw in page.flaws] == [Wrong.OTHER_UNIT]


@pytest.mark.parametrize(
    "written", [date(2021, 12, 13), "13/12/2021", "2021-12-13", "13-12-2021", "Ngày 13 tháng 12 năm 2021"]
)
def test_day_is_read_as_excel_and_as_people_write_it(written: Any) -> None:
    (page,) = read_workbook(xlsx([["Kỳ báo cáo:", written], TESTING_HEAD, TESTING_LINE]), asked("testing-daily")).pages
    assert page.period == DAY


@pytest.mark.parametrize(
    ("written", "period"),
    [("31/02/2021", None), ("14/12/2021", DAY), ("2022-12-13", None), ("2021-W50", None), (None, None)],
)
def test_period_that_is_none_or_another_is_refused(written: Any, period: str | None) -> None:
    lines = [["Kỳ báo cáo:", written], TESTING_HEAD, TESTING_LINE]
    (page,) = read_workbook(xlsx(lines), asked("testing-daily", period)).pages
    assert [flaw.wrong for flaw in page.flaws] == [Wrong.PERIOD]


def test_merged_heading_in_two_rows_with_numbered_columns_is_understood() -> None:
    lines: list[list[Any]] = [
        ["BÁO CÁO XÉT NGHIỆM"], ["TT", "Phương pháp", "Loại mẫu", "Số người", None, "Số ống", None, "Ghi chú"],
        [None, None, None, "được xét nghiệm", "dương tính (F0)", "mẫu", "dương tính", None],
        ["A", "B", "C", 1, 2, 3, 4, 5], [1, "antigen", "single", 16, 0, 16, 0, "trời mưa"],
    ]  # fmt: skip
    content = xlsx(lines, ["A1:H1", "A2:A3", "B2:B3", "C2:C3", "D2:E2", "F2:G2", "H2:H3"])
    (page,) = read_workbook(content, FOREIGN).pages
    assert (page.flaws, page.rows, page.narrative) == ((), (TESTING_ROW,), {"notes": "trời mưa"})


def test_group_of_a_csv_stands_over_its_first_column_only() -> None:
    text = ("Phương pháp;Loại mẫu;Số người;;Số ống;\n;;được xét nghiệm;dương tính (F0);mẫu;dương tính\n"
            "antigen;single;16;0;16;0\n")  # fmt: skip
    (page,) = read_workbook(text.encode(), FOREIGN).pages
    assert page.rows == (TESTING_ROW,)


def test_total_is_compared_and_not_imported() -> None:
    two = [["antigen", "single", 16, 16, 0, 0], ["antigen", "pooled", 10, 2, 0, 0]]
    page = table(*two, ["Tổng cộng", None, 26, 18, 0, 0])
    assert (page.flaws, len(page.rows)) == ((), 2)
    page = table(*two, ["Tổng cộng", None, 27, 18, 0, 0])
    assert [(flaw.cell, flaw.wrong) for flaw in page.flaws] == [("C4", Wrong.TOTAL_DIFFERS)]


def test_rows_behind_the_table_are_noted_and_not_read() -> None:
    page = table(TESTING_LINE, [], [], [None, "Người lập biểu", None, None, "CHỦ TỊCH"])
    assert (page.flaws, page.rows) == ((), (TESTING_ROW,))
    assert "Người lập biểu" in page.notes[0][0]


def test_mistyped_row_within_the_table_is_never_taken_for_a_signature() -> None:
    page = table(TESTING_LINE, ["antign", "x", "mười", "mười", "0", "0"])
    assert {flaw.row for flaw in page.flaws} == {3}


def test_empty_rows_and_columns_around_are_nothing() -> None:
    page = table([], TESTING_LINE, [], [None, None, "  "], [])
    assert (page.flaws, page.rows) == ((), (TESTING_ROW,))


def test_same_row_twice_is_refused_where_no_place_tells_them_apart() -> None:
    page = table(TESTING_LINE, TESTING_LINE)
    assert [(flaw.row, flaw.wrong) for flaw in page.flaws] == [(3, Wrong.DUPLICATE_ROW)]


def test_rows_of_several_places_are_added() -> None:
    lines = [["Thôn", *TESTING_HEAD], ["Bản A", *TESTING_LINE], ["Bản B", *TESTING_LINE]]
    (page,) = read_workbook(xlsx(lines), FOREIGN).pages
    assert page.flaws == ()
    assert [(row["persons"], row["tubes"]) for row in page.rows] == [(32, 32)]


def test_broken_check_names_row_and_values() -> None:
    form = form_of("vaccination-daily")
    values: Mapping[str, Cell] = dict.fromkeys(form.columns, 0) | {"targeted": 5, "dose1": 3}
    line = [{"round": "Đợt 12", "vaccine": "AstraZeneca"}.get(name, values[name]) for name in form.columns]
    head = [d.label_vi for d in form.dimensions] + [m.label_vi for m in form.measures]
    (page,) = read_workbook(xlsx([head, line]), asked(form.id, DAY)).pages
    (flaw,) = page.flaws
    assert (flaw.row, flaw.wrong) == (2, Wrong.CHECK_FAILED)
    assert "(5)" in flaw.words[0]
    assert "(3)" in flaw.words[0]


def test_missing_heading_is_told_with_those_that_are_not_known_and_learned_once() -> None:
    head = ["Cách làm", *TESTING_HEAD[1:5], "F0", "Nhiệt độ"]
    lines = [head, [*TESTING_LINE, 25]]
    (page,) = read_workbook(xlsx(lines), FOREIGN).pages
    (flaw,) = page.flaws
    assert flaw.wrong is Wrong.HEADING_MISSING
    assert "“Phương pháp”" in flaw.words[0]
    assert "“Cách làm”" in flaw.words[0]
    learned = {folded("Cách làm"): "method", folded("F0"): "positive_persons", folded("Nhiệt độ"): IGNORED}
    (page,) = read_workbook(xlsx(lines), asked("testing-daily", DAY, learned={"testing-daily": learned})).pages
    assert (page.flaws, page.rows, page.notes) == ((), (TESTING_ROW,), ())


def test_two_columns_of_one_name_are_refused() -> None:
    page = table([*TESTING_LINE, 17], head=[*TESTING_HEAD, "Số ống mẫu"])
    assert [(flaw.cell, flaw.wrong) for flaw in page.flaws] == [("G1", Wrong.HEADING_TWICE)]


def test_form_is_found_by_its_headings() -> None:
    (page,) = read_workbook(xlsx([["Ngày báo cáo: 13/12/2021"], TESTING_HEAD, TESTING_LINE]), asked()).pages
    assert page.form == form_of("testing-daily")
    with pytest.raises(SheetError) as caught:
        read_workbook(xlsx([["a", "b"], [1, 2]]), asked())
    assert caught.value.trouble is Trouble.NO_FORM


def test_hidden_sheet_is_not_read_and_noted() -> None:
    book = openpyxl.Workbook()
    for line in (TESTING_HEAD, TESTING_LINE):
        book.active.append(line)
    hidden = book.create_sheet("cũ")
    hidden.append(TESTING_HEAD)
    hidden.sheet_state = "hidden"
    reading = read_workbook(saved(book), FOREIGN)
    assert [page.state for page in reading.pages] == [State.TABLE, State.IGNORED]
    assert "cũ" in reading.pages[1].notes[0][0]


def test_result_of_a_formula_is_what_excel_kept() -> None:
    page = persons("=8+8")
    assert [flaw.wrong for flaw in page.flaws] == [Wrong.NO_RESULT]


# Workbooks of our own


def read_back(content: bytes) -> Reading:
    return read_workbook(content, asked())


def test_blank_form_is_not_sent_and_marked_one_is_nil() -> None:
    content = template(Wanted(form_of("testing-daily"), DAY), Wanted(form_of("vaccination-daily"), DAY))
    assert read_back(content).reports() == []
    book = openpyxl.load_workbook(BytesIO(content))
    book.worksheets[0]["F7"].value = "x"
    (report,) = read_back(saved(book)).reports()
    assert (report.form.id, report.kind, report.rows) == ("testing-daily", Kind.NIL, ())


def test_rest_is_nil_with_one_mark() -> None:
    content = template(Wanted(form_of("testing-daily"), DAY), Wanted(form_of("vaccination-daily"), DAY))
    book = openpyxl.load_workbook(BytesIO(content))
    cover, sheet = book.worksheets[0], book.worksheets[1]
    cover.cell(10, 6).value = "X"
    for column, value in enumerate(TESTING_LINE, 1):
        sheet.cell(8, column).value = value
    kinds = {report.form.id: report.kind for report in read_back(saved(book)).reports()}
    assert kinds == {"testing-daily": Kind.REPORT, "vaccination-daily": Kind.NIL}


def test_nil_and_numbers_contradict_each_other() -> None:
    form = form_of("testing-daily")
    book = openpyxl.load_workbook(BytesIO(typed(template(Wanted(form, DAY)), form, [TESTING_ROW])))
    book.worksheets[0]["F7"].value = "x"
    reading = read_back(saved(book))
    assert [(flaw.page, flaw.cell, flaw.wrong) for flaw in reading.flaws] == [("Bộ biểu", "F7", Wrong.NIL)]
    assert reading.reports() == []


def test_stock_is_never_nil() -> None:
    form = form_of("vaccine-stock")
    book = openpyxl.load_workbook(BytesIO(template(Wanted(form, DAY))))
    book.worksheets[0]["F7"].value = "x"
    assert [flaw.wrong for flaw in read_back(saved(book)).flaws] == [Wrong.NIL]


def test_copied_sheet_filled_twice_contradicts_itself() -> None:
    form = form_of("testing-daily")
    book = openpyxl.load_workbook(BytesIO(typed(template(Wanted(form, DAY)), form, [TESTING_ROW])))
    book.copy_worksheet(book.worksheets[1])
    assert [flaw.wrong for flaw in read_back(saved(book)).flaws] == [Wrong.TWICE]


def test_text_that_the_form_requires_is_asked_for_in_its_cell() -> None:
    form = form_of("monthly-report")
    content = typed(template(Wanted(form, DAY)), form, [dict.fromkeys(form.columns, 0)])
    (flaw,) = read_back(content).flaws
    assert (flaw.page, flaw.wrong, flaw.cell[0]) == ("Thuyết minh", Wrong.VALUE_MISSING, get_column_letter(5))
    (report,) = read_back(typed(content, form, [], {"results": "Đã làm"})).reports()
    assert report.narrative == {"results": "Đã làm"}


def test_no_text_of_anybody_becomes_a_formula() -> None:
    form, danger = form_of("vaccination-daily"), ("=1+1", "+1", "-1", "@SUM(A1)", "=cmd|' /C calc'!A0")
    for text in danger:
        rows: list[dict[str, Cell]] = [{**dict.fromkeys(form.columns, 0), "round": text, "vaccine": text}]
        wanted = Wanted(form, DAY, None, rows, {"notes": text}, 1)
        content = write_workbook(UNIT, text, [wanted], released_catalogue())
        texts = 0
        for sheet in openpyxl.load_workbook(BytesIO(content)).worksheets:
            for line in sheet.iter_rows():
                for cell in line:
                    if cell.data_type == "f":
                        assert str(cell.value).startswith(("=SUM(", "=IF(COUNT(")), cell.value
                    elif cell.value == text:
                        texts += 1
                        assert cell.quotePrefix
        assert texts == 3
        copy = marked(f"{text};{text}\n1;2\n".encode(), [], 0)
        assert all(cell.data_type != "f" for sheet in openpyxl.load_workbook(BytesIO(copy)).worksheets
                   for line in sheet.iter_rows() for cell in line)  # fmt: skip
