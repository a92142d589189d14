"""Principals: default deny, and ingest judges what a gateway attested by the acts alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest

from schemas.act import AttesterRegistered, PrincipalBound
from schemas.admission import Admission, Admitted
from schemas.form import FormId
from schemas.principal import Binding, PrincipalName, Role, ever_below, is_name, may_read, may_submit
from schemas.register import Registers
from schemas.rejection import Reason, Rejection
from schemas.report import KeyId, Millis
from schemas.signature import Ed25519Key
from schemas.unit import UnitCode
from tests.support.signed import ACCEPTED, CATALOGUE, REGISTERED, Draft, act_record, as_received, registers

GATEWAY = Ed25519Key(KeyId("kid-gateway-1"), b"c1".ljust(32, b"\0"))
"""The seed that a draft signs with where its signer has no key of its own."""
FORM = FormId("testing-small")
DAY = date(2022, 1, 2)
CLERK = Binding(UnitCode("c1"), Role.CLERK, ("testing-small",), DAY, DAY)
UNITS = CATALOGUE.units


def attested(*bindings: Binding, serves: str = "R", later: tuple[Binding, ...] | None = None) -> Registers:
    """Registers with a gateway that serves a unit, and the account `vp` bound so; `later`, when the report is in."""
    found = registers()
    acts = [
        (REGISTERED, act_record(AttesterRegistered(GATEWAY.kid, UnitCode(serves), GATEWAY.public), "gateway")),
        (REGISTERED, act_record(PrincipalBound(PrincipalName("vp"), bindings), "bound")),
    ]
    if later is not None:
        acts.append((ACCEPTED, act_record(PrincipalBound(PrincipalName("vp"), later), "bound again")))
    for time, act in acts:
        assert found.apply(act.key, act.value, list(act.headers), Millis(time)) is not None
    return found


def decide(found: Registers, draft: Draft) -> Admitted | Rejection:
    return Admission(CATALOGUE, found).decide(draft.received())


def draft(**more: object) -> Draft:
    base = Draft(signer="c1", kid="kid-gateway-1", principal="vp")
    return replace(base, **more)  # type: ignore[arg-type]


def test_what_a_gateway_attests_for_a_bound_account_is_admitted() -> None:
    assert isinstance(decide(attested(CLERK), draft()), Admitted)


@pytest.mark.parametrize(
    ("bindings", "serves", "more", "field"),
    [
        ((), "R", {}, "principal"),
        ((CLERK,), "R", {"principal": None}, "principal"),
        ((CLERK,), "R", {"principal": "other"}, "principal"),
        ((CLERK,), "R", {"unit": "c2"}, "principal"),
        ((CLERK,), "L", {}, "kid"),
        ((replace(CLERK, forms=("testing-daily",)),), "R", {}, "principal"),
        ((replace(CLERK, valid_to=DAY - timedelta(1), valid_from=date.min),), "R", {}, "principal"),
        ((replace(CLERK, valid_from=DAY + timedelta(1), valid_to=date.max),), "R", {}, "principal"),
        ((replace(CLERK, role=Role.SUPERVISOR),), "R", {}, "principal"),
        ((replace(CLERK, role=Role.OPERATOR),), "R", {}, "principal"),
        ((replace(CLERK, unit=UnitCode("D")),), "R", {"entered_by": "D"}, "principal"),
    ],
)
def test_what_a_gateway_may_not_attest_is_refused_by_name(
    bindings: tuple[Binding, ...], serves: str, more: dict[str, object], field: str
) -> None:
    found = decide(attested(*bindings, serves=serves), draft(**more))
    assert isinstance(found, Rejection)
    assert (found.reason, found.field) == (Reason.NOT_AUTHORISED, field)


def test_superior_enters_for_a_unit_below_it() -> None:
    found = attested(Binding(UnitCode("D"), Role.SUPERIOR))
    assert isinstance(decide(found, draft(entered_by="D")), Admitted)


def test_binding_taken_back_later_does_not_touch_what_was_accepted_before() -> None:
    found = attested(CLERK, later=())
    assert isinstance(decide(found, draft()), Admitted)
    later = as_received(draft().record(), draft().right_partition, ACCEPTED + 1)
    refused = Admission(CATALOGUE, found).decide(later)
    assert isinstance(refused, Rejection)
    assert refused.reason is Reason.NOT_AUTHORISED


def test_account_of_a_units_own_key_is_not_judged() -> None:
    assert isinstance(decide(attested(), Draft(principal="whoever")), Admitted)


def test_who_oversees_reads_below_and_nobody_reads_beside() -> None:
    superior, clerk = Binding(UnitCode("D"), Role.SUPERIOR), Binding(UnitCode("c1"), Role.CLERK)
    supervisor, operator = Binding(UnitCode("A"), Role.SUPERVISOR), Binding(UnitCode("R"), Role.OPERATOR)
    reads = {
        binding.role: {code for code in ("R", "A", "L", "D", "c1", "c2", "c3") if
                       may_read([binding], UNITS, UnitCode(code), DAY)}
        for binding in (superior, clerk, supervisor, operator)
    }  # fmt: skip
    assert reads == {
        Role.CLERK: {"c1"},
        Role.SUPERIOR: {"D", "c1", "c2", "c3"},
        Role.SUPERVISOR: {"A", "D", "c1", "c2", "c3"},
        Role.OPERATOR: {"R", "A", "L", "D", "c1", "c2", "c3"},
    }


def test_binding_that_is_over_reads_and_submits_nothing() -> None:
    over = replace(CLERK, valid_from=date.min, valid_to=DAY - timedelta(1))
    assert not may_read([over], UNITS, UnitCode("c1"), DAY)
    assert not may_submit([over], UnitCode("c1"), FORM, DAY, for_other=False)


def test_below_is_asked_on_a_line() -> None:
    assert ever_below(UNITS, UnitCode("c1"), UnitCode("R"))
    assert not ever_below(UNITS, UnitCode("R"), UnitCode("c1"))
    assert not ever_below(UNITS, UnitCode("c1"), UnitCode("L"))


@pytest.mark.parametrize("name", ["", "A", "a b", "-a", "a-", "ă", "a" * 65, "a_b"])
def test_names_that_no_account_may_have(name: str) -> None:
    assert not is_name(name)


@pytest.mark.parametrize("name", ["a", "03390-vp-1", "lai-chau.tam-duong", "a" * 64])
def test_names_that_accounts_may_have(name: str) -> None:
    assert is_name(name)
