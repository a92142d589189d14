"""Code lists: versions, successors, and an old report counted by the new list."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from typing import Any

import pytest

from schemas.admission import Admitted
from schemas.catalogue import Catalogue, CatalogueError
from schemas.code_list import counted_code
from schemas.form import FormId
from schemas.rejection import Reason, Refused, Rejection
from schemas.report import Row
from schemas.row_checks import counted_rows
from tests.support.released import released_catalogue
from tests.support.signed import CATALOGUE, Draft, decided

HEAD = "code,label_vi,label_en,valid_from,valid_to,counted_as,parent\n"
IN_NQ21, IN_QD3355 = date(2021, 3, 15), date(2021, 12, 13)
GROUPS = CATALOGUE.codes["priority-group"]


def listed(rows: str) -> Catalogue:
    return Catalogue({"codes/kind.csv": (HEAD + rows).encode()})


@pytest.mark.parametrize(
    ("rows", "line", "why"),
    [
        ("x,X,X,2021-01-01,,,\nx,X,X,2022-01-01,,,\n", 3, "code x stands on codes/kind.csv line 2 too"),
        ("x,,X,2021-01-01,,,\n", 2, "a label in Vietnamese and one in English"),
        ("x,X,X,2021-02-01,2021-01-01,,\n", 2, "ends before it begins"),
        ("x,X,X,2021-01-01,,y,\ny,Y,Y,2021-01-01,,,\n", 2, "never ends, so nothing is counted as y"),
        ("x,X,X,2021-01-01,2021-06-30,y,\n", 2, "counted as y, which is no code of the list on 2021-07-01"),
        ("x,X,X,2021-01-01,2021-06-30,y,\ny,Y,Y,2021-08-01,,,\n", 2, "no code of the list on 2021-07-01"),
        ("x,X,X,2021-01-01,,,y\n", 2, "parent y of code x is not in the list"),
        ("x,X,X,2021-01-01,,,y\ny,Y,Y,2021-01-01,,,x\n", 2, "its own parent"),
    ],
)
def test_list_that_can_not_be_used_is_refused_by_file_and_line(rows: str, line: int, why: str) -> None:
    with pytest.raises(CatalogueError) as refused:
        listed(rows)
    assert str(refused.value).startswith(f"codes/kind.csv line {line}: ")
    assert why in str(refused.value)


def test_each_list_of_priority_groups_has_its_number_on_its_days() -> None:
    counts = {
        day: sum(entry.in_force(day) for entry in GROUPS.values()) for day in (date(2021, 2, 15), IN_NQ21, IN_QD3355)
    }
    assert list(counts.values()) == [11, 9, 16 + 2], "the last with two of ours, for groups that can't be told apart"


def test_every_ended_group_is_counted_by_the_list_of_any_later_day() -> None:
    for entry in GROUPS.values():
        for day in (IN_NQ21, IN_QD3355):
            if entry.valid_from <= day:
                found = counted_code(GROUPS, entry.code, day)
                assert found is not None
                assert GROUPS[found].in_force(day)
    assert counted_code(GROUPS, "qd1210-03", IN_QD3355) == "qd3355-05-06"
    assert counted_code(GROUPS, "nq21-5", IN_QD3355) == "qd3355-09"


def test_code_is_not_counted_before_its_first_day_nor_after_an_end_without_successor() -> None:
    assert counted_code(GROUPS, "qd3355-01", IN_NQ21) is None
    assert counted_code(GROUPS, "nobody", IN_NQ21) is None
    assert counted_code(CATALOGUE.codes["province"], "12", date(2025, 12, 1)) is None


def counted(form_id: str, rows: Sequence[Row], day: date = IN_QD3355) -> Sequence[Row]:
    form = CATALOGUE.form_in_force(FormId(form_id), day)
    assert form is not None
    return counted_rows(rows, form, CATALOGUE, day)


def round_row(group: str, dose1: int) -> Row:
    form = CATALOGUE.form_in_force(FormId("vaccination-round"), IN_QD3355)
    assert form is not None
    measures = {measure.name: 0 for measure in form.measures}
    return {"round": "dot-12", "group": group, **measures, "eligible": 100, "dose1": dose1}


def test_old_report_is_counted_under_the_codes_of_the_new_list() -> None:
    (row,) = counted("vaccination-round", [round_row("nq21-5", 30)])
    assert row == round_row("qd3355-09", 30)


def test_rows_that_fall_together_under_the_new_list_are_added() -> None:
    rows = counted(
        "vaccination-round", [round_row("qd1210-07", 30), round_row("qd1210-09", 12), round_row("nq21-3", 5)]
    )
    assert [(row["group"], row["dose1"], row["eligible"]) for row in rows] == [
        ("qd3355-09", 42, 200), ("qd3355-07", 5, 100),
    ]  # fmt: skip


def test_rows_in_force_are_counted_as_they_came() -> None:
    rows = [round_row("qd3355-01", 1), round_row("qd3355-02", 2)]
    assert counted("vaccination-round", rows) is rows


def two_into_one(catalogue: Catalogue) -> Catalogue:
    codes = (
        "code,label_vi,label_en,valid_from,valid_to,counted_as\n"
        "a,A,A,2021-01-01,2021-06-30,c\nb,B,B,2021-01-01,2021-06-30,c\nc,C,C,2021-07-01,,\n"
    )
    return Catalogue({**catalogue.files, "codes/vaccine.csv": codes.encode()})


def test_numbers_that_do_not_add_up_are_not_put_under_one_code() -> None:
    catalogue = two_into_one(CATALOGUE)
    form = catalogue.form_in_force(FormId("stock-count"), IN_QD3355)
    assert form is not None
    row = {"doses_in_stock": 5, "fridges_checked": None, "distinct_persons": 9}
    (alone,) = counted_rows([{"vaccine": "a", **row}], form, catalogue, IN_QD3355)
    assert alone == {"vaccine": "c", **row}
    with pytest.raises(Refused) as refused:
        counted_rows([{"vaccine": "a", **row}, {"vaccine": "b", **row}], form, catalogue, IN_QD3355)
    assert refused.value.rejection(None).reason is Reason.UNKNOWN_CODE


def test_admission_counts_an_old_code_and_keeps_the_report_as_sent() -> None:
    catalogue = ended_method()
    found = decided(Draft(), catalogue)
    assert isinstance(found, Admitted)
    assert [row["method"] for row in found.rows] == ["pcr"]
    assert [row["method"] for row in found.report.rows] == ["rt-pcr"]


def ended_method() -> Catalogue:
    codes = (
        "code,label_vi,label_en,valid_from,valid_to,counted_as\n"
        "pcr,PCR,PCR,2021-07-01,,\nrt-pcr,RT-PCR,RT-PCR,2021-01-01,2021-06-30,pcr\n"
    )
    return Catalogue({**CATALOGUE.files, "codes/testing-method.csv": codes.encode()})


# Texts


def with_sections(change: dict[str, Any]) -> Catalogue:
    raw = json.loads(CATALOGUE.files["forms/testing-small.avsc"])
    raw["fields"][1]["sections"] = [{"name": "results", "label_vi": "Kết quả", "label_en": "Results", **change}]
    return Catalogue({**CATALOGUE.files, "forms/testing-small.avsc": json.dumps(raw).encode()})


@pytest.mark.parametrize(
    ("change", "texts", "reason", "field"),
    [
        ({"required": True}, {}, Reason.VALUE_MISSING, "narrative.results"),
        ({"required": True}, {"results": "  "}, Reason.VALUE_MISSING, "narrative.results"),
        ({"max_letters": 5}, {"results": "sáu chữ"}, Reason.VALUE_RANGE, "narrative.results"),
        ({}, {"thoughts": "x"}, Reason.UNKNOWN_CODE, "narrative"),
    ],
)
def test_texts_are_judged_by_the_sections_of_the_form(
    change: dict[str, Any], texts: dict[str, str], reason: Reason, field: str
) -> None:
    found = decided(Draft(narrative=texts), with_sections(change))
    assert isinstance(found, Rejection)
    assert (found.reason, found.field) == (reason, field)
    assert found.expected_vi


def test_a_required_text_of_five_letters_with_diacritics_is_five_letters_long() -> None:
    found = decided(Draft(narrative={"results": "Đượcế"}), with_sections({"required": True, "max_letters": 5}))
    assert isinstance(found, Admitted)


def test_every_list_that_has_ended_codes_says_where_it_comes_from() -> None:
    for name, entries in released_catalogue().codes.items():
        for entry in entries.values():
            assert not entry.counted_as or entry.source, f"{name}: {entry.code}"
