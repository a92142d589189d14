"""Simulated days: the same for the same seed, fit for admission, told in order."""

from __future__ import annotations

import json
from collections import Counter
from datetime import date, datetime
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.errors import ProducerError
from producers.filling import filler, repaired
from producers.simulator import Accidents, Fate, Simulated, reporting_units, simulated_day, standing
from schemas.admission import Admission, Admitted, Received, iso_time
from schemas.catalogue import RELEASED, ZONE, Catalogue
from schemas.codec import encode_report, header_schema
from schemas.form import CheckLevel, FormId
from schemas.form_reader import read_form
from schemas.register import KeyEntry
from schemas.report import REPORT_TYPE, KeyId, Kind, Millis, Offset, Revision, Series, Source
from schemas.row_checks import broken_check
from schemas.signature import Ed25519Key, sign
from schemas.topics import partition_of
from schemas.unit import UnitCode

ROOT = Path(__file__).resolve().parents[2]
CATALOGUE = Catalogue.from_folder(RELEASED, ROOT / "tests" / "data" / "catalogue")
OLD, NEW = date(2021, 12, 13), date(2025, 12, 13)
SUBTREES = st.sampled_from([("106", OLD), ("12", OLD), ("318", OLD), ("03390", OLD), ("12", NEW), ("01", NEW)])
FORMS = tuple(
    FormId(form)
    for form in ("vaccination-daily", "testing-daily", "support-payout", "covid-doses", "stock-count", "hotline")
)
"""Enough for what holds of any form; that each one is filled is tested over one commune."""
ALL = Accidents(late=0.15, corrected=0.2, withdrawn=0.15, duplicated=0.15, silent=0.05, offline=0.15)


class AnyKey:
    """Whoever asks is registered: these tests are about content."""

    def key(self, kid: object) -> KeyEntry:
        unit = UnitCode(str(kid).removeprefix("kid-").removesuffix("-1"))
        return KeyEntry(KeyId(str(kid)), unit, Ed25519Key(KeyId(str(kid)), bytes(32)).public, Millis(0))

    def principal(self, name: str) -> None:
        return None


def day_of(under: str, day: date, seed: int, exclude: tuple[str, ...] = ()) -> list[Simulated]:
    excluded = [UnitCode(code) for code in exclude]
    return simulated_day(CATALOGUE, UnitCode(under), day, seed=seed, exclude=excluded, forms=FORMS, accidents=ALL)


def admitted(one: Simulated) -> object:
    send = one.send
    kid = f"kid-{send.sender}-1"
    report = send.report(Revision(1), 1)
    record = sign(Ed25519Key(KeyId(kid), bytes(32)), key=send.unit.encode(), value=encode_report(send.form, report),
                  event_type=REPORT_TYPE, event_id=report.event_id, time=iso_time(send.issued_at))  # fmt: skip
    source = Source(partition_of(send.unit.encode(), 4), Offset(0))
    received = Received(record.key, record.value, record.headers, source, one.reaches_at, 4)
    return Admission(CATALOGUE, AnyKey(), check_signatures=False).decide(received)


@settings(max_examples=25, deadline=None)
@given(place=SUBTREES, seed=st.integers(0, 10_000))
def test_every_simulated_report_is_admitted(place: tuple[str, date], seed: int) -> None:
    for one in day_of(*place, seed)[:60]:
        assert isinstance(admitted(one), Admitted)


@settings(max_examples=25, deadline=None)
@given(place=SUBTREES, seed=st.integers(0, 10_000))
def test_rejecting_checks_hold_and_the_others_mostly(place: tuple[str, date], seed: int) -> None:
    sent = [one.send for one in day_of(*place, seed) if one.send.kind is Kind.REPORT]
    broken = Counter(
        check.level for send in sent for check in send.form.checks if broken_check(check, send.form, send.rows)
    )
    assert broken[CheckLevel.REJECT] == 0
    assert broken[CheckLevel.WARN] <= 3 + len(sent) // 8


@settings(max_examples=15, deadline=None)
@given(place=SUBTREES, seed=st.integers(0, 10_000))
def test_same_seed_is_the_same_day(place: tuple[str, date], seed: int) -> None:
    assert day_of(*place, seed) == day_of(*place, seed)


@settings(max_examples=15, deadline=None)
@given(place=SUBTREES, seed=st.integers(0, 10_000))
def test_sends_are_issued_on_the_day_and_told_in_order(place: tuple[str, date], seed: int) -> None:
    sent = day_of(*place, seed)
    assert [one.reaches_at for one in sent] == sorted(one.reaches_at for one in sent)
    newest: dict[Series, int] = {}
    for one in sent:
        for moment in (one.send.issued_at, one.reaches_at):
            assert datetime.fromtimestamp(moment / 1000, ZONE).date() == place[1]
        assert newest.get(one.send.series, 0) < one.send.issued_at
        newest[one.send.series] = one.send.issued_at
    assert {key: send.issued_at for key, send in standing(sent).items()} == {
        (series.unit, series.form): at for series, at in newest.items()
    }


