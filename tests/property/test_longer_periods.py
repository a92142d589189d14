"""Reports of every type of period, from signed bytes to printed figures: admission, ledger and read model take each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.read_model.reader import SqliteReadModel
from schemas.admission import Admission, Admitted, Received
from schemas.catalogue import Catalogue, CatalogueError
from schemas.codec import encode_figure
from schemas.form import FormId
from schemas.log import Record
from schemas.period import PeriodType, parse_period
from schemas.read_model import FigureQuery, OverlappingPeriods
from schemas.rejection import Reason
from schemas.report import Millis, Offset, Source
from schemas.topics import FIGURES
from schemas.unit import UnitCode
from streams.columns import read_columns
from streams.ingest import figure_of
from streams.ledger import Ledger
from streams.packed import Packed
from tests.support.read_model import catalogue_act, reading, store_at
from tests.support.signed import CATALOGUE as SIGNED
from tests.support.signed import DOSES, PARTITIONS, Draft, form_file, registers

COMMUNES = ("c1", "c2", "c3")
ACCEPTED = int(datetime(2022, 6, 1, tzinfo=UTC).timestamp() * 1000)


def with_periods(form_id: str, periods: object) -> dict[str, bytes]:
    def change(raw: dict[str, Any]) -> None:
        raw["form"]["periods"] = periods

    return {f"forms/{form_id}.avsc": form_file(SIGNED.files["forms/covid-doses.avsc"].decode(), form_id, change)}


FORMS = {of: FormId(f"every-{of}") for of in PeriodType}
CATALOGUE = Catalogue(
    SIGNED.files
    | {name: text for of, form in FORMS.items() for name, text in with_periods(form, [of]).items()}
    | with_periods("month-or-quarter", ["month", "quarter"])
    | with_periods("on-orders", ["topical"])
)
ADMISSION = Admission(CATALOGUE, registers())


def decided(draft: Draft, offset: int = 0) -> tuple[Received, Any]:
    record = draft.record(CATALOGUE)
    source = Source(draft.right_partition, Offset(offset))
    received = Received(record.key, record.value, record.headers, source, Millis(ACCEPTED), PARTITIONS)
    return received, ADMISSION.decide(received)


def doses(unit: str, form: str, period: str, number: int) -> Draft:
    return Draft(unit=unit, form=form, period=period, rows=[{**DOSES, "dose1": number}])


def model_of(path: Path, drafts: Sequence[Draft]) -> SqliteReadModel:
    """The read model after these reports, through the product's own stages, without a broker between them."""
    log: list[tuple[bytes, bytes]] = []
    for offset, draft in enumerate(drafts):
        received, admitted = decided(draft, offset)
        assert isinstance(admitted, Admitted)
        log.append((admitted.receiver.encode(), encode_figure(figure_of(admitted, CATALOGUE, 1, received))))
    ledger = Ledger(CATALOGUE)
    while ledger.next_offset < len(log):
        first = ledger.next_offset
        ledger.fold(
            read_columns(Packed.of([value for _, value in log[first:]])), np.arange(first, len(log), dtype=np.int64)
        )
        totals = ledger.totals()
        log += zip(totals.keys, totals.values, strict=True)
        Ledger.acknowledged(totals)
    records = [
        Record(FIGURES, 0, Offset(offset), Millis(ACCEPTED), key, value, ()) for offset, (key, value) in enumerate(log)
    ]
    store_at(path).apply({("acts", 0): [catalogue_act(CATALOGUE)], (FIGURES, 0): records})
    return SqliteReadModel(path)


@settings(max_examples=12, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(list(PeriodType)), st.sampled_from(COMMUNES), st.integers(0, 99)),
        min_size=1,
        max_size=12,
        unique_by=lambda one: one[:2],
    )
)
def test_a_report_of_any_type_of_period_is_admitted_added_up_and_printed(
    sent: list[tuple[PeriodType, str, int]],
) -> None:
    drafts = [doses(unit, FORMS[of], of.example, number) for of, unit, number in sent]
    with TemporaryDirectory() as folder:
        model = model_of(Path(folder) / "db.sqlite", drafts)
        for of in {of for of, _, _ in sent}:
            numbers = [number for other, _, number in sent if other is of]
            (row,) = model.figures(FigureQuery(UnitCode("R"), FORMS[of])).rows
            assert (row.period, row.measures[0], row.units_reported) == (of.example, sum(numbers), len(numbers))
            period = parse_period(of.example)
            coverage = model.coverage(UnitCode("R"), FORMS[of], period.text)
            assert coverage.reported == len(numbers)
            assert (
                not model.figures(FigureQuery(UnitCode("R"), FORMS[of], last=period.first_day)).rows or period.days == 1
            )
        model.close()


@pytest.mark.parametrize("of", list(PeriodType))
def test_a_period_of_another_type_than_the_forms_is_refused(of: PeriodType) -> None:
    for other in PeriodType:
        _, decision = decided(doses("c1", FORMS[of], other.example, 1))
        if other is of:
            assert isinstance(decision, Admitted)
        else:
            assert decision.reason is Reason.PERIOD_INVALID
            assert of.example in decision.expected
            assert of.example in decision.expected_vi


def test_a_form_may_take_months_and_quarters_and_no_sum_counts_a_day_twice(tmp_path: Path) -> None:
    months = [doses("c1", "month-or-quarter", f"2021-{month:02d}", month) for month in (10, 11, 12)]
    model = model_of(tmp_path / "db.sqlite", [*months, doses("c1", "month-or-quarter", "2021-Q4", 33)])
    unit, form = UnitCode("D"), FormId("month-or-quarter")
    assert [row.period for row in model.figures(FigureQuery(unit, form)).rows] == [
        "2021-10",
        "2021-Q4",
        "2021-11",
        "2021-12",
    ]
    with pytest.raises(OverlappingPeriods, match="2021-10 and 2021-Q4"):
        model.figures(FigureQuery(unit, form, sum=True))
    (row,) = model.figures(FigureQuery(unit, form, sum=True, of=PeriodType.MONTH)).rows
    assert (row.period, row.measures[0]) == ("2021-09-15/2021-12-14", 33)
    (row,) = model.figures(FigureQuery(unit, form, period=parse_period("2021-Q4").text)).rows
    assert row.measures[0] == 33
    model.close()


@pytest.mark.parametrize("periods", [[], "week", ["fortnight"], None, [1]])
def test_a_form_with_periods_that_are_none_is_refused_by_name(periods: object) -> None:
    with pytest.raises(CatalogueError, match=r"forms/odd\.avsc line 1: .*period"):
        Catalogue(SIGNED.files | with_periods("odd", periods))


def test_two_orders_of_one_day_are_two_series(tmp_path: Path) -> None:
    orders = ("T:2021-12-14:vung-xanh", "T:2021-12-14:chot-kiem-soat")
    model_of(tmp_path / "db.sqlite", [doses("c1", "on-orders", text, 1) for text in orders]).close()
    with reading(tmp_path / "db.sqlite") as model:
        rows = model.figures(FigureQuery(UnitCode("D"), FormId("on-orders"))).rows
        assert [row.period for row in rows] == sorted(orders)
        for text in orders:
            assert model.history(UnitCode("c1"), FormId("on-orders"), parse_period(text).text)
