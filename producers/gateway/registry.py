"""What is decided, as the gateway knows it: keys, accounts and the catalogue, from `acts`, kept up to date by a thread.

A decision reaches the gateway a moment after ingest; until then it judges by what it knew, and ingest judges again.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import date
from typing import Protocol

from schemas.admission import Admission
from schemas.catalogue import Catalogue
from schemas.log import TopicReader
from schemas.principal import Binding, PrincipalName
from schemas.read_model import NotReady
from schemas.register import KeyEntry, PrincipalEntry, Registers
from schemas.report import KeyId, Millis, Series
from schemas.settings import Settings
from schemas.signature import PublicKey
from schemas.topics import ACTS
from schemas.unit import UnitCode

_POLL_S = 0.5


class Registry(Protocol):
    """What requests ask."""

    def catalogue(self) -> Catalogue:
        """The catalogue released last. Raises NotReady before the first."""

    def bindings(self, principal: PrincipalName, now: Millis) -> tuple[Binding, ...]:
        """What an account may do now."""

    def admission(self, *, check_signatures: bool = True) -> Admission:
        """What ingest would decide by the acts known here. Raises NotReady before the first catalogue.

        Without signatures: of what this gateway is going to attest, under whichever key it then has.
        """

    def keys_of(self, unit: UnitCode) -> Sequence[KeyEntry]:
        """All keys ever registered for a unit."""

    def locked_by(self, series: Series, day: date) -> UnitCode | None:
        """The unit that keeps a series locked, by the tree of a day; None while it is open."""


class Attesting:
    """Authorities for what is not signed yet: any key id is this gateway's, which serves `unit` and those below."""

    def __init__(self, registers: Registers, unit: UnitCode) -> None:
        self._registers = registers
        self._entry = KeyEntry(KeyId("this gateway"), unit, PublicKey(b""), Millis(-1), attests=True)

    def key(self, kid: object) -> KeyEntry:
        """This gateway's."""
        return self._entry

    def principal(self, name: str) -> PrincipalEntry | None:
        """The account of that name."""
        return self._registers.principal(name)


class ActRegistry:
    """The registry on a cluster."""

    def __init__(self, settings: Settings) -> None:
        self._registers = Registers(PublicKey(bytes.fromhex(settings.operator_key)), settings.act_delay_ms)
        self._attesting = Attesting(self._registers, UnitCode(settings.gateway_unit))
        self._reader = TopicReader(settings.bootstrap, settings.topic(ACTS))
        self._lock = threading.Lock()
        self._admissions: dict[bool, Admission] = {}
        self._stopping = threading.Event()
        self._apply()
        self._thread = threading.Thread(target=self._follow, name="acts", daemon=True)
        self.failure: BaseException | None = None

    def start(self) -> None:
        """Begin to follow the topic."""
        self._thread.start()

    def stop(self) -> None:
        """Stop following it."""
        self._stopping.set()
        self._thread.join(5)
        self._reader.close()

    def catalogue(self) -> Catalogue:
        """The catalogue released last."""
        return self.admission().catalogue

    def bindings(self, principal: PrincipalName, now: Millis) -> tuple[Binding, ...]:
        """What an account may do now."""
        entry = self._registers.principal(principal)
        return () if entry is None else entry.bindings_at(now)

    def admission(self, *, check_signatures: bool = True) -> Admission:
        """What ingest would decide."""
        with self._lock:
            catalogue = self._registers.newest_catalogue()
            if catalogue is None:
                raise NotReady("no catalogue has been released yet")
            found = self._admissions.get(check_signatures)
            if found is None or found.catalogue is not catalogue:
                authorities = self._registers if check_signatures else self._attesting
                found = Admission(catalogue, authorities, check_signatures=check_signatures)
                self._admissions[check_signatures] = found
            return found

    def key(self, kid: object) -> KeyEntry | None:
        """The key registered under that id, whenever."""
        with self._lock:
            return self._registers.key(KeyId(str(kid)))

    def keys_of(self, unit: UnitCode) -> Sequence[KeyEntry]:
        """All keys ever registered for a unit."""
        with self._lock:
            return self._registers.keys_of(unit)

    def locked_by(self, series: Series, day: date) -> UnitCode | None:
        """The unit that keeps a series locked."""
        with self._lock:
            return self._registers.locked_by(series, day)

    def _apply(self) -> None:
        with self._lock:
            for record in self._reader.to_end():
                self._registers.apply(record.key, record.value, list(record.headers), record.time)

    def _follow(self) -> None:
        try:
            while not self._stopping.is_set():
                records = self._reader.poll(_POLL_S)
                with self._lock:
                    for record in records:
                        self._registers.apply(record.key, record.value, list(record.headers), record.time)
        except BaseException as error:
            self.failure = error
