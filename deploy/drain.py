"""Drain: wait until everything that was in `reports` when asked is counted at every level and stored (contract 12).

Three waits in this order. Ingest has committed past the end of `reports` as asked at the start: all contributions are
in `figures`. Rollup has committed all of `figures` and the ends are the same when read again: nothing is on its way to
another level. The read model has stored `figures`, `receipts` and `rejected` to their ends. An offset is committed only
when all it led to was acknowledged, so no wait needs a pause.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kafka import TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import KafkaError

from deploy.errors import TimedOutError
from deploy.topic_set import admin_client
from schemas.settings import Settings
from schemas.topics import FIGURES, INGEST_GROUP, RECEIPTS, REJECTED, REPORTS, ROLLUP_GROUP

STORED_TOPICS = (FIGURES, RECEIPTS, REJECTED)

_ASK_EVERY_S = 0.05

Offsets = dict[TopicPartition, int]
Stored = Callable[[], Mapping[tuple[str, int], int]]
"""Offset of the next record that the read model has not stored, by topic (without prefix) and partition."""


@dataclass(frozen=True, slots=True)
class Behind:
    """What a drain still waits for: which stage, and how many records it has yet to take."""

    stage: str
    records: int


class LogOffsets:
    """Ends of topics and committed offsets of groups, by one admin client."""

    def __init__(self, admin: Any, settings: Settings) -> None:
        self._admin = admin
        self._settings = settings

    def ends(self, *names: str) -> Offsets:
        """End offset of each partition of these topics as of now."""
        count = self._settings.partitions
        wanted = [TopicPartition(self._settings.topic(name), p) for name in names for p in range(count)]
        found = self._admin.list_partition_offsets(dict.fromkeys(wanted, OffsetSpec.LATEST))
        return {partition: found[partition].offset for partition in wanted}

    def committed(self, group: str) -> Offsets:
        """Committed offsets of a group; a partition without one is left out, all while its coordinator loads."""
        name = self._settings.topic(group)
        try:
            found = self._admin.list_group_offsets({name: None}).get(name, {})
        except KafkaError as error:
            if not error.retriable:
                raise
            return {}
        return {partition: entry.offset for partition, entry in found.items() if entry.offset >= 0}


def drain(
    settings: Settings, stored: Stored, timeout_s: float, tell: Callable[[Behind], None] = lambda behind: None
) -> None:
    """Return when everything is counted and stored. `tell` hears of each look. Raises TimedOutError."""
    deadline = time.monotonic() + timeout_s

    def wait(stage: str, records_behind: Callable[[], int]) -> None:
        while records := records_behind():
            tell(Behind(stage, records))
            if time.monotonic() > deadline:
                raise TimedOutError(
                    f"not drained after {timeout_s:g} s: {stage} has {records} records to go; "
                    "`chungsuc status` tells whether every process is ready"
                )
            time.sleep(_ASK_EVERY_S)
        tell(Behind(stage, 0))

    with admin_client(settings.bootstrap) as admin:
        log = LogOffsets(admin, settings)
        reports = log.ends(REPORTS)
        wait("ingest", lambda: lag(reports, log.committed(INGEST_GROUP)))
        wait("rollup", lambda: _unfolded(log))
        ends = log.ends(*STORED_TOPICS)
        wait("the read model", lambda: lag(ends, _named(stored(), settings)))


def lag(ends: Mapping[TopicPartition, int], taken: Mapping[TopicPartition, int]) -> int:
    """Records up to `ends` that are not taken. An empty partition needs no offset."""
    return sum(max(0, end - taken.get(partition, 0)) for partition, end in ends.items())


def _unfolded(log: LogOffsets) -> int:
    """Records of `figures` not yet folded; a total sent meanwhile makes the ends differ and counts too."""
    ends = log.ends(FIGURES)
    behind = lag(ends, log.committed(ROLLUP_GROUP))
    return behind or sum(log.ends(FIGURES).values()) - sum(ends.values())


def _named(stored: Mapping[tuple[str, int], int], settings: Settings) -> Offsets:
    return {TopicPartition(settings.topic(topic), partition): offset for (topic, partition), offset in stored.items()}
