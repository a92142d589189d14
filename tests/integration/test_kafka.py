"""The embedded broker on the real thing: its starts, its ends, and the one line for each thing that can be wrong."""

from __future__ import annotations

import http.server
import json
import os
import select
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import aiokafka
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic

from deploy.kafka import BrokerError, BrokerSettings, Cluster
from deploy.kafka_config import HOST
from deploy.kafka_errors import (
    BrokerDiedError,
    DataInUseError,
    ForeignDataError,
    JarDamagedError,
    JarsUnavailableError,
    NoSpaceError,
    PortTakenError,
)
from deploy.kafka_jars import KafkaJars, cache_folder, read_pins, sha256_of
from deploy.kafka_process import Ran

ROOT = Path(__file__).parents[2]
SMALL = next(pin for pin in read_pins() if "jspecify" in pin.coordinates)  # 4 kB


def create_topic(bootstrap: str, name: str, replicas: int = 1, configs: dict[str, str] | None = None) -> None:
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        admin.create_topics([NewTopic(name, 1, replicas, topic_configs=configs or {})])
    finally:
        admin.close()


def send(bootstrap: str, topic: str, *values: bytes) -> None:
    producer = KafkaProducer(bootstrap_servers=bootstrap)
    try:
        for value in values:
            producer.send(topic, value).get(30)
    finally:
        producer.close()


def read(bootstrap: str, topic: str, count: int) -> list[bytes]:
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest", consumer_timeout_ms=20_000)
    try:
        consumer.assign([TopicPartition(topic, 0)])
        return [record.value for _, record in zip(range(count), consumer, strict=False)]
    finally:
        consumer.close()


def eventually(condition: Callable[[], bool], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def refusal(cluster: Cluster, kind: type[BrokerError]) -> str:
    with pytest.raises(kind) as caught:
        cluster.start()
    message = str(caught.value)
    assert "\n" not in message
    assert cluster.pids == {}
    return message


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    settings = BrokerSettings(tmp_path_factory.mktemp("one") / "kafka", 27000, proxy_ports=[27015])
    with Cluster(settings) as one:
        one.start()
        yield one


@pytest.fixture
def running(cluster: Cluster) -> Cluster:
    cluster.start()
    return cluster


def test_clean_stop_and_start_keep_records_and_cluster_id(running: Cluster) -> None:
    create_topic(running.bootstrap, "kept")
    send(running.bootstrap, "kept", "Xã Bản Bo".encode())
    before = running.cluster_id
    assert running.stop() == []
    assert (running.settings.broker_dir(1) / "data" / ".kafka_cleanshutdown").exists()
    running.start()
    assert running.cluster_id == before
    assert read(running.bootstrap, "kept", 1) == ["Xã Bản Bo".encode()]


def test_killed_broker_starts_again_with_its_records(running: Cluster) -> None:
    create_topic(running.bootstrap, "crashed", configs={"flush.messages": "1"})
    send(running.bootstrap, "crashed", b"1", b"2")
    running.kill(1)
    assert not running.is_alive()
    assert "SIGKILL" in str(running.death(1))
    running.start_broker(1)
    assert running.death(1) is None
    assert read(running.bootstrap, "crashed", 2) == [b"1", b"2"]


async def test_record_of_16_mib_is_accepted(running: Cluster) -> None:
    create_topic(running.bootstrap, "large", configs={"max.message.bytes": str(17 * 2**20)})
    # Its checksum is compiled; kafka-python's takes 8 s for such a record.
    producer = aiokafka.AIOKafkaProducer(bootstrap_servers=running.bootstrap, max_request_size=17 * 2**20)
    await producer.start()
    try:
        sent = await producer.send_and_wait("large", os.urandom(16 * 2**20))
    finally:
        await producer.stop()
    assert sent.offset == 0


class Relay(socketserver.BaseRequestHandler):
    """A proxy in front of the PROXY listener of broker 1."""

    def handle(self) -> None:
        with socket.create_connection((HOST, 27010)) as broker:
            ways = {self.request: broker, broker: self.request}
            while True:
                for source in select.select(list(ways), [], [])[0]:
                    data = source.recv(65536)
                    if not data:
                        return
                    ways[source].sendall(data)


def test_client_that_came_through_the_proxy_stays_behind_it(running: Cluster) -> None:
    create_topic(running.bootstrap, "proxied")
    with socketserver.ThreadingTCPServer((HOST, 27015), Relay) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=[0.05])
        thread.start()
        try:
            admin = KafkaAdminClient(bootstrap_servers=f"{HOST}:27015")
            assert [broker["port"] for broker in admin.describe_cluster()["brokers"]] == [27015]
            admin.close()
            send(f"{HOST}:27015", "proxied", b"through")
        finally:
            proxy.shutdown()
            thread.join()
    assert read(running.bootstrap, "proxied", 1) == [b"through"]


