"""Which log this is, and whether what was committed still fits it (design decision 14).

A checkpoint or a committed offset of another log, or of one that was cut, would give silently wrong totals: after a
power loss 156 of 764 were, in a trial. So every worker asks before it folds, and refuses in one line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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


@dataclass(frozen=True, slots=True)
class Extent:
    """First offset kept, end offset and committed offset of one partition; committed 0 where there is none."""

    first: int
    end: int
    committed: int


def extent(settings: Settings, group: str, topic: str, partition: int) -> Extent:
    """Asked of the brokers: the group before the ends, so that a commit in between can't lie beyond the end."""
    admin = KafkaAdminClient(bootstrap_servers=settings.bootstrap.split(","))
    tp = TopicPartition(topic, partition)
    try:
        offsets: dict[Any, Any] = admin.list_group_offsets(group).get(group, {})
        committed = offsets[tp].offset if tp in offsets else 0
        first = admin.list_partition_offsets({tp: OffsetSpec.EARLIEST})[tp].offset
        end = admin.list_partition_offsets({tp: OffsetSpec.LATEST})[tp].offset
    finally:
        admin.close()
    return Extent(first, end, max(committed, 0))


def check_log(settings: Settings, group: str, topic: str, partition: int) -> int:
    """The committed offset of a partition. Raises Refused where the log can't be the one it was committed on."""
    found = extent(settings, group, topic, partition)
    if found.first > 0:
        raise Refused(
            f"{topic}-{partition} starts at {found.first}, not at 0: records are gone that every figure rests "
            f"on; restore the log from its archive, then {REBUILD}"
        )
    if found.committed > found.end:
        raise Refused(
            f"{topic}-{partition} ends at {found.end}, below the committed offset {found.committed}: the log "
            f"was cut; {REBUILD}"
        )
    return found.committed
