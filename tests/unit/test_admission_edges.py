"""Admission at its edges: what is just legal, what just is not, and what a rejection carries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.admission import Received
from schemas.form import LARGEST, LARGEST_CLAIM
from schemas.rejection import Reason, Rejection
from schemas.report import Kind, Millis, Report, Scope, Source
from schemas.sentences import sentence_en, sentence_vi
from schemas.signature import SIGNED_HEADERS, SignedRecord
from schemas.topics import MAX_REPORT_BYTES
from tests.support.faults import FAULTS, add_all_tuples, broken, change
from tests.support.signed import (
    ACCEPTED,
    ADMISSION,
    DOSES,
    KEYS,
    REGISTERED,
    STOCK_ROW,
    TESTING,
    Draft,
    admission,
    admitted,
    as_received,
    padded_to,
    rejection,
)

# Bytes


def test_report_of_exactly_one_mebibyte_is_admitted() -> None:
    draft = padded_to(Draft(), MAX_REPORT_BYTES)
    assert MAX_REPORT_BYTES == 1_048_576
    assert admitted(draft).report.narrative == draft.narrative


def test_one_byte_more_is_too_large() -> None:
    found = rejection(padded_to(Draft(), MAX_REPORT_BYTES + 1))
    assert (found.reason, found.value) == (Reason.TOO_LARGE, "1048577 bytes")


@pytest.mark.parametrize("size", [0, 1, 2, 9, 10])
def test_value_shorter_than_a_header_is_not_decodable(size: int) -> None:
    received = Draft().received(value=Draft().value()[:size])
    found = ADMISSION.decide(received)
    assert isinstance(found, Rejection)
    assert found.reason is Reason.NOT_DECODABLE


def test_record_without_value_is_not_decodable() -> None:
    found = ADMISSION.decide(replace(Draft().received(), value=None))
    assert isinstance(found, Rejection)
    assert found.reason is Reason.NOT_DECODABLE


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_truncated_body_is_not_decodable(cut: int) -> None:
    assert rejection(Draft(cut=cut)).reason is Reason.NOT_DECODABLE


@pytest.mark.parametrize("suffix", [b"\0", b"\xc3\x01", b"x" * 1000])
def test_bytes_after_the_body_are_not_decodable(suffix: bytes) -> None:
    assert rejection(Draft(suffix=suffix)).reason is Reason.NOT_DECODABLE


# Headers


@pytest.mark.parametrize(
    "name", ["ce_specversion", "ce_type", "ce_source", "ce_id", "ce_time", "content-type", "kid", "sig"]
)
@pytest.mark.parametrize("value", ["missing", "null", "twice"])
def test_each_required_header_stands_once_with_a_value(name: str, value: str) -> None:
    received = Draft().received()
    instead: dict[str, list[Any]] = {
        "missing": [],
        "null": [(name, None)],
        "twice": [(name, content) for other, content in received.headers if other == name] * 2,
    }
    others = [header for header in received.headers if header[0] != name]
    headers: Any = (*others, *instead[value])
    found = ADMISSION.decide(replace(received, headers=tuple(headers)))
    assert isinstance(found, Rejection)
    assert found.reason is Reason.HEADER_INVALID


@pytest.mark.parametrize(
    ("fault", "field"),
    [
        (change(revision=0), "revision"),
        (change(sequence=0), "sequence"),
        (change(issued_at=-1, time="1970-01-01T00:00:00Z"), "issued_at"),
        (change(line="health"), "line"),
        (change(event_id="testing-small/c1/ubnd/2021-12-13/-/2"), "ce_id"),
        (change(time="2021-12-13T10:00:01Z"), "ce_time"),
        (change(kid="kid-xã-1"), "ce_source"),
    ],
)
def test_header_that_contradicts_itself_is_invalid_by_its_field(fault: Callable[[Draft], None], field: str) -> None:
    draft = Draft()
    fault(draft)
    found = rejection(draft)
    assert (found.reason, found.field) == (Reason.HEADER_INVALID, field)


def test_event_id_names_who_entered_the_report() -> None:
    assert Draft(entered_by="D").report().event_id == "testing-small/c1/ubnd/2021-12-13/D/1"
    assert Draft().report().event_id == "testing-small/c1/ubnd/2021-12-13/-/1"


# Units and names


def test_name_in_force_is_right_and_no_name_is_too() -> None:
    assert admitted(Draft(unit_name="Xã Thèn Sin")).unit.name == "Xã Thèn Sin"
    assert admitted(Draft(unit_name=None)).unit.name == "Xã Thèn Sin"


@pytest.mark.parametrize(("period", "name"), [("2021-12-13", "Xã Hồ Thầu"), ("2021-12-14", "Xã Hồ Thầu Mới")])
def test_name_is_judged_by_the_last_day_of_the_period(period: str, name: str) -> None:
    assert admitted(Draft(unit="c3", period=period, unit_name=name)).unit.name == name
    other = {"Xã Hồ Thầu": "Xã Hồ Thầu Mới", "Xã Hồ Thầu Mới": "Xã Hồ Thầu"}[name]
    found = rejection(Draft(unit="c3", period=period, unit_name=other))
    assert (found.reason, found.value, found.expected) == (Reason.STALE_NAME, other, name)


def test_unit_that_is_no_more_is_unknown_after_its_last_day() -> None:
    assert admitted(Draft(unit="e1", period="2021-12-13")).receiver == "D"
    assert rejection(Draft(unit="e1", period="2021-12-14")).reason is Reason.UNKNOWN_UNIT


def test_report_of_a_leaf_goes_to_the_superior_of_the_last_day() -> None:
    assert admitted(Draft(unit="c3", period="2021-12-13")).receiver == "D"
    assert admitted(Draft(unit="c3", period="2021-12-14")).receiver == "A"
    assert admitted(Draft(unit="L")).receiver == "R"


@pytest.mark.parametrize("unit", ["D", "A", "R"])
def test_unit_with_children_receives_its_own_report_itself(unit: str) -> None:
    assert admitted(Draft(unit=unit)).receiver == unit


def test_claim_for_the_subtree_stays_with_its_unit() -> None:
    assert admitted(Draft(scope=Scope.SUBTREE)).receiver == "c1"


# Authority


def test_direct_superior_may_enter_for_a_unit() -> None:
    found = admitted(Draft(entered_by="D"))
    assert (found.kid, found.receiver) == ("kid-D-1", "D")


@pytest.mark.parametrize("entered_by", ["A", "R", "c2", "c1", "zz", ""])
def test_nobody_else_may_enter_for_a_unit(entered_by: str) -> None:
    signer = entered_by if entered_by in KEYS else "D"
    found = rejection(Draft(entered_by=entered_by, signer=signer))
    assert found.reason is Reason.NOT_AUTHORISED


def test_superior_is_the_one_of_the_periods_last_day() -> None:
    assert admitted(Draft(unit="c3", period="2021-12-14", entered_by="A"))
    assert rejection(Draft(unit="c3", period="2021-12-14", entered_by="D")).reason is Reason.NOT_AUTHORISED


def test_nobody_may_enter_for_a_root() -> None:
    assert rejection(Draft(unit="R", entered_by="A")).reason is Reason.NOT_AUTHORISED


def test_superior_needs_its_own_key_and_unit_can_not_sign_for_it() -> None:
    assert rejection(Draft(entered_by="D", signer="c1")).reason is Reason.NOT_AUTHORISED
    assert rejection(Draft(signer="D")).reason is Reason.NOT_AUTHORISED


def test_entered_report_with_a_mistyped_period_is_told_so() -> None:
    assert rejection(Draft(entered_by="D", period="13/12/2021")).reason is Reason.PERIOD_INVALID


def test_name_that_a_unit_bears_is_right_when_only_the_period_is_mistyped() -> None:
    found = rejection(Draft(unit="c3", unit_name="Xã Hồ Thầu", period="13/12/2021"))
    assert found.reason is Reason.PERIOD_INVALID


def test_key_counts_from_strictly_after_its_registration() -> None:
    assert rejection(Draft(accepted_at=REGISTERED)).reason is Reason.KEY_NOT_VALID
    assert admitted(Draft(accepted_at=REGISTERED + 1))


# Periods and kinds


def test_day_begins_at_midnight_in_vietnam() -> None:
    last_ms = int(datetime(2022, 1, 2, 17, tzinfo=UTC).timestamp() * 1000) - 1
    assert rejection(Draft(period="2022-01-03", accepted_at=last_ms)).reason is Reason.PERIOD_FUTURE
    assert admitted(Draft(period="2022-01-03", accepted_at=last_ms + 1))
    assert admitted(Draft(period="2022-01-02", accepted_at=last_ms))


def test_senders_clock_decides_nothing() -> None:
    assert admitted(Draft(issued_at=ACCEPTED + 10**10))
    assert admitted(Draft(issued_at=0))


def test_nil_and_withdrawal_without_rows_are_admitted() -> None:
    assert admitted(Draft(kind=Kind.NIL, rows=[])).report.header.kind is Kind.NIL
    assert admitted(Draft(kind=Kind.WITHDRAWAL, rows=[])).report.header.kind is Kind.WITHDRAWAL


def test_withdrawal_of_nothing_is_admitted_as_a_first_revision() -> None:
    assert admitted(Draft(kind=Kind.WITHDRAWAL, rows=[], revision=1, unit="c2"))


@pytest.mark.parametrize("kind", [Kind.NIL, Kind.WITHDRAWAL])
def test_rows_in_a_nil_or_withdrawal_are_rejected(kind: Kind) -> None:
    assert rejection(Draft(kind=kind)).reason is Reason.KIND_ROWS


def test_report_without_rows_is_rejected_and_a_row_of_zeros_is_a_row() -> None:
    assert rejection(Draft(rows=[])).reason is Reason.KIND_ROWS
    zeros = {name: 0 if isinstance(cell, int) else cell for name, cell in TESTING.items()}
    assert admitted(Draft(rows=[zeros]))


def test_form_with_a_stock_takes_no_nil_but_a_withdrawal() -> None:
    assert rejection(Draft(form="stock-count", kind=Kind.NIL, rows=[])).reason is Reason.KIND_ROWS
    assert admitted(Draft(form="stock-count", kind=Kind.WITHDRAWAL, rows=[]))


# Rows and values


def test_as_many_rows_as_the_form_allows_are_admitted() -> None:
    draft = Draft()
    add_all_tuples(draft)
    del draft.rows[-1]
    assert len(admitted(draft).report.rows) == 3


def test_optional_measure_may_be_blank_and_zero_is_not_blank() -> None:
    assert admitted(Draft(form="stock-count", rows=[STOCK_ROW])).report.rows[0]["fridges_checked"] is None
    given = admitted(Draft(form="stock-count", rows=[{**STOCK_ROW, "fridges_checked": 0}]))
    assert given.report.rows[0]["fridges_checked"] == 0


def test_covid_doses_may_fall_below_zero() -> None:
    rows = [{**DOSES, "dose1": -54}]
    assert admitted(Draft(form="covid-doses", rows=rows)).report.rows[0]["dose1"] == -54


@pytest.mark.parametrize(("scope", "largest"), [(Scope.OWN, 10**12), (Scope.SUBTREE, 10**14)])
@pytest.mark.parametrize("sign", [1, -1])
def test_value_up_to_the_limit_is_admitted_and_one_more_is_not(scope: Scope, largest: int, sign: int) -> None:
    assert (LARGEST, LARGEST_CLAIM) == (10**12, 10**14)
    draft = Draft(form="covid-doses", scope=scope, rows=[{**DOSES, "dose2": sign * largest}])
    assert admitted(draft).report.rows[0]["dose2"] == sign * largest
    draft.rows[0]["dose2"] = sign * (largest + 1)
    found = rejection(draft)
    assert (found.reason, found.field, found.value) == (Reason.VALUE_RANGE, "dose2", str(sign * (largest + 1)))


def test_check_that_only_warns_refuses_nothing() -> None:
    row = {**TESTING, "positive_persons": 151}
    assert admitted(Draft(form="testing-daily", rows=[row])).report.rows[0]["positive_persons"] == 151


def test_old_version_of_a_form_is_admitted_into_the_columns_in_force() -> None:
    found = admitted(Draft(form="stock-two", version=1, period="2021-12-15", rows=[STOCK_ROW]))
    assert (found.sent_form.version, found.form.version) == (1, 2)
    row = {**STOCK_ROW, "doses_spoilt": 3}
    found = admitted(Draft(form="stock-two", version=2, period="2021-12-13", rows=[row]))
    assert (found.sent_form.version, found.form.version) == (2, 1)


# What a rejection carries must fit into a header and a receipt, whoever wrote the record


@pytest.mark.parametrize(
    "draft",
    [
        Draft(period="9" * 900_000),
        Draft(unit="u" * 900_000),
        Draft(entered_by="u" * 900_000, signer="D"),
        Draft(line="l" * 900_000),
        Draft(unit_name="Xã" * 300_000),
        Draft(key=b"k" * 900_000),
        Draft(kid="k" * 60_000),
        Draft(event_id="e" * 60_000),
        Draft(period="9" * 900_000, event_id="e"),
    ],
    ids=["period", "unit", "entered_by", "line", "unit_name", "key", "kid", "ce_id", "period_and_ce_id"],
)
def test_rejection_of_overlong_texts_is_short(draft: Draft) -> None:
    found = rejection(draft)
    assert len(sentence_vi(found).encode()) + len(sentence_en(found).encode()) < 8_000


# Signature


def each_bit(content: bytes) -> Iterator[bytes]:
    for at in range(len(content)):
        for bit in range(8):
            yield content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :]


def test_any_flipped_bit_of_what_is_signed_is_rejected() -> None:
    draft = Draft()
    record = draft.record()
    changed: list[SignedRecord] = [replace(record, key=key) for key in each_bit(record.key or b"")]
    changed += [replace(record, value=value) for value in each_bit(record.value)]
    for at, (name, content) in enumerate(record.headers):
        if name in (*SIGNED_HEADERS, "sig"):
            changed += [
                replace(record, headers=(*record.headers[:at], (name, other), *record.headers[at + 1 :]))
                for other in each_bit(content)
            ]
    assert len(changed) > 1_500
    for other in changed:
        found = ADMISSION.decide(as_received(other, draft.right_partition))
        assert isinstance(found, Rejection), other


def test_signature_of_one_record_does_not_fit_another() -> None:
    first, second = Draft().record(), Draft(rows=[{**TESTING, "persons": 151}]).record()
    found = ADMISSION.decide(as_received(replace(first, value=second.value), Draft().right_partition))
    assert isinstance(found, Rejection)
    assert found.reason is Reason.BAD_SIGNATURE


@pytest.mark.parametrize("size", [0, 63, 65, 4000])
def test_signature_of_another_length_is_bad(size: int) -> None:
    received = Draft().received()
    headers = tuple((name, b"s" * size if name == "sig" else value) for name, value in received.headers)
    found = ADMISSION.decide(replace(received, headers=headers))
    assert isinstance(found, Rejection)
    assert found.reason is Reason.BAD_SIGNATURE


def test_decision_does_not_depend_on_what_was_decided_before() -> None:
    drafts = [broken(reason) for reason in FAULTS] + [Draft(), Draft(entered_by="D"), Draft(unit="c3")]
    fresh = [admission().decide(draft.received()) for draft in drafts]
    shared = admission()
    for _ in range(2):
        assert [shared.decide(draft.received()) for draft in drafts] == fresh


def test_trace_header_is_not_bound_and_changes_nothing() -> None:
    received = Draft().received()
    traced = replace(received, headers=(*received.headers, ("traceparent", b"00-abc-def-01")))
    assert ADMISSION.decide(traced) == ADMISSION.decide(received)


def test_what_was_decoded_is_handed_on_with_a_rejection() -> None:
    found = rejection(broken(Reason.VALUE_RANGE))
    assert isinstance(found.report, Report)
    assert found.report.header.unit == "c1"
    assert rejection(broken(Reason.UNKNOWN_FORM)).report is None


def test_source_is_told_by_partition_and_offset() -> None:
    assert str(Source(3, Draft().received().source.offset)) == "3:7"
    assert isinstance(Draft().received(), Received)
    assert Millis(ACCEPTED) > REGISTERED
