"""The door: who comes in, by its account's token or by the identity provider's; how often; what it may read.

Default deny. An account's token is proven once by scrypt, which is slow on purpose; either is then remembered by its
SHA-256 as long as it stands: until it is revoked, its time is over, or the account is linked to somebody else. Attempts
that prove nothing are limited by the address they come from, not by the account they name: else anybody could
lock an account out.
"""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol

from producers.accounts import Accounts, named_in
from producers.audit import AuditLog, Event
from producers.gateway.limits import Limits
from producers.gateway.provider import NotBelieved, Provider, ProviderAway, looks_like_one
from producers.gateway.refusal import Refusal, Slug, refused
from producers.gateway.registry import Registry
from schemas.catalogue import ZONE
from schemas.principal import Binding, PrincipalName, may_read
from schemas.report import Millis
from schemas.unit import UnitCode

logger = logging.getLogger("chungsuc.gateway")

_MOST_REMEMBERED = 20_000
_ATTEMPTS_PER_S, _ATTEMPTS_AT_ONCE = 5.0, 100


@dataclass(frozen=True, slots=True)
class Caller:
    """An account that has proven itself, and what it may do now."""

    name: PrincipalName
    bindings: tuple[Binding, ...]
    at: Millis

    @property
    def day(self) -> date:
        """Today in Vietnam."""
        return datetime.fromtimestamp(self.at / 1000, ZONE).date()


class Proof(Protocol):
    """That somebody acts for an account, as long as it stands."""

    @property
    def name(self) -> PrincipalName:
        """The account."""

    def stands(self, accounts: Accounts, now: Millis) -> bool:
        """Whether it still proves that."""


@dataclass(frozen=True, slots=True)
class TokenProof:
    """By a token of the account's own."""

    name: PrincipalName
    token: int

    def stands(self, accounts: Accounts, now: Millis) -> bool:
        """Until it is revoked."""
        return accounts.stands(self.token)


@dataclass(frozen=True, slots=True)
class SubjectProof:
    """By the identity provider."""

    name: PrincipalName
    subject: str
    until: Millis

    def stands(self, accounts: Accounts, now: Millis) -> bool:
        """Until its time is over, or the account is linked to somebody else."""
        return now < self.until and accounts.account_of(self.subject) == self.name