def test_log_of_the_broker_is_in_the_data_folder(running: Cluster) -> None:
    assert "Kafka Server started" in (running.settings.data_dir / "kafka.log").read_text("utf-8")


def test_start_of_a_running_cluster_changes_nothing(running: Cluster) -> None:
    pids = running.pids
    running.start()
    assert running.pids == pids


def test_taken_port_is_named(tmp_path: Path) -> None:
    with socket.create_server((HOST, 27021)):
        message = refusal(Cluster(BrokerSettings(tmp_path, 27020)), PortTakenError)
    assert "port 27021" in message
    assert "--port-base" in message


def test_port_taken_in_the_broker_s_own_start_is_named(running: Cluster) -> None:
    log = running.settings.log_path(1)
    process = running._processes[1]
    running.stop()
    with log.open("a", encoding="utf-8") as file:
        file.write("Socket server failed to bind to 127.0.0.1:27000: Address already in use.\n")
    assert str(process.death()) == str(PortTakenError(27000))


def test_data_folder_of_a_live_cluster_is_refused(running: Cluster) -> None:
    message = refusal(Cluster(BrokerSettings(running.settings.data_dir, 27040)), DataInUseError)
    assert str(os.getpid()) in message
    assert running.is_alive()


def test_data_of_another_cluster_is_refused(running: Cluster, tmp_path: Path) -> None:
    storage = tmp_path / "broker-1" / "data"
    storage.mkdir(parents=True)
    shutil.copy(running.settings.broker_dir(1) / "data" / "meta.properties", storage)
    identity = {"cluster_id": "AAAAAAAAQACAAAAAAAAAAA", "brokers": 1, "kafka": "4.3.1"}
    (tmp_path / "cluster.json").write_text(json.dumps(identity), "utf-8")
    message = refusal(Cluster(BrokerSettings(tmp_path, 27040)), ForeignDataError)
    assert running.cluster_id in message
    assert "--data" in message


def test_data_without_its_cluster_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broker-1" / "data").mkdir(parents=True)
    assert "cluster.json" in refusal(Cluster(BrokerSettings(tmp_path, 27040)), ForeignDataError)


def test_other_number_of_brokers_is_refused(running: Cluster) -> None:
    settings = BrokerSettings(running.settings.data_dir, 27040, brokers=3)
    assert "made for 1 brokers" in refusal(Cluster(settings), ForeignDataError)


def test_full_disk_is_told_before_anything_starts(tmp_path: Path) -> None:
    assert "no space" in refusal(Cluster(BrokerSettings(tmp_path, 27040, min_free_mb=10**9)), NoSpaceError)


def test_broker_that_dies_at_start_is_told_with_its_last_error(cluster: Cluster) -> None:
    cluster.stop()
    meta = cluster.settings.broker_dir(1) / "data" / "meta.properties"
    whole = meta.read_text("utf-8")
    meta.write_text(whole.replace("version=1", "version=99"), "utf-8")
    try:
        message = refusal(cluster, BrokerDiedError)
    finally:
        meta.write_text(whole, "utf-8")
    assert "exit code 1" in message
    assert "meta.properties" in message
    assert "kafka.log" in message


SUPERVISOR = """
import signal, sys, threading
from pathlib import Path
from deploy.kafka import BrokerSettings, Cluster
cluster = Cluster(BrokerSettings(Path(sys.argv[1]), 27060))
starter = threading.Thread(target=cluster.start)
starter.start()
starter.join()
print(cluster.pids[1], flush=True)
signal.pause()
"""


@pytest.mark.parametrize("stuck", [False, True], ids=["running", "stopped"])
def test_broker_of_a_killed_supervisor_is_gone_at_the_next_start(tmp_path: Path, *, stuck: bool) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as supervisor:
        assert supervisor.stdout is not None
        broker = Ran.now(int(supervisor.stdout.readline()))
        assert broker is not None
        if stuck:
            os.kill(broker.pid, signal.SIGSTOP)
        supervisor.kill()
    if stuck:
        assert broker.lives()
        with Cluster(BrokerSettings(tmp_path, 27060)) as next_one:
            next_one.start()
            assert not broker.lives()
            next_one.kill(1)
    else:
        assert eventually(lambda: not broker.lives(), 15)


