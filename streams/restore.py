"""Restoring a ledger: checkpoint, then the log from there to the committed offset, before the first batch is folded.

Awaited in the worker, not within a rebalance: polling goes on meanwhile. Everything below the committed offset
was acknowledged before it was committed, so nothing of it is sent again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.catalogue import Catalogue
from schemas.settings import Settings
from streams.app import Refused
from streams.batching import FETCH_BYTES, Batch
from streams.checkpoint import Checkpoints, LastRecord, Unfit
from streams.identity import REBUILD, Extent, LogIdentity, check_log, extents_of
from streams.ledger import Ledger
from streams.records import Record

log = logging.getLogger("chungsuc.restore")

_SILENT_S = 30.0


@dataclass(slots=True)
class Held:
    """A partition that this worker owns."""

    ledger: Ledger
    checkpoints: Checkpoints
    last: LastRecord | None = None
    saved_at: int = -1

    def saw(self, record: Record) -> None:
        """The newest record folded; its digest is what a later restore compares."""
        self.last = LastRecord.of(record.offset, record.timestamp, record.value)

    async def catch_up(self, settings: Settings, topic: str, partition: int, upto: int, fold: Fold) -> None:
        """Fold a gap from the log: another worker owned the partition for a while."""
        async for batch in read_log(settings, topic, partition, self.ledger.next_offset, upto):
            await fold(self, batch)


Fold = Callable[..., Awaitable[None]]


async def restore(
    settings: Settings,
    topic: str,
    partition: int,
    committed: int,
    extent: Extent,
    identity: LogIdentity,
    catalogue: Catalogue,
    fold: Fold,
) -> Held:
    """The ledger of a partition as of its committed offset, or later where a checkpoint is. Raises Refused.

    `extent` was asked after `committed`.
    """
    check_log(topic, partition, extent, committed)
    checkpoints = Checkpoints(settings.data / "checkpoints" / f"{topic}-{partition}", identity)
    held = Held(Ledger(catalogue), checkpoints)
    try:
        await _check(settings, topic, partition, extent, checkpoints)
        await asyncio.to_thread(checkpoints.load, held.ledger)
        held.last = checkpoints.last_record()
    except Unfit as unfit:
        raise Refused(f"{unfit}; {REBUILD}") from unfit
    start = held.ledger.next_offset
    held.saved_at = start
    if start == 0 and committed > 0:
        log.info(
            "no checkpoint of %s-%s: folding all %s records from the log, which takes longer",
            topic,
            partition,
            committed,
        )
    async for batch in read_log(settings, topic, partition, start, committed):
        await fold(held, batch, silently=True)
    held.ledger.all_acknowledged(max(committed, start))
    log.info("restored %s-%s to %s (checkpoint at %s)", topic, partition, held.ledger.next_offset, start)
    return held


async def _check(settings: Settings, topic: str, partition: int, extent: Extent, checkpoints: Checkpoints) -> None:
    """Refuse a checkpoint whose log was cut, or cut and grown again."""
    last = checkpoints.last_record()
    if last is None:
        return
    _, end = extent
    if last.offset >= end:  # the partition's former owner may have gone on for a moment: ask anew
        _, end = (await asyncio.to_thread(extents_of, settings, topic, [partition]))[partition]
    if last.offset >= end:
        raise Unfit(f"{topic}-{partition} ends at {end}, below its checkpoint at {last.offset + 1}: the log was cut")
    async for batch in read_log(settings, topic, partition, last.offset, last.offset + 1):
        (record,) = batch.records
        if LastRecord.of(record.offset, record.timestamp, record.value) != last:
            raise Unfit(
                f"record {last.offset} of {topic}-{partition} is not the one the checkpoint was made after: the "
                "log was cut and has grown again"
            )


async def read_log(settings: Settings, topic: str, partition: int, start: int, upto: int) -> AsyncIterator[Batch]:
    """Records [start, upto) of a partition, in batches, read without a group."""
    if start >= upto:
        return
    tp = TopicPartition(topic, partition)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.bootstrap,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        max_partition_fetch_bytes=FETCH_BYTES,
    )
    await consumer.start()
    try:
        consumer.assign([tp])
        consumer.seek(tp, start)
        at = start
        while at < upto:
            fetched = await consumer.getmany(tp, timeout_ms=int(_SILENT_S * 1000))
            if tp not in fetched:
                raise TimeoutError(f"{topic}-{partition} gave nothing from {at} on for {_SILENT_S:.0f} s")
            (records,) = fetched[tp]
            at = int(records.offsets[-1]) + 1
            if len(wanted := records.between(start, upto)):
                yield Batch(topic, partition, wanted)
    finally:
        await consumer.stop()
