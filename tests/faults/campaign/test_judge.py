"""Two readings of the contract agree: what the verifier's judge lets count is what admission admits, and nothing is
refused for a reason that the judge does not find too."""

from __future__ import annotations

import json
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.act import AttesterRegistered, PrincipalBound
from schemas.admission import Admission, Admitted
from schemas.catalogue import Catalogue
from schemas.log import Record
from schemas.principal import Binding, PrincipalName, Role
from schemas.register import Registers
from schemas.rejection import Reason
from schemas.report import KeyId, Kind, Scope
from schemas.signature import Ed25519Key
from schemas.topics import REPORTS
from schemas.unit import UnitCode
from tests.faults.campaign.verifier.judge import Control, Judge, Judged
from tests.faults.campaign.verifier.tables import table_of_rows
from tests.support.faults import FAULTS, broken
from tests.support.signed import (
    CATALOGUE,
    DOSES,
    OPERATOR,
    PARTITIONS,
    REGISTERED,
    STOCK_ROW,
    TESTING,
    Draft,
    act_record,
    control_record,
    registers,
    release_act,
)

GATEWAY = Ed25519Key(KeyId("kid-gateway-1"), b"c1".ljust(32, b"\0"))
DAY = date(2022, 1, 2)
LEGAL = (
    Draft(),
    Draft(entered_by="D"),
    Draft(kind=Kind.NIL, rows=[]),
    Draft(kind=Kind.WITHDRAWAL, rows=[]),
    Draft(unit="c3", period="2021-12-14", unit_name="Xã Hồ Thầu Mới"),
    Draft(form="covid-doses", rows=[{**DOSES, "dose1": -54}], scope=Scope.SUBTREE),
    Draft(form="stock-two", version=1, period="2021-12-15", rows=[STOCK_ROW]),
)


def registered(*bindings: Binding, catalogue: Catalogue = CATALOGUE) -> Registers:
    """The keys of all units, a gateway of A, and what its account may do."""
    found = registers()
    for act in (
        release_act(catalogue),
        act_record(AttesterRegistered(GATEWAY.kid, UnitCode("A"), GATEWAY.public), "gateway"),
        act_record(PrincipalBound(PrincipalName("vp"), bindings), "bound"),
    ):
        assert found.apply(act.key, act.value, list(act.headers), REGISTERED) is not None
    return found


REGISTERS = registered()


def both(
    draft: Draft, found: Registers = REGISTERS, value: bytes | None = None, catalogue: Catalogue = CATALOGUE
) -> tuple[str, frozenset[str]]:
    """The product's reason, empty where it admits; and all that the judge finds. They must agree."""
    received = draft.received() if value is None else draft.received(value)
    judge = Judge(OPERATOR.public, found, PARTITIONS)
    control = control_record(catalogue.announcement)
    at = received.source
    assert judge.read(
        Record(REPORTS, at.partition, at.offset, REGISTERED, control.key, control.value, control.headers)
    ) == Control(CATALOGUE.epoch)
    judged = judge.read(
        Record(REPORTS, at.partition, at.offset, received.accepted_at, received.key, received.value,
               tuple(received.headers))
    )  # fmt: skip
    assert isinstance(judged, Judged)
    decided = Admission(catalogue, found).decide(received)
    reason = "" if isinstance(decided, Admitted) else decided.reason.value
    assert (reason in judged.reasons) if reason else not judged.reasons, (reason, judged.reasons)
    if isinstance(decided, Admitted):
        report = decided.report
        digest = report.digest([dimension.name for dimension in decided.sent_form.dimensions])
        assert (judged.event, judged.digest) == (report.event_id, digest.hex())
        assert judged.table == table_of_rows(decided.form, decided.rows)
        assert (judged.unit, judged.revision, judged.kid) == (report.header.unit, report.header.revision, decided.kid)
    return reason, judged.reasons


@pytest.mark.parametrize("draft", LEGAL)
def test_what_is_legal_counts_under_its_own_name(draft: Draft) -> None:
    assert both(draft) == ("", frozenset())


@pytest.mark.parametrize("reason", FAULTS)
def test_each_reason_is_found(reason: Reason) -> None:
    assert both(broken(reason))[0] == reason.value


