"""How much one account may send: a bucket of reports that fills at a steady rate, and attempts to log in likewise.

The time comes in. Usable from several threads. Buckets of those who have not come for long are full again, so they are
forgotten.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict

_MOST_BUCKETS = 20_000


class Limits:
    """Buckets by name. `rate` per second, `burst` at once."""

    def __init__(self, rate: float, burst: float) -> None:
        self.rate = rate
        self.burst = burst
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, name: str, count: float, now_s: float) -> int:
        """Take `count` from a bucket; 0 where it has them, else the seconds after which to try again, nothing taken.

        A count above the burst is taken from a full bucket, so that a large batch is slow and never impossible.
        """
        with self._lock:
            level, since = self._buckets.pop(name, (self.burst, now_s))
            level = min(self.burst, level + max(0.0, now_s - since) * self.rate)
            lacking = min(count, self.burst) - level
            self._buckets[name] = (level if lacking > 0 else level - count, now_s)
            if len(self._buckets) > _MOST_BUCKETS:
                self._buckets.popitem(last=False)
        return 0 if lacking <= 0 else max(1, math.ceil(lacking / self.rate))

    def give_back(self, name: str, count: float) -> None:
        """Undo a take that turned out to be none."""
        with self._lock:
            if name in self._buckets:
                level, since = self._buckets[name]
                self._buckets[name] = (level + count, since)
