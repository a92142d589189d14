"""A Faust transport that hands the agent all records of one partition and fetch as one event.

Stock Faust spends about 80 µs per record before user code (four asyncio tasks each). Here membership, assignment and
flow control stay Faust's, and one event carries a `Batch`, which numpy decodes and folds at once; aiokafka hands over
the fetched bytes, which `streams/records.py` reads. Three traps of Faust 0.15.3 are closed: `_new_offset` never commits
again after a first fetch of one record, the wait for records sleeps a whole second when buffers are full, and
acknowledged offsets may pass records that were skipped after a rebalance; so what is committed is only ever what the
application says is done (`Committable`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import faust
from aiokafka.consumer import fetcher
from aiokafka.errors import KafkaError
from faust.transport.drivers import aiokafka as driver

from streams.records import Records, has_batch, read_records

log = logging.getLogger("chungsuc.streams")

FETCH_BYTES = 4 * 1024 * 1024
"""Per partition and fetch: fewer, larger batches raise the fold's rate by a third (measured)."""

_IDLE_WAIT_S = 0.05


@dataclass(frozen=True, slots=True)
class Batch:
    """All records of one partition and fetch, in order; at least one."""

    topic: str
    partition: int
    records: Records

    @property
    def first(self) -> int:
        """Offset of the first record."""
        return int(self.records.offsets[0])

    @property
    def last(self) -> int:
        """Offset of the last record."""
        return int(self.records.offsets[-1])

    def one_by_one(self) -> Iterator[Batch]:
        """Each record as a batch of its own."""
        for at in range(len(self.records)):
            yield Batch(self.topic, self.partition, self.records.cut(at, at + 1))


Committable = Callable[[str, int], int | None]
"""The offset that may be committed for (topic, partition): all below it is done and acknowledged. None: nothing yet."""


class FetchedBytes:
    """What aiokafka asks of fetched record batches before anybody reads them."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def has_next(self) -> bool:
        """Whether at least one batch has come whole."""
        return has_batch(self.content)

    def size_in_bytes(self) -> int:
        """Zero where nothing new was in the log."""
        return len(self.content)


class FetchedRecords(fetcher.PartitionRecords):  # type: ignore[misc]
    """The records of a fetch as one item, `Records`, instead of an object for each."""

    next_fetch_offset: int

    def _unpack_records(self) -> Iterator[Records]:
        if self._isolation_level != fetcher.READ_UNCOMMITTED:
            raise ValueError("records of aborted transactions are not left out here: read uncommitted")
        found, following = read_records(self._records.content, self.next_fetch_offset, check_crcs=self._check_crcs)
        self.next_fetch_offset = following
        if len(found):
            yield found


def fetch_records_together() -> None:
    """Make every aiokafka consumer of this process yield `Records`, one per partition and fetch."""
    fetcher.MemoryRecords = FetchedBytes
    fetcher.PartitionRecords = FetchedRecords


class AsIs(faust.Schema):  # type: ignore[misc]
    """The batch reaches the agent undecoded."""

    def compile(self, app: Any, **_: Any) -> Any:
        """A decoder that decodes nothing."""

        async def decode(message: Any, **_: Any) -> Any:
            return app.create_event(None, message.value, message.headers, message)

        return decode


class BatchingConsumer(driver.Consumer):  # type: ignore[misc]
    """Faust's consumer, one message per partition and fetch."""

    committable: Committable
    _passed_over = False
    """Records were taken from the fetcher and not given to the agent: nothing brings them again by itself."""

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[Any, Any]]:
        """One message per partition with records; its offset is the last record's."""
        if self._passed_over and self.flow_active and not await self._read_again():
            return
        generation = self.app.consumer_generation_id
        records, active = await self._wait_next_records(_IDLE_WAIT_S)
        for tp, found in (records or {}).items():
            if self.should_stop:
                return
            # A rebalance while we waited. These may be of before it, or already of after it: Faust sought the
            # committed offsets while this fetch was on its way, and what it brings would never be read again.
            if not self.flow_active or self.app.consumer_generation_id != generation:
                self._passed_over = True
                return
            if found and (active is None or tp in active or tp in self._buffered_partitions):
                (fetched,) = found
                yield tp, self._to_message(tp, Batch(tp.topic, tp.partition, fetched))
            elif found:
                self._passed_over = True

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Not while the group is rebalanced, but for the last time: the next commit says all this one would have.

        A commit that meets the coordinator after it has begun a new generation ends the membership of a healthy worker.
        """
        if not self.flow_active and not self.app.should_stop:
            return False
        return bool(await super().commit(topics, start_new_transaction))

    async def _read_again(self) -> bool:
        """Go on from the committed offsets; what was taken already is known by its offset. Whether that was done."""
        try:
            await self.perform_seek()
        except (KafkaError, TimeoutError) as error:
            log.warning("reading again from the committed offsets: %s", error)
            await asyncio.sleep(_IDLE_WAIT_S)
            return False
        self._passed_over = False
        return True

    def _to_message(self, tp: Any, batch: Batch) -> Any:
        return driver.ConsumerMessage(
            batch.topic,
            batch.partition,
            batch.last,
            int(batch.records.timestamps[-1]) / 1000,
            1,
            [],
            None,
            batch,
            None,
            None,
            None,
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    async def _wait_next_records(self, timeout: float) -> tuple[Any, Any]:
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
        active = self._get_active_partitions()
        if not active:
            # Faust sleeps a second here, which halves the rate whenever all buffers are full.
            await asyncio.sleep(timeout / 10)
            return {}, active
        return await self._getmany(active_partitions=active, timeout=timeout), active

    async def _add_gap(self, tp: Any, offset_from: int, offset_to: int) -> None:
        """Batches do not follow each other by their last offsets; nothing is committed from acks, so it is no gap."""

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[Any]:
        return iter(tuple(self.assignment()))

    def _new_offset(self, tp: Any) -> int | None:
        self._acked.pop(tp, None)
        self._acked_index.pop(tp, None)
        return self.committable(tp.topic, tp.partition)

    def verify_event_path(self, now: float, tp: Any) -> None:
        """Faust's livelock log fires on idle partitions; the worker's own watchdog looks instead."""


class BatchingTransport(driver.Transport):  # type: ignore[misc]
    """Faust's transport with the batching consumer."""

    Consumer = BatchingConsumer
