"""The read model as web requests ask it: opened when it is there, one question at a time, off the event loop.

A connection answers one question at a time, so a lock stands before it; requests wait in threads, never in the loop
that keeps everybody's live connection. Who asks knows only the port; whoever starts the process hands in what opens it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from starlette.concurrency import run_in_threadpool

from schemas.read_model import ReadModel

P = ParamSpec("P")
T = TypeVar("T")

Opener = Callable[[], ReadModel]
"""Raises NotReady while there is none."""


class Questions:
    """Gives the one read model to one caller after another."""

    def __init__(self, opener: Opener) -> None:
        self._open = opener
        self._lock = threading.Lock()
        self._model: ReadModel | None = None

    async def ask(self, question: Callable[Concatenate[ReadModel, P], T], *args: P.args, **named: P.kwargs) -> T:
        """The answer of `question(model, …)`, worked out in a thread. Raises ReadModelError, NotReady among them."""
        return await run_in_threadpool(lambda: self.ask_now(question, *args, **named))

    def ask_now(self, question: Callable[Concatenate[ReadModel, P], T], *args: P.args, **named: P.kwargs) -> T:
        """The same in the caller's own thread."""
        with self._lock:
            if self._model is None:
                self._model = self._open()
            return question(self._model, *args, **named)

    def close(self) -> None:
        """Give it back."""
        with self._lock:
            if self._model is not None:
                self._model.close()
                self._model = None
