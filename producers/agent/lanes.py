"""Two lanes out of one outbox: what comes now goes at once, what has piled up goes beside it, at its own pace.

Pure: times come in. A row belongs to the backlog for ever once it was seen in a crowd; so a report that comes while
100,000 wait is alone in its lane, and a folder of 100,000 dropped at once does not fill the lane of the next one.
"""

from __future__ import annotations

from dataclasses import dataclass

FRESH_AT_ONCE = 100
BACKLOG_AT_ONCE = 200
"""Few enough that a fresh report which comes meanwhile waits for a moment only."""
_BACKLOG_SHARE = 0.8
"""Of the rate that the other side allows; the rest stays free for fresh reports and questions."""


@dataclass(slots=True)
class Lanes:
    """`mark`: rows up to this id are the backlog."""

    mark: int = 0
    backlog_at_s: float = 0.0
    """When the backlog may go on."""

    def crowded(self, fresh: int, newest: int) -> bool:
        """Whether so many fresh rows wait that they are a backlog; then they are."""
        if fresh <= FRESH_AT_ONCE:
            return False
        self.mark = max(self.mark, newest)
        return True

    def backlog_may(self, now_s: float) -> bool:
        """Whether the backlog may go on now."""
        return now_s >= self.backlog_at_s

    def pause_s(self, now_s: float, longest_s: float) -> float:
        """How long until the backlog may go on, at most `longest_s`."""
        return min(longest_s, max(0.0, self.backlog_at_s - now_s))

    def took(self, count: int, now_s: float, per_s: float) -> None:
        """So many of the backlog went; the next ones wait in proportion. `per_s` 0: the rate is not known."""
        self.backlog_at_s = now_s + (count / (per_s * _BACKLOG_SHARE) if per_s > 0 else 0.0)
