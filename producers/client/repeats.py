"""How often and how long a request is repeated, and what to wait in between. Pure: the clock and chance come in."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

_FIRST_S, _LONGEST_S = 0.5, 30.0


@dataclass(frozen=True, slots=True)
class Repeats:
    """`within_s` bounds all attempts together, 0 for a single one. `chance` gives numbers from 0 to 1.

    Pauses double from half a second to half a minute, each shortened by up to a half at random, so that clients which
    lost the gateway in one moment do not come back in one. A `Retry-After` that is longer is kept.
    """

    within_s: float = 120.0
    chance: Callable[[], float] = field(default=random.random)

    def pause_s(self, attempt: int, spent_s: float, retry_after_s: float | None) -> float | None:
        """Seconds to wait after a failed `attempt` (from 0); None where the bound would pass by then."""
        longest = min(_FIRST_S * 2 ** min(attempt, 10), _LONGEST_S)
        wait_s = max(longest * (1 - self.chance() / 2), retry_after_s or 0.0)
        return wait_s if spent_s + wait_s <= self.within_s else None
