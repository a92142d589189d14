"""The office's identity provider (OpenID Connect): whose access tokens (JWT, RFC 9068) the gateway believes.

The provider says who somebody is, by its `sub`; what that one may do is in the log, by the account that `sub` is linked
to. Only tokens made for this gateway count: issuer, audience, signature by a key that the provider publishes now.
Invariant: a token of another audience, without an end, or signed with a shared secret, is never believed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
from pydantic import BaseModel, ValidationError

from schemas.report import Millis

ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
_TYPES = frozenset({"at+jwt", "application/at+jwt", "jwt"})
_TIMEOUT_S = 5.0
_KEYS_FOR_S = 600.0
_ASK_AGAIN_AFTER_S = 10.0
_LEEWAY_S = 30
_LARGEST_ANSWER = 1 << 20


class NotBelieved(ValueError):
    """The token proves nothing; why, in one line."""


class ProviderAway(ConnectionError):
    """The provider's keys can't be had now."""


class ProviderSettingError(ValueError):
    """The issuer can't be one."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a token is about, and until when it stands."""

    subject: str
    until: Millis


class _Metadata(BaseModel):
    issuer: str
    jwks_uri: str


class Provider:
    """One provider's published keys, kept for ten minutes at most. Usable from several threads."""

    def __init__(self, issuer: str, audience: str, clock_s: Callable[[], float] = time.monotonic) -> None:
        parts = urlsplit(issuer)
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost")):
            raise ProviderSettingError(f"the issuer {issuer!r} is not an https address")
        self._issuer = issuer
        self._audience = audience
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_s: float | None = None
        self._failed: tuple[float, ProviderAway] | None = None

    def identity(self, token: str) -> Identity:
        """Whom the token is about. Raises NotBelieved, ProviderAway."""
        try:
            header = jwt.get_unverified_header(token)
            if str(header.get("typ", "jwt")).lower() not in _TYPES or header.get("alg") not in ALGORITHMS:
                raise NotBelieved("not an access token signed with a public key")
            claims = jwt.decode(
                token, self._key(str(header.get("kid", ""))), algorithms=list(ALGORITHMS), audience=self._audience,
                issuer=self._issuer, leeway=_LEEWAY_S, options={"require": ["exp", "iat", "sub"]},
            )  # fmt: skip
            subject, until = claims["sub"], claims["exp"]
        except jwt.PyJWTError as error:
            raise NotBelieved(str(error)) from error
        if not isinstance(subject, str) or not subject or len(subject) > 255:
            raise NotBelieved("no subject")
        return Identity(subject, Millis((int(until) + _LEEWAY_S) * 1000))

    def _key(self, name: str) -> jwt.PyJWK:
        with self._lock:
            age_s = None if self._fetched_s is None else self._clock_s() - self._fetched_s
            unknown = name not in self._keys and (age_s is None or age_s >= _ASK_AGAIN_AFTER_S)
            if unknown or (age_s is not None and age_s >= _KEYS_FOR_S):
                self._refresh()
            if name not in self._keys:
                raise NotBelieved("signed with a key that the provider does not publish")
            return self._keys[name]

    def _refresh(self) -> None:
        """Fetch the keys; one that does not answer is not waited for again at once."""
        if self._failed is not None and self._clock_s() - self._failed[0] < _ASK_AGAIN_AFTER_S:
            raise self._failed[1]
        try:
            self._keys = self._published()
        except ProviderAway as error:
            self._failed = self._clock_s(), error
            raise
        self._fetched_s, self._failed = self._clock_s(), None

    def _published(self) -> dict[str, jwt.PyJWK]:
        try:
            with httpx.Client(timeout=_TIMEOUT_S, trust_env=False) as client:
                address = f"{self._issuer.rstrip('/')}/.well-known/openid-configuration"
                metadata = _Metadata.model_validate(_answer(client, address))
                if metadata.issuer != self._issuer:
                    raise ProviderAway(f"{address} speaks of another issuer, {metadata.issuer!r}")
                found = jwt.PyJWKSet.from_dict(_answer(client, metadata.jwks_uri))
        except (httpx.HTTPError, ValidationError, ValueError, jwt.PyJWTError) as error:
            raise ProviderAway(f"the keys of {self._issuer} can't be had: {error}") from error
        return {key.key_id: key for key in found.keys if key.key_id}


def _answer(client: httpx.Client, address: str) -> dict[str, Any]:
    """The JSON object at an address. Raises httpx.HTTPError, ValueError."""
    answer = client.get(address).raise_for_status()
    if len(answer.content) > _LARGEST_ANSWER or not isinstance(found := answer.json(), dict):
        raise ValueError(f"{address} gives no short JSON object")
    return found


def looks_like_one(token: str) -> bool:
    """Whether a bearer token has the form of a JWT."""
    return token.count(".") == 2
