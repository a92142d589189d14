"""How long recoveries took, and how long of the time that others left over: what the page tells of a fault's end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil

from tests.faults.campaign.kinds import Kind
from tests.faults.campaign.results import Suffered

WORKERS = ("ingest-1", "rollup-1", "rollup-2", "read-model")


@dataclass(frozen=True, slots=True)
class Recovery:
    """`others`: the share of the machine's time that went to other work meanwhile."""

    seconds: float
    others: float

    @property
    def left_over(self) -> float:
        """Of these seconds, those in which the machine was not busy with other work."""
        return self.seconds * (1 - self.others)


def since_restart(faults: Iterable[Suffered]) -> list[Recovery]:
    """Of killed workers, from the moment at which their supervisor started them again."""
    return [
        _recovery(fault.recovery_s - fault.restart_s, fault)
        for fault in faults
        if fault.kind == Kind.KILL.value and fault.target in WORKERS and fault.restart_s >= 0 and fault.recovery_s >= 0
    ]


def measured(faults: Iterable[Suffered], what: str) -> list[Recovery]:
    """What faults measured under a name."""
    return [_recovery(fault.seconds[what], fault) for fault in faults if what in fault.seconds]


def _recovery(seconds_: float, fault: Suffered) -> Recovery:
    return Recovery(seconds_, fault.others)


def percentile(values: Sequence[float], percent: int) -> float:
    """By nearest rank. Raises IndexError for no values."""
    return sorted(values)[ceil(len(values) * percent / 100) - 1]


def seconds(values: Sequence[float], percent: int) -> str:
    """The percentile in words."""
    return f"{percentile(values, percent):.1f} s" if values else "—"
