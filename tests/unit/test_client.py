"""The Python client against the gateway's own application: what is repeated, what is not, and what each error is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from producers.client.errors import (
    Away,
    Invalid,
    NotAGateway,
    NotAllowed,
    NotFound,
    NotLoggedIn,
    TooMany,
    Unanswered,
)
from producers.client.gateway import GatewayClient
from producers.client.repeats import Repeats
from schemas.principal import PrincipalName
from tests.support.gateway import CLERK, Bench, report
from tests.support.served import served
from tests.support.signed import CATALOGUE, REGISTERED

ONCE = Repeats(within_s=0)


@dataclass
class Front:
    """Stands before the gateway: answers what is planned, one request each, and passes the rest on."""

    app: ASGIApp
    planned: list[Response] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.keys.append(dict(scope["headers"]).get(b"idempotency-key", b"").decode())
        await (self.planned.pop(0) if self.planned else self.app)(scope, receive, send)


@dataclass
class Site:
    bench: Bench
    front: Front
    url: str

    def client(self, name: PrincipalName = CLERK, repeats: Repeats = ONCE) -> GatewayClient:
        if name not in self.bench.tokens:
            self.bench.tokens[name] = self.bench.accounts.new_token(name, REGISTERED)
        return GatewayClient(self.url, self.bench.tokens[name], timeout_s=5, repeats=repeats, language="en")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    bench = Bench(tmp_path_factory.mktemp("client"))
    front = Front(bench.app)
    with served(front) as url:
        yield Site(bench, front, url)
    bench.close()


def refusal(status: int, name: str, **headers: str) -> Response:
    content = f'{{"type": "urn:chungsuc:problem:{name}", "status": {status}, "title": "T", "detail": "D"}}'
    return Response(content, status, headers, media_type="application/problem+json")


def test_errors_tell_apart_what_a_caller_does_differently(site: Site) -> None:
    with GatewayClient(site.url, "cs_c1-vp_wrong", repeats=ONCE) as stranger, pytest.raises(NotLoggedIn):
        stranger.send(report())
    with site.client() as client:
        with pytest.raises(NotAllowed, match="c2"):
            client.send(report(unit="c2"))
        with pytest.raises(NotFound):
            client.receipt("0-17")
        with pytest.raises(Invalid) as wrong:
            client.send(report(period="2021-13-13", rows=[{"method": "antigen", "persons": "many"}]))
        assert {fault.pointer for fault in wrong.value.details.errors} >= {"/rows/0/persons", "/rows/0/tubes"}
        assert "whole" in str(wrong.value) or "integer" in str(wrong.value)


def test_each_report_of_a_batch_has_its_own_error(site: Site) -> None:
    with site.client() as client:
        bad, foreign = client.send_batch([report(kind="other"), report(unit="c2")])
    assert isinstance(bad, Invalid)
    assert bad.details.errors[0].pointer == "/reports/0/kind"
    assert isinstance(foreign, NotAllowed)


def test_repeats_under_the_same_key_until_it_is_answered(site: Site) -> None:
    site.front.keys.clear()
    site.front.planned = [refusal(503, "away"), refusal(409, "request-in-flight"), Response("bad gateway", 502),
                          refusal(429, "too-many-requests")]  # fmt: skip
    with site.client(repeats=Repeats(30, chance=lambda: 0.99)) as client, pytest.raises(NotAllowed):
        client.send(report(unit="c2"))
    assert len(site.front.keys) == 5
    assert len(set(site.front.keys)) == 1


def test_gives_up_at_once_where_a_repeat_would_end_after_the_bound(site: Site) -> None:
    with site.client(repeats=Repeats(within_s=5)) as client:
        site.front.planned = [refusal(429, "too-many-requests", **{"Retry-After": "6"})]
        with pytest.raises(TooMany) as many:
            client.send(report())
        assert many.value.retry_after_s == 6
        site.front.planned = [refusal(503, "away", **{"Retry-After": "60"})]
        with pytest.raises(Away):
            client.send(report())


def test_what_no_gateway_says_is_named(site: Site) -> None:
    with site.client() as client:
        for answer in (Response("<html>router login</html>"), Response("[]", media_type="application/json"),
                       Response("", 302), refusal(500, "bug").__class__("{}", 500)):  # fmt: skip
            site.front.planned = [answer]
            with pytest.raises(NotAGateway, match="is no gateway of this system"):
                client.send(report())
    with GatewayClient("http://127.0.0.1:1", "t", repeats=ONCE) as nobody, pytest.raises(Unanswered, match="no answer"):
        nobody.service()
    with GatewayClient("gateway.example", "t") as bare, pytest.raises(NotAGateway, match="no address"):
        bare.service()


def test_catalogue_is_fetched_once_and_whole(site: Site) -> None:
    with site.client() as client:
        bundle = client.catalogue()
        assert bundle == CATALOGUE.bundle
        assert client.catalogue(hashlib.sha256(CATALOGUE.bundle).hexdigest()) is None
        assert client.service().reports_per_batch == 1000
        assert abs(client.clock_ahead_s or 99) < 5


def test_pauses_grow_shrink_at_random_and_end_at_the_bound() -> None:
    steady, hasty = Repeats(100, chance=lambda: 0.0), Repeats(100, chance=lambda: 1.0)
    assert [steady.pause_s(n, 0, None) for n in (0, 1, 2, 6, 50)] == [0.5, 1, 2, 30, 30]
    assert hasty.pause_s(1, 0, None) == 0.5
    assert hasty.pause_s(1, 0, 7) == 7
    assert steady.pause_s(6, 71, None) is None


def test_token_that_is_no_header_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    with pytest.raises(NotAGateway):
        GatewayClient("http://127.0.0.1:1", "mã-truy-cập")
