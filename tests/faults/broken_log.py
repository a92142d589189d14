"""What a power cut or a hand does to a partition's files while the broker is down."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

from kafka import KafkaProducer

from deploy.kafka import BrokerSettings, Cluster
from schemas.log import TopicReader
from schemas.settings import Settings
from schemas.topics import FIGURES
from tests.faults.harness import Running

_CHECKPOINTS = ("recovery-point-offset-checkpoint", "replication-offset-checkpoint", ".kafka_cleanshutdown")


def segment(running: Running, topic: str, partition: int) -> Path:
    """The only segment of a small partition."""
    (found,) = (running.data / "kafka").glob(f"broker-1/*/{topic}-{partition}/00000000000000000000.log")
    return found


def batches(path: Path) -> list[tuple[int, int, int]]:
    """(where it starts in the file, its first offset, how many records) of every batch."""
    content = path.read_bytes()
    found: list[tuple[int, int, int]] = []
    at = 0
    while at + 61 <= len(content):
        first, length = struct.unpack_from(">qi", content, at)
        (last_delta,) = struct.unpack_from(">i", content, at + 23)
        if length <= 0:
            break  # space set aside beyond the end
        found.append((at, first, last_delta + 1))
        at += 12 + length
    return found


def cut(running: Running, topic: str, partition: int, records: int) -> int:
    """Take the newest batches off a partition of a stopped broker, at least so many records. Returns how many."""
    path = segment(running, topic, partition)
    gone = 0
    for start, _, count in reversed(batches(path)):
        gone += count
        if gone >= records:
            with path.open("r+b") as file:
                file.truncate(start)
            break
    for other in path.parent.iterdir():
        if other.suffix in (".index", ".timeindex", ".snapshot"):
            other.unlink()
    for name in _CHECKPOINTS:
        (path.parent.parent / name).unlink(missing_ok=True)
    return gone


def grow(running: Running, settings: Settings, partition: int, records: int) -> None:
    """Start the stopped broker alone and append older contributions again, so many records."""
    with Cluster(BrokerSettings(data_dir=running.data / "kafka", port=running.base)) as cluster:
        cluster.start()
        topic = settings.topic(FIGURES)
        with TopicReader(cluster.bootstrap, topic, partitions=[partition]) as reader:
            old = [(record.key, record.value) for record in reader.to_end()]
        producer = KafkaProducer(bootstrap_servers=cluster.bootstrap, acks="all")
        try:
            sent = [producer.send(topic, value, key=key, partition=partition) for key, value in _many(old, records)]
            for future in sent:
                future.get(30)
        finally:
            producer.close(timeout=10)


def _many(old: Sequence[tuple[bytes | None, bytes | None]], records: int) -> list[tuple[bytes | None, bytes | None]]:
    return [old[at % len(old)] for at in range(records)]
