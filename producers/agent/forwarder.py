"""The forwarder: takes what waits in the outbox to the other side, and brings back what became of it.

Invariant: a row stays waiting until the broker has it or somebody refuses it for good; what was acknowledged and got no
receipt for long waits again (design decision 18). So a `kill -9` anywhere costs at most a second sending of the same
bytes, which counts once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from prometheus_client import Counter, Gauge

from producers.agent.held_catalogue import HeldCatalogue
from producers.agent.intake import forget_requests
from producers.agent.lanes import BACKLOG_AT_ONCE, FRESH_AT_ONCE, Lanes
from producers.agent.store import AgentStore
from producers.agent.transport import Away, Held, Placed, RefusedForGood, Transport, Verdict
from producers.client.repeats import Repeats
from producers.errors import OutboxError
from producers.outbox import Waiting
from schemas.catalogue import CatalogueError
from schemas.failpoint import failpoint
from schemas.report import Millis

logger = logging.getLogger("chungsuc.agent")

SENT = Counter("chungsuc_agent_reports_total", "What became of reports on their way out.", ["result"])
AWAY = Gauge("chungsuc_agent_away", "1 while the gateway or broker takes nothing.")
CONTACT = Gauge("chungsuc_agent_last_contact_timestamp_seconds", "When the other side last answered.")
CLOCK_AHEAD = Gauge("chungsuc_agent_clock_ahead_seconds", "This host's clock minus the gateway's.")

SEND_AGAIN_AFTER_MS = 600_000
_TIDY_EVERY_S = 5.0
_REFRESH_EVERY_S = 60.0
_LOOK_EVERY_S = 1.0
_PAUSES = Repeats(within_s=float("inf"))


class Forwarder:
    """Rounds of one agent. `news` is set by whoever puts something into the outbox."""

    def __init__(
        self, store: AgentStore, transport: Transport, catalogue: HeldCatalogue, clock: Callable[[], Millis]
    ) -> None:
        self._store = store
        self._transport = transport
        self._catalogue = catalogue
        self._clock = clock
        self._lanes = Lanes()
        self._failures = 0
        self._tidied_s = self._refreshed_s = float("-inf")
        self.news = threading.Event()

    @property
    def reachable(self) -> bool:
        """Whether the other side answered the last time."""
        return self._failures == 0 and self._tidied_s > float("-inf")

    def run(self, stopping: threading.Event) -> None:
        """Rounds until `stopping`; pauses grow while nothing is taken."""
        while not stopping.is_set():
            self.news.clear()
            pause_s = self.round()
            if self._failures:
                stopping.wait(pause_s)
            else:
                self.news.wait(pause_s)

    def round(self) -> float:
        """Everything that can be done now; the seconds after which to come again, sooner where there is news."""
        try:
            self._refresh()
            busy = self._send()
            self._tidy()
        except Away as away:
            return self._failed(str(away), away.retry_after_s)
        except OutboxError as error:
            # A full disk: what the broker has is sent once more when it can be noted.
            return self._failed(str(error), None)
        self._answered()
        return self._lanes.pause_s(time.monotonic(), _LOOK_EVERY_S) if busy else _LOOK_EVERY_S

    def _send(self) -> bool:
        """One batch of each lane; whether more may wait."""
        fresh = self._store.due(self._clock(), FRESH_AT_ONCE + 1, after=self._lanes.mark)
        if self._lanes.crowded(len(fresh), fresh[-1].id if fresh else 0):
            self._lanes.crowded(FRESH_AT_ONCE + 1, self._store.newest_row())
        elif fresh:
            self._deliver(fresh)
        if not self._lanes.backlog_may(time.monotonic()):
            return True
        backlog = self._store.due(self._clock(), BACKLOG_AT_ONCE, up_to=self._lanes.mark)
        if backlog:
            self._deliver(backlog)
            self._lanes.took(len(backlog), time.monotonic(), self._transport.reports_per_s)
        return bool(backlog)

    def _deliver(self, rows: Sequence[Waiting]) -> None:
        verdicts = self._transport.deliver(self._store, rows)
        self._mark(rows, verdicts)
        failpoint("agent.after_mark")
        if all(verdict is None for verdict in verdicts):
            raise Away("the other side keeps these reports and its broker does not have them yet")

    def _mark(self, rows: Sequence[Waiting], verdicts: Sequence[Verdict]) -> None:
        now = self._clock()
        pairs = list(zip(rows, verdicts, strict=True))
        placed = [(row.id, verdict.source) for row, verdict in pairs if isinstance(verdict, Placed)]
        held = [(row.id, verdict.said) for row, verdict in pairs if isinstance(verdict, Held)]
        if placed:
            self._store.mark_sent(placed, now)
            SENT.labels("acknowledged").inc(len(placed))
        if held:
            self._store.hold(held, now)
            SENT.labels("held").inc(len(held))
            logger.warning("%d reports are held back: %s", len(held), held[0][1])
        for row, verdict in pairs:
            if isinstance(verdict, RefusedForGood):
                if verdict.highest_revision is not None:
                    self._store.learn_revision(row.id, verdict.highest_revision)
                self._store.outbox.mark_refused(row.id, verdict.said)
                SENT.labels("refused").inc()
                logger.warning("refused: %s", verdict.said)

    def _tidy(self) -> None:
        """Receipts settle rows; what got none for long waits again; what is old is let go of."""
        if time.monotonic() - self._tidied_s < _TIDY_EVERY_S:
            return
        now = self._clock()
        self._store.mind_the_clock(now)
        self._transport.settle(self._store, now)
        if overdue := self._store.outbox.unsettled(Millis(now - SEND_AGAIN_AFTER_MS)):
            logger.warning("%d reports got no receipt for ten minutes and are sent again", len(overdue))
            self._store.outbox.send_again(overdue)
        self._store.outbox.prune(now)
        self._store.let_go()
        forget_requests(self._store, now)
        self._tidied_s = time.monotonic()

    def _refresh(self) -> None:
        if time.monotonic() - self._refreshed_s < _REFRESH_EVERY_S and not self._catalogue.wanted.is_set():
            return
        bundle = self._transport.catalogue(self._catalogue.digest)
        if bundle is not None:
            try:
                self._catalogue.replace(bundle)
            except (CatalogueError, OSError) as error:
                # A catalogue of a newer version, or a full disk: what is here judges on, and the other side judges too.
                logger.error("the new catalogue can't be used: %s", error)
        self._catalogue.wanted.clear()
        self._store.note("contact", str(self._clock()))
        self._store.note("clock_ahead_s", f"{self._transport.clock_ahead_s() or 0:.0f}")
        self._refreshed_s = time.monotonic()

    def _failed(self, said: str, retry_after_s: float | None) -> float:
        if self._failures == 0:
            logger.warning("nothing goes out: %s", said)
        self._note("last_error", said)
        pause_s = _PAUSES.pause_s(self._failures, 0, retry_after_s) or _LOOK_EVERY_S
        self._failures += 1
        AWAY.set(1)
        return pause_s

    def _answered(self) -> None:
        if self._failures:
            logger.info("reports go out again")
            self._note("last_error", "")
        self._failures = 0
        AWAY.set(0)
        CONTACT.set(self._clock() / 1000)
        ahead = self._transport.clock_ahead_s()
        if ahead is not None:
            CLOCK_AHEAD.set(ahead)

    def _note(self, name: str, value: str) -> None:
        try:
            self._store.note(name, value)
        except OutboxError as error:
            logger.warning("%s", error)
