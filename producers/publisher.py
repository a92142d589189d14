"""From the outbox to `reports`: waiting rows in the order in which they were put, marked once the broker has them.

The producer is idempotent and waits for all replicas. What was acknowledged and not yet marked when the process died is
sent again, the same bytes: the receipt then says duplicate. Sends that one producer gave up (an idempotent one loses
its batches in flight when it starts a new epoch) are tried again with a new one, a bounded number of times.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from kafka import KafkaProducer
from kafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError

from producers.errors import Problem, PublishError
from producers.outbox import Outbox, Waiting
from producers.registration import now_ms
from schemas.failpoint import failpoint
from schemas.kafka_client import client_options
from schemas.report import Offset, Source
from schemas.settings import Settings
from schemas.topics import HEADER_ROOM_BYTES, MAX_REPORT_BYTES, REPORTS, partition_of

_READ_AT_ONCE = 2000
_MARK_AT_ONCE = 2000
_BATCH_BYTES = 256 * 1024
"""Well below the largest record, so that a batch of several is never refused for its size."""
_LINGER_MS = 30
"""Each batch costs the broker a flush to disk, so few large ones; `finish` waits for none of it."""
_GRACE_S = 5.0
"""kafka-python tells by itself that a send took too long, a moment after its time. Some it never tells of at all."""
_SIZE = (MessageSizeTooLargeError, RecordListTooLargeError)
"""What no retry mends."""

Progress = Callable[[int], None]
"""Called with the number of sends acknowledged so far."""


class Publisher:
    """Publishes what waits in one outbox. One at a time per outbox: another process waits until this one is closed.

    `timeout_s` bounds each producer's attempt, `rounds` the producers tried.
    """

    def __init__(
        self,
        settings: Settings,
        outbox: Outbox,
        *,
        in_flight: int = 5000,
        timeout_s: float = 40.0,
        rounds: int = 3,
        progress: Progress | None = None,
    ) -> None:
        self._settings = settings
        self._topic = settings.topic(REPORTS)
        self._outbox = outbox
        self._in_flight = in_flight
        self._timeout_s = timeout_s
        self._rounds = rounds
        self._progress = progress
        self._producer: KafkaProducer | None = None
        self._partitions: int | None = None
        self._flying: deque[tuple[Waiting, Any]] = deque()
        self._acknowledged: list[tuple[int, Source]] = []
        self._last_id = 0
        self._failure: str | None = None
        self._suspects: list[Waiting] = []
        self.acked = 0
        self.problems: list[Problem] = []
        self._lock = os.open(outbox.path.with_name(outbox.path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give up what is in flight, and let another process publish from this outbox."""
        self._drop_producer()
        os.close(self._lock)

    def look_again(self) -> None:
        """Begin with the first row at the next round: rows that were put among the waiting again lie further back."""
        self._last_id = 0

    def pump(self) -> None:
        """Send all that waits; returns when it is handed over, with at most `in_flight` not yet acknowledged."""
        while self._failure is None and (waiting := self._outbox.waiting(_READ_AT_ONCE, self._last_id)):
            for row in waiting:
                self._last_id = row.id
                self._send(row)
                if self._failure is not None:
                    # Every further send would wait out its own timeout; `finish` tries them again.
                    return
                if len(self._flying) >= self._in_flight:
                    self._land(len(self._flying) - self._in_flight // 2)
        self._land_done()

    def finish(self) -> None:
        """Send all that waits and return after the last acknowledgement. Raises PublishError.

        Sends that the broker refuses for good are in `problems`.
        """
        failure = ""
        tried = 0
        while tried < self._rounds:
            self.pump()
            self._land_all()
            if self._failure is None:
                return
            failure = self._failure
            self._start_anew()
            tried += not self._refuse_largest()
        left = len(self._outbox.waiting(1_000_000))
        raise PublishError(
            f"the cluster at {self._settings.bootstrap} did not take {left} of the sends ({failure});"
            " they wait in the outbox: repeat the command when it answers"
        )

    def _refuse_largest(self) -> bool:
        """Of the rows that failed for their size, put aside those that fail alone too; whether there were any.

        kafka-python gives up all batches in flight with the error of the one that was too large. The largest are tried
        alone, until one is taken: then the smaller ones were innocent.
        """
        suspects = sorted(self._suspects, key=_size, reverse=True)
        self._suspects.clear()
        refused = False
        for row in suspects:
            self._send(row)
            self._land_all()
            if not self._suspects:
                break
            self._refuse(row, str(self._failure))
            self._suspects.clear()
            self._start_anew()
            refused = True
        self._start_anew()
        return refused

    def _start_anew(self) -> None:
        """From the first waiting row, with a new producer."""
        self._drop_producer()
        self._failure, self._last_id = None, 0

    def _land_all(self) -> None:
        if self._producer is not None and self._flying:
            with suppress(KafkaError):  # each send tells below what became of it
                self._producer.flush(self._timeout_s + 5)
        self._land(len(self._flying))
        self._mark()

    def _send(self, row: Waiting) -> None:
        record = row.record
        try:
            # An idempotent producer whose first connection fails raises here too, hence no producer yet.
            self._producer = self._producer or self._connected()
            future = self._producer.send(
                self._topic, record.value, record.key, list(record.headers), self._partition_of(record.key)
            )
        except _SIZE as error:
            self._refuse(row, str(error))
        except KafkaError as error:
            self._failed(error)
        else:
            self._flying.append((row, future))

    def _partition_of(self, key: bytes | None) -> int | None:
        """kafka-python's own choice, which it would compute anew in Python for each record of a unit."""
        if self._partitions is None and self._producer is not None:
            self._partitions = len(self._producer.partitions_for(self._topic))
        return None if key is None or self._partitions is None else partition_of(key, self._partitions)

    def _land(self, count: int) -> None:
        """Wait for the oldest `count` sends, for all of them no longer than one may take: all were sent before."""
        if count:
            failpoint("publisher.after_produce")
        deadline = time.monotonic() + self._timeout_s + min(_GRACE_S, self._timeout_s)
        for _ in range(count):
            row, future = self._flying.popleft()
            try:
                metadata = future.get(max(0.0, deadline - time.monotonic()))
            except KafkaError as error:
                if isinstance(error, _SIZE):
                    self._suspects.append(row)
                self._failed(error)
                continue
            failpoint("publisher.after_ack")
            self._acknowledged.append((row.id, Source(metadata.partition, Offset(metadata.offset))))
            if len(self._acknowledged) >= _MARK_AT_ONCE:
                self._mark()

    def _land_done(self) -> None:
        done = 0
        for _, future in self._flying:
            if not future.is_done:
                break
            done += 1
        self._land(done)

    def _mark(self) -> None:
        if not self._acknowledged:
            return
        self._outbox.mark_sent(self._acknowledged, now_ms())
        self.acked += len(self._acknowledged)
        self._acknowledged.clear()
        if self._progress:
            self._progress(self.acked)

    def _failed(self, error: KafkaError) -> None:
        self._failure = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__

    def _refuse(self, row: Waiting, error: str) -> None:
        name = dict(row.record.headers).get("ce_id", b"").decode()
        message = f"the broker refuses {name} of {len(row.record.value):,} bytes ({error})"
        self._outbox.mark_refused(row.id, message)
        self.problems.append(Problem("", message))

    def _connected(self) -> KafkaProducer:
        timeout_ms = int(self._timeout_s * 1000)
        return KafkaProducer(
            **client_options(self._settings.bootstrap, "chungsuc-publisher"),
            enable_idempotence=True,
            acks="all",
            linger_ms=_LINGER_MS,
            batch_size=_BATCH_BYTES,
            max_request_size=MAX_REPORT_BYTES + HEADER_ROOM_BYTES,
            delivery_timeout_ms=timeout_ms,
            request_timeout_ms=min(30_000, timeout_ms - 100),
            max_block_ms=timeout_ms,
            bootstrap_timeout_ms=timeout_ms,
            metrics_enabled=False,
        )

    def _drop_producer(self) -> None:
        self._flying.clear()
        if self._producer is not None:
            self._producer.close(timeout=1)
            self._producer = None


def _size(row: Waiting) -> int:
    return len(row.record.value) + sum(len(value) for _, value in row.record.headers)
