"""Which log this is, and whether what was committed still fits it (design decision 14).

A checkpoint or a committed offset of another log, or of one that was cut, would give silently wrong totals: after a
power loss 156 of 764 were, in a trial. So every worker asks before it folds, and refuses in one line.
"""

from __future__ import annotations

from dataclasses import dataclass

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import OffsetSpec

from schemas.settings import Settings
from streams.app import Refused

REBUILD = "run `chungsuc rebuild` to make the figures anew from `reports`"


@dataclass(frozen=True, slots=True)
class LogIdentity:
    """Cluster, topic and partition count: a topic deleted and made again has another topic id."""

    cluster_id: str
    topic_id: str
    partitions: int

    @classmethod
    def of(cls, settings: Settings, topic: str) -> LogIdentity:
        """As the brokers say now."""
        admin = KafkaAdminClient(bootstrap_servers=settings.bootstrap.split(","))
        try:
            cluster = admin.describe_cluster()
            (about,) = admin.describe_topics([topic])
        finally:
            admin.close()
        return cls(str(cluster["cluster_id"]), str(about["topic_id"]), len(about["partitions"]))


def ends_of(settings: Settings, topic: str, partition: int) -> tuple[int, int]:
    """First offset kept and end offset of one partition, as the brokers say now."""
    admin = KafkaAdminClient(bootstrap_servers=settings.bootstrap.split(","))
    tp = TopicPartition(topic, partition)
    try:
        first = admin.list_partition_offsets({tp: OffsetSpec.EARLIEST})[tp].offset
        end = admin.list_partition_offsets({tp: OffsetSpec.LATEST})[tp].offset
    finally:
        admin.close()
    return first, end


def check_log(settings: Settings, topic: str, partition: int, committed: int) -> None:
    """Raise Refused where the log can't be the one on which `committed` was committed."""
    first, end = ends_of(settings, topic, partition)
    if first > 0:
        raise Refused(
            f"{topic}-{partition} starts at {first}, not at 0: records are gone that every figure rests "
            f"on; restore the log from its archive, then {REBUILD}"
        )
    if committed > end:
        raise Refused(
            f"{topic}-{partition} ends at {end}, below the committed offset {committed}: the log was cut; {REBUILD}"
        )