@pytest.mark.long
def test_three_brokers_lose_no_acknowledged_record_and_take_more_when_one_is_killed(tmp_path: Path) -> None:
    cluster = Cluster(BrokerSettings(tmp_path, 27080, brokers=3))
    cluster.start()
    try:
        create_topic(cluster.bootstrap, "replicated", 3, {"min.insync.replicas": "2"})
        send(cluster.bootstrap, "replicated", b"before")
        cluster.kill(leader(cluster.bootstrap, "replicated"))
        assert len(cluster.pids) == 2
        send(cluster.bootstrap, "replicated", b"after")
        assert read(cluster.bootstrap, "replicated", 2) == [b"before", b"after"]
    finally:
        cluster.stop(0)  # killed: a clean stop of a cluster that lost a member takes its time and isn't asked here


def leader(bootstrap: str, topic: str) -> int:
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        number: int = admin.describe_topics([topic])[0]["partitions"][0]["leader_id"]
        return number
    finally:
        admin.close()


class Mirror(http.server.ThreadingHTTPServer):
    """A repository on loopback that serves one content for every jar, cut off after `cut` bytes."""

    def __init__(self, content: bytes, cut: int | None = None) -> None:
        super().__init__((HOST, 0), MirrorAnswer)
        self.content = content
        self.cut = cut


class MirrorAnswer(http.server.BaseHTTPRequestHandler):
    server: Mirror

    def do_GET(self) -> None:
        if not self.path.endswith(".jar"):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.content)))
        self.end_headers()
        self.wfile.write(self.server.content[: self.server.cut])

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    KafkaJars(cache_folder()).ready()
    with Mirror((cache_folder() / "jars" / SMALL.file_name).read_bytes()) as server:
        settings = tmp_path / "jgo.conf"
        settings.write_text(f"[repositories]\ncentral = http://{HOST}:{server.server_port}\n", "utf-8")
        monkeypatch.setenv("JGO_CONFIG_FILE", str(settings))
        monkeypatch.setenv("NO_PROXY", HOST)
        thread = threading.Thread(target=server.serve_forever, args=[0.05])
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_missing_jar_is_fetched(mirror: Mirror, tmp_path: Path) -> None:
    assert [sha256_of(path) for path in KafkaJars(tmp_path / "cache", [SMALL]).ready()] == [SMALL.sha256]


def test_damaged_cached_jar_is_fetched_again(mirror: Mirror, tmp_path: Path) -> None:
    jars = KafkaJars(tmp_path / "cache", [SMALL])
    (path,) = jars.ready()
    path.write_bytes(b"damaged")
    jars.ready()
    assert sha256_of(path) == SMALL.sha256


def test_jar_that_is_not_the_pinned_one_is_refused_and_not_kept(mirror: Mirror, tmp_path: Path) -> None:
    mirror.content = b"another jar"
    with pytest.raises(JarDamagedError, match=SMALL.file_name):
        KafkaJars(tmp_path / "cache", [SMALL]).ready()
    assert list((tmp_path / "cache" / "jars").iterdir()) == []


def test_download_cut_off_leaves_nothing_behind_and_can_be_repeated(mirror: Mirror, tmp_path: Path) -> None:
    jars = KafkaJars(tmp_path / "cache", [SMALL])
    mirror.cut = 100
    with pytest.raises(JarsUnavailableError):
        jars.ready()
    assert [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()] == ["fetch.lock"]
    mirror.cut = None
    assert len(jars.ready()) == 1


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every connection outside goes to a proxy port where nobody listens."""
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, f"http://{HOST}:{port}")


@pytest.mark.usefixtures("no_network")
def test_first_start_without_a_network_names_the_way_out(tmp_path: Path) -> None:
    cluster = Cluster(BrokerSettings(tmp_path / "kafka", 27040), cache=tmp_path / "cache")
    message = refusal(cluster, JarsUnavailableError)
    assert "connect this machine to the network once" in message
    assert str(tmp_path / "cache") in message


@pytest.mark.usefixtures("no_network")
def test_full_cache_needs_no_network() -> None:
    check = "import sys, deploy.kafka_jars as j; j.KafkaJars(j.cache_folder()).ready(); print('jgo' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"


def test_every_pin_has_a_file_name_of_its_own() -> None:
    pins = read_pins()
    assert len({pin.file_name for pin in pins}) == len(pins) == 46
