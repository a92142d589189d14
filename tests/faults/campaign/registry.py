"""The register of faults. A fault is a function of the site with a row above it:

    @fault("stop.read-model", Kind.STOP)
    def stop_read_model(site: Site, random: Random) -> Wound: ...

It injects, heals what does not heal by itself, and returns the moment from which recovery counts. `random` is its own:
the same seed makes the same fault. The campaign then measures until a fresh report is in the nation's total.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from tests.faults.campaign.kinds import Kind
from tests.faults.campaign.site import Site


@dataclass(slots=True)
class Wound:
    """What a fault did: to whom, from when recovery counts, what else it measured (seconds by name).

    `restarted` names the supervised process that a supervisor has to bring back.
    """

    target: str
    counts_from: str
    at: float = field(default_factory=time.monotonic)
    restarted: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    note: str = ""


class Skipped(Exception):
    """The fault cannot be had here; one line why."""


Act = Callable[[Site, Random], Wound]


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to break it. `brokers`: 1 or 3 where it needs so many, 0 for either. `weight`: how often it comes."""

    name: str
    kind: Kind
    act: Act
    brokers: int = 0
    weight: int = 1


FAULTS: dict[str, Fault] = {}


def fault(name: str, kind: Kind, *, brokers: int = 0, weight: int = 1) -> Callable[[Act], Act]:
    """Put a function into the register."""

    def register(act: Act) -> Act:
        if name in FAULTS:
            raise ValueError(name)
        FAULTS[name] = Fault(name, kind, act, brokers, weight)
        return act

    return register
