"""What happens in a segment, listed before it begins: a pure function of its seed.

Kinds are dealt like cards: each once, in an order of the seed's, then again, with some more kills to each round, so
that rare kinds come often enough. Within a kind the fault is drawn by weight. Now and then a process is killed in the
middle of another fault.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random

from tests.faults.campaign.kinds import Kind
from tests.faults.campaign.registry import Fault

FAULTS_PER_MINUTE = 5
EVERY_FIFTH = 5
_MORE_KILLS = 3
_OVERLAP_SHARE = 0.25
_MIDST = ("kill.random.ingest", "kill.random.rollup", "kill.random.read-model", "kill.random.node")
_LONG_KINDS = (Kind.NETWORK, Kind.DISK, Kind.STORM, Kind.OFFLINE, Kind.MIXED, Kind.CLOCK)
"""Kinds that last for a while and leave the supervisor alone."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A fault that is to come: which, with which seed, and what is killed in its midst, if anything."""

    fault: str
    seed: str
    midst: str = ""

    def random(self) -> Random:
        """The fault's own."""
        return Random(self.seed)


def brokers_of(seed: int) -> int:
    """Three, and one in every fifth segment."""
    return 1 if seed % EVERY_FIFTH == 0 else 3


def schedule(seed: int, brokers: int, minutes: float, faults: Iterable[Fault], only: str = "") -> list[Planned]:
    """More than fits into so many minutes of load, in order. `only`: a kind, or the name of one fault."""
    usable = [f for f in faults if f.brokers in (0, brokers) and only in ("", f.kind.value, f.name)]
    if not usable:
        return []
    random = Random(f"schedule/{seed}")
    found: list[Planned] = []
    while len(found) < minutes * FAULTS_PER_MINUTE:
        for kind in _round(usable, random):
            of_kind = [fault for fault in usable if fault.kind is kind]
            drawn = random.choices(of_kind, [fault.weight for fault in of_kind])[0]
            overlaps = kind in _LONG_KINDS and not only and random.random() < _OVERLAP_SHARE
            midst = random.choice(_MIDST) if overlaps else ""
            found.append(Planned(drawn.name, f"{seed}/{len(found)}", midst))
    return found


def _round(usable: Sequence[Fault], random: Random) -> list[Kind]:
    kinds = [*dict.fromkeys(fault.kind for fault in usable)]
    if Kind.KILL in kinds and len(kinds) > 1:
        kinds += [Kind.KILL] * _MORE_KILLS
    random.shuffle(kinds)
    return kinds
