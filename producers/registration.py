"""Registering nodes' keys: acts `key_registered`, signed by the operator, sent once and waited for.

Invariant: what is returned is in force, so a report sent afterwards is accepted strictly later than its key's act plus
the cluster's delay. A key id registered once stays as it is: running this again sends nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence

from kafka import KafkaProducer
from kafka.errors import KafkaError

from producers.errors import KeysError
from producers.keys import NodeKey, NodeKeys
from schemas.act import ACT_TYPE, Act, KeyRegistered
from schemas.admission import iso_time
from schemas.codec import encode_act
from schemas.kafka_client import client_options
from schemas.log import ActReader
from schemas.report import Millis
from schemas.settings import Settings
from schemas.signature import SignedRecord, SigningKey, sign
from schemas.topics import ACTS
from schemas.unit import UnitCode

_TIMEOUT_S = 60
_ROUNDS = 3
"""Another host may take the same key id first; the next number is tried then."""


def registered_keys(
    settings: Settings, acts: ActReader, operator: SigningKey | None, keys: NodeKeys, units: Iterable[UnitCode]
) -> Mapping[UnitCode, NodeKey]:
    """A key in force for each unit. `acts` is read to its end.

    Raises KeysError without an operator's key where one must be registered, and when the cluster takes no acts.
    """
    wanted = list(dict.fromkeys(units))
    for _ in range(_ROUNDS):
        registers = acts.refresh()
        held = keys.of(wanted, registers)
        missing = [key for key in held.values() if registers.key(key.kid) is None]
        if not missing and all(_stands(key, acts) for key in held.values()):
            _await_force(settings, keys, held.values())
            return held
        if operator is None:
            raise KeysError(f"unit {missing[0].unit} has no registered key, and this host holds no operator key")
        send_acts(settings, [key_act(operator, key, now_ms()) for key in missing])
    raise KeysError(f"another host registers the same key ids (such as {missing[0].kid}): stop one of the two")


def key_act(operator: SigningKey, key: NodeKey, issued_at: Millis) -> SignedRecord:
    """The act that registers `key`, as a record of `acts`."""
    body = KeyRegistered(key.kid, key.unit, key.public)
    return signed_act(operator, key.unit, Act(f"key_registered/{key.kid}", issued_at, body))


def signed_act(operator: SigningKey, about: str, act: Act) -> SignedRecord:
    """An act as a record of `acts`; those about one unit or account stand in one partition, in order."""
    return sign(
        operator,
        key=about.encode(),
        value=encode_act(act),
        event_type=ACT_TYPE,
        event_id=act.id,
        time=iso_time(act.issued_at),
    )


def now_ms() -> Millis:
    """The time by the clock of this host."""
    return Millis(time.time_ns() // 1_000_000)


def _stands(key: NodeKey, acts: ActReader) -> bool:
    entry = acts.registers.key(key.kid)
    return entry is not None and entry.public_key == key.public


def _await_force(settings: Settings, keys: NodeKeys, held: Iterable[NodeKey]) -> None:
    """Wait out the cluster's delay, once per key.

    No clocks are compared: the act was in the log when it was read just now, so after the delay and a little, on this
    host's steady clock, the broker's time is strictly later than the act's time plus the delay.
    """
    kids = [key.kid for key in held]
    fresh = set(kids) - keys.in_force(kids)
    if fresh:
        time.sleep((settings.act_delay_ms + 2) / 1000)
        keys.mark_in_force(sorted(fresh))


def send_acts(settings: Settings, records: Sequence[SignedRecord]) -> None:
    """Return when the broker has them. Raises KeysError."""
    try:
        producer = KafkaProducer(
            **client_options(settings.bootstrap, "chungsuc-keys"),
            acks="all",
            linger_ms=20,
            batch_size=256 * 1024,
            delivery_timeout_ms=_TIMEOUT_S * 1000,
            max_block_ms=_TIMEOUT_S * 1000,
        )
        try:
            topic = settings.topic(ACTS)
            sent = [producer.send(topic, r.value, key=r.key, headers=list(r.headers)) for r in records]
            for future in sent:
                future.get(_TIMEOUT_S)
        finally:
            producer.close(timeout=_TIMEOUT_S)
    except KafkaError as error:
        raise KeysError(f"the cluster at {settings.bootstrap} takes no acts: {error}") from error
