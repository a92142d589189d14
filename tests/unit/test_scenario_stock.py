"""The story's vaccine stock reconciles: with the doses given, from day to day, and with the figures of the scenario."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from deploy.demo import DAYS, STORY
from producers.history import read_history
from producers.send import Send
from schemas.report import Kind, Row
from tests.support.released import released_catalogue

Stock = dict[tuple[str, str, str], Row]


def sends(form: str) -> list[Send]:
    catalogue = released_catalogue()
    versions = [one for one in catalogue.forms if one.id == form]
    history = read_history(STORY / f"{form}.csv", versions, catalogue.units)
    assert not history.problems
    return [send for send in history.sends if send.period in {day.isoformat() for day in DAYS}]


def newest_own(found: Iterable[Send]) -> dict[tuple[str, str], Send]:
    """What stands at the end: the newest that a unit sent itself."""
    return {(send.unit, send.period): send for send in found if send.entered_by is None}


def by_vaccine(found: Iterable[Send]) -> Stock:
    return {
        (send.unit, str(row["vaccine"]), send.period): row
        for send in newest_own(found).values()
        if send.kind is Kind.REPORT
        for row in send.rows
    }


def summed(stock: Iterable[Row], measure: str) -> int:
    return sum(int(row[measure] or 0) for row in stock)


def test_stock_is_what_came_less_what_was_given() -> None:
    stock, given = by_vaccine(sends("vaccine-stock")), by_vaccine(sends("vaccination-daily"))
    for about, row in given.items():
        assert (stock[about]["used"], stock[about]["discarded"]) == (row["doses_used"], row["doses_discarded"]), about
    first, last = DAYS[0].isoformat(), DAYS[-1].isoformat()
    opening = summed((row for (_, _, day), row in stock.items() if day == first), "opening")
    closing = summed((row for (_, _, day), row in stock.items() if day == last), "closing")
    moved = [summed(stock.values(), name) for name in ("received", "used", "discarded")]
    assert (opening, *moved, closing) == (350, 4000, 2965, 25, 1360)
    for unit, vaccine in {(unit, vaccine) for unit, vaccine, _ in stock}:
        days = [stock[unit, vaccine, day.isoformat()] for day in DAYS]
        assert all(today["closing"] == after["opening"] for today, after in pairwise(days)), (unit, vaccine)
