"""How an agent's reports leave the house: what every way does.

Each report ends a round as one of four: the broker has it, it is held for later, it is refused for good, or nothing is
known of it yet. Only the second and the third carry a sentence for people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from producers.agent.store import AgentStore
from producers.outbox import Waiting
from schemas.report import Millis, Revision, Series, Source


@dataclass(frozen=True, slots=True)
class Placed:
    """The broker has it; `source` is None where it did not tell where."""

    source: Source | None


@dataclass(frozen=True, slots=True)
class Held:
    """Not taken now, for a reason that somebody can mend: a key that is not registered yet, an account not bound."""

    said: str


@dataclass(frozen=True, slots=True)
class RefusedForGood:
    """Never taken as it is. `highest_revision`: the one that stands, where the refusal is about it."""

    said: str
    highest_revision: int | None = None


Verdict = Placed | Held | RefusedForGood | None
"""None: nothing is known, it goes on waiting."""


class Away(Exception):
    """Nothing can be sent now. `retry_after_s`: what the other side asks for."""

    def __init__(self, said: str, retry_after_s: float | None = None) -> None:
        super().__init__(" ".join(said.split()))
        self.retry_after_s = retry_after_s


class Transport(Protocol):
    """One way out. For one thread."""

    reports_per_s: float
    """How fast it may be used for long, once `catalogue` was asked."""

    def catalogue(self, held: str) -> bytes | None:
        """The bundle in force; None where its SHA-256 is `held`. Raises Away."""

    def deliver(self, store: AgentStore, rows: Sequence[Waiting]) -> list[Verdict]:
        """Send these rows of the store; what became of each, in order. Raises Away."""

    def settle(self, store: AgentStore, now: Millis) -> int:
        """Let the receipts that came since the last call take effect in the store; how many rows they named.

        Raises Away.
        """

    def highest(self, series: Sequence[Series]) -> dict[Series, Revision]:
        """Highest revisions that others hold, of those series that it can tell. Raises Away."""

    def clock_ahead_s(self) -> float | None:
        """How far this host's clock is ahead of the other side's, where that is known."""

    def close(self) -> None:
        """Close connections."""
