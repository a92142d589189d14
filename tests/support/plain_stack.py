"""A stack whose workers are plain processes: what the tests of the supervisor start, with the real broker and log.

python -m tests.support.plain_stack DATA PORT_BASE [TREE...]
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from deploy.parts import Worker
from deploy.plan import LOGS, Plan
from deploy.ports import Ports
from deploy.stack import Stack
from deploy.supervisor import Supervisor
from schemas.settings import load_settings


class PlainPlan(Plan):
    """Two workers in two groups instead of all of ours."""

    def worker_groups(self, stack: Stack) -> list[list[Worker]]:
        """`first` and `second`."""
        return [
            [self._plain("first", self.ports.ingest(), stack)],
            [self._plain("second", self.ports.rollup(0), stack)],
        ]

    def _plain(self, name: str, port: int, stack: Stack) -> Worker:
        environment = {"CHUNGSUC_DATA": stack.data, "CHUNGSUC_WORKER_ID": name, "PYTHONUNBUFFERED": "1"}
        log = self.data / LOGS / f"{name}.log"
        return Worker(name, "tests.support.plain_worker", environment, metrics_port=port, log=log)


def main() -> None:
    """Run it until SIGTERM."""
    data, base, *trees = sys.argv[1:]
    plan = PlainPlan(Path(data), Ports(int(base)), 1, tuple(map(Path, trees)), (), load_settings(data=Path(data)))
    asyncio.run(Supervisor(plan).run())


if __name__ == "__main__":
    main()
