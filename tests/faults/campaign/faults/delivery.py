"""Delivered again, and in another order: what a retrying client, a mirror or a restored backup does to `reports`."""

from __future__ import annotations

from random import Random

from kafka import KafkaProducer

from schemas.log import Record, TopicReader
from schemas.topics import REPORTS
from tests.faults.campaign.kinds import Kind
from tests.faults.campaign.registry import Wound, fault
from tests.faults.campaign.site import Site

_LAST = 150
_ACK_S = 60.0


def last_reports(site: Site, count: int) -> list[Record]:
    """The newest records of each partition of `reports`, byte for byte, in the order of their partition."""
    settings = site.settings
    topic = settings.topic(REPORTS)
    with TopicReader(settings.bootstrap, topic) as reader:
        ends = reader.ends()
    start = {partition: max(0, end - count) for partition, end in ends.items()}
    with TopicReader(settings.bootstrap, topic, start) as reader:
        return [*reader.to_end(ends)]


def deliver(site: Site, records: list[Record]) -> None:
    """Write them once more into their partitions, in this order."""
    settings = site.settings
    producer = KafkaProducer(bootstrap_servers=settings.bootstrap.split(","), acks="all")
    try:
        sent = [
            producer.send(r.topic, r.value, key=r.key, headers=list(r.headers), partition=r.partition) for r in records
        ]
        for future in sent:
            future.get(_ACK_S)
    finally:
        producer.close(timeout=10)


@fault("delivery.again", Kind.DELIVERY)
def again(site: Site, random: Random) -> Wound:
    records = last_reports(site, _LAST)
    deliver(site, records)
    return Wound(f"{len(records)} records of reports", "the last acknowledgement")


@fault("delivery.shuffled", Kind.DELIVERY)
def shuffled(site: Site, random: Random) -> Wound:
    """Each up to three times, in no order."""
    records = [record for record in last_reports(site, _LAST) for _ in range(random.randint(1, 3))]
    random.shuffle(records)
    deliver(site, records)
    return Wound(f"{len(records)} records of reports", "the last acknowledgement")


@fault("delivery.backwards", Kind.DELIVERY)
def backwards(site: Site, random: Random) -> Wound:
    records = last_reports(site, _LAST)[::-1]
    deliver(site, records)
    return Wound(f"{len(records)} records of reports", "the last acknowledgement")
