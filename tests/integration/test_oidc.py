"""Login by a real OpenID provider (npm's oidc-provider, on the Node that the browser driver brings)."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import playwright
import pytest

from producers.audit import read
from producers.gateway.provider import Provider
from tests.support.gateway import CLERK, Bench, report

HERE = Path(__file__).resolve().parents[1] / "oidc"
PORT = 27650
ISSUER = f"http://127.0.0.1:{PORT}"
AUDIENCE = "https://chungsuc.test"
CLIENT = ("commune-system", "only-of-this-test")


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    node = Path(playwright.__file__).parent / "driver" / "node"
    if not (HERE / "node_modules" / "oidc-provider").is_dir():
        why = "no OpenID provider to log in with: make oidc-provider"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    command = [str(node) if node.exists() else shutil.which("node") or "node", "provider.js", str(PORT)]
    with subprocess.Popen(command, cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            yield ISSUER
        finally:
            process.terminate()


@dataclass
class Session:
    """A program that has a token of the provider, before a gateway that believes it."""

    bench: Bench
    token: str

    async def ask(self, method: str, path: str, token: str | None = None, **more: object) -> httpx.Response:
        bearer = f"Bearer {token or self.token}"
        headers = {"Authorization": bearer, "Accept-Language": "en", "Idempotency-Key": '"once"'}
        transport = httpx.ASGITransport(self.bench.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            return await client.request(method, path, headers=headers, **more)  # type: ignore[arg-type]


def token_for(issuer: str, resource: str) -> str:
    asked = {"grant_type": "client_credentials", "resource": resource}
    answer = httpx.post(f"{issuer}/token", data=asked, auth=CLIENT).raise_for_status()
    return str(answer.json()["access_token"])


@pytest.fixture
def session(tmp_path: Path, issuer: str) -> Iterator[Session]:
    bench = Bench(tmp_path, provider=Provider(issuer, AUDIENCE))
    yield Session(bench, token_for(issuer, AUDIENCE))
    bench.close()


async def test_program_that_the_provider_knows_acts_as_the_account_it_is_linked_to(session: Session) -> None:
    assert (await session.ask("GET", "/v1/forms")).status_code == 403, "linked to no account"
    session.bench.accounts.set_subject(CLERK, CLIENT[0])
    assert (await session.ask("GET", "/v1/receipts?unit=c1")).status_code == 200
    foreign = await session.ask("POST", "/v1/reports", json=report(unit="c2"))
    assert foreign.status_code == 403, foreign.text
    assert (await session.ask("GET", "/v1/receipts?unit=c2")).status_code == 403
    session.bench.accounts.set_subject(CLERK, "")
    assert (await session.ask("GET", "/v1/receipts?unit=c1")).status_code == 403, "at once, though the token stands"
    events = [line["event"] for line in read(session.bench.folder / "audit.log")]
    assert events.count("login") == 1
    assert events.count("login_refused") == 2
    assert session.token.rpartition(".")[2] not in (session.bench.folder / "audit.log").read_text()


async def test_token_for_another_service_is_not_believed(session: Session, issuer: str) -> None:
    session.bench.accounts.set_subject(CLERK, CLIENT[0])
    other = token_for(issuer, "https://other.test")
    refused = await session.ask("GET", "/v1/forms", token=other)
    assert refused.status_code == 401
    assert "believed" in refused.json()["detail"]
