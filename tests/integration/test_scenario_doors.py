"""The week of Tam Đường told through pages, workbooks, the API and agents, and compared at each cut of the story.

Nothing is replayed from files: each report is sent as its unit would send it, in the order in which it reached the
district, and after each step the figures of that moment must be what the story says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import httpx
import pytest

from consumers.verify import verify
from deploy.demo import DISTRICT, FORMS, STORY, Expectation, expectations, reported, total
from deploy.drain import drain
from deploy.reading import millis, open_read_model, stored_offsets
from deploy.stack import Stack
from deploy.throwaway import stack_at
from producers.client.answers import Acknowledged
from producers.client.gateway import GatewayClient
from producers.history import read_history
from producers.send import Send
from schemas.catalogue import ZONE, Catalogue
from schemas.read_model import FigureQuery, ReadModel
from schemas.report import Kind
from schemas.settings import Settings
from schemas.unit import UnitCode
from tests.support.accounts import apply_accounts
from tests.support.agent import OfficeAgent, office, register
from tests.support.sheets import typed
from tests.support.waiting import eventually

# `up --detach` is meant to outlive whoever started it.
pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")]
BASE = 22700
MIDNIGHT = datetime(2021, 12, 13, tzinfo=ZONE)


class Door(Protocol):
    """A way in."""

    def send(self, one: Send) -> None:
        """Send a report as people or a program would; returns when the broker has it."""


@dataclass
class ProgramDoor:
    """A commune's own system, over the API."""

    client: GatewayClient

    def send(self, one: Send) -> None:
        self.client.send(as_json(one))


@dataclass
class PageDoor:
    """A clerk who types into the pages; without a script, as a browser sends forms."""

    http: httpx.Client

    def login(self, token: str) -> None:
        self._post("/login", token=token)

    def send(self, one: Send) -> None:
        series = f"{one.form.id}/{one.period}"
        if one.kind is Kind.WITHDRAWAL:
            done = self._post(f"/units/{one.unit}/history/{series}", reason="gửi nhầm số liệu của đơn vị khác")
        else:
            cells = {f"r{at}.{name}": "" if cell is None else str(cell)
                     for at, row in enumerate(one.rows) for name, cell in row.items()}  # fmt: skip
            do = "nil" if one.kind is Kind.NIL else "send"
            done = self._post(f"/units/{one.unit}/forms/{series}", do=do, rows=str(len(one.rows)), **cells)
        assert "/receipts/" in done.headers["location"]

    def _post(self, path: str, **fields: str) -> httpx.Response:
        page = self.http.get(path)
        assert page.status_code == 200, page.text
        done = self.http.post(path, data={**hidden_of(page), **fields})
        assert done.status_code == 303, done.text
        return done


@dataclass
class WorkbookDoor:
    """A clerk who fills in the workbook of a form and hands it in on its page; what no workbook can say is typed."""

    pages: PageDoor

    def send(self, one: Send) -> None:
        if one.kind is not Kind.REPORT:
            self.pages.send(one)
            return
        path, http = f"/units/{one.unit}/workbook", self.pages.http
        given = http.get(f"{path}.xlsx", params={"form": one.form.id, "period": one.period})
        assert given.status_code == 200, given.text
        content = typed(given.content, one.form, one.rows)
        fields = {"csrf": hidden_of(http.get(path))["csrf"]}
        seen = http.post(path, data=fields, files={"file": ("bo-bieu.xlsx", content)})
        done = http.post(path, data={**fields, "do": "send", **hidden_of(seen)})
        assert "/receipts/" in done.text, done.text


@dataclass
class AgentDoor:
    """A commune's own system that drops files into the folder of an agent."""

    agent: OfficeAgent

    def send(self, one: Send) -> None:
        name = f"{one.form.id}.{one.period}.{one.issued_at}.json"
        self.agent.drop(name, as_json(one))
        eventually(lambda: name in self.agent.names("done"))


@dataclass
class Week:
    """A stack whose units have accounts, and what they send in the week, in order of arrival."""

    settings: Settings
    sends: list[Send]
    clients: Mapping[UnitCode, GatewayClient]
    doors: Mapping[UnitCode, Door]

    def send(self, one: Send) -> None:
        """One report through the door of whoever speaks."""
        self.doors[one.sender].send(one)

    def send_earlier(self) -> list[Send]:
        """Everything before the week, a batch per unit; what is left of the sends."""
        earlier = [send for send in self.sends if send.issued_at < millis(MIDNIGHT)]
        for unit, client in self.clients.items():
            batch = [as_json(send) for send in earlier if send.sender == unit]
            results = client.send_batch(batch) if batch else []
            assert [result for result in results if not isinstance(result, Acknowledged)] == []
        return self.sends[len(earlier) :]

    def drained(self) -> None:
        drain(self.settings, lambda: stored_offsets(self.settings), 60)


