"""Looks for gaps and forks in what keys have signed, all the time and slowly: a finding is a metric and a line.

A thread of the gateway, beside its requests: it reads `reports` from where the last look ended, a bounded number of
records a round. What it can't do now, for want of a broker or of space, it does in the next round.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from kafka.errors import KafkaError
from prometheus_client import Gauge

from producers.errors import OutboxError
from producers.gateway.registry import ActRegistry
from producers.sequences import FILE, Sequences, Signed
from schemas.log import LogUnreachable, TopicReader
from schemas.read_model import NotReady
from schemas.settings import Settings
from schemas.topics import REPORTS

logger = logging.getLogger("chungsuc.gateway")

WITH_GAPS = Gauge("chungsuc_keys_with_gaps", "Keys under which a report was signed that never arrived.")
WITH_FORKS = Gauge("chungsuc_keys_with_forks", "Keys that signed two contents with one number.")

_EVERY_S = 15.0
_AT_ONCE = 250
"""Of each partition; a round of them takes about as long as the pause before the next where more waits."""
_MORE_AFTER_S = 0.5


class SequenceWatch:
    """The thread. `failure` is what ended it: a bug."""

    def __init__(self, settings: Settings, registry: ActRegistry) -> None:
        self._settings = settings
        self._registry = registry
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sequences", daemon=True)
        self._wrong: dict[str, tuple[bool, bool]] = {}
        self._failing = ""
        self.failure: BaseException | None = None

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()
        self._thread.join(5)

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._looked()
                self._stopping.wait(_EVERY_S)
        except BaseException as error:
            self.failure = error

    def _looked(self) -> None:
        path: Path = self._settings.data / FILE
        try:
            with closing(Sequences(path)) as sequences:
                self._judge(sequences, sequences.kids())
                self._follow(sequences)
        except NotReady:
            return
        except (LogUnreachable, KafkaError, OutboxError, sqlite3.DatabaseError, OSError) as error:
            if not self._failing:
                logger.warning("gaps and forks are not looked for: %s: %s; trying again", type(error).__name__, error)
            self._failing = str(error)
        else:
            self._failing = ""

    def _follow(self, sequences: Sequences) -> None:
        topic = self._settings.topic(REPORTS)
        with TopicReader(self._settings.bootstrap, topic, sequences.positions()) as reader:
            while not self._stopping.is_set():
                read = sequences.follow(reader, self._registry.catalogue(), self._registry, _AT_ONCE)
                self._judge(sequences, read.kids)
                self._stopping.wait(_MORE_AFTER_S if read.records >= _AT_ONCE else _EVERY_S)

    def _judge(self, sequences: Sequences, kids: Iterable[str]) -> None:
        for kid in kids:
            signed = sequences.of(kid)
            found = (bool(signed.gaps), bool(signed.forks))
            if found[1] and not self._wrong.get(kid, (False, False))[1]:
                logger.error(
                    "%s signed two contents with one number: `chungsuc keys check` tells which", _named(signed)
                )
            self._wrong[kid] = found
        WITH_GAPS.set(sum(gaps for gaps, _ in self._wrong.values()))
        WITH_FORKS.set(sum(forks for _, forks in self._wrong.values()))


def _named(signed: Signed) -> str:
    return f"{signed.kid} ({len(signed.forks)} times)"
