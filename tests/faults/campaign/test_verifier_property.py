"""Whatever is sent in whatever order, with totals published whenever: exact; and any one number changed is found."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codec import decode_figure, encode_figure
from schemas.figure import FigureKind
from schemas.report import Kind
from schemas.topics import FIGURES
from tests.faults.campaign.history import Seen
from tests.faults.campaign.lab import Lab
from tests.faults.campaign.planting import report_of, small
from tests.faults.campaign.verifier.anomaly import Name, Verdict
from tests.support.signed import STOCK_ROW, TESTING, Draft

UNITS = ("c1", "c2", "c3", "e1", "D", "L")
SENDS = st.builds(
    lambda unit, persons, revision, kind, entered, single: report_of(
        unit,
        persons,
        revision=revision,
        kind=kind,
        entered_by={"L": "R", "D": "A"}.get(unit, "D") if entered else None,
        rows=[]
        if kind is not Kind.REPORT
        else [{**TESTING, "persons": persons}, *([{**TESTING, "sample": "single"}] if single else [])],
    ),
    st.sampled_from(UNITS),
    st.integers(1, 500),
    st.integers(1, 3),
    st.sampled_from(Kind),
    st.booleans(),
    st.booleans(),
)
STOCKS = st.builds(
    lambda unit, stock, fridges, day: Draft(
        unit,
        form="stock-two",
        period=day,
        rows=[{**STOCK_ROW, "doses_in_stock": stock, "fridges_checked": fridges}],
    ),
    st.sampled_from(("c1", "c2", "c3")),
    st.integers(0, 9),
    st.none() | st.integers(0, 3),
    st.sampled_from(("2021-12-13", "2021-12-14")),
)
STEPS = st.lists(SENDS | STOCKS | st.sampled_from(("emit one", "emit all", "see")), min_size=1, max_size=20)


def played(steps: list[Draft | str]) -> Lab:
    """Reports and totals in this order, then all that is left of them."""
    lab = Lab()
    for step in steps:
        if isinstance(step, Draft):
            lab.send(step)
        elif step == "emit one" and lab.dirty:
            lab.emit(min(lab.dirty))
        elif step == "emit all":
            lab.emit_all()
        elif step == "see":
            for account in sorted(lab.accounts):
                if account not in lab.dirty:
                    lab.see(account, ("page",))
    lab.emit_all()
    lab.observe()
    return lab


def verdict_of(lab: Lab, *, stored: bool) -> Verdict:
    with tempfile.TemporaryDirectory() as folder:
        return lab.verdict(Path(folder), stored=stored)


@settings(deadline=None, max_examples=12)
@given(STEPS.filter(lambda steps: any(isinstance(step, Draft) for step in steps)))
def test_any_reports_in_any_order_with_totals_at_any_moment_are_exact(steps: list[Draft | str]) -> None:
    verdict = verdict_of(played(steps), stored=True)
    assert not verdict.anomalies
    assert verdict.word == "EXACT"


@settings(deadline=None, max_examples=6)
@given(st.data(), st.integers(-3, 3).filter(bool))
def test_any_number_of_any_published_total_changed_is_found(data: st.DataObject, by: int) -> None:
    lab = small()
    at = data.draw(st.sampled_from([n for n, r in enumerate(lab.records[FIGURES]) if _is_total(r.value)]))
    record = lab.records[FIGURES][at]
    figure = decode_figure(record.value or b"")
    cell = data.draw(st.integers(0, len(figure.values) // 8 - 1))
    value = int.from_bytes(figure.values[cell * 8 : cell * 8 + 8], "little", signed=True) + by
    values = figure.values[: cell * 8] + value.to_bytes(8, "little", signed=True) + figure.values[cell * 8 + 8 :]
    lab.records[FIGURES][at] = replace(record, value=encode_figure(replace(figure, values=values)))
    found = verdict_of(lab, stored=False).found
    assert found[Name.NEVER_TRUE] >= 1
    assert found[Name.WRONG_VALUE] == 1


@settings(deadline=None, max_examples=6)
@given(st.data(), st.sampled_from(("reported", "version", "rows")))
def test_anything_an_observer_saw_changed_is_found(data: st.DataObject, field: str) -> None:
    lab = small()
    lab.observe()
    seen = data.draw(st.sampled_from([event for event in lab.events if isinstance(event, Seen)]))
    instead: dict[str, object] = {"reported": seen.reported + 1, "version": seen.version + 1, "rows": ()}
    lab.events[lab.events.index(seen)] = replace(seen, **{field: instead[field]})  # type: ignore[arg-type]
    assert verdict_of(lab, stored=False).found[Name.NEVER_TRUE] == 1


def _is_total(value: bytes | None) -> bool:
    return decode_figure(value or b"").kind != FigureKind.OWN
