"""What goes on beside a fault: waiting until it may come, a kill in its midst, the moment of a restart."""

from __future__ import annotations

import threading
import time

from kafka.errors import KafkaError

from deploy.stack import ProcessState
from deploy.topic_set import admin_client
from schemas.topics import FIGURES, REPORTS
from tests.faults.campaign.kinds import Kind
from tests.faults.campaign.registry import FAULTS, Skipped, Wound
from tests.faults.campaign.schedule import Planned
from tests.faults.campaign.site import Site
from tests.support.waiting import eventually

_READY_WITHIN_S = 120.0
_MIDST_AFTER_S = 1.0
_ASK_EVERY_S = 0.1


def all_ready(here: Site, after: Kind | None) -> None:
    """Every part does its work before the next fault, so that recoveries are told apart.

    `after`: the kind of the fault before. Brokers are waited for where it was theirs.
    """

    def ready() -> bool:
        return all(
            here.running.state(name) is ProcessState.READY
            for name in ("ingest-1", "rollup-1", "rollup-2", "read-model", "gateway")
        )

    eventually(ready, _READY_WITHIN_S, 0.1)
    if after is Kind.BROKER and here.cluster is not None:
        eventually(lambda: _in_sync(here), _READY_WITHIN_S, 1.0)


def _in_sync(here: Site) -> bool:
    """Whether every replica of what is reported and counted has all of it."""
    settings = here.settings
    try:
        with admin_client(settings.bootstrap) as admin:
            described = admin.describe_topics([settings.topic(topic) for topic in (REPORTS, FIGURES)])
    except KafkaError:
        return False
    parts = [part for topic in described for part in topic["partitions"]]
    return bool(parts) and all(len(part["isr_nodes"]) == here.brokers for part in parts)


class Midst:
    """A kill a second into another fault."""

    def __init__(self, here: Site, planned: Planned) -> None:
        self._here = here
        self._planned = planned
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="midst", daemon=True)
        self.done = False

    def start(self) -> None:
        if self._planned.midst:
            self._thread.start()

    def end(self) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        if self._over.wait(_MIDST_AFTER_S):
            return
        try:
            FAULTS[self._planned.midst].act(self._here, self._planned.random())
        except (Skipped, ProcessLookupError):
            return
        self.done = True


class Restart:
    """When a supervisor starts the next process of a part that was killed."""

    def __init__(self, here: Site, wound: Wound) -> None:
        self._here = here
        self._wound = wound
        self._at = -1.0
        self._over = threading.Event()
        self._before = here.running.status(wound.restarted).restarts if wound.restarted else 0
        self._thread = threading.Thread(target=self._run, name="restart", daemon=True)
        if wound.restarted:
            self._thread.start()

    def _run(self) -> None:
        name = self._wound.restarted
        while not self._over.wait(_ASK_EVERY_S):
            status = self._here.running.status(name)
            if status.state is ProcessState.STARTING or status.restarts > self._before:
                self._at = time.monotonic()
                return

    def seconds(self) -> float:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        return round(self._at - self._wound.at, 2) if self._at >= 0 else -1.0
