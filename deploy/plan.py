"""What a stack consists of: which processes, with which settings and ports, in which order they start."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from deploy.kafka import BrokerSettings, Cluster
from deploy.parts import Broker, Worker
from deploy.ports import Ports
from deploy.stack import Stack
from schemas.settings import PREFIX, Settings, load_settings

LOGS = "logs"


@dataclass(frozen=True, slots=True)
class Plan:
    """What `up` was asked for. `catalogues`: folders whose forms and codes are added to the released ones (tests)."""

    data: Path
    ports: Ports
    workers: int = 1
    trees: tuple[Path, ...] = ()
    catalogues: tuple[Path, ...] = ()
    settings: Settings = field(default_factory=load_settings)

    def broker(self) -> Broker | None:
        """The embedded broker, None where the settings name an existing cluster."""
        if self.settings.bootstrap:
            return None
        return Broker(Cluster(BrokerSettings(data_dir=self.data / "kafka", port=self.ports.base)))

    def stack(self, bootstrap: str, operator_key: str, pid: int) -> Stack:
        """Where everything will be."""
        return Stack(
            data=str(self.data),
            port_base=self.ports.base,
            bootstrap=bootstrap,
            operator_key=operator_key,
            prefix=self.settings.prefix,
            partitions=self.settings.partitions,
            keyless_partitions=self.settings.keyless_partitions,
            replication=self.settings.replication,
            act_delay_ms=self.settings.act_delay_ms,
            page=f"http://127.0.0.1:{self.ports.page}",
            gateway=f"http://127.0.0.1:{self.ports.gateway}",
            metrics=f"http://127.0.0.1:{self.ports.supervisor}/metrics",
            supervisor_pid=pid,
        )

    def worker_groups(self, stack: Stack) -> list[list[Worker]]:
        """The processes in the order of the data's way; those of one group start and stop together."""
        ports = self.ports
        page = self._worker("page", "consumers.dashboard", ports.page_metrics, stack, "PAGE_PORT", ports.page)
        gateway = self._worker("gateway", "deploy.gateway", ports.gateway_metrics, stack, "GATEWAY_PORT", ports.gateway)
        return [
            [self._worker("ingest-1", "streams.ingest", ports.ingest(), stack)],
            [self._worker(f"rollup-{n + 1}", "streams.rollup", ports.rollup(n), stack) for n in range(self.workers)],
            [self._worker("read-model", "consumers.read_model", ports.read_model, stack)],
            [page, gateway, self._worker("exporter", "consumers.lag", ports.exporter, stack)],
        ]

    def _worker(self, name: str, module: str, port: int, stack: Stack, serves: str = "", serves_at: int = 0) -> Worker:
        """`serves`: the setting that names the port on which it answers people, besides that of its metrics."""
        environment = {
            f"{PREFIX}DATA": stack.data,
            f"{PREFIX}BOOTSTRAP": stack.bootstrap,
            f"{PREFIX}WORKER_ID": name,
            f"{PREFIX}OPERATOR_KEY": stack.operator_key,
            "PYTHONUNBUFFERED": "1",
        }
        if serves:
            environment[f"{PREFIX}{serves}"] = str(serves_at)
        log = self.data / LOGS / f"{name}.log"
        address = f"http://127.0.0.1:{serves_at}" if serves else ""
        return Worker(name, module, environment, metrics_port=port, log=log, address=address)
