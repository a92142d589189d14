"""Live pages: tells each open page which version of its figures the read model has, when that may have changed.

All open pages together cost one small query a second while nothing comes in; when something was stored, each distinct
question is asked once, however many pages ask it, and at most once a second.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import anyio
from prometheus_client import Gauge
from sse_starlette.event import ServerSentEvent
from sse_starlette.sse import EventSourceResponse

from consumers.dashboard.question import Question, Refusal
from consumers.dashboard.source import Source, position, version
from schemas.read_model import ReadModelError, StoredOffset

WATCHERS = Gauge("chungsuc_page_watchers", "Open pages that are kept up to date.")
LOOK_EVERY_S = 1.0
SPEAK_EVERY_S = 10.0
"""A page that hears nothing for 25 s says that its connection is lost."""
_LAST_WORDS_S = 2.0
"""For a stream to end by itself when the process does; cut off, it would be logged as an error."""


class Watch:
    """Shared by all live connections of a process."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._lock = asyncio.Lock()
        self._looked_at = -LOOK_EVERY_S
        self._position: tuple[StoredOffset, ...] = ()
        self._versions: dict[Question, str] = {}

    def events(self, question: Question) -> EventSourceResponse:
        """The stream of one page."""
        ending = anyio.Event()
        return EventSourceResponse(
            self._stream(question, ending), ping=3600, headers={"Cache-Control": "no-store"}, shutdown_event=ending,
            shutdown_grace_period=_LAST_WORDS_S,
        )  # fmt: skip

    async def version(self, question: Question) -> str:
        """The version of a question now, at most a second old. Raises ReadModelError, Refusal."""
        async with self._lock:
            if time.monotonic() - self._looked_at >= LOOK_EVERY_S:
                found = await self._source.ask(position)
                self._looked_at = time.monotonic()
                if found != self._position:
                    self._position = found
                    self._versions.clear()
            known = self._versions.get(question)
            if known is None:
                known = self._versions[question] = await self._source.ask(version, question)
            return known

    async def _stream(self, question: Question, ending: anyio.Event) -> AsyncIterator[ServerSentEvent]:
        told, spoke = "", 0.0
        WATCHERS.inc()
        try:
            while not ending.is_set():
                try:
                    found = await self.version(question)
                except (ReadModelError, Refusal):
                    return  # the database is being made anew: the page says that it lost us, and comes back
                if found != told or time.monotonic() - spoke >= SPEAK_EVERY_S:
                    told, spoke = found, time.monotonic()
                    yield ServerSentEvent(data=found, event="version", retry=3000)
                with anyio.move_on_after(LOOK_EVERY_S):
                    await ending.wait()
        finally:
            WATCHERS.dec()
