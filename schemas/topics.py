"""Topics: names, how long each is kept, and which partition a key belongs to (contract 11)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from kafka.partitioner.default import murmur2

KIB = 1024
MIB = 1024 * KIB
DAY_MS = 86_400_000

MAX_REPORT_BYTES = MIB
"""Largest value of a record of `reports`."""
HEADER_ROOM_BYTES = 64 * KIB

REPORTS = "reports"
FIGURES = "figures"
RECEIPTS = "receipts"
REJECTED = "rejected"
ACTS = "acts"
ISSUED = "issued"

INGEST_GROUP = "chungsuc-ingest"
ROLLUP_GROUP = "chungsuc-rollup"
"""Consumer groups, without the settings' prefix."""


@dataclass(frozen=True, slots=True)
class Topic:
    """How one topic is created. `keyed`: as many partitions as the cluster's data has, else few."""

    name: str
    keyed: bool
    max_message_bytes: int
    retention_ms: int
    flushed: bool
    """A single broker must not acknowledge from the page cache what a checkpoint on disk already counts on."""


TOPICS: tuple[Topic, ...] = (
    Topic(REPORTS, True, MAX_REPORT_BYTES + HEADER_ROOM_BYTES, -1, True),
    Topic(FIGURES, True, 16 * MIB, -1, True),
    Topic(RECEIPTS, True, MIB, 90 * DAY_MS, False),
    Topic(REJECTED, True, MAX_REPORT_BYTES + 2 * HEADER_ROOM_BYTES, 365 * DAY_MS, False),
    Topic(ACTS, False, 16 * MIB, -1, True),
    Topic(ISSUED, False, 16 * MIB, -1, False),
)


def topic_config(topic: Topic, replication: int) -> Mapping[str, str]:
    """The broker's settings of a topic. Never compacted: compaction keeps the last record of a key, not the highest."""
    config = {
        "message.timestamp.type": "LogAppendTime",
        "cleanup.policy": "delete",
        "max.message.bytes": str(topic.max_message_bytes),
        "retention.ms": str(topic.retention_ms),
        "retention.bytes": "-1",
        # Else the broker measures what came packed: 10 MB of zeros would get in, and never fit into `rejected`.
        "compression.type": "uncompressed",
    }
    if replication == 1 and topic.flushed:
        config["flush.messages"] = "1"
    if replication > 1:
        config["min.insync.replicas"] = "2"
    return config


@lru_cache(maxsize=131_072)
def partition_of(key: bytes, partitions: int) -> int:
    """Kafka's own partition of a key: murmur2, as kafka-python and aiokafka compute it."""
    return int(murmur2(key) & 0x7FFFFFFF) % partitions
