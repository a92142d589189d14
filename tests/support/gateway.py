"""A gateway's parts around the small catalogue of `signed.py`, with accounts, and without a broker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from starlette.applications import Starlette

from consumers.obligations import obligations
from consumers.read_model.database import FILE_NAME, open_writer
from consumers.read_model.reader import SqliteReadModel
from producers.accounts import Accounts
from producers.audit import AuditLog
from producers.gateway.answers import Answers
from producers.gateway.app import Parts, application
from producers.gateway.courier import Courier
from producers.gateway.desk import Desk
from producers.gateway.door import Door
from producers.gateway.judgment import Judgment
from producers.gateway.limits import Limits
from producers.gateway.provider import Provider
from producers.gateway.registry import Attesting
from producers.gateway.sheets import Sheets
from producers.gateway.store import FILE, GatewayStore, Lookup
from producers.sheets.learned import LearnedHeadings
from schemas.act import AttesterRegistered, PrincipalBound
from schemas.admission import Admission
from schemas.catalogue import Catalogue
from schemas.principal import ALL_UNITS, Binding, PrincipalName, Role
from schemas.questions import Questions
from schemas.register import KeyEntry, Registers
from schemas.report import Millis, Report, Series, Source
from schemas.settings import load_settings
from schemas.unit import UnitCode
from tests.support.signed import ACCEPTED, CATALOGUE, OPERATOR, PARTITIONS, REGISTERED, TESTING, act_record, registers

CLERK, OTHER, SUPERIOR, FRONT = (PrincipalName(name) for name in ("c1-vp", "c2-vp", "d-vp", "front"))
BINDINGS = {
    CLERK: Binding(UnitCode("c1"), Role.CLERK),
    OTHER: Binding(UnitCode("c2"), Role.CLERK, ("testing-small",)),
    SUPERIOR: Binding(UnitCode("D"), Role.SUPERIOR),
    FRONT: Binding(UnitCode("A"), Role.SUPERVISOR),
}
NOW = Millis(ACCEPTED + 1000)


def report(**more: Any) -> dict[str, Any]:
    """A legal report in JSON."""
    return {"form": "testing-small", "unit": "c1", "period": "2021-12-13", "rows": [dict(TESTING)], **more}


@dataclass
class HeldRegistry:
    """The registry on registers in memory."""

    registers: Registers

    def catalogue(self) -> Catalogue:
        return CATALOGUE

    def bindings(self, principal: PrincipalName, now: Millis) -> tuple[Binding, ...]:
        entry = self.registers.principal(principal)
        return () if entry is None else entry.bindings_at(now)

    def admission(self, *, check_signatures: bool = True) -> Admission:
        authorities = self.registers if check_signatures else Attesting(self.registers, ALL_UNITS)
        return Admission(CATALOGUE, authorities, check_signatures=check_signatures)

    def keys_of(self, unit: UnitCode) -> Sequence[KeyEntry]:
        return self.registers.keys_of(unit)

    def locked_by(self, series: Series, day: date) -> UnitCode | None:
        return self.registers.locked_by(series, day)


@dataclass
class HeldArchive:
    """The archive with reports in memory, by their places."""

    reports: dict[Source, Report] = field(default_factory=dict)

    def report(self, source: Source, catalogue: Catalogue) -> Report:
        return self.reports[source]


class Bench:
    """The application without a broker: whatever does not need one can be asked."""

    def __init__(self, folder: Path, burst: float = 1500, provider: Provider | None = None) -> None:
        self.folder = folder
        self._provider = provider
        self._burst = burst
        self.registers = registers()
        self.store = GatewayStore(folder / FILE)
        key = self.store.next_key(ALL_UNITS, self.registers)
        self.store.mark_in_force(key.kid)
        acts = [act_record(AttesterRegistered(key.kid, key.unit, key.public), "gateway")]
        acts += [act_record(PrincipalBound(name, (binding,)), name) for name, binding in BINDINGS.items()]
        for act in acts:
            assert self.registers.apply(act.key, act.value, list(act.headers), REGISTERED) is not None
        self.accounts = Accounts(folder / "principals.sqlite")
        self.tokens: dict[PrincipalName, str] = {}
        self.audit = AuditLog(folder / "audit.log")
        open_writer(folder / FILE_NAME).close()
        self.now = NOW
        self.app = self._application()

    def _application(self) -> Starlette:
        settings = load_settings(data=self.folder, bootstrap="127.0.0.1:1", operator_key=OPERATOR.public.hex())
        registry = HeldRegistry(self.registers)
        limits = Limits(20, self._burst)
        self.door = Door(self.accounts, registry, self.audit, limits, self._provider)
        self.questions = Questions(lambda: SqliteReadModel(self.folder / FILE_NAME))
        self.courier = Courier(settings)
        self.lookup = Lookup(self.folder / FILE)
        judgment = Judgment(registry, PARTITIONS)
        desk = Desk(self.door, registry, judgment, self.questions, self.courier, self.audit)
        sequences = self.folder / "sequences.sqlite"
        answers = Answers(self.door, registry, self.questions, self.lookup, sequences, obligations)
        self.archive = HeldArchive()
        learned = LearnedHeadings(self.folder / "sheet-headings.json")
        sheets = Sheets(self.door, registry, self.questions, desk, self.archive, learned)
        return application(Parts(self.door, desk, answers, sheets, limits, lambda: self.now, lambda: True))

    def headers(self, name: PrincipalName = CLERK, **more: str) -> dict[str, str]:
        """Of a request of an account, with a key. Its token is made at the first."""
        if name not in self.tokens:
            self.tokens[name] = self.accounts.new_token(name, REGISTERED)
        base = {"Authorization": f"Bearer {self.tokens[name]}", "Idempotency-Key": '"k"', "Accept-Language": "en"}
        return base | {header.replace("_", "-"): text for header, text in more.items()}

    def close(self) -> None:
        self.questions.close()
        self.lookup.close()
        self.store.close()
        self.accounts.close()
