"""Which log this is, and whether what was committed still fits it (design decision 14).

A checkpoint or a committed offset of another log, or of one that was cut, would give silently wrong totals: after a
power loss 156 of 764 were, in a trial. So every worker asks before it folds, and refuses in one line.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import OffsetSpec

from schemas.kafka_client import client_options
from schemas.settings import Settings
from streams.app import Refused

REBUILD = "run `chungsuc rebuild` to make the figures anew from `reports`"

Extent = tuple[int, int]
"""First offset kept, and end offset (that of the next record)."""


@dataclass(frozen=True, slots=True)
class LogIdentity:
    """Cluster, topic and partition count: a topic deleted and made again has another topic id."""

    cluster_id: str
    topic_id: str
    partitions: int

    @classmethod
    def of(cls, settings: Settings, topic: str) -> LogIdentity:
        """As the brokers say now."""
        admin = KafkaAdminClient(**client_options(settings.bootstrap, "chungsuc-identity"))
        try:
            cluster = admin.describe_cluster()
            (about,) = admin.describe_topics([topic])
        finally:
            admin.close()
        return cls(str(cluster["cluster_id"]), str(about["topic_id"]), len(about["partitions"]))


def extents_of(settings: Settings, topic: str, partitions: Iterable[int]) -> dict[int, Extent]:
    """Each partition's, as the brokers say now."""
    wanted = [TopicPartition(topic, partition) for partition in partitions]
    if not wanted:
        return {}
    admin = KafkaAdminClient(**client_options(settings.bootstrap, "chungsuc-identity"))
    try:
        firsts = admin.list_partition_offsets(dict.fromkeys(wanted, OffsetSpec.EARLIEST))
        ends = admin.list_partition_offsets(dict.fromkeys(wanted, OffsetSpec.LATEST))
    finally:
        admin.close()
    return {tp.partition: (firsts[tp].offset, ends[tp].offset) for tp in wanted}


def check_log(topic: str, partition: int, extent: Extent, committed: int) -> None:
    """Raise Refused where the log can't be the one on which `committed` was committed, before `extent` was asked."""
    first, end = extent
    if first > 0:
        raise Refused(
            f"{topic}-{partition} starts at {first}, not at 0: records are gone that every figure rests "
            f"on; restore the log from its archive, then {REBUILD}"
        )
    if committed > end:
        raise Refused(
            f"{topic}-{partition} ends at {end}, below the committed offset {committed}: the log was cut; {REBUILD}"
        )
