"""Which partition stands still: one by one, because a partition that moves says nothing about another that does not."""

from __future__ import annotations

from collections.abc import Mapping


class Stalls:
    """What has been waiting where, and since when."""

    def __init__(self, after_s: float) -> None:
        self._after_s = after_s
        self._since: dict[str, tuple[int, float]] = {}

    def forget(self) -> None:
        """Begin anew: nothing was to be expected meanwhile."""
        self._since.clear()

    def look(self, waiting: Mapping[str, int], now_s: float) -> tuple[float, str] | None:
        """`waiting`: how far each place is where records wait. Seconds and name of one that stands still too long."""
        self._since = {
            place: known if (known := self._since.get(place)) is not None and known[0] == at else (at, now_s)
            for place, at in waiting.items()
        }
        longest = max(self._since.items(), key=lambda item: now_s - item[1][1], default=None)
        if longest is None or now_s - longest[1][1] <= self._after_s:
            return None
        return now_s - longest[1][1], longest[0]
