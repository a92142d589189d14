"""The way over Kafka: a node that may write to `reports` itself, and reads its receipts from the topic.

The producer is idempotent and waits for all replicas. After a failure it is made anew, and what was not acknowledged is
sent again, the same bytes: at worst a duplicate. Nobody stands between this node and the log who would hold back what
is signed with a key that is not in force yet, so this does.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError

from producers.agent.store import AgentStore
from producers.agent.transport import Away, Held, Placed, RefusedForGood, Verdict
from producers.outbox import Waiting
from producers.outbox_file import transaction
from producers.settlement import read_receipts
from schemas.failpoint import failpoint
from schemas.kafka_client import client_options
from schemas.log import ActReader, LogUnreachable, TopicReader
from schemas.register import Registers
from schemas.report import KeyId, Millis, Offset, Revision, Series, Source
from schemas.settings import Settings
from schemas.signature import PublicKey
from schemas.topics import HEADER_ROOM_BYTES, MAX_REPORT_BYTES, RECEIPTS, REPORTS, partition_of

_TIMEOUT_S = 20.0
_SIZE = (MessageSizeTooLargeError, RecordListTooLargeError)
_IN_FORCE_AFTER_S = 0.1
_FASTEST = 5000.0
"""Reports a second: a backlog leaves the broker time for others."""


class KafkaTransport:
    """To the cluster of `settings`. For one thread."""

    def __init__(self, settings: Settings, timeout_s: float = _TIMEOUT_S) -> None:
        self.reports_per_s = _FASTEST
        self._settings = settings
        self._timeout_s = timeout_s
        self._registers = Registers(PublicKey(bytes.fromhex(settings.operator_key)), settings.act_delay_ms)
        self._acts: ActReader | None = None
        self._producer: KafkaProducer | None = None
        self._known_since: dict[KeyId, float] = {}

    def catalogue(self, held: str) -> bytes | None:
        """The one that the acts released last."""
        found = self._refreshed().newest_catalogue()
        if found is None:
            raise Away(f"no catalogue has been released on {self._settings.bootstrap} yet")
        return None if found.digest.hex() == held else found.bundle

    def deliver(self, store: AgentStore, rows: Sequence[Waiting]) -> list[Verdict]:
        """All at once, and a wait for all acknowledgements."""
        kid = KeyId(dict(rows[0].record.headers)["kid"].decode())
        if lacking := self._lacking(kid):
            return [Held(lacking)] * len(rows)
        try:
            self._begin_receipts(store)
            self._producer = self._producer or self._connected()
            sent = [self._send(self._producer, row) for row in rows]
            self._producer.flush(self._timeout_s + 5)
        except (KafkaError, LogUnreachable) as error:
            self._drop_producer()
            raise Away(f"the cluster at {self._settings.bootstrap} does not answer: {error!r}") from error
        failpoint("agent.after_send")
        found = [self._verdict(one) for one in sent]
        if None in found:
            self._drop_producer()
        if not any(found):
            raise Away(f"the cluster at {self._settings.bootstrap} took nothing")
        failpoint("agent.after_ack")
        return found

    def settle(self, store: AgentStore, now: Millis) -> int:
        """From the topic."""
        try:
            return read_receipts(store.outbox, self._settings, now)
        except (KafkaError, LogUnreachable) as error:
            raise Away(f"receipts can't be read: {error!r}") from error

    def highest(self, series: Sequence[Series]) -> dict[Series, Revision]:
        """None: a receipt names the revision that others hold."""
        return {}

    def clock_ahead_s(self) -> float | None:
        """Not known here."""
        return None

    def close(self) -> None:
        """Close connections."""
        self._drop_producer()
        self._close_acts()

    def _refreshed(self) -> Registers:
        """What is decided as of now. Raises Away."""
        try:
            self._acts = self._acts or ActReader(self._settings, self._registers)
            return self._acts.refresh()
        except (KafkaError, LogUnreachable) as error:
            self._close_acts()
            raise Away(f"the cluster at {self._settings.bootstrap} does not answer: {error!r}") from error

    def _lacking(self, kid: KeyId) -> str:
        """Why nothing signed with a key would count now; empty where it would.

        A key is in force a while after its act by the broker's clock, so surely as long after it was seen here: that
        moment is waited for.
        """
        entry = self._registers.key(kid) or self._refreshed().key(kid)
        if entry is None:
            return f"key {kid} is not registered: ask the operator for `chungsuc keys register`"
        if entry.revoked:
            return f"key {kid} is revoked: {entry.reason}"
        seen = self._known_since.setdefault(kid, time.monotonic())
        late_s = self._settings.act_delay_ms / 1000 + _IN_FORCE_AFTER_S - (time.monotonic() - seen)
        time.sleep(max(0.0, late_s))
        return ""

    def _begin_receipts(self, store: AgentStore) -> None:
        """A new outbox waits for no receipt that is there already."""
        if store.database.execute("SELECT EXISTS (SELECT 1 FROM receipts_read)").fetchone()[0]:
            return
        with TopicReader(self._settings.bootstrap, self._settings.topic(RECEIPTS)) as reader:
            ends = reader.ends()
        with transaction(store.database, store.path):
            store.database.executemany("INSERT OR REPLACE INTO receipts_read VALUES (?, ?)", list(ends.items()))

    def _send(self, producer: KafkaProducer, row: Waiting) -> Any:
        record, topic = row.record, self._settings.topic(REPORTS)
        partition = partition_of(record.key or b"", len(producer.partitions_for(topic)))
        try:
            return producer.send(topic, record.value, record.key, list(record.headers), partition)
        except _SIZE as error:
            return error

    def _verdict(self, sent: Any) -> Verdict:
        if isinstance(sent, _SIZE):
            return RefusedForGood(str(sent))
        try:
            at = sent.get(0)
        except KafkaError:
            # One that is too large takes its neighbours' batch with it, so nobody is refused for a failure in flight.
            return None
        return Placed(Source(at.partition, Offset(at.offset)) if at.offset >= 0 else None)

    def _connected(self) -> KafkaProducer:
        timeout_ms = int(self._timeout_s * 1000)
        return KafkaProducer(
            **client_options(self._settings.bootstrap, "chungsuc-agent"),
            enable_idempotence=True,
            acks="all",
            linger_ms=5,
            max_request_size=MAX_REPORT_BYTES + HEADER_ROOM_BYTES,
            delivery_timeout_ms=timeout_ms,
            request_timeout_ms=min(30_000, timeout_ms - 100),
            max_block_ms=timeout_ms,
            bootstrap_timeout_ms=timeout_ms,
            metrics_enabled=False,
        )

    def _drop_producer(self) -> None:
        if self._producer is not None:
            self._producer.close(timeout=1)
            self._producer = None

    def _close_acts(self) -> None:
        if self._acts is not None:
            self._acts.close()
            self._acts = None
