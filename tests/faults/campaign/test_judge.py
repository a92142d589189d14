"""Two readings of the contract agree: what the verifier's judge lets count is what admission admits, and nothing is
refused for a reason that the judge does not find too."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.act import AttesterRegistered, PrincipalBound
from schemas.admission import Admission, Admitted
from schemas.log import Record
from schemas.principal import Binding, PrincipalName, Role
from schemas.register import Registers
from schemas.rejection import Reason
from schemas.report import KeyId, Kind, Scope
from schemas.signature import Ed25519Key
from schemas.topics import REPORTS
from schemas.unit import UnitCode
from tests.faults.campaign.verifier.judge import Control, Judge, Judged
from tests.support.faults import FAULTS, broken
from tests.support.signed import (
    CATALOGUE,
    DOSES,
    OPERATOR,
    PARTITIONS,
    REGISTERED,
    STOCK_ROW,
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


def registered(*bindings: Binding) -> Registers:
    """The keys of all units, a gateway of A, and what its account may do."""
    found = registers()
    for act in (
        release_act(),
        act_record(AttesterRegistered(GATEWAY.kid, UnitCode("A"), GATEWAY.public), "gateway"),
        act_record(PrincipalBound(PrincipalName("vp"), bindings), "bound"),
    ):
        assert found.apply(act.key, act.value, list(act.headers), REGISTERED) is not None
    return found


REGISTERS = registered()


def both(draft: Draft, found: Registers = REGISTERS, value: bytes | None = None) -> tuple[str, frozenset[str]]:
    """The product's reason, empty where it admits; and all that the judge finds. They must agree."""
    received = draft.received() if value is None else draft.received(value)
    judge = Judge(OPERATOR.public, found, PARTITIONS)
    control = control_record()
    at = received.source
    assert judge.read(
        Record(REPORTS, at.partition, at.offset, REGISTERED, control.key, control.value, control.headers)
    ) == Control(CATALOGUE.epoch)
    judged = judge.read(
        Record(REPORTS, at.partition, at.offset, received.accepted_at, received.key, received.value,
               tuple(received.headers))
    )  # fmt: skip
    assert isinstance(judged, Judged)
    decided = Admission(CATALOGUE, found).decide(received)
    reason = "" if isinstance(decided, Admitted) else decided.reason.value
    assert (reason in judged.reasons) if reason else not judged.reasons, (reason, judged.reasons)
    if isinstance(decided, Admitted):
        report = decided.report
        digest = report.digest([dimension.name for dimension in decided.sent_form.dimensions])
        assert (judged.event, judged.digest) == (report.event_id, digest.hex())
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