def test_another_seed_is_another_day() -> None:
    assert day_of("12", OLD, 1) != day_of("12", OLD, 2)


def test_a_unit_sends_the_same_whatever_else_is_simulated() -> None:
    whole = [one for one in day_of("12", OLD, 5) if one.send.unit == "03390"]
    assert day_of("03390", OLD, 5) == whole


def test_excluded_branches_send_nothing() -> None:
    rest = {one.send.unit for one in day_of("12", OLD, 1, exclude=("106",))}
    tam_duong = set(CATALOGUE.units.children(UnitCode("106"), OLD))
    assert len(rest) == 93
    assert not rest & tam_duong
    assert len({*reporting_units(CATALOGUE.units, UnitCode("12"), OLD)}) == 106


def test_every_accident_happens() -> None:
    sent = day_of("12", OLD, 1)
    assert {one.fate for one in sent} == set(Fate) - {Fate.SILENT}
    assert {one.send.form.id for one in sent} == set(FORMS)
    silent = len({*reporting_units(CATALOGUE.units, UnitCode("12"), OLD)}) * len(FORMS) - len(standing(sent))
    assert silent > 0


@pytest.mark.parametrize("day", [OLD, date(2022, 2, 20)])
def test_every_form_is_played_with_figures_that_are_admitted(day: date) -> None:
    in_force = {form.id for form in CATALOGUE.forms if CATALOGUE.form_in_force(form.id, day)}
    played: set[str] = set()
    warned: Counter[str] = Counter()
    for seed in range(12):
        for one in simulated_day(CATALOGUE, UnitCode("03390"), day, seed=seed):
            found = admitted(one)
            assert isinstance(found, Admitted), found
            if one.send.kind is Kind.REPORT:
                played.add(one.send.form.id)
                warned.update(
                    f"{one.send.form.id} {check.id}"
                    for check in one.send.form.checks
                    if broken_check(check, one.send.form, one.send.rows)
                )
    assert played == in_force
    assert not {check: times for check, times in warned.items() if times > 3}, "a habit that a check contradicts"


def test_a_stock_is_never_nil() -> None:
    assert not [one for one in day_of("12", OLD, 3) if one.send.form.has_stock and one.send.kind is Kind.NIL]


def test_unknown_subtree_is_refused() -> None:
    with pytest.raises(ProducerError, match="no unit bears the code 12345 on 2021-12-13"):
        day_of("12345", OLD, 1)


def test_form_outside_its_validity_is_not_filled() -> None:
    assert day_of("01", date(2021, 1, 1), 1)
    forms = {one.send.form.id for one in simulated_day(CATALOGUE, UnitCode("106"), OLD, forms=[])}
    assert forms == set()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(["a == b + c", "a <= b", "b >= c + 2", "c < a", "a != c"]), min_size=1, max_size=2,
                unique=True), st.sampled_from(["row", "table"]), st.integers(0, 1000))  # fmt: skip
def test_unknown_form_is_filled_so_that_its_checks_hold_or_not_at_all(rules: list[str], over: str, seed: int) -> None:
    form = read_form(_form_text(rules, over), header_schema())
    fill = filler(form, CATALOGUE, OLD)
    assert fill is not None
    table = fill.table(Random(seed), 1.0)
    if table is not None:
        assert not [check for check in form.checks if broken_check(check, form, table)]
    if len(rules) == 1:
        assert table is not None
    rows = [dict(row) for row in table or ()]
    repaired(form, rows)
    assert tuple(rows) == (table or ())


def _form_text(rules: list[str], over: str) -> str:
    measure = {"unit": "person", "across_units": "sum", "over_time": "sum", "minimum": None}
    labels = {"label_vi": "x", "label_en": "x"}
    columns: list[dict[str, object]] = [{"name": "sample", "type": "string", "dimension": "sample-kind", **labels}]
    columns += [{"name": name, "type": "long", "measure": measure, **labels} for name in "abc"]
    checks = [
        {"id": f"c{n}", "over": over, "level": "reject", "rule": rule, "message_vi": "x", "message_en": "x"}
        for n, rule in enumerate(rules)
    ]
    about = {"id": "made-up", "version": 1, "valid_from": "2021-01-01", "max_rows": 9, "checks": checks, **labels}
    row = {"type": "record", "name": "Row", "fields": columns}
    fields = [
        {"name": "header", "type": "vn.chungsuc.Header"},
        {"name": "narrative", "type": {"type": "map", "values": "string"}, "default": {}},
        {"name": "rows", "type": {"type": "array", "items": row}},
    ]
    return json.dumps({"type": "record", "name": "Report", "namespace": "t", "form": about, "fields": fields})
