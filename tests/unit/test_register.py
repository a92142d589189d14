"""Registers: only the operator's acts count, from strictly after their broker time and the delay, on each replay."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from schemas.act import (
    ActBody,
    AttesterRegistered,
    CatalogueReleased,
    KeyRegistered,
    KeyRevoked,
    PeriodLocked,
    PrincipalBound,
    ReportApproved,
)
from schemas.catalogue import Announcement
from schemas.form import FormId
from schemas.period import PeriodText
from schemas.principal import Binding, PrincipalName, Role
from schemas.register import Registers
from schemas.report import KeyId, Millis, Offset, Series, Source
from schemas.signature import Ed25519Key, PublicKey, SignedRecord
from schemas.unit import UBND, UnitCode
from tests.support.signed import (
    CATALOGUE,
    GATE,
    KEYS,
    OPERATOR,
    act_record,
    attested,
    control_record,
    release_act,
    with_header,
)

KID = KeyId("kid-c1-1")
PUBLIC = KEYS["c1"].public
CLERK = PrincipalName("binh-lu")
STRANGER = Ed25519Key(OPERATOR.kid, KEYS["R"].seed)
"""Signs under the operator's key id, with a key of its own."""


def register(signer: Ed25519Key = OPERATOR, public: PublicKey = PUBLIC, unit: str = "c1") -> SignedRecord:
    return act_record(KeyRegistered(KID, UnitCode(unit), public), "register", signer)


def revoke(signer: Ed25519Key = OPERATOR) -> SignedRecord:
    return act_record(KeyRevoked(KID, "mất khóa"), "revoke", signer)


def folded(*acts: tuple[int, SignedRecord], delay_ms: int = 0) -> Registers:
    registers = Registers(OPERATOR.public, delay_ms)
    for time, act in acts:
        registers.apply(act.key, act.value, list(act.headers), Millis(time))
    return registers


def valid_times(registers: Registers, upto: int = 60) -> list[int]:
    entry = registers.key(KID)
    return [time for time in range(upto) if entry is not None and entry.valid_at(Millis(time))]


def test_key_is_in_force_strictly_after_the_brokers_time() -> None:
    assert valid_times(folded((10, register()))) == list(range(11, 60))


def test_delay_of_the_cluster_is_added() -> None:
    assert valid_times(folded((10, register()), (20, revoke()), delay_ms=5)) == list(range(16, 26))


def test_key_is_in_force_until_it_is_revoked() -> None:
    assert valid_times(folded((10, register()), (20, revoke()))) == list(range(11, 21))


def test_revoked_key_is_never_in_force_again() -> None:
    acts = [(10, register()), (20, revoke()), (30, register()), (40, revoke())]
    assert valid_times(folded(*acts)) == list(range(11, 21))


def test_revocation_before_the_registration_is_about_nothing() -> None:
    assert valid_times(folded((5, revoke()), (10, register()))) == list(range(11, 60))


def test_key_id_belongs_to_the_first_key_registered_under_it() -> None:
    registers = folded((10, register()), (20, register(public=KEYS["c2"].public, unit="c2")))
    entry = registers.key(KID)
    assert entry is not None
    assert (entry.unit, entry.public_key) == ("c1", PUBLIC)
    assert registers.keys_of(UnitCode("c2")) == []
    assert [known.kid for known in registers.keys_of(UnitCode("c1"))] == [KID]


@pytest.mark.parametrize("act", [register, revoke])
def test_act_that_the_operator_did_not_sign_does_not_count(act: type) -> None:
    genuine = folded((10, register()))
    attacked = folded((10, register()), (20, act(STRANGER)))
    assert valid_times(attacked) == valid_times(genuine)
    assert attacked.ignored == 1
    assert valid_times(folded((10, register(STRANGER)))) == []


@pytest.mark.parametrize(
    "spoilt",
    [
        replace(register(), value=register().value[:-1]),
        replace(register(), value=register(unit="c2").value),
        replace(register(), key=b"c1"),
        replace(register(), headers=()),
        with_header(register(), "ce_id", lambda value: value + b"x"),
        with_header(register(), "sig", lambda value: value[:-1]),
        with_header(register(), "sig", lambda value: bytes(64)),
        control_record(),
        control_record(signer=STRANGER),
    ],
)
def test_record_that_is_not_the_operators_act_as_signed_does_not_count(spoilt: SignedRecord) -> None:
    registers = folded((10, spoilt))
    assert registers.key(KID) is None
    assert registers.newest is None
    assert registers.ignored == 1


def test_record_without_a_value_does_not_count() -> None:
    registers = Registers(OPERATOR.public, 0)
    assert registers.apply(b"c1", None, [], Millis(1)) is None
    assert registers.ignored == 1


def released(epoch: int, serial: int, bundle: bytes = CATALOGUE.bundle) -> SignedRecord:
    body: ActBody = CatalogueReleased(epoch, serial, CATALOGUE.digest, bundle)
    return act_record(body, f"catalogue/{epoch}/{serial}")


