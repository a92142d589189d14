"""How long to wait before the next start of something that ended by itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Backoff:
    """Doubles from the first pause to the longest; starts over after a life long enough to count as healthy.

    The longest leaves room for a start within the ten seconds in which a killed worker's totals must be fresh again.
    """

    first_s: float = 0.2
    longest_s: float = 5.0
    healthy_s: float = 10.0
    _next_s: float = 0.0

    def after(self, life_s: float) -> float:
        """The pause after a life of so many seconds."""
        if life_s >= self.healthy_s or not self._next_s:
            self._next_s = self.first_s
        pause_s = self._next_s
        self._next_s = min(self.longest_s, 2 * self._next_s)
        return pause_s
