"""From a configuration to a broker that answers, and back to none.

Readiness is asked by the Kafka protocol and nothing else: each started broker must answer ApiVersions, Metadata and
DescribeCluster at its own client port, under the right cluster id, with all started brokers registered and unfenced. A
broker that dies meanwhile is told at once, with its reason.
"""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from signal import SIGCONT, SIGKILL, SIGTERM, Signals

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from deploy.kafka_config import HOST, LOG4J2_PROPERTIES, BrokerSettings, server_properties
from deploy.kafka_errors import BrokerDiedError, NotReadyError, PortTakenError
from deploy.kafka_process import BrokerProcess, Java, clean_environment, last_words
from deploy.kafka_storage import STORAGE, storage_to_format
from schemas.kafka_client import client_options

_FORMAT_TIMEOUT_S = 120
_ASK_TIMEOUT_MS = 3000
_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 0.3
_KILL_WAIT_S = 30.0


def require_free(ports: Iterable[int]) -> None:
    """Raise PortTakenError unless each port can be bound, as Java will (with SO_REUSEADDR)."""
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError as error:
                raise PortTakenError(port) from error


def format_storage(java: Java, settings: BrokerSettings, broker_id: int, cluster_id: str) -> None:
    """Format the broker's storage by Kafka's own tool, unless it has one.

    Aside, then renamed: a storage that was half formatted when the power failed would be refused at each later start.
    """
    fresh = storage_to_format(settings, broker_id)
    if fresh is None:
        return
    folder, log = settings.broker_dir(broker_id), settings.log_path(broker_id)
    (folder / "log4j2.properties").write_text(LOG4J2_PROPERTIES, "utf-8")
    (folder / "format.properties").write_text(server_properties(settings, broker_id, fresh.name), "utf-8")
    tool = ("format", "--cluster-id", cluster_id, "--config", "format.properties")
    command = java.command("kafka.tools.StorageTool", *tool, log=log, heap_mb=settings.heap_mb)
    output = folder / "java.out"
    with output.open("wb") as file:
        ran = subprocess.run(
            command,
            cwd=folder,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            timeout=_FORMAT_TIMEOUT_S,
            check=False,
        )
    if ran.returncode != 0:
        raise BrokerDiedError(broker_id, f"formatting ended with {ran.returncode}", last_words("", output), log)
    fresh.rename(folder / STORAGE)


def launch(
    java: Java, settings: BrokerSettings, broker_id: int, spawner: Executor, options: Sequence[str] = ()
) -> BrokerProcess:
    """Write the broker's configuration anew and start it. `options` are further ones of the JVM."""
    folder, log = settings.broker_dir(broker_id), settings.log_path(broker_id)
    (folder / "log4j2.properties").write_text(LOG4J2_PROPERTIES, "utf-8")
    (folder / "server.properties").write_text(server_properties(settings, broker_id, STORAGE), "utf-8")
    command = java.command(
        "kafka.Kafka", "server.properties", log=log, heap_mb=settings.heap_mb, options=tuple(options)
    )
    return BrokerProcess(broker_id, folder, log, command, spawner)


def await_ready(processes: Sequence[BrokerProcess], settings: BrokerSettings, cluster_id: str) -> None:
    """Return when each of these brokers answers and sees all of them registered.

    Raises NotReadyError, or the reason why one died.
    """
    wanted = {process.broker_id for process in processes}
    deadline = time.monotonic() + settings.ready_timeout_s
    for process in processes:
        pause_s = _FIRST_PAUSE_S
        while (lacking := _lacking(settings.client_port(process.broker_id), wanted, cluster_id)) is not None:
            for other in processes:
                if (death := other.death()) is not None:
                    raise death
            if time.monotonic() > deadline:
                raise NotReadyError(process.broker_id, settings.ready_timeout_s, lacking, process.log)
            # Not a wait for readiness by itself: it bounds how often the broker is asked.
            process.ended_within(pause_s)
            pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)


def _lacking(port: int, wanted: set[int], cluster_id: str) -> str | None:
    """What the broker at this port still lacks, None when it is ready."""
    try:
        socket.create_connection((HOST, port), 1).close()  # kafka-python logs each attempt that fails
    except OSError:
        return f"nothing listens at port {port}"
    try:
        admin = KafkaAdminClient(
            **client_options(f"{HOST}:{port}", "chungsuc-ready"),
            bootstrap_timeout_ms=_ASK_TIMEOUT_MS,
            request_timeout_ms=_ASK_TIMEOUT_MS,
        )
        try:
            cluster = admin.describe_cluster()
        finally:
            admin.close()
    except (KafkaError, OSError) as error:
        return f"port {port} answers {type(error).__name__}"
    if cluster["cluster_id"] != cluster_id:
        return f"port {port} answers for another cluster, {cluster['cluster_id']}"
    registered = {broker["broker_id"] for broker in cluster["brokers"] if not broker["is_fenced"]}
    absent = sorted(wanted - registered)
    return f"brokers {absent} are not registered" if absent else None


def end(processes: Iterable[BrokerProcess], timeout_s: float, first: Signals = SIGTERM) -> list[int]:
    """Signal all at once, wait, SIGKILL what is left after the bound. Returns the ids of those."""
    living = [process for process in processes if process.is_alive()]
    for process in living:
        process.send(first)
        process.send(SIGCONT)  # a stopped process takes no SIGTERM
    deadline = time.monotonic() + timeout_s
    late = [process for process in living if not process.ended_within(deadline - time.monotonic())]
    for process in late:
        process.send(SIGKILL)
    for process in late:
        process.ended_within(_KILL_WAIT_S)
    return [process.broker_id for process in late]