def test_catalogue_is_found_by_what_announces_it() -> None:
    registers = folded((10, release_act()))
    found = registers.catalogue(CATALOGUE.announcement)
    assert found is not None
    assert (found.files, found.digest, found.epoch, found.serial) == (CATALOGUE.files, CATALOGUE.digest, 1, 1)
    assert registers.catalogue(Announcement(1, 1, bytes(32))) is None
    assert folded((10, release_act(signer=STRANGER))).catalogue(CATALOGUE.announcement) is None


def test_newest_catalogue_is_the_highest_and_not_the_last() -> None:
    registers = folded((10, released(1, 2)), (20, released(2, 1)), (30, released(1, 9)))
    newest = registers.newest_catalogue()
    assert newest is not None
    assert (newest.epoch, newest.serial) == (2, 1)
    assert registers.newest == Announcement(2, 1, CATALOGUE.digest)


def test_bundle_that_is_not_what_its_digest_says_does_not_count() -> None:
    registers = folded((10, released(1, 1, bundle=b"another")))
    assert registers.newest is None
    assert registers.catalogue(CATALOGUE.announcement) is None


def test_replay_comes_to_the_same() -> None:
    acts = [(10, release_act()), (10, register()), (12, register(STRANGER)), (20, revoke()), (30, released(1, 2))]
    first, second = folded(*acts, delay_ms=3), folded(*acts, delay_ms=3)
    assert first.key(KID) == second.key(KID)
    assert (first.newest, first.ignored) == (second.newest, second.ignored) == (Announcement(1, 2, CATALOGUE.digest), 1)


SERIES = Series(UBND, UnitCode("c1"), FormId("testing-small"), PeriodText("2021-12-13"))
DAY = date(2021, 12, 13)


def lock(unit: str = "D", *, locked: bool = True) -> PeriodLocked:
    return PeriodLocked(SERIES.form, UBND, UnitCode(unit), SERIES.period, locked, "đã tổng hợp")


def with_superior(*acts: SignedRecord, role: Role = Role.SUPERIOR, unit: str = "D", serves: str = "*") -> Registers:
    """Registers in which `d-vp` is bound for a unit and a gateway attests, and then the acts."""
    known = [
        release_act(),
        act_record(AttesterRegistered(GATE.kid, UnitCode(serves), GATE.public), "gateway"),
        act_record(PrincipalBound(PrincipalName("d-vp"), (Binding(UnitCode(unit), role),)), "bound"),
    ]
    return folded(*((at, act) for at, act in enumerate([*known, *acts], 1_640_000_000_000)))


def test_superior_locks_over_its_gateway_what_is_below_and_opens_it_again() -> None:
    locked = with_superior(attested(lock()))
    assert locked.locked_by(SERIES, DAY) == "D"
    assert locked.locked_by(replace(SERIES, unit=UnitCode("L")), DAY) is None
    assert locked.locked_by(replace(SERIES, period=PeriodText("2021-12-14")), DAY) is None
    opened = with_superior(attested(lock()), attested(lock(locked=False), issued_at=1), attested(lock()))
    assert opened.locked_by(SERIES, DAY) is None


@pytest.mark.parametrize(
    ("act", "bound"),
    [
        (attested(lock("A")), {}),
        (attested(lock(), principal="nobody"), {}),
        (attested(lock()), {"role": Role.CLERK}),
        (attested(lock()), {"role": Role.SUPERVISOR}),
        (attested(lock()), {"unit": "A"}),
        (attested(lock()), {"serves": "L"}),
        (attested(lock(), signer=replace(GATE, seed=KEYS["c1"].seed)), {}),
        (attested(lock(), signer=KEYS["D"]), {}),
        (attested(KeyRevoked(KID, "")), {}),
        (attested(PrincipalBound(PrincipalName("d-vp"), ())), {}),
        (attested(ReportApproved(Source(0, Offset(1)), UnitCode("L"), True, UnitCode("D"), "")), {}),
        (act_record(lock(), "unattested", GATE), {}),
    ],
)
def test_gateway_attests_nothing_that_the_account_may_not_decide(act: SignedRecord, bound: dict[str, Any]) -> None:
    before, after = with_superior(**bound), with_superior(act, **bound)
    assert after.ignored == before.ignored + 1
    assert after.locked_by(SERIES, DAY) is None


def test_copy_of_an_old_act_gives_a_revoked_account_nothing_back() -> None:
    given = act_record(PrincipalBound(CLERK, (Binding(UnitCode("c1"), Role.CLERK),)), "bound/1")
    taken = act_record(PrincipalBound(CLERK, ()), "bound/2")
    registers = folded((10, given), (20, taken), (30, given))
    account = registers.principal(CLERK)
    assert account is not None
    assert [len(account.bindings_at(Millis(time))) for time in (11, 21, 31)] == [1, 0, 0]
    assert registers.ignored == 1


def test_record_that_is_read_again_is_no_copy() -> None:
    registers = Registers(OPERATOR.public, 0)
    act = register()
    told = [registers.apply(act.key, act.value, list(act.headers), Millis(10)) for _ in range(2)]
    assert told[0] == told[1] is not None
    assert registers.apply(act.key, act.value, list(act.headers), Millis(11)) is None
