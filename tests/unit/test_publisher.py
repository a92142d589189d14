"""The publisher without a broker: what it never hears of does not hold it up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from kafka import TopicPartition
from kafka.producer.future import FutureProduceResult, FutureRecordMetadata

from producers.errors import PublishError
from producers.outbox import Outbox, Waiting
from producers.publisher import Publisher
from schemas.settings import load_settings
from tests.support.signed import OPERATOR, Draft


@pytest.fixture
def publisher(tmp_path: Path) -> Iterator[Publisher]:
    settings = load_settings(data=tmp_path, bootstrap="127.0.0.1:1", operator_key=OPERATOR.public.hex())
    with (
        closing(Outbox(tmp_path / "outbox.sqlite")) as outbox,
        Publisher(settings, outbox, timeout_s=0.2, rounds=1) as made,
    ):
        yield made


def test_sends_of_which_nothing_is_told_are_waited_for_together_and_not_in_turn(publisher: Publisher) -> None:
    """kafka-python forgets some when brokers go away (broker.all.hard): sixty would take sixty times as long."""
    forgotten = FutureProduceResult(TopicPartition("reports", 0))
    publisher._flying.extend(
        (Waiting(number, Draft().record()), FutureRecordMetadata(forgotten, 0, 0, None, 0, 0, 0))
        for number in range(60)
    )
    began = time.monotonic()
    with pytest.raises(PublishError):
        publisher.finish()
    assert time.monotonic() - began < 60 * 0.2 / 4
