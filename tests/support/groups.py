"""Committed offsets of a consumer group, as its workers would leave them."""

from __future__ import annotations

from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition

from schemas.settings import Settings


def commit(settings: Settings, group: str, offsets: dict[tuple[str, int], int]) -> None:
    """Commit `offsets` by topic and partition."""
    consumer = KafkaConsumer(bootstrap_servers=settings.bootstrap, group_id=settings.topic(group))
    try:
        named = {TopicPartition(settings.topic(topic), number): at for (topic, number), at in offsets.items()}
        consumer.assign(list(named))
        consumer.commit({partition: OffsetAndMetadata(at, "", -1) for partition, at in named.items()})
    finally:
        consumer.close()
