"""Bytes of every released schema: golden, unique in front, readable by every version, and nothing but one record."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import fastavro
import fastavro.schema
import pytest

from schemas.act import (
    Act,
    Attested,
    AttesterRegistered,
    CatalogueReleased,
    Decided,
    KeyRegistered,
    KeyRevoked,
    ObligationDecided,
    PeriodLocked,
    PrincipalBound,
    ReportApproved,
    ReportReturned,
)
from schemas.codec import (
    MARKER,
    PREFIX_BYTES,
    NotDecodable,
    decode_act,
    decode_announcement,
    decode_figure,
    decode_receipts,
    decode_report,
    encode_act,
    encode_announcement,
    encode_figure,
    encode_receipts,
    encode_report,
    fingerprint_in,
    header_schema,
    record_schema,
)
from schemas.figure import Figure, FigureKind, ScopeCode, Slot, State
from schemas.form import Fingerprint, Form, FormId
from schemas.form_reader import read_form
from schemas.period import PeriodText
from schemas.precedence import Outcome
from schemas.principal import Binding, PrincipalName, Role
from schemas.receipt import Receipt
from schemas.report import Digest, KeyId, Millis, Offset, Revision, Source
from schemas.signature import PublicKey
from schemas.unit import UBND, LineName, UnitCode
from tests.support.evolution import breaches, sample
from tests.support.released import released_catalogue
from tests.support.signed import CATALOGUE, form_file, second_version

GOLDEN = Path(__file__).parents[1] / "data" / "golden"
FORMS = list(released_catalogue().forms)
RECORDS = ("figure", "receipts", "act", "act-2", "act-3", "act-4", "act-5", "announcement")
STOCK = next(form for form in CATALOGUE.forms if form.id == "stock-count")

FIGURE = Figure(
    FigureKind.TOTAL, State.REPORT, FormId("testing-daily"), ScopeCode.OWN, UBND, PeriodText("2021-12-15"), Slot.TOTAL,
    UnitCode("106"), 18_628, Fingerprint(bytes(range(8))), 1, 2, bytes(range(32)), b"\1\0\0\0", ("rt-pcr", "pooled"),
    version=4711, revision=Revision(-1), first_accepted=Millis(1), newest_accepted=Millis(2**40), reported=13, nil=2,
    entered=1,
)  # fmt: skip
OWN = Figure(
    FigureKind.OWN, State.NIL, FormId("covid-doses"), ScopeCode.SUBTREE, UBND, PeriodText("2021-12-15"), Slot.ENTERED,
    UnitCode("03406"), 18_628, Fingerprint(bytes(8)), 3, 2, revision=Revision(2**40), source_partition=3,
    source_offset=Offset(2**33), accepted_at=Millis(5), issued_at=Millis(6), digest=Digest(bytes(range(32))),
    entered_by="106", kid="kid-106-1",
)  # fmt: skip
RECEIPTS = [
    Receipt("03406", "ubnd", "testing-daily", "2021-12-15", "", Revision(1), "kid-03406-1", Digest(bytes(range(32))),
            Source(3, Offset(17)), Outcome.ACCEPTED, "", "positives-of-persons", "Số người dương tính (2) …",
            Revision(1), Millis(1_639_557_000_000), Offset(99)),
    Receipt("03406", "ubnd", "", "", "106", Revision(-1), "", Digest(bytes(32)), Source(0, Offset(0)), Outcome.REJECTED,
            "bad_signature", "sig", "Chữ ký số không đúng", Revision(-1), Millis(2), Offset(-1)),
]  # fmt: skip
ACTS = {
    "act-key-registered": Act("1", Millis(1), KeyRegistered(KeyId("kid-1"), UnitCode("106"), PublicKey(bytes(32)))),
    "act-key-revoked": Act("2", Millis(2**41), KeyRevoked(KeyId("kid-1"), "mất khóa")),
    "act-catalogue-released": Act("3", Millis(3), CatalogueReleased(1, 2, bytes(range(32)), b"bundle")),
    "act-attester-registered": Act(
        "4", Millis(4), AttesterRegistered(KeyId("kid-gateway-1"), UnitCode("VN"), PublicKey(bytes(32)))),
    "act-principal-bound": Act("5", Millis(5), PrincipalBound(PrincipalName("03390-vp-1"), (
        Binding(UnitCode("03390"), Role.CLERK, ("testing-daily",), date(2021, 12, 13), date(2022, 1, 31)),
        Binding(UnitCode("106"), Role.SUPERIOR)))),
    "act-obligation-decided": Act("6", Millis(6), ObligationDecided(
        "green-zone", UnitCode("03390"), PeriodText("T:2021-12-14:vung-xanh"), Decided.EXTENDED, Millis(2**40),
        UnitCode("106"), "chờ kết quả xét nghiệm")),
    "act-report-returned": Act("8", Millis(8), ReportReturned(
        Source(3, Offset(2**33)), UnitCode("03430"), Millis(2**41), UnitCode("106"), "số hủy lớn hơn số nhận")),
    "act-return-taken-back": Act("9", Millis(9), ReportReturned(
        Source(0, Offset(0)), UnitCode("03430"), None, UnitCode("106"), "số liệu đúng")),
    "act-report-approved": Act("10", Millis(10), ReportApproved(
        Source(2, Offset(2**34)), UnitCode("03430"), True, UnitCode("106"), "")),
    "act-period-locked": Act("11", Millis(11), PeriodLocked(
        FormId("testing-daily"), LineName("ubnd"), UnitCode("106"), PeriodText("2021-12-13"), True, "đã tổng hợp")),
    "act-attested": Act("12", Millis(12), Attested(PrincipalName("tam-duong"), b"act")),
    "act-obligation-restored": Act("7", Millis(7), ObligationDecided(
        "green-zone", UnitCode("03390"), PeriodText("T:2021-12-14:vung-xanh"), Decided.RESTORED, None, UnitCode("106"),
        "")),
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A record, its bytes, and the way back."""

    record: Any
    value: bytes
    decode: Callable[[bytes], Any]


