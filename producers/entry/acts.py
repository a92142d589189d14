"""What superiors decide on the pages, on its way into the log: attested by the gateway's key.

The gateway's process holds no operator's key. It says which account decided, and every reader of `acts` asks whether
that account was bound for it (`schemas/register.py`), so a stolen gateway decides no more than its accounts may.
"""

from __future__ import annotations

import threading
from contextlib import closing
from typing import Protocol

from producers.errors import KeysError
from producers.gateway.refusal import Slug, refused
from producers.gateway.store import FILE, GatewayStore
from producers.registration import send_acts, signed_act
from schemas.act import Act, Attested, Decisive, ObligationDecided, PeriodLocked
from schemas.codec import encode_act
from schemas.principal import PrincipalName
from schemas.report import Millis
from schemas.settings import Settings
from schemas.signature import SignedRecord, SigningKey


class Acts(Protocol):
    """Where decisions go."""

    def send(self, principal: PrincipalName, decided: Decisive, at: Millis) -> None:
        """Return when the log has it. Raises Refusal while it takes none."""


class GatewayActs:
    """The acts of a cluster, by the gateway's key. Usable from several threads, one at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()

    def send(self, principal: PrincipalName, decided: Decisive, at: Millis) -> None:
        """Return when the log has it."""
        try:
            with self._lock:
                with closing(GatewayStore(self._settings.data / FILE)) as store:
                    key = store.signing_key()
                send_acts(self._settings, [attested(key, principal, decided, at)])
        except KeysError as error:
            raise refused(
                Slug.AWAY,
                "Máy chủ Kafka chưa nhận quyết định này; hãy thử lại.",
                "The broker takes no decision at the moment: try again.",
                Retry_After="5",
            ) from error


def attested(key: SigningKey, principal: PrincipalName, decided: Decisive, at: Millis) -> SignedRecord:
    """A decision as a record of `acts`. The same decision of one moment has the same id."""
    name = _name(decided, at)
    within = encode_act(Act(name, at, decided))
    return signed_act(key, decided.unit, Act(name, at, Attested(principal, within)))


def _name(decided: Decisive, at: Millis) -> str:
    kind = type(decided).__name__
    match decided:
        case ObligationDecided(regime, unit, period):
            about = f"{regime}/{unit}/{period}"
        case PeriodLocked(form, line, unit, period):
            about = f"{form}/{line}/{unit}/{period}"
        case _:
            about = str(decided.source)
    return f"{kind}/{about}/{at}"
