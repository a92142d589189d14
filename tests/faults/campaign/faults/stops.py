"""SIGSTOP and SIGCONT: shorter than the session timeout, which nobody notices, and longer, when others take over."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from random import Random

from tests.faults.campaign.faults.kills import ROLLUPS, TAKEOVER_WITHIN_S
from tests.faults.campaign.kinds import Kind
from tests.faults.campaign.registry import FAULTS, Fault, Skipped, Wound, fault
from tests.faults.campaign.site import SESSION_S, Site
from tests.support.waiting import lives

SHORT_S = SESSION_S / 3
LONG_S = SESSION_S * 1.7


def stop(roles: tuple[str, ...], seconds: float, site: Site, random: Random) -> Wound:
    """Stand still for so long."""
    name = random.choice(roles)
    pid = site.running.pid_or_none(name)
    if pid is None:
        raise Skipped(f"{name} does not run")
    _stand_still(pid, seconds)
    return Wound(name, "SIGCONT", seconds={"stopped": seconds})


def _stand_still(pid: int, seconds: float) -> None:
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(seconds)
    finally:
        if lives(pid):
            os.kill(pid, signal.SIGCONT)


for _length, _seconds in (("short", SHORT_S), ("long", LONG_S)):
    for _name, _roles in (("ingest", ("ingest-1",)), ("rollup", ROLLUPS), ("read-model", ("read-model",)),
                          ("gateway", ("gateway",))):  # fmt: skip
        FAULTS[f"stop.{_length}.{_name}"] = Fault(f"stop.{_length}.{_name}", Kind.STOP, partial(stop, _roles, _seconds))


@fault("stop.taken-over", Kind.STOP, weight=2)
def stop_taken_over(site: Site, random: Random) -> Wound:
    """A rollup worker stands still until another has its partitions, and wakes up among the living."""
    name = random.choice(ROLLUPS)
    pid = site.running.pid_or_none(name)
    if pid is None:
        raise Skipped(f"{name} does not run")
    os.kill(pid, signal.SIGSTOP)
    try:
        taken = site.fresh.within(TAKEOVER_WITHIN_S)
    finally:
        if lives(pid):
            os.kill(pid, signal.SIGCONT)
    return Wound(name, "SIGCONT", seconds={"taken over": taken, "session": SESSION_S})


@fault("stop.broker", Kind.STOP, brokers=3)
def stop_broker(site: Site, random: Random) -> Wound:
    """One broker stands still for longer than its session with the controller (6 s)."""
    assert site.cluster is not None
    broker = random.choice([*site.cluster.settings.broker_ids])
    pid = site.cluster.pids.get(broker)
    if pid is None:
        raise Skipped(f"broker {broker} does not run")
    _stand_still(pid, LONG_S)
    return Wound(f"broker {broker}", "SIGCONT", seconds={"stopped": LONG_S})


@fault("stop.node", Kind.STOP)
def stop_node(site: Site, random: Random) -> Wound:
    node = site.node(random)
    _stand_still(node.pid, LONG_S)
    return Wound(node.name, "SIGCONT", seconds={"stopped": LONG_S})
