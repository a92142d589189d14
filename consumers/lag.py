"""`python -m consumers.lag`: how far ingest, rollup and the read model are behind the log, in records and in seconds.

A thread looks every two seconds; a scrape only reads what it saw last, so a slow broker never stalls one. Offsets that
were reached are read before the ends, so that lag is never negative. What is not known is absent, never -1 and never
old: a sum over it would be wrong.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import KafkaError
from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from consumers.read_model.database import FILE_NAME, DatabaseRefused
from consumers.read_model.reader import SqliteReadModel
from schemas.exit import Exit
from schemas.kafka_client import client_options, read_any_header_names
from schemas.log import LogUnreachable
from schemas.metrics import READY, serve_metrics
from schemas.read_model import NotReady
from schemas.settings import Settings, SettingsError, load_settings
from schemas.topics import FIGURES, INGEST_GROUP, REPORTS, ROLLUP_GROUP

logger = logging.getLogger("chungsuc.lag")

GROUPS = {INGEST_GROUP: REPORTS, ROLLUP_GROUP: FIGURES}
"""Consumer groups, without the settings' prefix, and the topic that each works through."""
READ_MODEL = "read-model"
"""No group of Kafka: its offsets stand in its database."""
LOOK_EVERY_S = 2.0
FORGET_AFTER_S = 30.0
"""A picture older than this is not shown any more: absent lag raises an alert, old lag hides one."""
_READ_TIMEOUT_S = 5.0
_IMPATIENT = {"request_timeout_ms": 10_000, "bootstrap_timeout_ms": 10_000}
"""So that a broker that comes back is seen within seconds; the clients' defaults wait half a minute."""
_LABELS = ("group", "topic", "partition")

Partition = tuple[str, int]
"""A topic without the settings' prefix, and a partition of it."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a consumer stands in one partition. `waiting_since`: broker time of the first record it has not taken, ms.

    `next` is the first offset not taken; `first` and `end` are those of the log.
    """

    group: str
    topic: str
    partition: int
    next: int
    first: int
    end: int
    waiting_since: int | None

    @property
    def records(self) -> int:
        """Records not taken yet, clamped at 0 (a log that was cut is another alarm's business)."""
        return max(0, self.end - self.next)

    def seconds(self, now_ms: float) -> float | None:
        """How long the first record not taken has been waiting; 0 without lag, None where it could not be read."""
        if not self.records:
            return 0.0
        return None if self.waiting_since is None else max(0.0, (now_ms - self.waiting_since) / 1000)


class LogView:
    """Asks one cluster. Not for several threads; closed and made anew after an error."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._admin: Any = KafkaAdminClient(**client_options(settings.bootstrap, "chungsuc-lag"), **_IMPATIENT)
        try:
            # A byte: the broker sends the first batch whole however small the limit, and one record is enough.
            read_any_header_names()
            self._consumer: Any = KafkaConsumer(
                **client_options(settings.bootstrap, "chungsuc-lag"), **_IMPATIENT, group_id=None,
                enable_auto_commit=False, auto_offset_reset="none", max_partition_fetch_bytes=1, max_poll_records=1,
            )  # fmt: skip
        except BaseException:
            self._admin.close()
            raise
        self._times: dict[tuple[Partition, int], int] = {}

    def close(self) -> None:
        """Give the connections back."""
        self._consumer.close()
        self._admin.close()

    def standings(self) -> tuple[Standing, ...]:
        """Every consumer's, by group, topic and partition. Raises KafkaError, LogUnreachable, DatabaseRefused."""
        reached = self._reached()
        partitions = sorted({partition for _, partition in reached})
        if not partitions:
            return ()
        firsts = self._offsets(partitions, OffsetSpec.EARLIEST)
        ends = self._offsets(partitions, OffsetSpec.LATEST)
        found: list[Standing] = []
        times: dict[tuple[Partition, int], int] = {}
        for (group, partition), following in sorted(reached.items()):
            first, end = firsts[partition], ends[partition]
            since = None
            if following < end and (at := max(following, first)) < end:
                known = self._times.get((partition, at))
                since = self._time_at(partition, at) if known is None else known
                if since is not None:
                    times[partition, at] = since
            found.append(Standing(group, *partition, following, first, end, since))
        self._times = times
        return tuple(found)

    def _reached(self) -> dict[tuple[str, Partition], int]:
        """First offset not taken, where one is known."""
        found: dict[tuple[str, Partition], int] = {}
        for group, topic in GROUPS.items():
            name = self._settings.topic(group)
            committed = self._admin.list_group_offsets({name: None}).get(name, {})
            for partition, entry in committed.items():
                if entry.offset >= 0 and partition.topic == self._settings.topic(topic):
                    found[group, (topic, partition.partition)] = entry.offset
        for (topic, number), following in _stored(self._settings).items():
            found[READ_MODEL, (topic, number)] = following
        return found

    def _offsets(self, partitions: Iterable[Partition], spec: OffsetSpec) -> Mapping[Partition, int]:
        wanted = {self._named(partition): partition for partition in partitions}
        found = self._admin.list_partition_offsets(dict.fromkeys(wanted, spec))
        return {partition: found[name].offset for name, partition in wanted.items()}

    def _time_at(self, partition: Partition, offset: int) -> int | None:
        """Broker time of the record at an offset, ms; None where it can't be had in time."""
        name = self._named(partition)
        self._consumer.assign([name])
        self._consumer.seek(name, offset)
        deadline = time.monotonic() + _READ_TIMEOUT_S
        while (left := deadline - time.monotonic()) > 0:
            for records in self._consumer.poll(timeout_ms=int(left * 1000)).values():
                return int(records[0].timestamp)
        return None

    def _named(self, partition: Partition) -> TopicPartition:
        return TopicPartition(self._settings.topic(partition[0]), partition[1])