class Door:
    """Lets accounts in. `known` is quick and may be asked anywhere; `enter` proves, a quarter of a second at worst."""

    def __init__(
        self, accounts: Accounts, registry: Registry, audit: AuditLog, limits: Limits, provider: Provider | None = None
    ) -> None:
        self._accounts = accounts
        self._registry = registry
        self._audit = audit
        self._limits = limits
        self._attempts = Limits(_ATTEMPTS_PER_S, _ATTEMPTS_AT_ONCE)
        self._provider = provider
        self._proven: OrderedDict[bytes, Proof] = OrderedDict()

    def known(self, authorization: str | None, now: Millis) -> Caller | None:
        """The account behind an `Authorization` header that was proven before and stands; None for any other.

        Raises Refusal for one that is bound to nothing now.
        """
        proven = self._proven.get(_mark(_token(authorization)))
        if proven is None or not proven.stands(self._accounts, now):
            return None
        return self.caller(proven.name, now)

    def enter(self, authorization: str | None, address: str, now: Millis) -> Caller:
        """The account behind an `Authorization` header, proven now. Raises Refusal."""
        token = _token(authorization)
        if self._provider is not None and looks_like_one(token):
            proven: Proof = self._identified(self._provider, token, address, now)
        else:
            proven = TokenProof(*self.prove(token, address, now))
        self._proven[_mark(token)] = proven
        if len(self._proven) > _MOST_REMEMBERED:
            self._proven.popitem(last=False)
        return self.caller(proven.name, now)

    def caller(self, name: PrincipalName, now: Millis) -> Caller:
        """An account that has proven itself, as it may act now. Raises Refusal for one that is bound to nothing."""
        caller = Caller(name, self._registry.bindings(name, now), now)
        if not any(binding.in_force(caller.day) for binding in caller.bindings):
            raise refused(
                Slug.NOT_ALLOWED,
                "Tài khoản này hiện không được giao đơn vị nào; hãy hỏi đơn vị vận hành.",
                "This account is bound to no unit at present: ask the operator.",
            )
        return caller

    def spend(self, caller: Caller, count: int) -> None:
        """Count reports or questions against the account's rate. Raises Refusal."""
        self._spend(self._limits, caller.name, count, caller.at)

    def check_reading(self, caller: Caller, unit: UnitCode) -> None:
        """Raises Refusal where the account may not read what a unit reported."""
        if not may_read(caller.bindings, self._registry.catalogue().units, unit, caller.day):
            raise self.not_for(unit)

    @staticmethod
    def not_for(unit: UnitCode) -> Refusal:
        """What is said about a unit that is not the account's."""
        return refused(
            Slug.NOT_ALLOWED,
            f"Tài khoản này không được xem hoặc báo cáo cho đơn vị {unit}.",
            f"This account may neither read nor report for unit {unit}.",
        )

    def prove(self, token: str, address: str, now: Millis) -> tuple[PrincipalName, int]:
        """The account of a token and the token's id; slow on purpose, limited by address, noted. Raises Refusal."""
        name, _ = named_in(token)
        self._spend(self._attempts, address, 1, now)
        proven = self._accounts.proven_by(token, now)
        if proven is None:
            self._audit.note(now, Event.LOGIN_REFUSED, principal=name, address=address)
            raise _unknown("Mã truy cập không đúng hoặc đã bị thu hồi.", "The token is wrong or was revoked.")
        self._attempts.give_back(address, 1)
        self._audit.note(now, Event.LOGIN, principal=proven[0], token=proven[1], address=address)
        return proven

    def _identified(self, provider: Provider, token: str, address: str, now: Millis) -> SubjectProof:
        """The account of whom a provider's token is about; limited by address, noted. Raises Refusal."""
        self._spend(self._attempts, address, 1, now)
        try:
            identity = provider.identity(token)
        except NotBelieved as error:
            self._audit.note(now, Event.LOGIN_REFUSED, principal="", address=address, because=str(error))
            raise _unknown("Mã truy cập không đúng hoặc đã hết hạn.", f"The token is not believed: {error}.") from error
        except ProviderAway as error:
            logger.warning("%s", error)
            raise refused(
                Slug.AWAY,
                "Hệ thống đăng nhập tạm thời không trả lời; hãy thử lại sau ít phút.",
                "The identity provider does not answer: try again in some minutes.",
                Retry_After="10",
            ) from error
        name = self._accounts.account_of(identity.subject)
        if name is None:
            self._audit.note(now, Event.LOGIN_REFUSED, principal="", address=address, because="no account")
            raise refused(
                Slug.NOT_ALLOWED,
                "Chưa có tài khoản nào gắn với người đăng nhập này; hãy hỏi đơn vị vận hành.",
                "No account is linked to who logged in: ask the operator.",
            )
        self._attempts.give_back(address, 1)
        self._audit.note(now, Event.LOGIN, principal=name, address=address, by="identity provider")
        return SubjectProof(name, identity.subject, identity.until)

    @staticmethod
    def _spend(limits: Limits, name: str, count: int, now: Millis) -> None:
        wait_s = limits.take(name, count, now / 1000)
        if wait_s:
            raise refused(
                Slug.TOO_MANY_REQUESTS,
                f"Hãy thử lại sau {wait_s} giây.",
                f"Try again after {wait_s} seconds.",
                Retry_After=str(wait_s),
            )


def _unknown(vietnamese: str, english: str) -> Refusal:
    return refused(Slug.NOT_LOGGED_IN, vietnamese, english, WWW_Authenticate='Bearer realm="chungsuc"')


def _token(authorization: str | None) -> str:
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise _unknown("Gửi tiêu đề Authorization: Bearer <mã truy cập>.", "Send Authorization: Bearer <token>.")
    return token.strip()


def _mark(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
