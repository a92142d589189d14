"""Threads that keep looking while faults happen, whatever happens to what they look at.

What infrastructure does to an observer is recorded as an outage and tried again; an observer never stops the run. What
only a mistake in the observer itself can raise ends its thread, and is raised where the observers are stopped.
"""

from __future__ import annotations

import sqlite3
import threading
import time
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from http.client import HTTPException
from types import TracebackType
from typing import Self

from kafka.errors import KafkaError, OffsetOutOfRangeError

from schemas.log import Record, TopicReader
from schemas.read_model import ReadModelError
from schemas.report import Millis
from tests.faults.campaign.history import Ended, Event, History, Outage
from tests.faults.campaign.politeness import stand_back

LAST_LOOK_WITHIN_S = 60.0
_ENDS_WITHIN_S = LAST_LOOK_WITHIN_S + 60.0
_AGAIN_AFTER_S = 0.5
_UNREACHABLE = (KafkaError, OSError, HTTPException, ReadModelError, sqlite3.Error)
"""What a fault may do to a reader; anything else is a mistake of ours."""


class ObserverFailed(Exception):
    """An observer ended by a mistake of its own: what it did not see proves nothing."""


def now_ms() -> Millis:
    """The campaign's own clock."""
    return Millis(time.time_ns() // 1_000_000)


class Observer(ABC):
    """One thread that looks again and again and writes what changed. `every_s`: the pause between two looks."""

    def __init__(self, name: str, history: History, every_s: float) -> None:
        self.name = name
        self.failure: BaseException | None = None
        self._history = history
        self._every_s = every_s
        self._looks = 0
        self._dark_since: Millis | None = None
        self._why = ""
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"observer {name}", daemon=True)

    @abstractmethod
    def look(self, *, last: bool) -> Iterator[Event]:
        """What is new. `last`: everything has settled, and the look must be complete."""

    @abstractmethod
    def let_go(self) -> None:
        """Give connections back; the next look opens new ones."""

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def end(self) -> None:
        """Look a last time; `wait` tells when that is done."""
        self._ending.set()

    def wait(self) -> None:
        """Return when the last look is over."""
        self._thread.join(_ENDS_WITHIN_S)
        if self._thread.is_alive():
            self.failure = self.failure or TimeoutError(f"observer {self.name} does not end")

    def _run(self) -> None:
        stand_back()
        try:
            while not self._ending.wait(self._every_s if self._dark_since is None else _AGAIN_AFTER_S):
                self._try(last=False)
            deadline = time.monotonic() + LAST_LOOK_WITHIN_S
            while not self._try(last=True) and time.monotonic() < deadline:
                time.sleep(_AGAIN_AFTER_S)
            if self._dark_since is None:
                self._history.append(Ended(self.name, now_ms(), self._looks))
            else:
                self._history.append(Outage(self.name, self._dark_since, Millis(-1), self._why))
        except BaseException as error:
            self.failure = error
        finally:
            self.let_go()

    def _try(self, *, last: bool) -> bool:
        try:
            # One by one: what was seen before a connection broke was seen.
            for event in self.look(last=last):
                self._history.append(event)
        except _UNREACHABLE as error:
            self._dark_since = self._dark_since or now_ms()
            self._why = f"{type(error).__name__}: {error}"[:200]
            self.let_go()
            return False
        self._looks += 1
        if self._dark_since is not None:
            self._history.append(Outage(self.name, self._dark_since, now_ms(), self._why))
            self._dark_since = None
        return True


class Observers:
    """All observers of a segment, for the length of a block.

    `end` looks a last time; call it when everything has settled. The end of the block does it where nobody did.
    """

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = observers
        self._ended = False

    def __enter__(self) -> Self:
        for observer in self._observers:
            observer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._finish()
        if error is None:
            self._raise()

    def end(self) -> None:
        """Look a last time and stop. Raises ObserverFailed."""
        self._finish()
        self._raise()

    def _finish(self) -> None:
        if not self._ended:
            for observer in self._observers:
                observer.end()
            for observer in self._observers:
                observer.wait()
            self._ended = True

    def _raise(self) -> None:
        failed = [observer for observer in self._observers if observer.failure is not None]
        if failed:
            words = ", ".join(f"{observer.name}: {observer.failure!r}" for observer in failed)
            raise ObserverFailed(words) from failed[0].failure


class Follower:
    """Reads one topic from its start and goes on where it was after each reconnection.

    After a reconnection the last record read is read again; where another stands in its place (the topic was made anew,
    or its log cut and grown again) reading begins anew.
    """

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._bootstrap = bootstrap
        self._topic = topic
        self._reader: TopicReader | None = None
        self._last: dict[int, tuple[int, int]] = {}
        """Offset and mark of the last record read, by partition."""
        self._to_compare: set[int] = set()

    def read(self, timeout_s: float, *, to_end: bool) -> Iterator[Record]:
        """What is new; with `to_end` all there is now."""
        try:
            reader = self._reader or self._opened()
            for record in reader.to_end() if to_end else reader.poll(timeout_s):
                if record.partition in self._to_compare:
                    self._to_compare.discard(record.partition)
                    if self._last[record.partition] == (record.offset, _mark(record)):
                        continue
                    self._begin_anew()
                    return
                self._last[record.partition] = (record.offset, _mark(record))
                yield record
        except OffsetOutOfRangeError:
            self._begin_anew()

    def let_go(self) -> None:
        """Give the connection back."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _opened(self) -> TopicReader:
        self._reader = reader = TopicReader(self._bootstrap, self._topic, {p: o for p, (o, _) in self._last.items()})
        if self._last:
            self._to_compare = set(self._last)
        else:
            reader.to_beginnings()
        return reader

    def _begin_anew(self) -> None:
        self.let_go()
        self._last.clear()
        self._to_compare.clear()


def _mark(record: Record) -> int:
    return zlib.crc32(record.value or b"", record.time)