def _stored(settings: Settings) -> dict[Partition, int]:
    """What the read model has stored; nothing while there is none. Opened anew, so that a rebuild is not missed."""
    try:
        model = SqliteReadModel(settings.data / FILE_NAME)
    except NotReady:
        return {}
    try:
        return {(offset.topic, offset.partition): offset.next for offset in model.freshness()}
    except NotReady:
        return {}
    finally:
        model.close()


@dataclass(slots=True)
class Picture:
    """What was seen last, and how looking went."""

    standings: tuple[Standing, ...] = ()
    seen_at: float | None = None
    took_s: float = 0.0
    errors: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class LagCollector(Collector):
    """Turns the last picture into metrics; asks nobody."""

    def __init__(self, picture: Picture) -> None:
        self._picture = picture

    def collect(self) -> Iterator[Metric]:
        """The families, with what is known."""
        with self._picture.lock:
            standings, seen_at = self._picture.standings, self._picture.seen_at
            took_s, errors = self._picture.took_s, self._picture.errors
        now = time.time()
        if seen_at is None or now - seen_at > FORGET_AFTER_S:
            standings = ()
        records = GaugeMetricFamily("chungsuc_consumer_lag_records", "Records not taken yet.", labels=_LABELS)
        seconds = GaugeMetricFamily(
            "chungsuc_consumer_lag_seconds", "How long the first record not taken yet has been waiting.", labels=_LABELS
        )
        margin = GaugeMetricFamily(
            "chungsuc_retention_margin_records", "Distance to data loss: reached minus first kept.", labels=_LABELS
        )
        for one in standings:
            labels = (one.group, one.topic, str(one.partition))
            records.add_metric(labels, one.records)
            margin.add_metric(labels, one.next - one.first)
            if (waited := one.seconds(now * 1000)) is not None:
                seconds.add_metric(labels, waited)
        yield from (records, seconds, margin)
        yield GaugeMetricFamily("chungsuc_collector_duration_seconds", "How long the last look at lag took.", took_s)
        yield CounterMetricFamily("chungsuc_collector_errors_total", "Looks at lag that failed.", errors)
        if seen_at is not None:
            yield GaugeMetricFamily("chungsuc_collector_last_success_timestamp_seconds",
                                    "When lag was last seen whole.", seen_at)  # fmt: skip


class Looker:
    """Looks at the log again and again and keeps the last picture."""

    def __init__(self, settings: Settings, picture: Picture, stopping: threading.Event) -> None:
        self._settings = settings
        self._picture = picture
        self._stopping = stopping
        self._view: LogView | None = None
        self._failing = False

    def run(self) -> None:
        """Until asked to stop. A broker that is away is counted and asked again."""
        while not self._stopping.is_set():
            self.look()
            self._stopping.wait(LOOK_EVERY_S)
        self._close()

    def look(self) -> None:
        """Once."""
        began, seen_at = time.monotonic(), time.time()
        try:
            if self._view is None:
                self._view = LogView(self._settings)
            standings = self._view.standings()
        except (KafkaError, LogUnreachable, DatabaseRefused, OSError) as error:
            self._failed(error, time.monotonic() - began)
            return
        with self._picture.lock:
            self._picture.standings = standings
            self._picture.seen_at = seen_at
            self._picture.took_s = time.monotonic() - began
        if self._failing:
            logger.info("lag is seen again")
        self._failing = False
        READY.set(1)

    def _failed(self, error: Exception, took_s: float) -> None:
        with self._picture.lock:
            self._picture.errors += 1
            self._picture.took_s = took_s
        if not self._failing:
            logger.warning("lag can't be seen: %s: %s; asking again", type(error).__name__, error)
        self._failing = True
        self._close()

    def _close(self) -> None:
        view, self._view = self._view, None
        if view is not None:
            view.close()


def main() -> int:
    """Run until SIGTERM. Returns the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    stopping = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopping.set()

    try:
        settings = load_settings()
        for wanted in (signal.SIGTERM, signal.SIGINT):
            signal.signal(wanted, stop)
        picture = Picture()
        REGISTRY.register(LagCollector(picture))
        serve_metrics(settings.metrics_port)
    except SettingsError as error:
        logger.error("stopped for good: %s", error)
        return Exit.REFUSED
    except OSError as error:
        logger.error("can't listen: %s", error)
        return Exit.UNREACHABLE
    broken: list[BaseException] = []

    def look() -> None:
        try:
            Looker(settings, picture, stopping).run()
        except BaseException as error:  # a bug: the process ends with it, so that its supervisor sees it
            logger.exception("a bug")
            broken.append(error)
            stopping.set()

    # A daemon: a look that hangs on a broker must not hold up the end of the process.
    threading.Thread(target=look, name="lag", daemon=True).start()
    stopping.wait()
    return Exit.BUG if broken else Exit.FINE


if __name__ == "__main__":
    sys.exit(main())
