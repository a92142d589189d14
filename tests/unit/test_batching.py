"""The batching consumer over a rebalance: what was taken from the fetcher and not handed on is read again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import numpy as np
from aiokafka.errors import IllegalStateError
from faust.types import TP

from streams.batching import BatchingConsumer
from streams.records import Records

HERE, THERE = TP("figures", 0), TP("figures", 1)


class Consumer(BatchingConsumer):
    """Without a broker: what a fetch brings and what a rebalance does meanwhile are given."""

    should_stop = False

    def __init__(self, *fetches: dict[TP, list[Any]]) -> None:
        self.app = SimpleNamespace(consumer_generation_id=1, should_stop=False, client_only=False)
        self._commit_fut = None
        self.loop = asyncio.get_running_loop()
        self.commits = 0
        self.flow_active = True
        self._buffered_partitions: set[TP] = set()
        self.fetches = list(fetches)
        self.active = {HERE, THERE}
        self.rebalances = False
        self.sought: list[int] = []
        self.seek_fails = False

    async def _wait_next_records(self, timeout: float) -> tuple[Any, Any]:
        if self.rebalances:
            self.app.consumer_generation_id += 1
            self.rebalances = False
        return self.fetches.pop(0), self.active

    async def perform_seek(self) -> None:
        if self.seek_fails:
            raise IllegalStateError("no assignment")
        self.sought.append(self.app.consumer_generation_id)

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        self.commits += 1
        return True


def fetched(*offsets: int) -> list[Records]:
    """What a fetch brings for one partition: records without keys, values or headers."""
    nothing = np.zeros(len(offsets), np.int64)
    null = nothing - 1
    where = np.array(offsets, np.int64)
    return [Records(np.zeros(0, np.uint8), where, nothing, nothing, null, nothing, null, nothing, nothing)]


async def taken(messages: AsyncIterator[tuple[Any, Any]]) -> dict[Any, list[int]]:
    return {tp: message.value.records.offsets.tolist() async for tp, message in messages}


async def test_records_of_one_fetch_are_one_message_for_each_partition() -> None:
    consumer = Consumer({HERE: fetched(1, 2), THERE: fetched(7)})
    assert await taken(consumer.getmany(1.0)) == {HERE: [1, 2], THERE: [7]}
    assert not consumer.sought


async def test_fetch_over_a_rebalance_is_not_handed_on_and_is_read_again_from_the_committed_offset() -> None:
    """It may be of after the rebalance already: nobody would bring it again (storm.2-5-2 of seed 1)."""
    consumer = Consumer({HERE: fetched(1)}, {HERE: fetched(1)})
    consumer.rebalances = True
    assert await taken(consumer.getmany(1.0)) == {}
    assert await taken(consumer.getmany(1.0)) == {HERE: [1]}
    assert len(consumer.sought) == 1


async def test_fetch_while_flow_is_suspended_is_read_again_once_it_is_not() -> None:
    consumer = Consumer({HERE: fetched(1)}, {}, {HERE: fetched(1)})
    consumer.flow_active = False
    assert await taken(consumer.getmany(1.0)) == {}
    assert await taken(consumer.getmany(1.0)) == {}
    assert not consumer.sought
    consumer.flow_active = True
    assert await taken(consumer.getmany(1.0)) == {HERE: [1]}
    assert len(consumer.sought) == 1


async def test_seek_that_fails_is_tried_again_before_anything_is_read() -> None:
    consumer = Consumer({HERE: fetched(1)}, {HERE: fetched(1)})
    consumer.rebalances = True
    await taken(consumer.getmany(1.0))
    consumer.seek_fails = True
    assert await taken(consumer.getmany(1.0)) == {}
    consumer.seek_fails = False
    assert await taken(consumer.getmany(1.0)) == {HERE: [1]}


async def test_records_of_a_partition_that_is_not_active_are_read_again() -> None:
    consumer = Consumer({HERE: fetched(1), THERE: fetched(7)}, {THERE: fetched(7)})
    consumer.active = {HERE}
    assert await taken(consumer.getmany(1.0)) == {HERE: [1]}
    consumer.active = {HERE, THERE}
    assert await taken(consumer.getmany(1.0)) == {THERE: [7]}
    assert len(consumer.sought) == 1


async def test_nothing_is_committed_while_the_group_is_rebalanced_but_for_the_last_time() -> None:
    """A commit of the generation before makes the coordinator end the membership of a healthy worker."""
    consumer = Consumer()
    assert await consumer.commit()
    consumer.flow_active = False
    assert not await consumer.commit()
    assert consumer.commits == 1
    consumer.app.should_stop = True
    assert await consumer.commit()
    assert consumer.commits == 2
