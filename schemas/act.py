"""Acts: what people decide, folded from the topic `acts` into registers (design decision 10).

A key of a unit or of a gateway is registered, a key is revoked, a principal is bound, a catalogue is released, an
obligation is extended or lifted, a report is returned or approved, a period is locked. They count when signed by an
operator key; what a superior decides also when a gateway attests it for an account.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from schemas.form import FormId
from schemas.period import PeriodText
from schemas.principal import Binding, PrincipalName
from schemas.report import KeyId, Millis, Source
from schemas.signature import PublicKey
from schemas.unit import LineName, UnitCode

ACT_TYPE = "vn.chungsuc.act.v1"


@dataclass(frozen=True, slots=True)
class KeyRegistered:
    """`unit` signs under `kid` from the act's broker time on."""

    kid: KeyId
    unit: UnitCode
    public_key: PublicKey


@dataclass(frozen=True, slots=True)
class KeyRevoked:
    """Reports accepted from the act's broker time on are no longer taken under `kid`."""

    kid: KeyId
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AttesterRegistered:
    """From the act's broker time on a gateway attests under `kid` what principals say for `unit` and those below it."""

    kid: KeyId
    unit: UnitCode
    public_key: PublicKey


@dataclass(frozen=True, slots=True)
class PrincipalBound:
    """What an account may do from the act's broker time on: the whole of it, so none means that it may do nothing."""

    principal: PrincipalName
    bindings: tuple[Binding, ...]


@dataclass(frozen=True, slots=True)
class CatalogueReleased:
    """A catalogue as one archive; `digest` is the SHA-256 of `bundle`."""

    epoch: int
    serial: int
    digest: bytes
    bundle: bytes


class Decided(StrEnum):
    """What a superior may decide about an obligation; `restored` takes an earlier decision back."""

    EXTENDED = "extended"
    NOT_SUBJECT = "not-subject"
    RESTORED = "restored"


@dataclass(frozen=True, slots=True)
class ObligationDecided:
    """`by` decides, for a reason, about what `unit` owes under a regime for a period. The newest act about it counts.

    `until`: the new deadline, inclusive, only where extended. Figures are not touched by it.
    """

    regime: str
    unit: UnitCode
    period: PeriodText
    decided: Decided
    until: Millis | None
    by: UnitCode
    reason: str


@dataclass(frozen=True, slots=True)
class ReportReturned:
    """`by` returns an accepted report of `unit` for correction (yêu cầu chỉnh lý). The newest act about it counts.

    `until`: by when the correction is due, inclusive; None takes the return back. The report stays counted.
    """

    source: Source
    unit: UnitCode
    until: Millis | None
    by: UnitCode
    reason: str


@dataclass(frozen=True, slots=True)
class ReportApproved:
    """`by` approves an accepted report of `unit` (duyệt), or takes that back. The newest act about it counts."""

    source: Source
    unit: UnitCode
    approved: bool
    by: UnitCode
    reason: str


@dataclass(frozen=True, slots=True)
class PeriodLocked:
    """`unit` locks what it and everybody below it report on a form for a period, or unlocks it again.

    A gateway takes no more then; what still comes through the log counts, and is marked as come after the lock.
    """

    form: FormId
    line: LineName
    unit: UnitCode
    period: PeriodText
    locked: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Attested:
    """What an account decided, attested by its gateway's key: `value` is the act of a decision, encoded.

    It counts as that act, where the account was bound as superior for the unit that decides (design decision 15).
    """

    principal: PrincipalName
    value: bytes


Decisive = ObligationDecided | ReportReturned | ReportApproved | PeriodLocked
"""What a superior decides."""
ActBody = (
    KeyRegistered
    | KeyRevoked
    | CatalogueReleased
    | AttesterRegistered
    | PrincipalBound
    | ObligationDecided
    | ReportReturned
    | ReportApproved
    | PeriodLocked
    | Attested
)


@dataclass(frozen=True, slots=True)
class Act:
    """One act as signed. `id` is chosen before it is sent, so that it is sent once."""

    id: str
    issued_at: Millis
    body: ActBody
