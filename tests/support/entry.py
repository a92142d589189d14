"""The entry pages around the synthetic week of Tam Đường, with accounts, and without a broker."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import httpx

from consumers.obligations import obligations
from consumers.read_model.database import FILE_NAME, open_writer
from consumers.read_model.reader import SqliteReadModel
from consumers.read_model.store import Store
from producers.accounts import Accounts
from producers.audit import AuditLog
from producers.entry.acts import attested
from producers.entry.app import Beside
from producers.entry.app import application as pages
from producers.entry.approval import Approvals
from producers.entry.frame import Frame
from producers.entry.office import Office
from producers.entry.places import Places
from producers.entry.second_factor import SecondFactors
from producers.entry.sessions import EntryFile, Sessions
from producers.gateway.answers import Answers
from producers.gateway.app import Parts, application
from producers.gateway.courier import Courier
from producers.gateway.desk import Desk
from producers.gateway.door import Door
from producers.gateway.judgment import Judgment
from producers.gateway.limits import Limits
from producers.gateway.registry import Attesting
from producers.gateway.sheets import Sheets
from producers.gateway.store import FILE, GatewayStore, Lookup
from producers.sheets.learned import LearnedHeadings
from schemas.act import AttesterRegistered, Decisive, PrincipalBound
from schemas.admission import Admission
from schemas.catalogue import Catalogue
from schemas.figure import State
from schemas.form import FormId
from schemas.log import Record
from schemas.period import PeriodText
from schemas.principal import ALL_UNITS, Binding, PrincipalName, Role
from schemas.questions import Questions
from schemas.register import KeyEntry, Registers
from schemas.report import Header, Kind, Millis, Offset, Report, Revision, Series, Source
from schemas.settings import load_settings
from schemas.signature import SignedRecord
from schemas.topics import ACTS
from schemas.unit import UnitCode
from tests.support.signed import OPERATOR, PARTITIONS, act_record, release_act
from tests.support.tam_duong import TamDuong, catalogue, week

CLERK, OTHER, DISTRICT, FRONT = (PrincipalName(name) for name in ("binh-lu", "khun-ha", "tam-duong", "mat-tran"))
BINDINGS = {
    CLERK: Binding(UnitCode("03390"), Role.CLERK),
    OTHER: Binding(UnitCode("03430"), Role.CLERK),
    DISTRICT: Binding(UnitCode("106"), Role.SUPERIOR),
    FRONT: Binding(UnitCode("106"), Role.SUPERVISOR),
}
NOW = Millis(int(datetime(2021, 12, 20, 16, tzinfo=timezone(timedelta(hours=7))).timestamp() * 1000))
"""The Monday after the week, on which nothing has been sent yet: an hour and a half before the deadline."""
_KINDS = {State.REPORT: Kind.REPORT, State.NIL: Kind.NIL, State.WITHDRAWAL: Kind.WITHDRAWAL}
_CSRF = re.compile(r'name="csrf" value="([^"]+)"')


@dataclass
class WeekArchive:
    """The week's reports as they were sent. `texts`: what a report told beside its figures."""

    week: TamDuong
    texts: dict[Source, Mapping[str, str]]

    def report(self, source: Source, catalogue: Catalogue) -> Report:
        sent = next(one for one in self.week.log.reports if one.source == (source.partition, source.offset))
        header = Header(UnitCode(sent.unit), PeriodText(sent.day.isoformat()), _KINDS[sent.state],
                        Revision(sent.revision), 1, Millis(sent.issued_at))  # fmt: skip
        return Report(FormId(sent.form), header, [dict(row) for row in sent.rows], self.texts.get(source, {}))


@dataclass
class WeekRegistry:
    """The registry on registers in memory."""

    registers: Registers

    def catalogue(self) -> Catalogue:
        return catalogue()

    def bindings(self, principal: PrincipalName, now: Millis) -> tuple[Binding, ...]:
        entry = self.registers.principal(principal)
        return () if entry is None else entry.bindings_at(now)

    def admission(self, *, check_signatures: bool = True) -> Admission:
        return Admission(catalogue(), Attesting(self.registers, ALL_UNITS), check_signatures=False)

    def keys_of(self, unit: UnitCode) -> Sequence[KeyEntry]:
        return self.registers.keys_of(unit)

    def locked_by(self, series: Series, day: date) -> UnitCode | None:
        return self.registers.locked_by(series, day)


@dataclass
class WeekActs:
    """What is decided goes straight to registers and read model, signed as the gateway signs it."""

    bench: EntryBench

    def send(self, principal: PrincipalName, decided: Decisive, at: Millis) -> None:
        with closing(GatewayStore(self.bench.folder / FILE)) as store:
            self.bench.append(attested(store.signing_key(), principal, decided, at), at)


