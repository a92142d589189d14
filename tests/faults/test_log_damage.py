"""`figures` cut at its start, at its end, and grown again: refused in one line, rebuilt by one command."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import pytest
from kafka import TopicPartition

from deploy.sending import Sender
from deploy.topic_set import admin_client
from schemas.log import TopicReader
from schemas.topics import FIGURES, partition_of
from tests.faults.broken_log import cut, grow
from tests.faults.harness import Running
from tests.faults.load import FORMS, PROVINCE, SEED
from tests.faults.recovery import assert_rebuilt, assert_refused

BASE = 22500
DAY = date(2021, 4, 5)


pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(tmp_path_factory.mktemp("log"), BASE)
    try:
        running.up()
        Sender(running.stack).simulate(PROVINCE, [DAY], SEED, forms=FORMS)
        yield running
    finally:
        running.down()


@pytest.fixture
def partition(running: Running) -> int:
    """Where the districts' totals of the province meet."""
    return partition_of(PROVINCE.encode(), running.settings.partitions)


def end_of(running: Running, partition: int) -> int:
    with TopicReader(running.stack.bootstrap, running.settings.topic(FIGURES)) as reader:
        return reader.ends()[partition]


def test_log_that_starts_after_zero_is_refused(running: Running, partition: int) -> None:
    running.settled_and_verified()
    topic = running.settings.topic(FIGURES)
    with admin_client(running.stack.bootstrap) as admin:
        admin.delete_records({TopicPartition(topic, partition): 2})
    running.kill("rollup-1")
    assert_refused(running, f"{topic}-{partition} starts at 2, not at 0")
    assert_rebuilt(running)


def test_log_cut_at_its_end_is_refused(running: Running, partition: int) -> None:
    running.settled_and_verified()
    end = end_of(running, partition)
    running.down()
    gone = cut(running.data / "kafka", 1, FIGURES, partition, 3)
    running.up(wait=False)
    assert_refused(running, f"ends at {end - gone}, below")
    assert_refused(running, "the log was cut", "read-model")
    assert_rebuilt(running)


def test_log_cut_at_its_end_and_grown_again_is_refused(running: Running, partition: int) -> None:
    running.settled_and_verified()
    running.down()
    gone = cut(running.data / "kafka", 1, FIGURES, partition, 3)
    grow(running.data / "kafka", running.base, FIGURES, partition, gone + 2)
    running.up(wait=False)
    assert_refused(running, "cut and has grown again")
    assert_refused(running, "cut and has grown again", "read-model")
    assert_rebuilt(running)
