"""The writer: reads `figures`, `receipts`, `rejected` and `acts` into the database, and goes on where that ends.

There is no consumer group. The offsets stand in the database beside what they brought (design decision 11), and before
the first record is stored the writer makes sure that this is still the log they belong to: same cluster, same topics,
no shorter than what is stored, and the record before each offset still the one that was seen. After a power loss a log
may have been cut and have grown again; going on would mix two histories.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition

from consumers.read_model.database import DatabaseRefused
from consumers.read_model.store import KEPT_FOR_EVER, TOPICS, Applied, Overtaken, Partition, Position, Store, seen
from schemas.kafka_client import client_options
from schemas.log import FETCH_BYTES, LogUnreachable, Record, TopicReader
from schemas.register import Registers
from schemas.report import Millis, Offset
from schemas.settings import Settings
from schemas.signature import PublicKey
from schemas.topics import ACTS

logger = logging.getLogger("chungsuc.read_model")

BATCH_RECORDS = 5_000
LINGER_S = 0.1
"""How long a batch that is not full waits for more: ten commits a second are fresh enough, each costs an fsync."""
CHECK_TIMEOUT_S = 30.0


class Writer:
    """Keeps one database up to date. Not for several threads; several writers on one database do no harm."""

    def __init__(self, settings: Settings, connection: sqlite3.Connection) -> None:
        self._settings = settings
        self.registers = Registers(PublicKey(bytes.fromhex(settings.operator_key)), settings.act_delay_ms)
        self.store = Store(connection, self.registers)
        self._names = {settings.topic(topic): topic for topic in TOPICS}
        cluster_id, topic_ids, partitions = _describe(settings, self._names)
        self._partitions = partitions
        self.store.adopt(cluster_id, topic_ids, partitions)
        self._consumer = KafkaConsumer(
            **client_options(settings.bootstrap, "chungsuc-read-model"), metrics_enabled=False, group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none", fetch_max_bytes=2 * FETCH_BYTES, max_partition_fetch_bytes=FETCH_BYTES,
            max_poll_records=BATCH_RECORDS,
        )  # fmt: skip
        try:
            self._consumer.assign([self._topic_partition(partition) for partition in partitions])
            self._check_log()
            self._go_on()
        except BaseException:
            self._consumer.close()
            raise

    def close(self) -> None:
        """Give the connection to the broker back. The database stays with its owner."""
        self._consumer.close()

    def step(self, timeout_s: float = 1.0) -> Applied:
        """Wait up to the timeout for records and store them in one transaction. Nothing came: nothing is applied.

        Where another writer was faster, reads its positions and goes on from there.
        """
        batch = self._gather(timeout_s)
        if not batch:
            return Applied()
        try:
            return self.store.apply(batch)
        except Overtaken as overtaken:
            logger.warning("another writer stores here too: %s; going on from its positions", overtaken)
            self._go_on()
            return Applied()

    def ends(self) -> dict[Partition, int]:
        """End offset (that of the next record) of every partition as of now."""
        ends = self._consumer.end_offsets([self._topic_partition(partition) for partition in self._partitions])
        return {self._partition(found): offset for found, offset in ends.items()}

    def caught_up(self, ends: Mapping[Partition, int]) -> bool:
        """Whether everything below `ends` is stored."""
        positions = self.store.positions()
        return all(positions[partition].next >= end for partition, end in ends.items())

    def _gather(self, timeout_s: float) -> dict[Partition, list[Record]]:
        batch: dict[Partition, list[Record]] = {}
        count = 0
        deadline = time.monotonic() + timeout_s
        while count < BATCH_RECORDS and (left := deadline - time.monotonic()) > 0:
            polled = self._consumer.poll(timeout_ms=max(1, int(left * 1000)))
            if polled and not batch:
                deadline = time.monotonic() + LINGER_S
            for found, records in polled.items():
                partition = self._partition(found)
                batch.setdefault(partition, []).extend(_record(partition[0], record) for record in records)
                count += len(records)
        return batch

    def _check_log(self) -> None:
        """Raises DatabaseRefused where the log is not the one whose offsets are stored."""
        positions = self.store.positions()
        assigned = [self._topic_partition(partition) for partition in self._partitions]
        ends = self._consumer.end_offsets(assigned)
        beginnings = self._consumer.beginning_offsets(assigned)
        to_look_at: dict[TopicPartition, Position] = {}
        for found in assigned:
            partition = self._partition(found)
            position, name = positions[partition], f"{partition[0]} {partition[1]}"
            if position.next > ends[found]:
                raise DatabaseRefused(
                    f"{name} ends at {ends[found]}, the read model has stored it up to "
                    f"{position.next}: the log was cut; run `chungsuc rebuild`"
                )
            if position.next < beginnings[found]:
                if partition[0] in KEPT_FOR_EVER:
                    raise DatabaseRefused(
                        f"{name} begins at {beginnings[found]}, the read model needs it from "
                        f"{position.next}: the log was trimmed; run `chungsuc rebuild`"
                    )
                logger.warning(
                    "%s begins at %d: what came from %d on is past its retention",
                    name,
                    beginnings[found],
                    position.next,
                )
                self.store.skip_to(partition, position.next, beginnings[found])
            elif position.next > beginnings[found] and position.digest is not None:
                to_look_at[found] = position
        self._check_seen(to_look_at)

    def _check_seen(self, positions: Mapping[TopicPartition, Position]) -> None:
        waiting = dict(positions)
        assigned = self._consumer.assignment()
        self._seek()  # a partition without a position would be refused, paused or not
        self._consumer.pause(*[found for found in assigned if found not in waiting])
        for found, position in waiting.items():
            self._consumer.seek(found, position.next - 1)
        deadline = time.monotonic() + CHECK_TIMEOUT_S
        while waiting:
            if time.monotonic() > deadline:
                raise LogUnreachable(
                    f"{', '.join(found.topic for found in waiting)}: no answer for {CHECK_TIMEOUT_S} s"
                )
            for found, records in self._consumer.poll(timeout_ms=500).items():
                position = waiting.pop(found, None)
                if position is None:
                    continue
                self._consumer.pause(found)
                last = records[0]
                if (last.timestamp, seen(last.value)) != (position.time, position.digest):
                    raise DatabaseRefused(
                        f"{self._names[found.topic]} {found.partition}: the record at {last.offset} "
                        "is not the one stored: the log was cut and has grown again; run "
                        "`chungsuc rebuild`"
                    )
        self._consumer.resume(*assigned)

    def _go_on(self) -> None:
        """Read on where the database ends; fold the acts before that, by which what a superior decides counts."""
        self._seek()
        topic = self._settings.topic(ACTS)
        stored = {partition: position.next for (name, partition), position in self.store.positions().items()
                  if name == ACTS}  # fmt: skip
        with closing(TopicReader(self._settings.bootstrap, topic)) as reader:
            for record in reader.to_end(stored):
                self.registers.apply(record.key, record.value, list(record.headers), record.time)

    def _seek(self) -> None:
        for partition, position in self.store.positions().items():
            self._consumer.seek(self._topic_partition(partition), position.next)

    def _topic_partition(self, partition: Partition) -> TopicPartition:
        return TopicPartition(self._settings.topic(partition[0]), partition[1])

    def _partition(self, found: TopicPartition) -> Partition:
        return self._names[found.topic], found.partition


def _record(topic: str, record: Any) -> Record:
    return Record(topic, record.partition, Offset(record.offset), Millis(record.timestamp), record.key, record.value,
                  tuple(record.headers))  # fmt: skip


def _describe(settings: Settings, names: Mapping[str, str]) -> tuple[str, dict[str, str], list[Partition]]:
    """(cluster id, topic ids, partitions), topics without the prefix. Raises LogUnreachable for a missing topic."""
    admin = KafkaAdminClient(**client_options(settings.bootstrap, "chungsuc-read-model"))
    try:
        cluster_id = str(admin.describe_cluster()["cluster_id"])
        described = admin.describe_topics(list(names))
    finally:
        admin.close()
    topic_ids: dict[str, str] = {}
    partitions: list[Partition] = []
    for topic in described:
        if topic["error_code"]:
            raise LogUnreachable(f"topic {topic['name']} is not there on {settings.bootstrap}")
        name = names[topic["name"]]
        topic_ids[name] = str(topic["topic_id"])
        partitions += [(name, partition["partition_index"]) for partition in topic["partitions"]]
    return cluster_id, topic_ids, sorted(partitions)