@settings(deadline=None, max_examples=40)
@given(st.sets(st.sampled_from(sorted(FAULTS)), min_size=2, max_size=3))
def test_among_several_faults_the_product_names_one_that_the_judge_finds_too(reasons: set[Reason]) -> None:
    assert both(broken(*sorted(reasons)))[0]


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(LEGAL), st.integers(0, 80), st.binary(max_size=6), st.integers(0, 6))
def test_bytes_that_their_owner_spoilt_and_signed_are_read_alike(draft: Draft, at: int, put: bytes, cut: int) -> None:
    value = draft.value()
    both(draft, value=value[:at] + put + value[at + cut :])


@pytest.mark.parametrize(
    ("binding", "more", "admitted"),
    [
        (Binding(UnitCode("c1"), Role.CLERK), {}, True),
        (Binding(UnitCode("c1"), Role.APPROVER, ("testing-small",), DAY, DAY), {}, True),
        (Binding(UnitCode("c1"), Role.CLERK, ("covid-doses",)), {}, False),
        (Binding(UnitCode("c1"), Role.CLERK, valid_to=date(2022, 1, 1)), {}, False),
        (Binding(UnitCode("c2"), Role.CLERK), {}, False),
        (Binding(UnitCode("c1"), Role.SUPERVISOR), {}, False),
        (Binding(UnitCode("c1"), Role.CLERK), {"principal": "other"}, False),
        (Binding(UnitCode("D"), Role.SUPERIOR), {"entered_by": "D"}, True),
        (Binding(UnitCode("D"), Role.CLERK), {"entered_by": "D"}, False),
        (Binding(UnitCode("L"), Role.CLERK), {"unit": "L"}, False),
    ],
)
def test_what_a_gateway_may_attest(binding: Binding, more: dict[str, str], admitted: bool) -> None:
    draft = Draft(unit=more.get("unit", "c1"), signer="c1", kid="kid-gateway-1",
                  principal=more.get("principal", "vp"), entered_by=more.get("entered_by"))  # fmt: skip
    assert (not both(draft, registered(binding))[0]) == admitted


CODES = "code,label_vi,label_en,valid_from,valid_to,counted_as\n"
SUCCEEDED = Catalogue(
    {
        **CATALOGUE.files,
        "codes/testing-method.csv": (
            f"{CODES}pcr,PCR,PCR,2021-07-01,,\nrt-pcr,RT-PCR,RT-PCR,2021-01-01,2021-06-30,pcr\n"
            "later,L,L,2099-01-01,,\ngone,G,G,2021-01-01,2021-02-01,\n"
        ).encode(),
        "codes/vaccine.csv": (
            f"{CODES}a,A,A,2021-01-01,2021-06-30,c\nb,B,B,2021-01-01,2021-06-30,c\nc,C,C,2021-07-01,,\n"
        ).encode(),
    }
)


@pytest.mark.parametrize(
    ("methods", "reason"),
    [
        (["rt-pcr"], ""),
        (["pcr"], ""),
        (["rt-pcr", "pcr"], ""),
        (["later"], "unknown_code"),
        (["gone"], "unknown_code"),
    ],
)
def test_ended_codes_count_as_their_successors(methods: list[str], reason: str) -> None:
    draft = Draft(rows=[{**TESTING, "method": method} for method in methods])
    assert both(draft, registered(catalogue=SUCCEEDED), catalogue=SUCCEEDED)[0] == reason


@pytest.mark.parametrize(("vaccines", "reason"), [("a", ""), ("ab", "unknown_code")])
def test_rows_that_fall_together_and_must_not_be_added_are_refused(vaccines: str, reason: str) -> None:
    draft = Draft(form="stock-count", rows=[{**STOCK_ROW, "vaccine": vaccine} for vaccine in vaccines])
    assert both(draft, registered(catalogue=SUCCEEDED), catalogue=SUCCEEDED)[0] == reason


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        ({"results": "Đượcế"}, ""),
        ({}, "value_missing"),
        ({"results": "  "}, "value_missing"),
        ({"results": "sáu chữ"}, "value_range"),
        ({"results": "một", "thoughts": "x"}, "unknown_code"),
    ],
)
def test_texts_are_read_alike(texts: dict[str, str], reason: str) -> None:
    raw = json.loads(CATALOGUE.files["forms/testing-small.avsc"])
    section = {"name": "results", "label_vi": "Kết quả", "label_en": "Results", "required": True, "max_letters": 5}
    raw["fields"][1]["sections"] = [section]
    catalogue = Catalogue({**CATALOGUE.files, "forms/testing-small.avsc": json.dumps(raw).encode()})
    draft = Draft(narrative=texts)
    assert both(draft, registered(catalogue=catalogue), draft.value(catalogue), catalogue)[0] == reason
