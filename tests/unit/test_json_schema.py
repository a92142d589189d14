"""JSON Schema of every form: valid schemas, which take what admission takes and refuse what it refuses by shape."""

from __future__ import annotations

import json
from copy import deepcopy
from datetime import date
from random import Random
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from producers.filling import filler
from schemas.form import Form
from schemas.json_schema import form_schema
from tests.support.released import released_catalogue

CATALOGUE = released_catalogue()
DAY = date(2022, 2, 20)
FORMS = sorted(CATALOGUE.forms, key=lambda form: (form.id, form.version))


def named(form_id: str) -> Form:
    return max((form for form in FORMS if form.id == form_id), key=lambda form: form.version)


def body(form: Form) -> dict[str, Any]:
    fill = filler(form, CATALOGUE, DAY)
    assert fill is not None
    table = next(table for seed in range(50) if (table := fill.table(Random(seed), 1.0)))
    texts = {section.name: "Đã hoàn thành." for section in form.sections if section.required}
    rows = [{name: cell for name, cell in row.items() if cell is not None} for row in table]
    return {"form": form.id, "unit": "03390", "period": "2022-02-20", "narrative": texts, "rows": rows}


def validator(form: Form) -> Draft202012Validator:
    return Draft202012Validator(form_schema(form, CATALOGUE, DAY))


@pytest.mark.parametrize("form", FORMS, ids=lambda form: f"{form.id}-{form.version}")
def test_schema_is_valid_and_takes_a_believable_report(form: Form) -> None:
    schema = form_schema(form, CATALOGUE, DAY)
    Draft202012Validator.check_schema(schema)
    assert json.loads(json.dumps(schema)) == schema
    Draft202012Validator(schema).validate(body(form))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("rows", 0, "dose1"), -1), (("rows", 0, "dose1"), 1.5), (("rows", 0, "dose1"), "5"),
        (("rows", 0, "dose1"), None),
        (("rows", 0, "vaccine"), "no-such"), (("rows", 0, "more"), 1), (("rows",), []), (("rows",), None),
        (("kind",), "nil"), (("kind",), "maybe"), (("form",), "hotline"), (("unit",), 3390), (("more",), 1),
        (("narrative", "poem"), "x"), (("narrative", "notes"), 5), (("scope",), "all"),
    ],
)  # fmt: skip
def test_what_is_no_report_of_the_form_is_refused(path: tuple[str | int, ...], value: object) -> None:
    good = body(named("vaccination-daily"))
    bad = deepcopy(good)
    place: Any = bad
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(ValidationError):
        validator(named("vaccination-daily")).validate(bad)


def test_nil_and_withdrawal_have_no_rows_and_a_stock_is_never_nil() -> None:
    good = {**body(named("testing-daily")), "rows": []}
    for kind in ("nil", "withdrawal"):
        validator(named("testing-daily")).validate({**good, "kind": kind})
    stock = {**body(named("vaccine-stock")), "rows": [], "kind": "nil"}
    assert not validator(named("vaccine-stock")).is_valid(stock)


def test_required_text_is_required_of_a_report_only() -> None:
    form = named("monthly-report")
    good = body(form)
    assert validator(form).is_valid(good)
    for texts in ({}, {"results": "  "}):
        assert not validator(form).is_valid({**good, "narrative": texts})
    assert validator(form).is_valid({**good, "narrative": {}, "kind": "withdrawal", "rows": []})


def test_codes_are_those_of_the_day_or_all() -> None:
    form = named("vaccination-round")
    groups = [
        len(form_schema(form, CATALOGUE, day)["properties"]["rows"]["items"]["properties"]["group"]["oneOf"])
        for day in (date(2021, 3, 1), DAY, None)
    ]
    assert groups == [9, 18, 11 + 9 + 18]
