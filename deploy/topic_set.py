"""The six topics, created before anything reads or writes them (contract 11).

A topic that exists with another partition count, clock or clean-up would silently break what stands on it (keys would
change their partition, compaction would eat history), so it is refused instead of used.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError, RetriableError, TopicAlreadyExistsError, UnknownTopicOrPartitionError

from deploy.errors import NotRunningError, RefusedError, TimedOutError
from schemas.kafka_client import client_options
from schemas.settings import Settings
from schemas.topics import TOPICS, Topic, topic_config

_FIXED = ("message.timestamp.type", "cleanup.policy", "retention.ms", "retention.bytes", "max.message.bytes")
_TIMEOUT_S = 30.0
_PAUSE_S = 0.05


@contextmanager
def admin_client(bootstrap: str) -> Iterator[Any]:
    """A kafka-python admin client. Raises NotRunningError when no broker answers."""
    try:
        admin = KafkaAdminClient(
            **client_options(bootstrap, "chungsuc-admin"),
            bootstrap_timeout_ms=10_000,
            request_timeout_ms=30_000,
        )
    except (KafkaError, OSError) as error:
        raise NotRunningError(f"no Kafka broker answers at {bootstrap} ({type(error).__name__})") from error
    try:
        yield admin
    finally:
        admin.close()


def partitions_of(topic: Topic, settings: Settings) -> int:
    """How many partitions a topic has on this cluster."""
    return settings.partitions if topic.keyed else settings.keyless_partitions


def create_topics(settings: Settings) -> list[str]:
    """Create those that are missing and compare the others. Returns the names of the new ones. Raises RefusedError.

    A cluster that knows no live broker for a moment, as one on a starved host does, is asked again.
    """
    made: set[Topic] = set()
    deadline = time.monotonic() + _TIMEOUT_S
    while True:
        try:
            with admin_client(settings.bootstrap) as admin:
                _complete(admin, settings, made)
        except (RetriableError, TopicAlreadyExistsError):
            if time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_S)
        else:
            return [settings.topic(topic.name) for topic in TOPICS if topic in made]


def _complete(admin: Any, settings: Settings, made: set[Topic]) -> None:
    """One attempt; `made` gets what it tried to create."""
    present = set(admin.list_topics())
    missing = [topic for topic in TOPICS if settings.topic(topic.name) not in present]
    for topic in TOPICS:
        if topic not in missing:
            _compare(admin, topic, settings)
    if missing:
        made.update(missing)
        _create(admin, missing, settings)


def recreate_topic(settings: Settings, name: str) -> None:
    """Delete a topic that is derived from others and create it anew: a new topic id, offsets from 0."""
    topic = next(topic for topic in TOPICS if topic.name == name)
    full_name = settings.topic(name)
    with admin_client(settings.bootstrap) as admin:
        with suppress(UnknownTopicOrPartitionError):  # a rebuild that was cut off after the deletion
            admin.delete_topics([full_name])
        deadline = time.monotonic() + _TIMEOUT_S
        while True:
            if full_name not in admin.list_topics():
                try:
                    _create(admin, [topic], settings)
                except TopicAlreadyExistsError:
                    pass  # metadata forgets a topic a moment before the controller does
                else:
                    return
            if time.monotonic() > deadline:
                raise TimedOutError(
                    f"topic {full_name} was not deleted within {_TIMEOUT_S:.0f} s: look at the broker's log"
                )
            time.sleep(_PAUSE_S)


def _create(admin: Any, topics: list[Topic], settings: Settings) -> None:
    admin.create_topics(
        {
            settings.topic(topic.name): {
                "num_partitions": partitions_of(topic, settings),
                "replication_factor": settings.replication,
                "configs": dict(topic_config(topic, settings.replication)),
            }
            for topic in topics
        },
        wait_for_metadata=True,
    )


def _compare(admin: Any, topic: Topic, settings: Settings) -> None:
    name = settings.topic(topic.name)
    (described,) = admin.describe_topics([name])
    found, wanted = len(described["partitions"]), partitions_of(topic, settings)
    if found != wanted:
        raise RefusedError(
            f"topic {name} has {found} partitions, {wanted} are set: the count is chosen once per "
            "cluster, so set it back (CHUNGSUC_PARTITIONS, CHUNGSUC_KEYLESS_PARTITIONS)"
        )
    resource = ConfigResource(ConfigResourceType.TOPIC, name, None)
    configs = admin.describe_configs([resource], config_filter="all")["topic"][name]
    expected = topic_config(topic, settings.replication)
    for key in _FIXED:
        if (value := configs[key]["value"]) != expected[key]:
            raise RefusedError(
                f"topic {name} has {key} {value}, {expected[key]} is needed: "
                "set it with Kafka's own tools, or give another topic prefix (CHUNGSUC_PREFIX)"
            )