class EntryBench:
    """Gateway and pages without a broker: everything up to the log, which is away."""

    def __init__(self, folder: Path, forms: Sequence[str] = ("testing-daily", "vaccination-daily")) -> None:
        self.folder = folder
        self.week = week(folder, forms)
        self.registers = Registers(OPERATOR.public, 0)
        with_key = GatewayStore(folder / FILE)
        key = with_key.next_key(ALL_UNITS, self.registers)
        with_key.mark_in_force(key.kid)
        with_key.close()
        acts = [act_record(AttesterRegistered(key.kid, key.unit, key.public), "gateway")]
        acts += [act_record(PrincipalBound(name, (binding,)), name) for name, binding in BINDINGS.items()]
        release = release_act(catalogue())
        assert self.registers.apply(release.key, release.value, list(release.headers), Millis(0)) is not None
        for act in acts:
            self.append(act, Millis(0))
        self.accounts = Accounts(folder / "principals.sqlite")
        self.audit = AuditLog(folder / "audit.log")
        self.now = NOW
        self.tokens = {name: self.accounts.new_token(name, Millis(1)) for name in BINDINGS}
        self.app = self._application()
        self.courier.start()
        assert self.courier.ready.wait(20)

    def append(self, act: SignedRecord, at: Millis) -> None:
        """A record of `acts`, read by the registers and the read model; it must count."""
        with closing(open_writer(self.folder / FILE_NAME)) as connection:
            store = Store(connection, self.registers)
            ignored, offset = self.registers.ignored, Offset(store.positions()[ACTS, 0].next)
            store.apply({(ACTS, 0): [Record(ACTS, 0, offset, at, act.key, act.value, act.headers)]})
        assert self.registers.ignored == ignored

    def _application(self) -> Beside:
        settings = load_settings(data=self.folder, bootstrap="127.0.0.1:1", operator_key=OPERATOR.public.hex())
        registry = WeekRegistry(self.registers)
        limits = Limits(1e6, 1e6)
        door = Door(self.accounts, registry, self.audit, limits)
        self.questions = Questions(lambda: SqliteReadModel(self.folder / FILE_NAME))
        self.courier = Courier(settings, attempt_s=0.1)
        self.lookup = Lookup(self.folder / FILE)
        desk = Desk(door, registry, Judgment(registry, PARTITIONS), self.questions, self.courier, self.audit)
        answers = Answers(door, registry, self.questions, self.lookup, self.folder / "sequences.sqlite", obligations)
        self.archive = WeekArchive(self.week, {})
        learned = LearnedHeadings(self.folder / "sheet-headings.json")
        sheets = Sheets(door, registry, self.questions, desk, self.archive, learned)
        gateway = application(Parts(door, desk, answers, sheets, limits, lambda: self.now, lambda: True))
        self.file = EntryFile(self.folder / "entry.sqlite")
        self.sessions = Sessions(self.file, 12)
        self.office = Office(
            Frame(door, self.accounts, self.sessions, lambda: self.now), Places(registry, door), registry,
            self.questions, answers, self.lookup, desk, self.archive, obligations, Approvals(self.file),
            SecondFactors(self.file), self.audit,
        )  # fmt: skip
        return Beside(gateway, pages(self.office, WeekActs(self), sheets, self.audit))

    def client(self) -> httpx.AsyncClient:
        """A browser of its own, as far as cookies go."""
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://entry",
                                 headers={"Accept-Language": "vi"})  # fmt: skip

    async def visitor(self, name: PrincipalName) -> httpx.AsyncClient:
        """A browser that is logged in."""
        client = self.client()
        answer = await log_in(client, self.tokens[name])
        assert answer.status_code == 303, answer.text
        return client

    def close(self) -> None:
        self.courier.stop()
        self.questions.close()
        self.lookup.close()
        self.file.close()
        self.accounts.close()


async def log_in(client: httpx.AsyncClient, token: str, **more: str) -> httpx.Response:
    """What the login says to a token."""
    csrf = csrf_of(await client.get("/login"))
    return await client.post("/login", data={"csrf": csrf, "token": token, **more})


def csrf_of(answer: httpx.Response) -> str:
    """The hidden token of a page's form."""
    found = _CSRF.search(answer.text)
    assert found is not None, answer.text
    return found[1]


async def send(client: httpx.AsyncClient, address: str, **fields: str) -> httpx.Response:
    """A form of the page at an address, with the page's own hidden token."""
    csrf = csrf_of(await client.get(address))
    return await client.post(address, data={"csrf": csrf, **fields})
