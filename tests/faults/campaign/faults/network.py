"""The lines between clients and brokers: cut, half open, deaf, late, slow; to one broker or to all."""

from __future__ import annotations

import time
from functools import partial
from random import Random

from tests.faults.campaign.kinds import Kind
from tests.faults.campaign.proxy import OPEN, Line, State
from tests.faults.campaign.registry import FAULTS, Fault, Wound
from tests.faults.campaign.site import SESSION_S, Site

STATES = {
    "cut": (State(Line.CUT), (2.0, 12.0)),
    "half-open": (State(Line.HALF_OPEN), (3.0, 12.0)),
    "deaf": (State(Line.DEAF), (3.0, 10.0)),
    "late": (State(delay_s=0.3), (10.0, 15.0)),
    "slow": (State(bytes_per_s=30_000), (10.0, 15.0)),
}
"""What the line does, and between how many seconds it lasts (the session lasts 6)."""


def bad_line(name: str, every: bool, site: Site, random: Random) -> Wound:
    """Spoil the line for a while."""
    assert site.proxy is not None
    state, (least_s, most_s) = STATES[name]
    brokers = [*range(site.brokers)] if every else [random.randrange(site.brokers)]
    seconds = random.uniform(least_s, most_s)
    site.proxy.set(state, brokers)
    try:
        time.sleep(seconds)
    finally:
        site.proxy.set(OPEN, brokers)
    which = "all brokers" if every else f"broker {brokers[0] + 1}"
    return Wound(which, "the line's return", seconds={"bad": seconds, "session": SESSION_S})


for _name in STATES:
    for _every in (False, True):
        _full = f"network.{_name}.{'all' if _every else 'one'}"
        FAULTS[_full] = Fault(_full, Kind.NETWORK, partial(bad_line, _name, _every), brokers=3)
