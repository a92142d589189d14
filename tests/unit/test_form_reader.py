"""Forms read strictly: what is not understood is refused with file and line, and no half of a catalogue is loaded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.form_table import released_files
from schemas.catalogue import RELEASED, Catalogue, CatalogueError
from schemas.form import CheckLevel

HAND_WRITTEN = {"vaccination-daily", "vaccination-daily-2", "testing-daily", "support-payout", "covid-doses"}
FORM = """{"type": "record", "name": "Report", "namespace": "vn.chungsuc.form.made_up",
 "form": {"id": "made-up", "version": 1, "valid_from": "2021-01-01", "max_rows": 4,
          "label_vi": "Biểu thử", "label_en": "Trial form",
          "checks": [
            {"id": "b-of-a", "over": "row", "level": "warn", "rule": "b <= a",
             "message_vi": "b ({b}) lớn hơn a ({a})", "message_en": "b ({b}) above a ({a})"}]},
 "fields": [
  {"name": "header", "type": "vn.chungsuc.Header"},
  {"name": "narrative", "type": {"type": "map", "values": "string"}, "default": {},
   "sections": [{"name": "notes", "label_vi": "Ghi chú", "label_en": "Notes"}]},
  {"name": "rows", "type": {"type": "array", "items": {"type": "record", "name": "Row", "fields": [
    {"name": "kind", "type": "string", "dimension": "kind", "label_vi": "Loại", "label_en": "Kind"},
    {"name": "a", "type": "long", "measure": {"unit": "person", "across_units": "sum", "over_time": "sum"},
     "label_vi": "Số a", "label_en": "a"},
    {"name": "b", "type": "long", "measure": {"unit": "person", "across_units": "sum", "over_time": "sum"},
     "label_vi": "Số b", "label_en": "b"}
  ]}}}]}
"""
CODES = b"code,label_vi,label_en,valid_from,valid_to\nx,X,X,2021-01-01,\n"


def catalogue(form: str) -> Catalogue:
    return Catalogue({"forms/made-up.avsc": form.encode(), "codes/kind.csv": CODES})


def test_form_as_written_is_read() -> None:
    (form,) = catalogue(FORM).forms
    assert [measure.name for measure in form.measures] == ["a", "b"]
    assert [section.name for section in form.sections] == ["notes"]
    assert form.checks[0].level is CheckLevel.WARN


@pytest.mark.parametrize(
    ("old", "new", "line", "why"),
    [
        ('"name": "b", "type": "long", ', '"name": "b", "type": "long", "secret": true, ', 15,
         "secret is not understood"),
        ('"a", "type": "long", "measure": {"unit"', '"a", "type": "long", "measure": {"acros_units": "sum", "unit"', 13,
         "acros_units is not understood"),
        ('"max_rows": 4', '"max_row": 4', 2, "max_row is not understood"),
        ('"max_rows": 4', '"max_rows": 0', 2, "max_rows 0 is not a whole number"),
        ('"level": "warn"', '"level": "shout"', 5, "level 'shout' is not one of reject, warn"),
        ('"rule": "b <= a"', '"rule": "c <= a"', 5, "check b-of-a reads c, not among the required measures"),
        ('"rule": "b <= a"', '"rule": "b / a"', 5, "not a comparison"),
        ('"rule": "b <= a"', '"rule": "b <= b"', 5, "its message names 'a'"),
        ('"over": "row"', '"over": "column"', 5, "over 'column' is neither row nor table"),
        ('"dimension": "kind"', '"dimension": "kinds"', 12, "no code list kinds"),
        ('"label_vi": "Số b"', '"label_vi": ""', 15, "b has no label_vi"),
        ('"2021-01-01"', '"01/01/2021"', 2, "valid_from '01/01/2021' is not a day"),
        ('"name": "b", "type": "long"', '"name": "b", "type": "double"', 15, "neither long nor"),
        ('"name": "b"', '"name": "a"', 13, "two columns are called a"),
        ('"name": "b"', '"name": "Số b"', 15, "not named in small letters"),
        ('"string", "dimension": "kind"', '"string", "dimensions": "kind"', 12,
         "every column is a dimension or a measure"),
        ('"string", "dimension"', '"bytes", "dimension"', 12, "dimension kind is no string"),
        ('"label_en": "Notes"}', '"label_en": "Notes", "size": 3}', 10, "size is not understood in a section"),
        ('"values": "string"}', '"values": "long"}', 9, "narrative is a map of strings"),
        ('"rows", "type": {"type": "array"', '"rows", "type": {"type": "arrow"', 7, "no Avro schema"),
        (',\n "fields"', '\n "fields"', 7, "no JSON"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_refused_by_file_and_line(old: str, new: str, line: int, why: str) -> None:
    assert FORM.count(old) == 1, old
    with pytest.raises(CatalogueError) as refused:
        catalogue(FORM.replace(old, new))
    assert str(refused.value).startswith(f"forms/made-up.avsc line {line}: ")
    assert why in str(refused.value)
    assert "\n" not in str(refused.value)


def changed(change: Callable[[dict[str, Any]], None]) -> str:
    raw = json.loads(FORM)
    change(raw)
    return json.dumps(raw)


def row_of(raw: dict[str, Any]) -> list[dict[str, Any]]:
    columns: list[dict[str, Any]] = raw["fields"][2]["type"]["items"]["fields"]
    return columns


def test_dimension_after_a_measure_is_refused() -> None:
    with pytest.raises(CatalogueError, match="dimensions come before measures"):
        catalogue(changed(lambda raw: row_of(raw).reverse()))


def test_check_over_a_table_whose_rows_overlap_is_refused() -> None:
    def overlapping(raw: dict[str, Any]) -> None:
        row_of(raw)[0]["overlapping"] = True
        raw["form"]["checks"][0]["over"] = "table"

    with pytest.raises(CatalogueError, match="adds up rows, which overlap"):
        catalogue(changed(overlapping))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda raw: raw["form"].update(version=1, label_en="Other"), "made-up: version 1 is there twice"),
        (lambda raw: row_of(raw)[0].update(name="sort"), "other dimensions than version 1"),
        (
            lambda raw: row_of(raw)[1]["measure"].update(over_time="last"),
            "measure a adds up otherwise than in",
        ),
    ],
)
def test_version_that_does_not_go_with_the_others_is_refused(
    change: Callable[[dict[str, Any]], None], why: str
) -> None:
    def second(raw: dict[str, Any]) -> None:
        raw["form"].update(version=2, valid_from="2022-01-01")
        row_of(raw).append({**row_of(raw)[2], "name": "c", "default": 0})
        change(raw)

    files = {"forms/1.avsc": FORM.encode(), "forms/2.avsc": changed(second).encode(), "codes/kind.csv": CODES}
    with pytest.raises(CatalogueError, match=why):
        Catalogue(files)


# The table that most forms are made from


def test_forms_on_disk_are_what_the_table_says() -> None:
    for name, text in released_files().items():
        path = RELEASED / "forms" / name
        assert path.read_text(encoding="utf-8") == text, "run `python -m deploy.form_table`"


def test_every_form_is_of_the_table_or_written_by_hand() -> None:
    found = {path.stem for path in (RELEASED / "forms").iterdir()}
    made = {Path(name).stem for name in released_files()}
    assert made & HAND_WRITTEN == set()
    assert found == made | HAND_WRITTEN
