"""The exporter on a real broker: lag of groups and of the read model, and a broker that goes away and comes back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import URLError

import pytest
from kafka import KafkaProducer
from prometheus_client.parser import text_string_to_metric_families

from consumers.lag import FORGET_AFTER_S, LagCollector, LogView, Picture, Standing
from consumers.read_model.database import FILE_NAME
from deploy.kafka import BrokerSettings, Cluster
from deploy.topic_set import create_topics
from schemas.report import Offset
from schemas.settings import Settings, load_settings
from schemas.topics import FIGURES, REPORTS
from tests.support.groups import commit
from tests.support.read_model import ALL_PARTITIONS, DAYS, PARTITIONS, FigureLog, doses, store_at
from tests.support.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
BROKER_PORT, METRICS_PORT = 27500, 27550
Samples = dict[tuple[str, str, str, str], float]
"""(name, group, topic, partition) → value."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(BrokerSettings(tmp_path_factory.mktemp("lag") / "kafka", BROKER_PORT)) as one:
        one.start()
        yield one


@pytest.fixture
def settings(cluster: Cluster, tmp_path: Path) -> Settings:
    made = load_settings(
        data=tmp_path, bootstrap=cluster.bootstrap, prefix=f"{tmp_path.name}.", partitions=PARTITIONS,
        metrics_port=METRICS_PORT,
    )  # fmt: skip
    create_topics(made)
    return made


def send(settings: Settings, topic: str, partition: int, values: Sequence[bytes]) -> list[int]:
    """Their times by the broker's clock."""
    producer = KafkaProducer(bootstrap_servers=settings.bootstrap, acks="all")
    try:
        sent = [producer.send(settings.topic(topic), value=value, partition=partition) for value in values]
        return [one.get(30).timestamp for one in sent]
    finally:
        producer.close()


def standings(settings: Settings) -> dict[tuple[str, str, int], Standing]:
    view = LogView(settings)
    try:
        return {(one.group, one.topic, one.partition): one for one in view.standings()}
    finally:
        view.close()


def scrape() -> Samples:
    found: Samples = {}
    with (
        suppress(URLError, ConnectionError),
        urllib.request.urlopen(f"http://127.0.0.1:{METRICS_PORT}/metrics") as page,
    ):
        for family in text_string_to_metric_families(page.read().decode()):
            for sample in family.samples:
                labels = sample.labels
                key = (sample.name, labels.get("group", ""), labels.get("topic", ""), labels.get("partition", ""))
                found[key] = sample.value
    return found


@contextmanager
def exporter(settings: Settings) -> Iterator[subprocess.Popen[str]]:
    environment = {
        **os.environ, "CHUNGSUC_DATA": str(settings.data), "CHUNGSUC_BOOTSTRAP": settings.bootstrap,
        "CHUNGSUC_PREFIX": settings.prefix, "CHUNGSUC_METRICS_PORT": str(METRICS_PORT),
        "CHUNGSUC_PARTITIONS": str(PARTITIONS),
    }  # fmt: skip
    process = subprocess.Popen([sys.executable, "-m", "consumers.lag"], cwd=ROOT, env=environment, text=True,
                               stderr=subprocess.PIPE)  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_a_group_is_behind_by_what_it_has_not_committed_since_the_first_of_it(settings: Settings) -> None:
    times = send(settings, REPORTS, 1, [b"one", b"two", b"x" * 200_000, b"four"])
    commit(settings, "chungsuc-ingest", {(REPORTS, 1): 2})
    one = standings(settings)["chungsuc-ingest", REPORTS, 1]
    assert (one.records, one.next - one.first, one.waiting_since) == (2, 2, times[2])
    assert one.seconds(times[2] + 1500) == 1.5


def test_a_group_at_the_end_has_no_lag_and_one_without_a_commit_is_absent(settings: Settings) -> None:
    send(settings, FIGURES, 0, [b"one"])
    send(settings, FIGURES, 2, [b"one"])
    commit(settings, "chungsuc-rollup", {(FIGURES, 0): 1})
    found = standings(settings)
    assert set(found) == {("chungsuc-rollup", FIGURES, 0)}
    assert found["chungsuc-rollup", FIGURES, 0].records == 0
    assert found["chungsuc-rollup", FIGURES, 0].seconds(time.time() * 1000) == 0.0


def test_the_read_model_is_behind_by_what_its_database_has_not_stored(settings: Settings) -> None:
    log = FigureLog()
    log.report(doses("a1", DAYS[0], 5))
    store = store_at(settings.data / FILE_NAME)
    store.apply(log.batch())
    stored = {partition: position.next for partition, position in store.positions().items()}
    for (topic, number), following in stored.items():
        send(settings, topic, number, [b"x"] * (following + 1))
    found = standings(settings)
    assert {(topic, number) for _, topic, number in found} == set(ALL_PARTITIONS)
    assert {one.records for one in found.values()} == {1}


def test_lag_is_never_negative_where_the_log_ends_before_what_was_reached(settings: Settings) -> None:
    commit(settings, "chungsuc-rollup", {(FIGURES, 0): 7})
    assert standings(settings)["chungsuc-rollup", FIGURES, 0].records == 0


def test_an_old_picture_is_not_shown() -> None:
    standing = Standing("g", FIGURES, 0, Offset(1), 0, 3, 1)
    for age, shown in ((1.0, 3), (FORGET_AFTER_S + 1, 0)):
        picture = Picture((standing,), seen_at=time.time() - age, errors=4)
        families = {family.name: family.samples for family in LagCollector(picture).collect()}
        lag = [sample for name, samples in families.items() for sample in samples if "group" in sample.labels]
        assert len(lag) == shown
        assert [sample.value for sample in families["chungsuc_collector_errors"]] == [4]


@pytest.mark.long
def test_the_exporter_serves_through_a_broker_that_is_away_and_ends_with_0(
    cluster: Cluster, settings: Settings
) -> None:
    lag = ("chungsuc_consumer_lag_records", "chungsuc-ingest", REPORTS, "0")
    errors = ("chungsuc_collector_errors_total", "", "", "")
    send(settings, REPORTS, 0, [b"one", b"two"])
    commit(settings, "chungsuc-ingest", {(REPORTS, 0): 1})
    with exporter(settings) as process:
        eventually(lambda: scrape().get(("chungsuc_ready", "", "", "")) == 1.0, 30)
        assert scrape()[lag] == 1.0
        assert scrape()["chungsuc_consumer_lag_seconds", *lag[1:]] > 0
        cluster.kill(1)
        eventually(lambda: scrape()[errors] > 0, 60)
        cluster.start_broker(1)
        send(settings, REPORTS, 0, [b"three"])
        eventually(lambda: scrape().get(lag) == 2.0, 60)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=10)
        assert process.returncode == 0, said
        assert said.count("lag can't be seen") == 1, said
