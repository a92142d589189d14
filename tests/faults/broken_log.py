"""What a power cut or a hand does to a partition's files while the broker is down."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

from kafka import KafkaProducer

from deploy.kafka import BrokerSettings, Cluster
from schemas.log import TopicReader

_CHECKPOINTS = ("recovery-point-offset-checkpoint", "replication-offset-checkpoint", ".kafka_cleanshutdown")


def segment(kafka: Path, broker: int, topic: str, partition: int) -> Path:
    """The only segment of a small partition. `kafka` is the folder of the cluster."""
    (found,) = kafka.glob(f"broker-{broker}/*/{topic}-{partition}/00000000000000000000.log")
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


def cut(kafka: Path, broker: int, topic: str, partition: int, records: int) -> int:
    """Take the newest batches off a partition of a stopped broker, at least so many records. Returns how many."""
    path = segment(kafka, broker, topic, partition)
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


def grow(kafka: Path, port: int, topic: str, partition: int, records: int) -> None:
    """Start the stopped broker alone and append older records again, so many."""
    with Cluster(BrokerSettings(data_dir=kafka, port=port)) as cluster:
        cluster.start()
        append_again(cluster.bootstrap, topic, partition, records)


def append_again(bootstrap: str, topic: str, partition: int, records: int) -> None:
    """Append older records of a partition to it once more, so many."""
    with TopicReader(bootstrap, topic, partitions=[partition]) as reader:
        old = [(record.key, record.value) for record in reader.to_end()]
    producer = KafkaProducer(bootstrap_servers=bootstrap.split(","), acks="all")
    try:
        sent = [producer.send(topic, value, key=key, partition=partition) for key, value in _many(old, records)]
        for future in sent:
            future.get(30)
    finally:
        producer.close(timeout=10)


def _many(old: Sequence[tuple[bytes | None, bytes | None]], records: int) -> list[tuple[bytes | None, bytes | None]]:
    return [old[at % len(old)] for at in range(records)]
