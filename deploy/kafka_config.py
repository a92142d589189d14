"""What the embedded brokers are told: addresses, sizes, safety.

One or three combined brokers and controllers (KRaft) on 127.0.0.1. Ports, for broker 1, 2, 3 with index i = 0, 1, 2:

| port | listener |
|---|---|
| port + 2 i | CLIENT: clients, and brokers among themselves |
| port + 2 i + 1 | CONTROLLER: the quorum |
| port + 10 + i | PROXY, only with `proxy_ports`: what a proxy connects to |

PROXY advertises the proxy's port, so that a client which came through the proxy stays behind it.

The quorum is the static one (`controller.quorum.voters`): the addresses come from the settings at each start. With the
dynamic quorum they lie in the log, and three brokers whose ports were moved by `--port-base` never find each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"
PROXY_OFFSET = 10

# 16 MiB, the longest record of any topic, and 1 MiB for the batch around it.
MAX_MESSAGE_BYTES = 17 * 2**20

_FOREVER_MINUTES = 10 * 365 * 24 * 60


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """Where the brokers lie, where they listen, how large they are.

    `brokers` is 1 or 3. `proxy_ports` has one port per broker, that of the proxy in front of its PROXY listener.
    `min_free_mb`: with less than that free under `data_dir`, a start is refused.
    """

    data_dir: Path
    port: int
    brokers: int = 1
    proxy_ports: Sequence[int] | None = None
    heap_mb: int = 512
    min_free_mb: int = 512
    ready_timeout_s: float = 180.0

    def __post_init__(self) -> None:
        """Refuse what no caller can mean."""
        if self.brokers not in (1, 3):
            raise ValueError(self.brokers)
        if self.proxy_ports is not None and len(self.proxy_ports) != self.brokers:
            raise ValueError(self.proxy_ports)

    @property
    def broker_ids(self) -> range:
        """1, or 1 to 3."""
        return range(1, self.brokers + 1)

    def client_port(self, broker_id: int) -> int:
        """Where clients and the other brokers reach it."""
        return self.port + 2 * (broker_id - 1)

    def controller_port(self, broker_id: int) -> int:
        """Where the quorum reaches it."""
        return self.port + 2 * (broker_id - 1) + 1

    def proxy_listener_port(self, broker_id: int) -> int:
        """Where a proxy reaches it."""
        return self.port + PROXY_OFFSET + broker_id - 1

    def ports(self, broker_id: int) -> list[int]:
        """Every port this broker listens at."""
        ports = [self.client_port(broker_id), self.controller_port(broker_id)]
        return ports if self.proxy_ports is None else [*ports, self.proxy_listener_port(broker_id)]

    @property
    def bootstrap(self) -> str:
        """All brokers' client addresses."""
        return ",".join(f"{HOST}:{self.client_port(broker_id)}" for broker_id in self.broker_ids)

    def broker_dir(self, broker_id: int) -> Path:
        """The folder of one broker: its configuration, its process record, its data."""
        return self.data_dir.absolute() / f"broker-{broker_id}"

    def log_path(self, broker_id: int) -> Path:
        """`kafka.log`; with three brokers `kafka-1.log` to `kafka-3.log`."""
        return self.data_dir.absolute() / ("kafka.log" if self.brokers == 1 else f"kafka-{broker_id}.log")


def server_properties(settings: BrokerSettings, broker_id: int, log_dir: str) -> str:
    """The broker's configuration file. `log_dir` is relative to the broker's folder, where its process runs."""
    safe = settings.brokers > 1
    replicas = 3 if safe else 1
    in_sync = 2 if safe else 1
    voters = ",".join(f"{other}@{HOST}:{settings.controller_port(other)}" for other in settings.broker_ids)
    client = f"CLIENT://{HOST}:{settings.client_port(broker_id)}"
    listeners = [client, f"CONTROLLER://{HOST}:{settings.controller_port(broker_id)}"]
    advertised = [client]
    if settings.proxy_ports is not None:
        listeners.append(f"PROXY://{HOST}:{settings.proxy_listener_port(broker_id)}")
        advertised.append(f"PROXY://{HOST}:{settings.proxy_ports[broker_id - 1]}")
    values: dict[str, object] = {
        "process.roles": "broker,controller",
        "node.id": broker_id,
        "controller.quorum.voters": voters,
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "CLIENT",
        "listeners": ",".join(listeners),
        "advertised.listeners": ",".join(advertised),
        "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXY:PLAINTEXT",
        # Relative, because the value is split at commas, which a path may hold.
        "log.dirs": log_dir,
        # A topic made by a typing error has neither the partitions nor the retention of the contract.
        "auto.create.topics.enable": "false",
        "default.replication.factor": replicas,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": replicas,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": in_sync,
        "share.coordinator.state.topic.num.partitions": 4,
        # Default 7 days: a stack that stood still for longer would start from the beginning.
        "offsets.retention.minutes": _FOREVER_MINUTES,
        "group.initial.rebalance.delay.ms": 0,
        "message.max.bytes": MAX_MESSAGE_BYTES,
        "replica.fetch.max.bytes": MAX_MESSAGE_BYTES,
        # Default 9 s, for which a broker that was killed isn't let in again: its own last registration holds. And with
        # three, the partitions it led have no leader meanwhile.
        "broker.session.timeout.ms": 6000 if safe else 3000,
        "broker.heartbeat.interval.ms": 1000 if safe else 500,
        # Sizes for two cores and a small heap: 128 MB of buffer for a cleaner that only ever sees the offsets topic,
        # and 500 requests of up to 17 MiB each in the queue, are not.
        "num.network.threads": 2,
        "num.io.threads": 4,
        "num.recovery.threads.per.data.dir": 2,
        "log.cleaner.dedupe.buffer.size": 8 * 2**20,
        "queued.max.request.bytes": settings.heap_mb * 2**20 // 4,
    }
    return "".join(f"{name}={value}\n" for name, value in values.items())


LOG_SYSTEM_PROPERTY = "chungsuc.kafka.log"

# Bounded: 20 MB and three older files. Immediate flush, so that the last line of a broker that died is there.
LOG4J2_PROPERTIES = f"""\
status=error
appender.file.type=RollingFile
appender.file.name=file
appender.file.fileName=${{sys:{LOG_SYSTEM_PROPERTY}}}
appender.file.filePattern=${{sys:{LOG_SYSTEM_PROPERTY}}}.%i
appender.file.layout.type=PatternLayout
appender.file.layout.charset=UTF-8
appender.file.layout.pattern=%d{{yyyy-MM-dd'T'HH:mm:ss.SSSXXX}} %p %c{{1}}: %m%n
appender.file.policies.type=Policies
appender.file.policies.size.type=SizeBasedTriggeringPolicy
appender.file.policies.size.size=20MB
appender.file.strategy.type=DefaultRolloverStrategy
appender.file.strategy.max=3
rootLogger.level=info
rootLogger.appenderRef.file.ref=file
# At start each of these writes all of its configuration, hundreds of lines, once per client and once per topic.
logger.config.name=org.apache.kafka.common.config.AbstractConfig
logger.config.level=warn
logger.kafkaconfig.name=kafka.server.KafkaConfig
logger.kafkaconfig.level=warn
"""