def form_case(form: Form) -> Case:
    report = sample(form, blank=True)
    return Case(report, encode_report(form, report), lambda value: decode_report(form, value))


CASES = {f"{form.id}-{form.version}": form_case(form) for form in FORMS} | {
    "figure": Case(FIGURE, encode_figure(FIGURE), decode_figure),
    "figure-own": Case(OWN, encode_figure(OWN), decode_figure),
    "receipts": Case(RECEIPTS, encode_receipts(RECEIPTS), decode_receipts),
    "announcement": Case((1, 2, bytes(range(32))), encode_announcement(1, 2, bytes(range(32))), decode_announcement),
    **{name: Case(act, encode_act(act), decode_act) for name, act in ACTS.items()},
}


def golden(name: str) -> bytes:
    return bytes.fromhex((GOLDEN / f"{name}.hex").read_text(encoding="ascii"))


@pytest.mark.parametrize("name", CASES)
def test_bytes_are_those_once_released(name: str) -> None:
    assert CASES[name].value == golden(name)


@pytest.mark.parametrize("name", CASES)
def test_bytes_once_released_are_read_as_what_was_written(name: str) -> None:
    assert CASES[name].decode(golden(name)) == CASES[name].record


def test_every_released_schema_has_golden_bytes_and_no_other() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(CASES)
    in_front = {fingerprint_in(case.value) for case in CASES.values()}
    assert in_front == {form.fingerprint for form in FORMS} | {record_schema(name)[1] for name in RECORDS}


def test_announcement_is_what_the_specification_of_avro_makes_of_it() -> None:
    # int 1 is 02 and int 2 is 04 in zigzag, then 32 bytes behind their length
    by_hand = MARKER + record_schema("announcement")[1] + b"\x02\x04\x40" + bytes(range(32))
    assert encode_announcement(1, 2, bytes(range(32))) == by_hand


def rabin(text: bytes) -> bytes:
    """CRC-64-AVRO as the specification states it."""
    empty = 0xC15D213AA4D7A795
    table = []
    for byte in range(256):
        entry = byte
        for _ in range(8):
            entry = (entry >> 1) ^ (empty & -(entry & 1))
        table.append(entry)
    value = empty
    for byte in text:
        value = (value >> 8) ^ table[(value ^ byte) & 0xFF]
    return value.to_bytes(8, "little")


