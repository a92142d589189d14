"""How a host's sends get in, in this order: keys, what the units sent before, outbox, broker.

The order keeps two promises: a key is in force before the first report under it is accepted, and a unit's revisions go
on where they ended even when its outbox is new. Import, simulator and whatever comes later call `deliver`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from kafka.errors import KafkaError

from producers.errors import KeysError, Problem, PublishError
from producers.keys import FILE as KEYS_FILE
from producers.keys import NodeKeys
from producers.outbox import FILE as OUTBOX_FILE
from producers.outbox import Outbox
from producers.outbox_batch import Known
from producers.outbox_file import told_of
from producers.publisher import Publisher
from producers.rebuild import Place, places_of, rebuild, recall
from producers.registration import now_ms, registered_keys
from producers.send import Send
from producers.settlement import read_receipts
from schemas.catalogue import Catalogue
from schemas.log import ActReader
from schemas.register import Registers
from schemas.report import Millis
from schemas.settings import Settings
from schemas.signature import PublicKey, SigningKey

_PUT_AT_ONCE = 4096
SEND_AGAIN_AFTER_MS = 600_000
"""A send without a receipt for so long is sent again at the next connection."""

Progress = Callable[[int, int], None]
"""Called with (acknowledged, to be sent)."""


@dataclass(slots=True)
class Summary:
    """What became of the sends: new or known to the outbox, acknowledged (rows that waited before are in that too).

    `moved` of the new ones bear a later time of issue than they came with.
    """

    sends: int = 0
    new: int = 0
    known: int = 0
    moved: int = 0
    acked: int = 0
    problems: list[Problem] = field(default_factory=list)


class Delivery:
    """The keys and the outbox of one data folder, connected to its cluster."""

    def __init__(self, settings: Settings, operator: SigningKey | None) -> None:
        """`operator` registers keys; None where that is done elsewhere."""
        if not settings.operator_key:
            raise KeysError("no operator key is set (CHUNGSUC_OPERATOR_KEY), so nobody's key could be trusted")
        self._settings = settings
        self._operator = operator
        self._keys = NodeKeys(settings.data / KEYS_FILE)
        self.outbox = Outbox(settings.data / OUTBOX_FILE)
        registers = Registers(PublicKey(bytes.fromhex(settings.operator_key)), settings.act_delay_ms)
        self._acts = ActReader(settings, registers)
        self._recalled: set[Place] = set()

    def close(self) -> None:
        """Close files and connections."""
        self._acts.close()
        self.outbox.close()
        self._keys.close()

    def reconnect(self, now: Millis) -> int:
        """Read the receipts that came meanwhile, and put what got none for long among the waiting; how many."""
        read_receipts(self.outbox, self._settings, now)
        overdue = self.outbox.unsettled(Millis(now - SEND_AGAIN_AFTER_MS))
        if overdue:
            self.outbox.send_again(overdue)
        self.outbox.prune(now)
        return len(overdue)

    def deliver(self, sends: Sequence[Send], catalogue: Catalogue, progress: Progress | None = None) -> Summary:
        """Send all of them and return after the last acknowledgement.

        Sends of one series come in the order of their issue times. Data errors are in the summary's problems. Raises a
        ProducerError or LogUnreachable; what the outbox took by then goes out with the next delivery.
        """
        with told_of(self.outbox.path):
            return self._deliver(sends, catalogue, progress)

    def _deliver(self, sends: Sequence[Send], catalogue: Catalogue, progress: Progress | None) -> Summary:
        signers = registered_keys(
            self._settings, self._acts, self._operator, self._keys, (send.sender for send in sends)
        )
        places = places_of(sends, catalogue.units, self._settings.partitions)
        recall(self.outbox, self._settings, places - self._recalled, catalogue, self._acts.registers)
        self._recalled |= places
        rebuild(self.outbox, self._settings, places, catalogue, self._acts.registers)
        self.reconnect(now_ms())
        summary = Summary(sends=len(sends))
        shown = (lambda acked: progress(acked, len(sends))) if progress else None
        with Publisher(self._settings, self.outbox, progress=shown) as publisher:
            for start in range(0, len(sends), _PUT_AT_ONCE):
                for put in self.outbox.put(sends[start : start + _PUT_AT_ONCE], signers, now_ms()):
                    summary.new += put.known is Known.NEW
                    summary.known += put.known is Known.KNOWN
                    summary.moved += put.moved
                    if put.problem:
                        summary.problems.append(put.problem)
                publisher.pump()
            publisher.finish()
        summary.acked = publisher.acked
        summary.problems += publisher.problems
        return summary


def deliver(
    settings: Settings,
    operator: SigningKey | None,
    catalogue: Catalogue,
    sends: Sequence[Send],
    progress: Progress | None = None,
) -> Summary:
    """One delivery, opened and closed. Raises a ProducerError, also for a cluster that does not answer."""
    try:
        delivery = Delivery(settings, operator)
        try:
            return delivery.deliver(sends, catalogue, progress)
        finally:
            delivery.close()
    except KafkaError as error:
        raise PublishError(f"the cluster at {settings.bootstrap} does not answer: {error!r}") from error
