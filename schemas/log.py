"""The log as every stage reads it: a topic's records in order, without a consumer group, up to its end as of now.

Blocking and simple, on kafka-python; the stream workers have their own transport for the hot path.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from kafka import KafkaConsumer, TopicPartition

from schemas.kafka_client import client_options, read_any_header_names
from schemas.register import Registers
from schemas.report import Millis, Offset, Source
from schemas.settings import Settings
from schemas.signature import Header
from schemas.topics import ACTS

FETCH_BYTES = 24 * 1024 * 1024
"""Above the largest record of any topic (16 MiB), so that a fetch never stands still."""


SILENCE_S = 60.0
"""A reader that is not at the end and gets nothing for so long gives up; a new one finds the leaders anew."""


class LogUnreachable(ConnectionError):
    """No broker answered in time, or the topic does not exist."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a topic. `time` is the broker's (LogAppendTime), ms since 1970."""

    topic: str
    partition: int
    offset: Offset
    time: Millis
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...]

    @property
    def source(self) -> Source:
        """Where it stands."""
        return Source(self.partition, self.offset)


class TopicReader:
    """Reads all or some partitions of one topic from given offsets (0 where none is given)."""

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        start: Mapping[int, int] | None = None,
        partitions: list[int] | None = None,
        *,
        silence_s: float = SILENCE_S,
    ) -> None:
        read_any_header_names()
        self._silence_s = silence_s
        self._consumer = KafkaConsumer(
            **client_options(bootstrap, "chungsuc-reader"),
            metrics_enabled=False,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_bytes=2 * FETCH_BYTES,
            max_partition_fetch_bytes=FETCH_BYTES,
            max_poll_records=20_000,
        )
        found = self._consumer.partitions_for_topic(topic)
        if not found:
            self._consumer.close()
            raise LogUnreachable(f"topic {topic} is not there on {bootstrap}")
        self.topic = topic
        self._partitions = [TopicPartition(topic, p) for p in sorted(found if partitions is None else partitions)]
        self._consumer.assign(self._partitions)
        for partition in self._partitions:
            self._consumer.seek(partition, (start or {}).get(partition.partition, 0))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connection back."""
        self._consumer.close()

    def ends(self) -> dict[int, int]:
        """End offset (that of the next record) of each partition as of now."""
        return {tp.partition: offset for tp, offset in self._consumer.end_offsets(self._partitions).items()}

    def beginnings(self) -> dict[int, int]:
        """First offset still kept, by partition."""
        return {tp.partition: offset for tp, offset in self._consumer.beginning_offsets(self._partitions).items()}

    def positions(self) -> dict[int, int]:
        """Offset of the next record to be read, by partition."""
        return {tp.partition: self._consumer.position(tp) for tp in self._partitions}

    def to_beginnings(self) -> None:
        """Go on at the first record that is still kept, in a topic that is not kept for ever."""
        for partition, offset in self.beginnings().items():
            self._consumer.seek(TopicPartition(self.topic, partition), offset)

    def poll(self, timeout_s: float) -> list[Record]:
        """What has come within the timeout, in order within each partition; maybe nothing."""
        fetched = self._consumer.poll(timeout_ms=int(timeout_s * 1000))
        return [
            Record(self.topic, r.partition, Offset(r.offset), Millis(r.timestamp), r.key, r.value, tuple(r.headers))
            for records in fetched.values()
            for r in records
        ]

    def to_end(self, ends: Mapping[int, int] | None = None) -> Generator[Record]:
        """Every record up to `ends` (by default the ends as of now), then stop.

        What was fetched and not handed out, since it came after the end was asked for or the caller broke off, comes
        with the next call: a reader that is kept would else never see it. Raises LogUnreachable where nothing comes for
        a minute though there is more: who asks tries again, or says so.
        """
        ends = dict(self.ends() if ends is None else ends)
        came_at = time.monotonic()
        waiting: deque[Record] = deque()
        kept: dict[int, int] = {}
        try:
            while any(position < ends.get(partition, 0) for partition, position in self.positions().items()):
                waiting.extend(self.poll(1.0))
                if not waiting and time.monotonic() - came_at > self._silence_s:
                    raise LogUnreachable(f"nothing came from {self.topic} for {self._silence_s:.0f} s before its end")
                while waiting:
                    record = waiting.popleft()
                    if record.offset < ends.get(record.partition, 0):
                        yield record
                    else:
                        kept.setdefault(record.partition, record.offset)
                    came_at = time.monotonic()
        finally:
            for record in waiting:
                kept.setdefault(record.partition, record.offset)
            for partition, offset in kept.items():
                self._consumer.seek(TopicPartition(self.topic, partition), offset)


class ActReader:
    """Keeps registers up to date with `acts`."""

    def __init__(self, settings: Settings, registers: Registers) -> None:
        self.registers = registers
        self._reader = TopicReader(settings.bootstrap, settings.topic(ACTS))

    def refresh(self) -> Registers:
        """Read `acts` to its end as of now."""
        for record in self._reader.to_end():
            self.registers.apply(record.key, record.value, list(record.headers), record.time)
        return self.registers

    def close(self) -> None:
        """Give the connection back."""
        self._reader.close()
