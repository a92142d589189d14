"""Enrolment of the gateway: its key is made, registered by the operator, and in force before anything is signed.

Done by whoever holds the operator's key, at the start of a stack: the process that faces the network never holds it.
"""

from __future__ import annotations

import time
from contextlib import closing

from producers.errors import KeysError
from producers.gateway.store import FILE, GatewayStore
from producers.keys import NodeKey
from producers.registration import now_ms, send_acts, signed_act
from schemas.act import Act, AttesterRegistered
from schemas.log import ActReader, TopicReader
from schemas.register import Registers
from schemas.report import KeyId
from schemas.settings import Settings
from schemas.signature import PublicKey, SigningKey
from schemas.topics import RECEIPTS
from schemas.unit import UnitCode

_ROUNDS = 3


def enrol(settings: Settings, operator: SigningKey, *, anew: bool = False) -> KeyId:
    """The gateway's key in force on this cluster, registered where it is not. `anew`: another one than before.

    Raises KeysError.
    """
    path = settings.data / FILE
    is_new = not path.exists()
    registers = Registers(PublicKey(bytes.fromhex(settings.operator_key)), settings.act_delay_ms)
    with closing(GatewayStore(path)) as store, closing(ActReader(settings, registers)) as acts:
        if is_new:
            with TopicReader(settings.bootstrap, settings.topic(RECEIPTS)) as reader:
                store.receipts_begin_at(reader.ends())
        key = store.next_key(UnitCode(settings.gateway_unit), acts.refresh(), anew=anew)
        for _ in range(_ROUNDS):
            entry = acts.refresh().key(key.kid)
            if entry is None:
                send_acts(settings, [signed_act(operator, key.unit, _act(key))])
            elif entry.public_key == key.public:
                # The act was in the log just now: after the delay and a little the broker's time is later.
                time.sleep((settings.act_delay_ms + 2) / 1000)
                store.mark_in_force(key.kid)
                return key.kid
            else:
                key = store.next_key(UnitCode(settings.gateway_unit), registers)
    raise KeysError(f"another gateway registers the same key ids (such as {key.kid}): stop one of the two")


def _act(key: NodeKey) -> Act:
    return Act(f"attester_registered/{key.kid}", now_ms(), AttesterRegistered(key.kid, key.unit, key.public))