def test_fingerprints_are_crc_64_avro_of_the_canonical_form() -> None:
    schemas = [(form.schema, form.fingerprint) for form in FORMS] + [record_schema(name) for name in RECORDS]
    for schema, fingerprint in schemas:
        canonical = fastavro.schema.to_parsing_canonical_form(schema)
        assert fingerprint == rabin(canonical.encode())
        assert fingerprint.hex() == fastavro.schema.fingerprint(canonical, "CRC-64-AVRO")


def test_no_two_released_schemas_share_a_fingerprint() -> None:
    found = [form.fingerprint for form in CATALOGUE.forms] + [record_schema(name)[1] for name in RECORDS]
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("name", CASES)
def test_every_shortened_or_lengthened_record_is_not_decodable(name: str) -> None:
    value, decode = CASES[name].value, CASES[name].decode
    for size in range(len(value)):
        with pytest.raises(NotDecodable):
            decode(value[:size])
    with pytest.raises(NotDecodable, match="follow"):
        decode(value + b"\0")


def test_record_of_another_schema_is_not_decodable() -> None:
    for decode in (decode_figure, decode_receipts, decode_announcement, decode_act):
        for case in CASES.values():
            if case.decode is not decode:
                with pytest.raises(NotDecodable, match="fingerprint"):
                    decode(case.value)


# Versions of a form


def test_golden_bytes_of_each_version_are_read_by_every_other() -> None:
    """The bytes on disk, not those that today's code writes: a commune's old program sends these for ever."""
    pairs = [(old, new) for old in FORMS for new in FORMS if old.id == new.id and old.version != new.version]
    assert {old.id for old, _ in pairs} == {"vaccination-daily", "vaccination-round"}
    for old, new in pairs:
        body = io.BytesIO(golden(f"{old.id}-{old.version}")[PREFIX_BYTES:])
        found: Any = fastavro.schemaless_reader(body, old.schema, new.schema)
        (row,) = found["rows"]
        (written,) = decode_report(old, golden(f"{old.id}-{old.version}")).rows
        assert row == {column: written.get(column, 0) for column in row}
        assert body.read() == b""


def versions(*changes: Callable[[dict[str, Any]], None]) -> list[Form]:
    forms = [STOCK]
    for change in changes:
        forms.append(read_form(form_file(forms[-1].text, STOCK.id, change).decode(), header_schema()))
    return forms


def row_fields(raw: dict[str, Any]) -> list[dict[str, Any]]:
    fields: list[dict[str, Any]] = raw["fields"][2]["type"]["items"]["fields"]
    return fields


def next_version(raw: dict[str, Any]) -> None:
    raw["form"]["version"] += 1


def with_required_measure(raw: dict[str, Any]) -> None:
    next_version(raw)
    row_fields(raw).append({**row_fields(raw)[1], "name": "doses_lost"})


def with_renamed_dimension(raw: dict[str, Any]) -> None:
    next_version(raw)
    row_fields(raw)[0]["name"] = "product"


def with_other_unit_of_measure(raw: dict[str, Any]) -> None:
    next_version(raw)
    row_fields(raw)[1]["measure"]["unit"] = "vial"


def with_measure_no_longer_optional(raw: dict[str, Any]) -> None:
    next_version(raw)
    row_fields(raw)[2]["type"] = "long"
    del row_fields(raw)[2]["default"]


def test_every_released_version_of_a_form_is_readable_as_every_other() -> None:
    assert breaches(FORMS) == []


def with_turned_measures(raw: dict[str, Any]) -> None:
    next_version(raw)
    row_fields(raw)[1:] = reversed(row_fields(raw)[1:])


def test_added_measure_that_may_be_blank_and_another_order_keep_versions_together() -> None:
    forms = versions(second_version, with_turned_measures)
    assert [form.version for form in forms] == [1, 2, 3]
    assert breaches(forms) == []


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (with_required_measure, "can't be read"),
        (with_renamed_dimension, "other dimensions"),
        (with_other_unit_of_measure, "doses_in_stock adds up otherwise"),
        (with_measure_no_longer_optional, "can't be read"),
    ],
)
def test_version_that_does_not_go_with_an_older_one_is_found(change: Callable[[Any], None], why: str) -> None:
    forms = versions(change)
    assert any(why in breach for breach in breaches(forms)), breaches(forms)
    assert json.loads(forms[1].text)["form"]["version"] == 2
