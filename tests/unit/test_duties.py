"""Every duty of the four directives has something behind it, and every form a duty or a law that asks for it.

`schemas/released/duties.csv`: `at` names directive:line (000 Kế hoạch 09, 001 launch of Hà Nội, 002 directive of Tam
Đường, 003 secretary of Hà Nội) or a law; `carriers` what carries it: `form:ID.MEASURE`, `text:ID.SECTION`,
`codes:LIST[.CODE]`, `command:NAME`, `module:NAME`, `data:FILE`.
"""

from __future__ import annotations

import csv
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from deploy.cli.main import cli
from schemas.catalogue import RELEASED
from tests.support.released import released_catalogue

ROOT = Path(__file__).resolve().parents[2]
CATALOGUE = released_catalogue()
# The lines of each directive that ask somebody for something; headings, pictures and the recipients' names ask nothing.
LINES = {
    "000": (1, 3, 5, 7, 9, 11, 13, 15),
    "001": (1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25),
    "002": (3, 5, 9, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31, 33, 35, 39, 41, 43, 45, 47, *range(51, 60)),
    "003": (1, 7, 9, 11, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34, 36, 38, 40),
}


@cache
def duties() -> list[dict[str, str]]:
    with (RELEASED / "duties.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def carried_by() -> set[str]:
    return {carrier for duty in duties() for carrier in duty["carriers"].split()}


def exists(carrier: str) -> bool:
    """Whether what carries a duty is there."""
    kind, _, name = carrier.partition(":")
    first, _, second = name.partition(".")
    forms = [form for form in CATALOGUE.forms if form.id == first]
    match kind:
        case "form":
            return any(measure.name == second for form in forms for measure in form.measures)
        case "text":
            return any(section.name == second for form in forms for section in form.sections)
        case "codes":
            return first in CATALOGUE.codes and (not second or second in CATALOGUE.codes[first])
        case "command":
            return name in cli.commands
        case "module":
            return find_spec(name) is not None
        case "data":
            return (ROOT / name).is_file()
    return False


@pytest.mark.parametrize("duty", duties(), ids=lambda duty: duty["duty_en"][:40])
def test_duty_has_something_behind_it(duty: dict[str, str]) -> None:
    assert duty["duty_vi"]
    assert duty["duty_en"]
    assert duty["at"]
    carriers = duty["carriers"].split()
    assert carriers
    assert [carrier for carrier in carriers if not exists(carrier)] == []


@pytest.mark.parametrize("directive", LINES)
def test_every_line_that_asks_for_something_is_listed_and_no_other(directive: str) -> None:
    named = {place for duty in duties() for place in re.findall(r"\b(\d{3}):(\d+)", duty["at"])}
    assert sorted(int(line) for of, line in named if of == directive) == list(LINES[directive])


def test_every_form_is_asked_for_by_a_duty_or_a_law() -> None:
    asked = {carrier.partition(":")[2].partition(".")[0] for carrier in carried_by() if carrier.startswith("form:")}
    assert {str(form.id) for form in CATALOGUE.forms} == asked


@pytest.mark.parametrize(
    "carrier",
    ["form:vaccination-daily.no_such", "form:no-such.cases", "text:hotline.poem", "codes:force.nobody", "codes:no-such",
     "command:fly", "module:schemas.no_such", "data:schemas/no_such.csv", "wish:peace"],
)  # fmt: skip
def test_planted_carrier_that_does_not_exist_is_seen(carrier: str) -> None:
    assert not exists(carrier)
