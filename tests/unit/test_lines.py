"""Lines roll up independently: what is reported on one is in no total of another, whoever answers to whom there."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from schemas.catalogue import Catalogue
from schemas.codec import decode_figure, encode_figure
from schemas.figure import Figure, FigureKind
from schemas.rejection import Reason
from schemas.unit import UBND, LineName, UnitCode
from streams.columns import read_columns
from streams.ledger import Ledger
from streams.packed import Packed
from tests.support.figures import as_figure
from tests.support.read_model import doses
from tests.support.signed import CATALOGUE as SMALL
from tests.support.signed import Draft, admitted, rejection

DAY = date(2021, 12, 13)
HEALTH = LineName("health")
UNITS = """code,name,level,kind,place,valid_from,valid_to
G18,Bộ Y tế,nation,agency,R,2021-01-01,
H35.14,Trung tâm Y tế,district,health-centre,D,2021-01-01,
H35.14.1,Trạm Y tế c1,commune,health-station,c1,2021-01-01,
H35.14.2,Trạm Y tế c2,commune,health-station,c2,2021-01-01,
"""
HEALTH_LINE = """code,superior,valid_from,valid_to
H35.14,G18,2021-01-01,
H35.14.1,H35.14,2021-01-01,
H35.14.2,H35.14,2021-01-01,
"""
# The centre answers to the district too, as one of its agencies.
AGENCIES = "code,superior,valid_from,valid_to\nH35.14,D,2021-01-01,\n"
CATALOGUE = Catalogue(
    {
        **SMALL.files,
        "units/more.csv": UNITS.encode(),
        "lines/health-more.csv": HEALTH_LINE.encode(),
        "lines/ubnd-more.csv": AGENCIES.encode(),
    }
)


def totals(reports: list[tuple[str, LineName, int]]) -> dict[tuple[str, LineName], tuple[int, int]]:
    """First doses and units reported of every total that the ledger sends, by unit and line."""
    ledger = Ledger(CATALOGUE)
    log: list[bytes] = []
    for at, (unit, line, number) in enumerate(reports):
        figure = as_figure(CATALOGUE, doses(unit, DAY, number, source=(0, at)))
        log.append(encode_figure(replace(figure, line=line)))
    folded = 0
    newest: dict[tuple[str, LineName], Figure] = {}
    while folded < len(log):
        batch = log[folded:]
        ledger.fold(read_columns(Packed.of(batch)), np.arange(folded, folded + len(batch), dtype=np.int64))
        folded = len(log)
        sent = ledger.totals()
        log += sent.values
        Ledger.acknowledged(sent)
        for figure in map(decode_figure, sent.values):
            newest[figure.unit, figure.line] = figure
    return {
        key: (int.from_bytes(figure.values[:8], "little", signed=True), figure.reported)
        for key, figure in newest.items()
        if figure.kind is not FigureKind.OWN
    }


def test_health_line_adds_up_through_health_organisations_only() -> None:
    found = totals([("H35.14.1", HEALTH, 5), ("H35.14.2", HEALTH, 7), ("c1", UBND, 100), ("H35.14", UBND, 1000)])
    assert {key: value for key, value in found.items() if key[1] == HEALTH} == {
        ("H35.14", HEALTH): (12, 2), ("G18", HEALTH): (12, 2),
    }  # fmt: skip
    assert found["D", UBND] == (1100, 2)
    assert found["R", UBND] == (1100, 2)
    assert ("H35.14", UBND) not in found


def test_unit_reports_on_each_of_its_lines_once_and_neither_moves_the_other() -> None:
    alone = totals([("H35.14.1", HEALTH, 5)])
    both = totals([("H35.14", UBND, 9), ("H35.14.1", HEALTH, 5), ("H35.14", UBND, 8)])
    assert {key: value for key, value in both.items() if key[1] == HEALTH} == alone


def test_report_on_a_line_goes_to_its_superior_there() -> None:
    assert admitted(Draft(unit="c1")).receiver == "D"
    assert admitted(Draft(unit="c1", line="front")).receiver == "A"


@pytest.mark.parametrize("unit", ["c2", "D"])
def test_unit_that_does_not_stand_on_the_line_is_told_so(unit: str) -> None:
    """Admitted, it would be a root of its own, and its numbers would be in nobody's total."""
    found = rejection(Draft(unit=unit, line="front"))
    assert (found.reason, found.field, found.value) == (Reason.HEADER_INVALID, "line", "front")
    assert unit in found.expected


def test_place_stands_on_the_line_of_committees_even_alone() -> None:
    assert CATALOGUE.units.stands_on(UBND, UnitCode("L"), DAY)
    assert not CATALOGUE.units.stands_on(UBND, UnitCode("H35.14.1"), DAY)
    assert not CATALOGUE.units.stands_on(HEALTH, UnitCode("c1"), DAY)
