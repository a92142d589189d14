"""Tokens of an identity provider: which are believed, against an issuer on loopback whose keys the test holds."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm

from producers.gateway.provider import NotBelieved, Provider, ProviderAway, ProviderSettingError

AUDIENCE = "chungsuc"


@dataclass
class Issuer:
    """What it publishes, and tokens that it signs. `looked`: how often its keys were asked for."""

    address: str = ""
    keys: dict[str, Ed25519PrivateKey] = field(default_factory=lambda: {"one": Ed25519PrivateKey.generate()})
    looked: int = 0
    claims_to_be: str = ""

    def document(self, path: str) -> Mapping[str, Any] | None:
        if path == "/.well-known/openid-configuration":
            return {"issuer": self.claims_to_be or self.address, "jwks_uri": f"{self.address}/keys"}
        if path == "/keys":
            self.looked += 1
            public = {name: OKPAlgorithm.to_jwk(key.public_key(), as_dict=True) for name, key in self.keys.items()}
            return {"keys": [{**key, "kid": name} for name, key in public.items()]}
        return None

    def claims(self, **other: Any) -> dict[str, Any]:
        now = int(time.time())
        return {"iss": self.address, "aud": AUDIENCE, "sub": "s-1", "iat": now, "exp": now + 60, **other}

    def token(self, key: str = "one", typ: str = "at+jwt", **other: Any) -> str:
        claims = {name: value for name, value in self.claims(**other).items() if value is not None}
        return jwt.encode(claims, self.keys[key], "EdDSA", {"kid": key, "typ": typ})


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    made = Issuer()

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = made.document(self.path)
            self.send_response(404 if found is None else 200)
            self.end_headers()
            self.wfile.write(json.dumps(found).encode())

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        made.address = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield made
        server.shutdown()


def test_token_made_for_us_tells_whom_it_is_about_and_until_when(issuer: Issuer) -> None:
    provider = Provider(issuer.address, AUDIENCE)
    end = int(time.time()) + 60
    identity = provider.identity(issuer.token(exp=end))
    assert (identity.subject, identity.until) == ("s-1", (end + 30) * 1000)
    assert provider.identity(issuer.token(aud=["other", AUDIENCE])).subject == "s-1"
    assert issuer.looked == 1


@pytest.mark.parametrize(
    "other",
    [
        {"aud": "other"}, {"aud": None}, {"iss": "http://127.0.0.1:1"}, {"exp": int(time.time()) - 3_600},
        {"exp": None}, {"sub": None}, {"sub": ""}, {"sub": "s" * 256}, {"iat": None}, {"nbf": int(time.time()) + 3_600},
        {"typ": "logout+jwt"},
    ],
)  # fmt: skip
def test_token_that_is_not_for_us_now_is_not_believed(issuer: Issuer, other: dict[str, Any]) -> None:
    with pytest.raises(NotBelieved):
        Provider(issuer.address, AUDIENCE).identity(issuer.token(**other))


def test_token_that_the_provider_did_not_sign_is_not_believed(issuer: Issuer) -> None:
    provider, good = Provider(issuer.address, AUDIENCE), issuer.token()
    public = issuer.keys["one"].public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    stranger = Ed25519PrivateKey.generate()
    head = {"kid": "one", "typ": "at+jwt"}
    for forged in (
        jwt.encode(issuer.claims(), "", "none", head),
        jwt.encode(issuer.claims(), public, "HS256", head),
        jwt.encode(issuer.claims(), stranger, "EdDSA", head),
        jwt.encode(issuer.claims(), stranger, "EdDSA", {**head, "kid": "unknown"}),
        good[:-4] + ("AAAA" if good[-4:] != "AAAA" else "BBBB"),
        "a.b.c",
        "..",
        "é.é.é",
    ):
        with pytest.raises(NotBelieved):
            provider.identity(forged)
    assert provider.identity(good).subject == "s-1"


def test_keys_are_followed_and_a_withdrawn_one_is_not_believed_for_long(issuer: Issuer) -> None:
    now_s = [1_000.0]
    provider = Provider(issuer.address, AUDIENCE, lambda: now_s[0])
    old = issuer.token()
    assert provider.identity(old).subject == "s-1"
    issuer.keys["two"] = Ed25519PrivateKey.generate()
    new = issuer.token("two")
    with pytest.raises(NotBelieved):
        provider.identity(new)
    assert issuer.looked == 1, "who sends unknown keys does not make us ask for each"
    now_s[0] += 11
    assert provider.identity(new).subject == "s-1"
    del issuer.keys["one"]
    now_s[0] += 600
    with pytest.raises(NotBelieved):
        provider.identity(old)


def test_provider_that_does_not_answer_or_is_another_is_away(issuer: Issuer) -> None:
    token = issuer.token()
    with pytest.raises(ProviderAway):
        Provider(f"{issuer.address}/elsewhere", AUDIENCE).identity(token)
    with pytest.raises(ProviderAway):
        Provider("http://127.0.0.1:1", AUDIENCE).identity(token)
    issuer.claims_to_be = "https://other.example"
    now_s = [1_000.0]
    provider = Provider(issuer.address, AUDIENCE, lambda: now_s[0])
    with pytest.raises(ProviderAway, match="another issuer"):
        provider.identity(token)
    issuer.claims_to_be = ""
    with pytest.raises(ProviderAway):
        provider.identity(token)
    now_s[0] += 11
    assert provider.identity(token).subject == "s-1"


@pytest.mark.parametrize("issuer_address", ["http://office.example", "office", "ftp://127.0.0.1", "file:///etc"])
def test_issuer_without_https_is_refused(issuer_address: str) -> None:
    with pytest.raises(ProviderSettingError, match="https"):
        Provider(issuer_address, AUDIENCE)
