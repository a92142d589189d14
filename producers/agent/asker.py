"""Asks what others hold of a series that is new to this outbox, before its first report (design decision 18).

Only where that costs nobody time: a few series, and an other side that answered a moment ago. Otherwise a clash is told
by the gateway or by a receipt, later.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from producers.agent.store import AgentStore
from producers.agent.transport import Away, Transport
from producers.client.errors import NotFound
from producers.gateway.draft import Draft
from schemas.report import Revision, Series

logger = logging.getLogger("chungsuc.agent")

_MOST = 20


class Asker:
    """For one thread: the transport is opened at the first question. `may_ask`: whether the other side answers."""

    def __init__(self, opener: Callable[[], Transport], may_ask: Callable[[], bool]) -> None:
        self._opener = opener
        self._may_ask = may_ask
        self._transport: Transport | None = None

    def __call__(self, store: AgentStore, drafts: Sequence[Draft]) -> Mapping[Series, Revision]:
        """Highest revisions of those series that are new here; empty where nobody can be asked now."""
        fresh = [series for series in dict.fromkeys(draft.series for draft in drafts) if not store.knows(series)]
        if not fresh or len(fresh) > _MOST or not self._may_ask():
            return {}
        self._transport = self._transport or self._opener()
        try:
            return self._transport.highest(fresh)
        except (Away, NotFound) as error:
            logger.info("nobody tells which revisions there are: %s", error)
            return {}

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()
