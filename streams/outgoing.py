"""Sending from a stream worker: records into chosen partitions, and the wait until the broker has them all.

A failed send raises, and the worker ends before its commit (design decision 13): Faust itself would only log it and
commit past the loss.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer

from schemas.settings import Settings
from schemas.topics import MIB, partition_of

_BATCH_BYTES = MIB
_LARGEST_REQUEST_BYTES = 17 * MIB
_Record = tuple[bytes | None, bytes, Sequence[tuple[str, bytes]]]
Queued = dict[tuple[str, int], list[_Record]]
"""Records by topic and partition."""


class Outgoing:
    """A producer with acks=all. `send` queues; `flush` returns when everything queued is acknowledged, or raises."""

    def __init__(self, settings: Settings, half_sent: Callable[[], None]) -> None:
        """`half_sent` is called once the first records of a flush are acknowledged and the rest may not be."""
        self._half_sent = half_sent
        self._producer = AIOKafkaProducer(
            bootstrap_servers=settings.bootstrap,
            acks="all",
            max_batch_size=_BATCH_BYTES,
            max_request_size=_LARGEST_REQUEST_BYTES,
            request_timeout_ms=30_000,
            client_id=settings.worker_id,
        )
        self._partitions: dict[str, int] = {}
        self._places: dict[tuple[str, bytes], tuple[str, int]] = {}
        """Where records with a key go: keys are codes of units, and Kafka's hash is slow in Python."""
        self._queued: Queued = {}

    async def start(self) -> None:
        """Connect."""
        await self._producer.start()

    async def stop(self) -> None:
        """Give the connections back."""
        await self._producer.stop()

    async def partitions(self, topic: str) -> int:
        """How many partitions a topic has."""
        if topic not in self._partitions:
            self._partitions[topic] = len(await self._producer.partitions_for(topic))
        return self._partitions[topic]

    def by_key(self, topic: str, keys: Iterable[bytes], values: Iterable[bytes]) -> None:
        """Queue records under their keys. `partitions` of the topic must have been asked for before."""
        count = self._partitions[topic]
        for key, value in zip(keys, values, strict=True):
            place = self._places.get((topic, key))
            if place is None:
                place = self._places[topic, key] = (topic, partition_of(key, count))
            self._queued.setdefault(place, []).append((key, value, ()))

    def to_partition(
        self,
        topic: str,
        partition: int,
        value: bytes,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        """Queue one record for a partition."""
        self._queued.setdefault((topic, partition), []).append((key, value, headers))

    def take(self) -> Queued:
        """All that is queued, to be given to `send`; the queue is empty then."""
        queued, self._queued = self._queued, {}
        return queued

    async def flush(self) -> None:
        """Send all that is queued and wait until the broker has acknowledged it. Raises what the broker says."""
        await self.send(self.take())

    async def send(self, queued: Queued) -> None:
        """Send what was taken from the queue and wait until the broker has acknowledged it."""
        acks: list[asyncio.Future[Any]] = []
        for (topic, partition), records in queued.items():
            acks += await self._send(topic, partition, records)
        if acks:
            acks[0].add_done_callback(lambda _: self._half_sent())
        for result in await asyncio.gather(*acks, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    async def _send(self, topic: str, partition: int, records: Sequence[_Record]) -> list[asyncio.Future[Any]]:
        acks: list[asyncio.Future[Any]] = []
        batch = self._producer.create_batch()
        for key, value, headers in records:
            if batch.append(key=key, value=value, timestamp=None, headers=list(headers)) is not None:
                continue
            if batch.record_count():
                acks.append(await self._producer.send_batch(batch, topic, partition=partition))
                batch = self._producer.create_batch()
                if batch.append(key=key, value=value, timestamp=None, headers=list(headers)) is not None:
                    continue
            # Larger than a batch: the producer sends it alone.
            acks.append(await self._producer.send(topic, value, key, partition=partition, headers=list(headers)))
            batch = self._producer.create_batch()
        if batch.record_count():
            acks.append(await self._producer.send_batch(batch, topic, partition=partition))
        return acks
