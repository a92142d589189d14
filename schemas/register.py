"""Registers: what has been decided, folded from `acts` and valid by the broker's times (design decision 10).

A fold of the log and nothing else, so every replay decides alike. Keys by kid, catalogues by (epoch, serial). An act
takes force when a record is accepted *later* than the act's broker time plus the cluster's delay: strictly later, so
that an act appended in the same millisecond after the decision can't change it on a replay.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import date, datetime

from schemas.act import (
    Act,
    Attested,
    AttesterRegistered,
    CatalogueReleased,
    KeyRegistered,
    KeyRevoked,
    ObligationDecided,
    PeriodLocked,
    PrincipalBound,
    ReportApproved,
    ReportReturned,
)
from schemas.catalogue import Announcement, Catalogue
from schemas.codec import NotDecodable, decode_act
from schemas.form import FormId
from schemas.period import PeriodText
from schemas.principal import ALL_UNITS, Binding, PrincipalName, ever_below, may_decide
from schemas.report import KeyId, Millis, Series
from schemas.signature import SIGNED_HEADERS, Header, PublicKey, signed_message, verifies
from schemas.unit import LineName, UnitCode

NEVER = Millis(2**62)


@dataclass(slots=True)
class KeyEntry:
    """A key and the span of acceptance times, exclusive and inclusive, in which it may sign.

    `attests`: it is a gateway's, which signs what principals say for `unit` and the units below it.
    """

    kid: KeyId
    unit: UnitCode
    public_key: PublicKey
    after: Millis
    until: Millis = NEVER
    attests: bool = False
    reason: str = ""
    """Why it was revoked."""

    @property
    def revoked(self) -> bool:
        """Whether it was taken back, whenever."""
        return self.until != NEVER

    def valid_at(self, accepted_at: Millis) -> bool:
        """Whether a report accepted then may be signed with it."""
        return self.after < accepted_at <= self.until


@dataclass(slots=True)
class PrincipalEntry:
    """What an account may do, by the acceptance times (exclusive) from which on it may."""

    name: PrincipalName
    changes: list[tuple[Millis, tuple[Binding, ...]]] = field(default_factory=list)

    def bindings_at(self, accepted_at: Millis) -> tuple[Binding, ...]:
        """What it may do for a report accepted then: what the last act in the log before that says."""
        return next((bindings for after, bindings in reversed(self.changes) if after < accepted_at), ())


class Registers:
    """Keys, principals and catalogues as the acts read so far say. Feed it the records of `acts` in order."""

    def __init__(self, operator_key: PublicKey, delay_ms: int) -> None:
        self._operator_key = operator_key
        self._delay_ms = delay_ms
        self._keys: dict[KeyId, KeyEntry] = {}
        self._principals: dict[PrincipalName, PrincipalEntry] = {}
        self._bundles: dict[bytes, CatalogueReleased] = {}
        self._catalogues: dict[Announcement, Catalogue] = {}
        self._locks: dict[tuple[FormId, LineName, PeriodText], dict[UnitCode, tuple[Millis, bool]]] = {}
        self._counted: dict[bytes, Millis] = {}
        self.newest: Announcement | None = None
        self.ignored = 0

    def apply(self, key: bytes | None, value: bytes | None, headers: list[Header], time: Millis) -> Act | None:
        """Fold one record of `acts`. Returns the act (the one within, where attested), or None: it does not count."""
        act = self._counting(key, value, headers, time)
        if act is None or self._is_copy(value or b"", time):
            self.ignored += 1
            return None
        force = Millis(time + self._delay_ms)
        match act.body:
            case KeyRegistered(kid, unit, public_key) if kid not in self._keys:
                self._keys[kid] = KeyEntry(kid, unit, public_key, force)
            case AttesterRegistered(kid, unit, public_key) if kid not in self._keys:
                self._keys[kid] = KeyEntry(kid, unit, public_key, force, attests=True)
            case PrincipalBound(principal, bindings):
                self._principals.setdefault(principal, PrincipalEntry(principal)).changes.append((force, bindings))
            case KeyRevoked(kid) if (entry := self._keys.get(kid)) and entry.until == NEVER:
                entry.until, entry.reason = force, act.body.reason
            case CatalogueReleased(epoch, serial, digest, bundle) if hashlib.sha256(bundle).digest() == digest:
                self._bundles.setdefault(digest, act.body)
                announcement = Announcement(epoch, serial, digest)
                if self.newest is None or (epoch, serial) > (self.newest.epoch, self.newest.serial):
                    self.newest = announcement
            case PeriodLocked(form, line, unit, period, locked):
                # An old act written once more undoes nothing: the newest by its author's time stands.
                before = self._locks.setdefault((form, line, period), {})
                if act.issued_at >= before.get(unit, (Millis(-1), False))[0]:
                    before[unit] = (act.issued_at, locked)
        return act

    def _is_copy(self, value: bytes, time: Millis) -> bool:
        """Whether the same act stands earlier in the log: whoever may write there can repeat it, and it says nothing.

        The same record read again, as after a batch that was rolled back, is none.
        """
        return self._counted.setdefault(hashlib.sha256(value).digest(), time) != time

    def _counting(self, key: bytes | None, value: bytes | None, headers: list[Header], time: Millis) -> Act | None:
        """The act that a record carries, where it counts: the operator's, or a superior's that its gateway attests."""
        if value is None:
            return None
        try:
            act = decode_act(value)
            if not isinstance(act.body, Attested):
                return act if signed_by(self._operator_key, key, value, headers) else None
            entry = self._keys.get(KeyId(dict(headers).get("kid", b"").decode("ascii", "replace")))
            if entry is None or not entry.attests or not entry.valid_at(time):
                return None
            within = decode_act(act.body.value)
            if within.id != act.id or not signed_by(entry.public_key, key, value, headers):
                return None
            return within if self._may_decide(act.body.principal, within, entry, time) else None
        except NotDecodable:
            return None

    def _may_decide(self, principal: PrincipalName, act: Act, entry: KeyEntry, time: Millis) -> bool:
        """Whether an account may decide that, and its gateway attest it: by the acts before this one."""
        match act.body:
            case ObligationDecided(unit=unit, by=by) | ReportReturned(unit=unit, by=by):
                form = None
            case ReportApproved(unit=unit, by=by):
                form = None
            case PeriodLocked(form=form, unit=unit):
                by = unit
            case _:
                return False
        account, catalogue = self._principals.get(principal), self.newest_catalogue()
        if account is None or catalogue is None:
            return False
        day = datetime.fromtimestamp(time / 1000, catalogue.zone).date()
        serves = entry.unit in (ALL_UNITS, by) or ever_below(catalogue.units, by, entry.unit)
        above = isinstance(act.body, PeriodLocked) or ever_below(catalogue.units, unit, by)
        return serves and above and may_decide(account.bindings_at(time), by, form, day)

    def locked_by(self, series: Series, day: date) -> UnitCode | None:
        """The unit, the reporting one or one above it on that day, that keeps a series locked; None: it is open."""
        locks, catalogue = self._locks.get((series.form, series.line, series.period)), self.newest_catalogue()
        here: UnitCode | None = series.unit
        while locks and catalogue and here is not None:
            if locks.get(here, (0, False))[1]:
                return here
            here = catalogue.units.superior(here, day, series.line)
        return None

    def key(self, kid: KeyId) -> KeyEntry | None:
        """The key registered under `kid`, whenever."""
        return self._keys.get(kid)

    def all_keys(self) -> list[KeyEntry]:
        """All keys ever registered, in the order of the log."""
        return list(self._keys.values())

    def principal(self, name: str) -> PrincipalEntry | None:
        """The account of that name, whenever it was bound."""
        return self._principals.get(PrincipalName(name))

    def principals(self) -> list[PrincipalEntry]:
        """All accounts ever bound, in the order of the log."""
        return list(self._principals.values())

    def keys_of(self, unit: UnitCode) -> list[KeyEntry]:
        """All keys ever registered for a unit."""
        return [entry for entry in self._keys.values() if entry.unit == unit]

    def catalogue(self, announcement: Announcement) -> Catalogue | None:
        """The catalogue announced, or None while its bundle has not been read."""
        if announcement not in self._catalogues and (release := self._bundles.get(announcement.digest)):
            self._catalogues[announcement] = Catalogue.from_bundle(
                release.bundle, announcement.epoch, announcement.serial
            )
        return self._catalogues.get(announcement)

    def newest_catalogue(self) -> Catalogue | None:
        """The catalogue released last."""
        return self.catalogue(self.newest) if self.newest else None


def signed_by(public_key: PublicKey, key: bytes | None, value: bytes, headers: list[Header]) -> bool:
    """Whether the holder of a key signed this act or control record."""
    named = dict(headers)
    bound = [named.get(name) for name in SIGNED_HEADERS]
    signature = named.get("sig")
    if signature is None or any(part is None for part in bound):
        return False
    return verifies(public_key, signature, signed_message(key, value, [part for part in bound if part is not None]))
