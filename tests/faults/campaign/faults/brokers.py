"""Brokers bounced: cleanly and hard, the one that leads, the one that is controller, all at once."""

from __future__ import annotations

import os
import signal
import time
from random import Random

from deploy.kafka import Cluster
from deploy.topic_set import admin_client
from schemas.topics import FIGURES, REPORTS
from tests.faults.campaign.kinds import Kind
from tests.faults.campaign.registry import Skipped, Wound, fault
from tests.faults.campaign.site import Site
from tests.support.waiting import eventually, lives

_DOWN_S = 1.0
_AGAIN_WITHIN_S = 90.0


def cluster_of(site: Site) -> Cluster:
    """The three brokers."""
    assert site.cluster is not None
    return site.cluster


def leader(site: Site, topic: str, partition: int) -> int:
    """The broker that leads a partition now."""
    with admin_client(cluster_of(site).bootstrap) as admin:
        (described,) = admin.describe_topics([site.settings.topic(topic)])
    return next(int(p["leader_id"]) for p in described["partitions"] if p["partition_index"] == partition)


def controller(site: Site) -> int:
    """The broker that leads the quorum now."""
    with admin_client(cluster_of(site).bootstrap) as admin:
        return int(_leader_of_quorum(admin.describe_metadata_quorum()))


def _leader_of_quorum(described: object) -> int:
    """kafka-python hands the answer through as the protocol has it."""
    found: object = described
    for name in ("topics", "partitions"):
        if isinstance(found, dict) and name in found:
            found = found[name][0]
    assert isinstance(found, dict), described
    return int(found["leader_id"])


def _bounce(site: Site, broker: int, what: str, *, hard: bool, down_s: float) -> Wound:
    cluster = cluster_of(site)
    if not cluster.is_alive(broker):
        raise Skipped(f"broker {broker} does not run")
    at = time.monotonic()
    if hard:
        cluster.kill(broker)
    else:
        cluster.stop_broker(broker)
    time.sleep(down_s)
    cluster.start_broker(broker)
    return Wound(f"broker {broker}, {what}", "its end, before its start", at)


@fault("broker.leader.clean", Kind.BROKER, brokers=3)
def leader_clean(site: Site, random: Random) -> Wound:
    partition = random.randrange(site.settings.partitions)
    return _bounce(site, leader(site, FIGURES, partition), f"leads figures-{partition}", hard=False, down_s=_DOWN_S)


@fault("broker.leader.hard", Kind.BROKER, brokers=3, weight=2)
def leader_hard(site: Site, random: Random) -> Wound:
    partition = random.randrange(site.settings.partitions)
    topic = random.choice((FIGURES, REPORTS))
    return _bounce(site, leader(site, topic, partition), f"leads {topic}-{partition}", hard=True, down_s=_DOWN_S)


@fault("broker.controller.clean", Kind.BROKER, brokers=3)
def controller_clean(site: Site, random: Random) -> Wound:
    return _bounce(site, controller(site), "controller", hard=False, down_s=_DOWN_S)


@fault("broker.controller.hard", Kind.BROKER, brokers=3)
def controller_hard(site: Site, random: Random) -> Wound:
    return _bounce(site, controller(site), "controller", hard=True, down_s=_DOWN_S)


@fault("broker.away", Kind.BROKER, brokers=3)
def broker_away(site: Site, random: Random) -> Wound:
    """One broker is away for longer than its session."""
    broker = random.choice([*cluster_of(site).settings.broker_ids])
    return _bounce(site, broker, "away for 15 s", hard=True, down_s=15.0)


@fault("broker.all.clean", Kind.BROKER, brokers=3)
def all_clean(site: Site, random: Random) -> Wound:
    cluster = cluster_of(site)
    cluster.stop(20)
    at = time.monotonic()
    cluster.start()
    return Wound("all brokers", "their end, before their start", at)


@fault("broker.all.hard", Kind.BROKER, brokers=3)
def all_hard(site: Site, random: Random) -> Wound:
    """As a power cut of the whole room would."""
    cluster = cluster_of(site)
    at = time.monotonic()
    for pid in cluster.pids.values():
        os.kill(pid, signal.SIGKILL)
    for broker in cluster.settings.broker_ids:
        cluster.kill(broker)
    cluster.start()
    return Wound("all brokers", "the kill, before their start", at)


def _embedded(site: Site, number: signal.Signals, how: str) -> Wound:
    pid = site.running.pid_or_none("broker")
    if pid is None:
        raise Skipped("the broker does not run")
    os.kill(pid, number)
    eventually(lambda: not lives(pid), 40)
    return Wound("the embedded broker", how, restarted="broker")


@fault("broker.embedded.hard", Kind.BROKER, brokers=1, weight=2)
def embedded_hard(site: Site, random: Random) -> Wound:
    return _embedded(site, signal.SIGKILL, "the kill")


@fault("broker.embedded.clean", Kind.BROKER, brokers=1)
def embedded_clean(site: Site, random: Random) -> Wound:
    return _embedded(site, signal.SIGTERM, "its end")
