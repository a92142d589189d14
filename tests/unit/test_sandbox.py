"""The sandbox's door before the gateway's application: what each fault looks like to a client, and when it ends."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner
from starlette.types import ASGIApp, Receive, Scope, Send

from deploy.cli.main import cli, run
from deploy.sandbox.faults import Fault, Faults
from schemas.exit import Exit
from tests.support.gateway import Bench, report
from tests.support.sandbox import sandbox_door
from tests.support.served import served


@dataclass
class Counting:
    """Counts the requests that get through."""

    app: ASGIApp
    count: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.count += 1
        await self.app(scope, receive, send)


@dataclass
class Site:
    url: str
    faults: Faults
    through: Counting
    headers: dict[str, str]

    def post(self) -> httpx.Response:
        return httpx.post(f"{self.url}/v1/reports", json=report(unit="c2"), headers=self.headers, timeout=10)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    bench = Bench(tmp_path_factory.mktemp("bench"))
    through = Counting(bench.app)
    with (
        served(through) as gateway,
        sandbox_door(tmp_path_factory.mktemp("sandbox"), gateway) as (url, faults),
    ):
        yield Site(url, faults, through, bench.headers())
    bench.close()


def test_without_a_fault_the_gateways_answer_comes_through_whole(site: Site) -> None:
    site.faults.clear()
    assert site.post().status_code == 403
    with httpx.Client(base_url=site.url) as client:
        assert [client.get("/v1").json()["reports_per_batch"] for _ in range(2)] == [1000, 1000]
    chunks = (part for part in (b'{"form": ', b"1}"))
    assert httpx.post(f"{site.url}/v1/reports", content=chunks, headers=site.headers).status_code == 415


@pytest.mark.parametrize(("fault", "status"), [(Fault.BUSY, 503), (Fault.TOO_MANY, 429)])
def test_refusals_carry_retry_after_and_end_with_the_fault(site: Site, fault: Fault, status: int) -> None:
    site.faults.clear()
    site.faults.switch(fault, time.time() + 60)
    answer = site.post()
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert int(answer.headers["retry-after"]) > 0
    site.faults.switch(fault, 0)
    assert site.post().status_code == 403


@pytest.mark.parametrize(("fault", "through"), [(Fault.LOST_ANSWER, 1), (Fault.NO_LINE, 0)])
def test_cut_line_is_no_answer_whether_or_not_the_request_got_through(site: Site, fault: Fault, through: int) -> None:
    site.faults.clear()
    site.faults.switch(fault, time.time() + 60)
    before = site.through.count
    with pytest.raises(httpx.HTTPError):
        site.post()
    assert site.through.count == before + through


def test_twice_reaches_the_gateway_twice_and_is_answered_once(site: Site) -> None:
    site.faults.clear()
    site.faults.switch(Fault.TWICE, time.time() + 60)
    before = site.through.count
    assert site.post().status_code == 403
    assert site.through.count == before + 2


def test_command_names_every_fault_and_needs_a_sandbox(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = CliRunner().invoke(cli, ["sandbox", "fault", "--help"]).output
    assert all(fault.value in shown and fault.said in shown for fault in Fault)
    assert run(["sandbox", "fault", "busy", "--folder", str(tmp_path)]) == Exit.UNREACHABLE
    assert "sandbox up" in capsys.readouterr().err
    (tmp_path / "mine.txt").write_text("keep")
    assert run(["sandbox", "reset", "--folder", str(tmp_path)]) == Exit.UNREACHABLE
    assert (tmp_path / "mine.txt").exists()
