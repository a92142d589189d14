"""Where a segment happens: brokers, the lines to them, a stack from `chungsuc up`, all who send, small disks.

With three brokers, the campaign holds them and `up` is given their addresses behind the proxy, as in production, where
the cluster is somebody else's. With one, it is the embedded broker that `up` starts itself; there is no proxy then.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random

from deploy.catalogue_release import read_registers
from deploy.kafka import BrokerSettings, Cluster
from deploy.operator_key import operator_key
from schemas.failpoint import VARIABLE
from schemas.settings import Settings
from schemas.topics import REJECTED, REPORTS
from tests.faults.campaign.callers import Callers
from tests.faults.campaign.disk import SmallDisk
from tests.faults.campaign.freshness import Freshness
from tests.faults.campaign.node import DATA, Who
from tests.faults.campaign.nodes import NodeProcess, Nodes
from tests.faults.campaign.office import AGENT, Office
from tests.faults.campaign.proxy import Proxy
from tests.faults.harness import Running

__all__ = ["REJECTED", "REPORTS", "Site", "site"]

CATALOGUE = Path(__file__).resolve().parents[2] / "data" / "campaign"
SESSION_S = 6.0
"""The least that the broker allows (group.min.session.timeout.ms)."""
WORKERS = 2
DISTRICTS = (("105", "106", "107", "108"), ("109", "110", "111", "112"))
"""Of Lai Châu, by node."""
PAUSE_S = 1.6
"""Between two steps of a node: some 25 reports a second, so that recovery is measured and not the load."""
_FIRST_FRESH_S = 120.0
_PROXY_AT = 13
_ACT_DELAY_MS = 1000
_AGENT_AT = 70
_MB = {"data": 384, "checkpoints": 64, "node": 96, "agent": 96}


class Site:
    """All of it; made by `site`. Faults act on its parts."""

    def __init__(self, folder: Path, base: int, brokers: int, seed: int) -> None:
        self.folder = folder
        self.base = base
        self.brokers = brokers
        self.seed = seed
        self.data = folder / "data"
        self.armed = folder / "failpoints"
        self.armed.mkdir(parents=True)
        self.environment = {
            VARIABLE: str(self.armed),
            "CHUNGSUC_SESSION_TIMEOUT_S": str(SESSION_S),
            "CHUNGSUC_CHECKPOINT_EVERY_S": "2",
        }
        self.cluster: Cluster | None = None
        self.proxy: Proxy | None = None
        self.disks: dict[str, SmallDisk] = {}
        self.turn = 0
        self.skipped: list[str] = []
        self.running = Running(self.data, base, WORKERS, catalogues=(CATALOGUE,), environment=self.environment)
        self.nodes: Nodes
        self.callers: Callers
        self.office: Office
        self.fresh: Freshness

    @property
    def settings(self) -> Settings:
        """As the campaign itself reads: straight to the brokers, whatever is wrong with the line."""
        settings = self.running.settings
        return settings.model_copy(update={"bootstrap": self.cluster.bootstrap}) if self.cluster else settings

    def next_turn(self) -> int:
        """A number that no fault of this segment had before."""
        self.turn += 1
        return self.turn

    def node(self, random: Random) -> NodeProcess:
        """One of them."""
        return random.choice(self.nodes.all)

    def disk(self, name: str) -> SmallDisk:
        """The small disk under `data`, `checkpoints` or a node."""
        return self.disks[name]

    def start_brokers(self) -> None:
        """Three brokers behind a proxy; nothing for one, which `up` starts."""
        if self.brokers == 1:
            return
        ports = [self.base + _PROXY_AT + at for at in range(self.brokers)]
        settings = BrokerSettings(self.folder / "kafka", self.base, self.brokers, ports)
        self.cluster = Cluster(settings)
        self.cluster.start()
        pairs = [(port, settings.proxy_listener_port(at + 1)) for at, port in enumerate(ports)]
        self.proxy = Proxy(pairs)
        self.environment |= {
            "CHUNGSUC_BOOTSTRAP": self.proxy.bootstrap,
            "CHUNGSUC_REPLICATION": str(self.brokers),
            "CHUNGSUC_ACT_DELAY_MS": str(_ACT_DELAY_MS),
        }

    def mount_disks(self) -> None:
        """Small disks where the stack and the nodes write; not under the log of an embedded broker."""
        wanted = {} if self.brokers == 1 else {"data": self.data}
        wanted |= {"checkpoints": self.data / "checkpoints"}
        for name, folder in wanted.items():
            self._mount(name, folder, _MB[name])

    def _mount(self, name: str, folder: Path, megabytes: int) -> None:
        disk = SmallDisk(folder, megabytes)
        if disk.mounted:
            self.disks[name] = disk
        else:
            self.skipped.append(f"no small disk under {name}: {disk.why_not}")

    def start_nodes(self) -> None:
        """The senders, each with its districts."""
        settings = self.running.settings
        nodes = []
        for number, districts in enumerate(DISTRICTS):
            folder = self.folder / f"node-{number}"
            who = Who(number, settings.bootstrap, str(self.data), settings.act_delay_ms, districts, self.seed, PAUSE_S)
            nodes.append(NodeProcess(folder, who, {VARIABLE: str(self.armed)}))
            self._mount(nodes[-1].name, folder / DATA, _MB["node"])
        self.nodes = Nodes(nodes)
        self.nodes.start()

    def start_callers(self) -> None:
        """The senders over HTTP, each with communes of its own."""
        catalogue = read_registers(self.settings, operator_key(self.data)).newest_catalogue()
        assert catalogue is not None
        self.callers = Callers(self.running, catalogue, self.folder / "callers", self.seed)
        self.callers.start()

    def start_office(self) -> None:
        """The office that reports through an agent, whose folder is a small disk."""
        catalogue = read_registers(self.settings, operator_key(self.data)).newest_catalogue()
        assert catalogue is not None
        folder = self.folder / "office"
        folder.mkdir()
        self._mount(AGENT, folder / AGENT, _MB[AGENT])
        port = self.base + _AGENT_AT
        self.office = Office(self.running, catalogue, folder, port, self.seed, {VARIABLE: str(self.armed)})
        self.office.start()

    def histories(self) -> list[Path]:
        """What nodes, callers, the office and the probe told, one file each."""
        return [*(node.history for node in self.nodes.all), self.callers.history, self.office.history,
                self.fresh.history]  # fmt: skip


@contextmanager
def site(folder: Path, base: int, brokers: int, seed: int) -> Iterator[Site]:
    """A site whose totals are fresh; everything ends with the block, and its small disks are given back."""
    here = Site(folder, base, brokers, seed)
    with ExitStack() as stack:
        stack.callback(_keep_logs, here)
        stack.callback(shutil.rmtree, folder / "kafka", ignore_errors=True)
        here.mount_disks()
        stack.callback(_stop_brokers, here)
        here.start_brokers()
        stack.callback(here.running.down)
        here.running.up()
        here.fresh = Freshness(here.settings, folder / "probe")
        stack.callback(here.fresh.close)
        here.fresh.within(_FIRST_FRESH_S)
        here.start_nodes()
        stack.callback(here.nodes.kill)
        here.start_callers()
        stack.callback(here.callers.stop)
        here.start_office()
        stack.callback(here.office.stop)
        yield here


def _keep_logs(here: Site) -> None:
    """They lie on a small disk; what they say is of use afterwards."""
    if (here.data / "logs").exists():
        shutil.copytree(here.data / "logs", here.folder / "logs", dirs_exist_ok=True)
    _unmount(here)


def _unmount(here: Site) -> None:
    for disk in reversed([*here.disks.values()]):
        disk.unmount()


def _stop_brokers(here: Site) -> None:
    if here.proxy is not None:
        here.proxy.close()
    if here.cluster is not None:
        here.cluster.stop(15)
