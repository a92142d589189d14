"""Signatures: Ed25519 over the exact bytes and the bound headers of a record.

What is signed is never encoded again, so the archive proves who said what. Every part is preceded by its length, so no
byte can move from one part to its neighbour without breaking the signature (contract 1).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NewType, Protocol

import nacl.exceptions
import nacl.signing
from nacl.bindings import crypto_sign_BYTES, crypto_sign_open, crypto_sign_PUBLICKEYBYTES

from schemas.report import KeyId

PublicKey = NewType("PublicKey", bytes)
"""32 raw bytes."""

Header = tuple[str, bytes]

_PREFIX = b"chungsuc/1"
_LENGTH = struct.Struct(">I")
SIGNED_HEADERS = ("ce_id", "ce_source", "ce_type", "ce_time", "kid")


class SigningKey(Protocol):
    """Whoever can sign under a key id."""

    @property
    def kid(self) -> KeyId:
        """Name of the key."""

    def sign(self, message: bytes) -> bytes:
        """64 raw bytes over `message`."""


@dataclass(frozen=True, slots=True)
class Ed25519Key:
    """A private key held in this process."""

    kid: KeyId
    seed: bytes

    @classmethod
    def generate(cls, kid: KeyId) -> Ed25519Key:
        """A new key from the system's randomness."""
        return cls(kid, bytes(nacl.signing.SigningKey.generate()))

    @property
    def public(self) -> PublicKey:
        """The half that others may know."""
        return PublicKey(bytes(nacl.signing.SigningKey(self.seed).verify_key))

    def sign(self, message: bytes) -> bytes:
        """64 raw bytes over `message`."""
        return nacl.signing.SigningKey(self.seed).sign(message).signature


@dataclass(frozen=True, slots=True)
class SignedRecord:
    """What goes to Kafka: key, value and headers, the signature among them."""

    key: bytes | None
    value: bytes
    headers: tuple[Header, ...]


def signed_message(key: bytes | None, value: bytes, bound: Sequence[bytes]) -> bytes:
    """The bytes a signature covers. `bound`: ce_id, ce_source, ce_type, ce_time, kid in this order."""
    length = _LENGTH.pack
    return _PREFIX + b"".join([length(len(part)) + part for part in (key or b"", *bound, value)])


def sign(
    signer: SigningKey,
    *,
    key: bytes | None,
    value: bytes,
    event_type: str,
    event_id: str,
    time: str,
    content_type: str = "application/avro",
    traceparent: str | None = None,
    request_id: str | None = None,
) -> SignedRecord:
    """A record with CloudEvents 1.0 headers in binary mode and its signature.

    `traceparent` and `request_id` tell which request it came with; they are not signed.
    """
    kid = signer.kid.encode()
    event = {
        "ce_id": event_id.encode(),
        "ce_source": kid,
        "ce_type": event_type.encode(),
        "ce_time": time.encode(),
        "kid": kid,
    }
    signature = signer.sign(signed_message(key, value, [event[name] for name in SIGNED_HEADERS]))
    headers: list[Header] = [
        ("ce_specversion", b"1.0"),
        ("ce_type", event["ce_type"]),
        ("ce_source", kid),
        ("ce_id", event["ce_id"]),
        ("ce_time", event["ce_time"]),
        ("content-type", content_type.encode()),
    ]
    if traceparent:
        headers.append(("traceparent", traceparent.encode()))
    if request_id:
        headers.append(("request-id", request_id.encode()))
    headers += [("kid", kid), ("sig", signature)]
    return SignedRecord(key, value, tuple(headers))


def verifies(public_key: PublicKey, signature: bytes, message: bytes) -> bool:
    """Whether `signature` was made over `message` by the owner of `public_key`."""
    if len(signature) != crypto_sign_BYTES or len(public_key) != crypto_sign_PUBLICKEYBYTES:
        return False
    try:
        crypto_sign_open(signature + message, public_key)
    except nacl.exceptions.BadSignatureError:
        return False
    return True
