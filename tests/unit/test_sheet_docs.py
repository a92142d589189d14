"""`docs/sheets.md` and the data beside the code say what the code says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from producers.sheets.columns import duplicates
from producers.sheets.flaw import Trouble, Wrong
from producers.sheets.layout import layout_of
from tests.support.released import released_catalogue
from tests.support.sheets import form_of

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "sheets.md").read_text(encoding="utf-8")


def listed(heading: str) -> set[str]:
    """What the first column of the table below a heading names."""
    rows = [
        line.split("|")[1]
        for line in PAGE.partition(heading)[2].partition("\n#")[0].splitlines()
        if line.startswith("|")
    ]
    return {name for row in rows for name in re.findall(r"`([\w-]+)`", row)}


def test_both_closed_lists_are_in_the_page() -> None:
    assert listed("### Files that are refused") == set(Trouble)
    assert listed("### Cells, rows and sheets that are refused") == set(Wrong)


def test_every_unit_of_measure_of_the_catalogue_has_its_vietnamese_name() -> None:
    known = tomllib.loads((ROOT / "producers" / "sheets" / "units.toml").read_text(encoding="utf-8"))
    assert {measure.unit for form in released_catalogue().forms for measure in form.measures} <= set(known)


def test_columns_of_each_form_are_told_apart_by_their_labels() -> None:
    assert [form.id for form in released_catalogue().forms if duplicates(form)] == []


def test_daily_vaccination_report_has_the_headings_of_the_ministry() -> None:
    """QĐ 3588/QĐ-BYT (26/7/2021), Phụ lục 5."""
    layout = layout_of(form_of("vaccination-daily"))
    assert [column.heading for column in layout.columns] == [
        "TT", "Địa phương / Cơ sở y tế / Ngày triển khai", "Đợt tiêm", "Loại vắc xin", "Số đối tượng trong ngày",
        "Số chuyển bệnh viện tiêm", "Số không đồng ý tiêm", "Số hoãn tiêm", "Số chống chỉ định", "Số tiêm được: Mũi 1",
        "Số tiêm được: Mũi 2", "Vắc xin (liều): Số sử dụng", "Vắc xin (liều): Số hủy", "Số phản ứng thông thường",
        "Số tai biến nặng", "Ghi chú",
    ]  # fmt: skip
