"""Every port of a stack from one base, so that two stacks run side by side (`--port-base`)."""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_BASE = 17000
STEP = 100
"""Two bases this far apart never touch."""
MOST_WORKERS = 10
SANDBOX_BASE = 18_000


@dataclass(frozen=True, slots=True)
class Ports:
    """The plan: broker at the base, page at +20, gateway at +21, metrics from +30 on; all on loopback."""

    base: int

    @property
    def page(self) -> int:
        """The page and the query API."""
        return self.base + 20

    @property
    def gateway(self) -> int:
        """Reports over HTTP."""
        return self.base + 21

    @property
    def sandbox(self) -> int:
        """The sandbox's door before the gateway."""
        return self.base + 60

    @property
    def gateway_metrics(self) -> int:
        """The gateway's own metrics."""
        return self.base + 54

    @property
    def page_metrics(self) -> int:
        """The page's own metrics."""
        return self.base + 51

    @property
    def read_model(self) -> int:
        """The read model's metrics."""
        return self.base + 50

    @property
    def exporter(self) -> int:
        """Lag and freshness."""
        return self.base + 52

    @property
    def supervisor(self) -> int:
        """States and restarts of all processes."""
        return self.base + 53

    def ingest(self, index: int = 0) -> int:
        """Metrics of an ingest worker."""
        return self.base + 30 + index

    def rollup(self, index: int) -> int:
        """Metrics of a rollup worker, counted from 0."""
        return self.base + 40 + index

    def without_broker(self, workers: int) -> list[int]:
        """All but the broker's, which it checks itself."""
        fixed = [self.page, self.gateway, self.ingest(), self.read_model, self.page_metrics, self.exporter,
                 self.supervisor, self.gateway_metrics]  # fmt: skip
        return [*fixed, *(self.rollup(index) for index in range(workers))]
