"""`kill -9`: at the worst named moment of each role, and at random ones."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from random import Random

from tests.faults.campaign.kinds import Kind
from tests.faults.campaign.office import AGENT
from tests.faults.campaign.registry import FAULTS, Fault, Skipped, Wound, fault
from tests.faults.campaign.site import SESSION_S, Site
from tests.support.waiting import eventually, lives

POINTS = {
    "ingest.before_produce": "ingest-1",
    "ingest.after_produce": "ingest-1",
    "ingest.after_ack": "ingest-1",
    "rollup.before_produce": "rollup",
    "rollup.after_produce": "rollup",
    "rollup.after_ack": "rollup",
    "checkpoint.before_manifest": "rollup",
    "read_model.before_commit": "read-model",
    "read_model.after_commit": "read-model",
    "outbox.after_write": "node",
    "publisher.after_produce": "node",
    "publisher.after_ack": "node",
    "outbox.before_mark": "node",
    "gateway.after_write": "gateway",
    "gateway.before_answer": "gateway",
}
"""Who passes them; what a node does with its outbox, the gateway does too, and whoever comes first is killed."""
_PASSED_WITHIN_S = 60.0
AGENT_POINTS = ("file_seen", "after_write", "after_keep", "after_send", "after_ack", "after_mark", "after_move")
ROLLUPS = ("rollup-1", "rollup-2")
TAKEOVER_WITHIN_S = 60.0
_ANSWERED_WITHIN_S = 90.0


def arm(site: Site, point: str, text: str) -> None:
    """Arm a failpoint in whatever process passes it."""
    aside = site.folder / f".{point}"
    aside.write_text(text, "utf-8")
    aside.rename(site.armed / point)


def _killed_at(site: Site, point: str, passes: int) -> float:
    """Arm a failpoint and wait until somebody is killed there; the moment by the monotonic clock."""
    arm(site, point, str(passes))
    armed = site.armed / point
    try:
        eventually(lambda: not armed.exists(), _PASSED_WITHIN_S, 0.005)
    finally:
        armed.unlink(missing_ok=True)
    return time.monotonic()


def at_point(point: str, role: str, site: Site, random: Random) -> Wound:
    """Killed at a named point."""
    names = {"rollup": ROLLUPS, "node": ()}.get(role, (role,))
    before = {name: site.running.pid_or_none(name) for name in names}
    at = _killed_at(site, point, random.randrange(1, 6))
    if role == "node":
        return Wound("a node or the gateway", "the kill", at)
    victim = eventually(lambda: _gone(before), 10, 0.002)
    if victim == "gateway":
        return _answered(site, at)
    return Wound(victim, "the kill", at, restarted=victim)


def _gone(before: dict[str, int | None]) -> str:
    return next((name for name, pid in before.items() if pid is not None and not lives(pid)), "")


for _point, _role in POINTS.items():
    FAULTS[f"kill.{_point}"] = Fault(f"kill.{_point}", Kind.KILL, partial(at_point, _point, _role))


def agent_at_point(point: str, site: Site, random: Random) -> Wound:
    """The agent killed at a step of a submission."""
    return _done_again(site, _killed_at(site, point, random.randrange(1, 4)))


for _step in AGENT_POINTS:
    _name = f"kill.agent.{_step}"
    FAULTS[_name] = Fault(_name, Kind.KILL, partial(agent_at_point, f"agent.{_step}"))


@fault("kill.random.agent", Kind.KILL)
def kill_agent(site: Site, random: Random) -> Wound:
    site.office.kill()
    return _done_again(site, time.monotonic())


def _done_again(site: Site, at: float) -> Wound:
    """The agent was killed: a file that is dropped now is done."""
    seconds = site.office.done_after(at, _ANSWERED_WITHIN_S)
    return Wound(AGENT, "the kill", at, seconds={"done again": seconds})


def _kill(site: Site, name: str) -> Wound:
    pid = site.running.pid_or_none(name)
    if pid is None:
        raise Skipped(f"{name} does not run")
    os.kill(pid, signal.SIGKILL)
    return Wound(name, "the kill", restarted=name)


@fault("kill.random.ingest", Kind.KILL, weight=2)
def kill_ingest(site: Site, random: Random) -> Wound:
    return _kill(site, "ingest-1")


@fault("kill.random.rollup", Kind.KILL, weight=3)
def kill_rollup(site: Site, random: Random) -> Wound:
    return _kill(site, random.choice(ROLLUPS))


@fault("kill.random.read-model", Kind.KILL, weight=2)
def kill_read_model(site: Site, random: Random) -> Wound:
    return _kill(site, "read-model")


@fault("kill.random.gateway", Kind.KILL, weight=2)
def kill_gateway(site: Site, random: Random) -> Wound:
    return _answered(site, _kill(site, "gateway").at)


def _answered(site: Site, at: float) -> Wound:
    """The gateway was killed: a caller is told 202 again."""
    seconds = site.callers.answered_after(at, _ANSWERED_WITHIN_S)
    return Wound("gateway", "the kill", at, seconds={"answered again": seconds})


@fault("kill.random.node", Kind.KILL)
def kill_node(site: Site, random: Random) -> Wound:
    node = site.node(random)
    node.kill()
    return Wound(node.name, "the kill")


@fault("kill.workers", Kind.KILL)
def kill_all_workers(site: Site, random: Random) -> Wound:
    for name in ("ingest-1", *ROLLUPS, "read-model"):
        pid = site.running.pid_or_none(name)
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
    return Wound("ingest-1, rollup-1, rollup-2, read-model", "the kill", restarted="rollup-1")


@fault("kill.supervisor", Kind.KILL)
def kill_supervisor(site: Site, random: Random) -> Wound:
    """It takes its children along; the next `up` goes on."""
    site.running.kill_up()
    at = time.monotonic()
    site.running.up(wait=False)
    site.running.await_ready()
    return Wound("up and all its children", "the kill", at)


@fault("kill.taken-over", Kind.KILL, weight=3)
def kill_taken_over(site: Site, random: Random) -> Wound:
    """Its supervisor stands still, so another worker has to take over."""
    name = random.choice(ROLLUPS)
    pid = site.running.pid_or_none(name)
    if pid is None:
        raise Skipped(f"{name} does not run")
    site.running.pause("up")
    try:
        os.kill(pid, signal.SIGKILL)
        taken = site.fresh.within(TAKEOVER_WITHIN_S)
    finally:
        site.running.resume("up")
    return Wound(name, "its supervisor's waking up", seconds={"taken over": taken, "session": SESSION_S})
