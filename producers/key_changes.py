"""Changes of keys: registered, rotated, revoked, each by an act of the operator.

A rotation has no gap: the new key is in force and signs before the old one is revoked, and the old one is revoked only
when nothing that it signed waits for the broker any more, because a report accepted after a revocation is rejected.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from producers.audit import AuditLog, Event
from producers.delivery import Delivery
from producers.errors import KeysError
from producers.gateway.enrolment import enrol
from producers.gateway.store import FILE as GATEWAY_FILE
from producers.gateway.store import GatewayStore
from producers.keys import FILE as KEYS_FILE
from producers.keys import NodeKeys
from producers.outbox import FILE as OUTBOX_FILE
from producers.outbox import Outbox, State
from producers.registration import now_ms, registered_keys, send_acts, signed_act
from schemas.act import Act, KeyRegistered, KeyRevoked
from schemas.catalogue import Catalogue
from schemas.log import ActReader
from schemas.register import KeyEntry, Registers
from schemas.report import KeyId
from schemas.settings import Settings
from schemas.signature import PublicKey, SigningKey
from schemas.unit import UnitCode

_PUBLIC_BYTES = 32
_SENT_WITHIN_S = 60.0
_LOOK_EVERY_S = 0.05


@dataclass(frozen=True, slots=True)
class ShownKey:
    """A key of the register; `here`: its private half is on this host."""

    entry: KeyEntry
    here: bool


class KeyChanges:
    """Changes keys of a cluster, with the operator's key. Raises KeysError and what the cluster raises."""

    def __init__(self, settings: Settings, operator: SigningKey, acts: ActReader, audit: AuditLog) -> None:
        self._settings = settings
        self._operator = operator
        self._acts = acts
        self._audit = audit

    def listed(self, unit: UnitCode | None = None) -> list[ShownKey]:
        """All keys ever registered, or those of a unit, in the order of the log."""
        registers = self._acts.refresh()
        with closing(NodeKeys(self._settings.data / KEYS_FILE)) as nodes:
            held = nodes.held()
        if (self._settings.data / GATEWAY_FILE).exists():
            with closing(GatewayStore(self._settings.data / GATEWAY_FILE)) as store:
                held |= store.held()
        return [ShownKey(e, e.kid in held) for e in registers.all_keys() if unit is None or e.unit == unit]

    def register(self, unit: UnitCode, catalogue: Catalogue, public: str = "", kid: str = "") -> KeyId:
        """Register a key: of a node elsewhere by its public half (hex), else one made and kept on this host."""
        if unit not in catalogue.units:
            raise KeysError(f"no unit {unit} in the catalogue")
        registers = self._acts.refresh()
        if not public:
            with closing(NodeKeys(self._settings.data / KEYS_FILE)) as nodes:
                made = registered_keys(self._settings, self._acts, self._operator, nodes, [unit])[unit].kid
            self._audit.note(now_ms(), Event.KEY_REGISTERED, kid=made, unit=unit)
            return made
        if not kid or not kid.isascii() or registers.key(KeyId(kid)) is not None:
            raise KeysError(f"{kid or 'no key id'}: a new key needs an id of its own (--kid), in ASCII")
        try:
            half = PublicKey(bytes.fromhex(public))
        except ValueError:
            half = PublicKey(b"")
        if len(half) != _PUBLIC_BYTES:
            raise KeysError(f"a public key has {_PUBLIC_BYTES} bytes in hex")
        act = Act(f"key_registered/{kid}", now_ms(), KeyRegistered(KeyId(kid), unit, half))
        self._send(unit, act, Event.KEY_REGISTERED, kid=kid, unit=unit)
        return KeyId(kid)

    def revoke(self, kid: KeyId, reason: str) -> None:
        """No report accepted from now on is taken under it. Can't be undone."""
        entry = self._known(self._acts.refresh(), kid)
        act = Act(f"key_revoked/{kid}", now_ms(), KeyRevoked(kid, reason))
        self._send(entry.unit, act, Event.KEY_REVOKED, kid=kid, unit=entry.unit, reason=reason)

    def rotate(self, kid: KeyId, catalogue: Catalogue, reason: str) -> KeyId:
        """Put a new key in the place of one whose private half is here; the new one's id."""
        registers = self._acts.refresh()
        entry = self._known(registers, kid)
        new = self._next_gateway_key(kid) if entry.attests else self._next_node_key(entry, registers, catalogue)
        self._audit.note(now_ms(), Event.KEY_REGISTERED, kid=new, unit=entry.unit)
        self.revoke(kid, reason)
        return new

    def _next_gateway_key(self, kid: KeyId) -> KeyId:
        with closing(GatewayStore(self._settings.data / GATEWAY_FILE)) as store:
            if store.signing_key().kid != kid:
                raise KeysError(f"{kid} is not what this gateway signs with")
            new = enrol(self._settings, self._operator, anew=True)
            deadline = time.monotonic() + _SENT_WITHIN_S
            while store.waiting_under(kid):
                if time.monotonic() > deadline:
                    raise KeysError(
                        f"reports signed with {kid} still wait for the broker: revoke it when they are gone"
                    )
                time.sleep(_LOOK_EVERY_S)
        return new

    def _next_node_key(self, entry: KeyEntry, registers: Registers, catalogue: Catalogue) -> KeyId:
        with closing(NodeKeys(self._settings.data / KEYS_FILE)) as nodes:
            if entry.kid not in nodes.held():
                raise KeysError(
                    f"the private half of {entry.kid} is not here: register its node's new key, then revoke"
                )
            nodes.make_next(entry.unit, registers)
            new = registered_keys(self._settings, self._acts, self._operator, nodes, [entry.unit])[entry.unit].kid
        with closing(Outbox(self._settings.data / OUTBOX_FILE)) as outbox:
            waiting: Sequence[object] = outbox.rows([State.WAITING])
        if waiting:
            with closing(Delivery(self._settings, self._operator)) as delivery:
                delivery.deliver([], catalogue)
        return new

    def _known(self, registers: Registers, kid: KeyId) -> KeyEntry:
        entry = registers.key(kid)
        if entry is None:
            raise KeysError(f"no key {kid} was ever registered")
        if entry.revoked:
            raise KeysError(f"{kid} was revoked before ({entry.reason or 'without a reason'})")
        return entry

    def _send(self, about: str, act: Act, event: Event, **noted: str) -> None:
        send_acts(self._settings, [signed_act(self._operator, about, act)])
        time.sleep((self._settings.act_delay_ms + 2) / 1000)
        self._acts.refresh()
        self._audit.note(now_ms(), event, **noted)
