"""Clocks that are wrong: of a node or an agent while it sends, of a worker while it counts. Nothing may ask a clock."""

from __future__ import annotations

import signal
import time
from functools import partial
from pathlib import Path
from random import Random

from tests.faults.campaign import story, wrong_clock
from tests.faults.campaign.kinds import Kind
from tests.faults.campaign.office import AGENT
from tests.faults.campaign.registry import FAULTS, Fault, Wound
from tests.faults.campaign.site import Site
from tests.faults.harness import metric
from tests.support.waiting import eventually

_RUN_FIRST = str(Path(wrong_clock.__path__[0]))
_PORT = 64
_READY_WITHIN_S = 90.0
_SHOWN_WITHIN_S = 60.0
WORKER_CLOCKS = ("+1d", "-1d", "1970", "2099")


def of_node(clock: str, site: Site, random: Random) -> Wound:
    """A node's clock is off, then put right, and what it sent is corrected."""
    node = site.node(random)
    node.order(order="clock", clock=clock, turn=site.next_turn())
    return Wound(node.name, "the acknowledgement of what it sent")


for _clock in story.CLOCKS:
    FAULTS[f"clock.{_clock}"] = Fault(f"clock.{_clock}", Kind.CLOCK, partial(of_node, _clock))


def of_worker(clock: str, site: Site, random: Random) -> Wound:
    """One more worker joins whose clock is off, takes its share of the partitions, and goes politely or by force."""
    stage = random.choice(("ingest", "rollup"))
    offset_ms = story.clock_offset_ms(clock, time.time_ns() // 1_000_000)
    port = site.base + _PORT
    with site.running.worker(
        f"streams.{stage}", f"{stage}-{_PORT}", port, PYTHONPATH=_RUN_FIRST, CAMPAIGN_CLOCK_MS=str(offset_ms)
    ) as process:
        eventually(lambda: metric(port, "chungsuc_ready") > 0, _READY_WITHIN_S)
        shown = site.fresh.within(_SHOWN_WITHIN_S)
        process.send_signal(random.choice((signal.SIGTERM, signal.SIGKILL)))
        process.wait(30)
    return Wound(f"one more {stage}", "its end", seconds={"fresh with it": shown})


def of_agent(clock: str, site: Site, random: Random) -> Wound:
    """The clock of the agent's host is off while it takes files and sends them, and is then put right."""
    offset_ms = story.clock_offset_ms(clock, time.time_ns() // 1_000_000)
    site.office.restart(PYTHONPATH=_RUN_FIRST, CAMPAIGN_CLOCK_MS=str(offset_ms))
    began = time.monotonic()
    shown = site.office.done_after(began, _SHOWN_WITHIN_S)
    site.office.restart()
    site.office.done_after(time.monotonic(), _SHOWN_WITHIN_S)
    return Wound(AGENT, "a file that is done with the right clock", seconds={"done with it": shown})


for _clock in WORKER_CLOCKS:
    FAULTS[f"clock.agent.{_clock}"] = Fault(f"clock.agent.{_clock}", Kind.CLOCK, partial(of_agent, _clock))


for _clock in WORKER_CLOCKS:
    FAULTS[f"clock.worker.{_clock}"] = Fault(f"clock.worker.{_clock}", Kind.CLOCK, partial(of_worker, _clock))