def hidden_of(page: httpx.Response) -> dict[str, str]:
    """What a browser sends along with a page's form."""
    return dict(re.findall(r'<input type="hidden" name="(csrf|key|after|kept)" value="([^"]*)">', page.text))


def as_json(send: Send) -> dict[str, Any]:
    """A report as a program sends it."""
    content = {"form": send.form.id, "unit": send.unit, "period": send.period, "kind": send.kind.value,
               "issued_at": datetime.fromtimestamp(send.issued_at / 1000, UTC).isoformat(),
               "entered_by": send.entered_by}  # fmt: skip
    return content | ({"rows": [dict(row) for row in send.rows]} if send.rows else {})


def told(catalogue: Catalogue) -> list[Send]:
    """All sends of the story's three daily forms by arrival."""
    sends: list[Send] = []
    for form in FORMS:
        versions = [one for one in catalogue.forms if one.id == form]
        history = read_history(STORY / f"{form}.csv", versions, catalogue.units)
        assert not history.problems
        sends += history.sends
    return sorted(sends, key=lambda send: send.issued_at)


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Week]:
    with stack_at(tmp_path_factory.mktemp("doors"), port_base=BASE) as stack, ExitStack() as closing:
        settings = stack.settings()
        with open_read_model(settings) as model:
            catalogue = model.catalogue()
        sends = told(catalogue)
        roles = {unit: "superior" if unit == DISTRICT else "clerk" for unit in sorted({send.sender for send in sends})}
        lines = [f"vp-{unit},{unit},{role},*" for unit, role in roles.items()]
        _, tokens = apply_accounts(settings, "\n".join(["principal,unit,role,forms", *lines]))
        clients = {
            unit: closing.enter_context(GatewayClient(stack.gateway, tokens[f"vp-{unit}"], language="en"))
            for unit in roles
        }
        doors: dict[UnitCode, Door] = {DISTRICT: ProgramDoor(clients[DISTRICT])}
        for at, unit in enumerate(sorted(clients.keys() - {DISTRICT})):
            folder = tmp_path_factory.mktemp("office")
            doors[unit] = closing.enter_context(door_of(at, unit, folder, stack, tokens[f"vp-{unit}"]))
        yield Week(settings, sends, clients, doors)


@contextmanager
def door_of(number: int, unit: UnitCode, folder: Path, stack: Stack, token: str) -> Iterator[Door]:
    """The way in of a commune: each fourth has the same."""
    if number % 4 == 0:
        with GatewayClient(stack.gateway, token, language="en") as client:
            yield ProgramDoor(client)
    elif number % 4 == 1:
        with office(folder, unit, stack.gateway, token) as agent:
            register(stack.settings(), agent.key)
            agent.start()
            eventually((agent.folder / "catalogue.tar").exists, 60)
            yield AgentDoor(agent)
    else:
        with httpx.Client(base_url=stack.gateway, timeout=30) as http:
            pages = PageDoor(http)
            pages.login(token)
            yield pages if number % 4 == 2 else WorkbookDoor(pages)


def as_known_now(model: ReadModel, one: Expectation) -> int:
    """The figure of an expectation as it stands, with no cut."""
    figures = model.figures(FigureQuery(one.unit, one.form, one.first, one.last, sum=one.first != one.last))
    return reported(figures) if one.measure == "series" else total(figures, *one.measure.split("+"))


def test_week_sent_through_the_doors_has_every_figure_at_its_moment(week: Week) -> None:
    expected = expectations()
    waiting = iter(week.send_earlier())
    send = next(waiting, None)
    for moment in sorted({one.known_at for one in expected}):
        while send is not None and send.issued_at <= millis(moment):
            week.send(send)
            send = next(waiting, None)
        week.drained()
        with open_read_model(week.settings) as model:
            found = [(one, as_known_now(model, one)) for one in expected if one.known_at == moment]
        assert found == [(one, one.value) for one, _ in found], f"at {moment}"
    assert send is None, "the story's last cut is behind its last report"
    assert verify(week.settings).differing == 0
