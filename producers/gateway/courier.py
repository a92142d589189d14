"""The courier: the one thread that owns the gateway's outbox, and takes what waits there to the broker.

Requests that come while a round is under way are taken together in the next one: one write to the disk and one wait
for the broker for all of them. A report is acknowledged to its sender when the broker has acknowledged it (acks=all),
not before. What was kept and could not be sent goes out by itself when the broker answers, also after a `kill -9`.
A full disk refuses what comes, and ends nothing: requests are taken again when there is space.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from kafka.errors import KafkaError
from prometheus_client import Gauge

from producers.errors import KeysError, NotNowError, ProducerError, PublishError
from producers.gateway.intake import Job, Kept, Taken, remembered, take
from producers.gateway.refusal import Refusal, Slug, refused
from producers.gateway.store import FILE, GatewayStore, Placed
from producers.outbox import State
from producers.publisher import Publisher
from producers.registration import now_ms
from producers.settlement import read_receipts
from schemas.failpoint import failpoint
from schemas.log import LogUnreachable, TopicReader
from schemas.report import Millis, Revision, Source
from schemas.settings import Settings
from schemas.topics import RECEIPTS

logger = logging.getLogger("chungsuc.gateway")

WAITING = Gauge("chungsuc_gateway_waiting_reports", "Reports kept by the gateway that the broker does not have yet.")
AWAY = Gauge("chungsuc_gateway_broker_away", "1 while the broker does not take reports.")
DISK_FULL = Gauge("chungsuc_gateway_disk_full", "1 while the gateway's own file can't be written.")

RETRY_AFTER_S = 5
ATTEMPT_S = 4.0
"""Each of two attempts in a round; a broker that was restarted answers within one."""
_TIDY_EVERY_S = 30.0
_WRITABLE_AGAIN_S = 2.0
"""How often a full disk is tried."""
_SEND_AGAIN_AFTER_MS = 600_000
_PAUSES_S = (0.5, 1.0, 2.0, 5.0)
_MOST_JOBS = 200
"""Requests taken in one round."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A report that the broker has. `source` is None where it acknowledged without telling the place."""

    revision: Revision
    source: Source | None
    known: bool


Outcome = Sent | Refusal
Answer = Future[list[Outcome]]
"""What became of each report of a request. Raises Refusal where the whole request was refused."""


class Courier:
    """Takes jobs from any thread; works in its own."""

    def __init__(self, settings: Settings, attempt_s: float = ATTEMPT_S) -> None:
        self._settings = settings
        self._attempt_s = attempt_s
        self._queue: deque[tuple[Job, Answer]] = deque()
        self._in_flight: set[tuple[str, str]] = set()
        self._news = threading.Condition()
        self._stopping = False
        self._away = self._disk_full = False
        self._thread = threading.Thread(target=self._run, name="courier", daemon=True)
        self.ready = threading.Event()
        self.failure: BaseException | None = None

    @property
    def away(self) -> bool:
        """Whether the broker took nothing at the last attempt."""
        return self._away

    @property
    def disk_full(self) -> bool:
        """Whether the gateway's own file could not be written when it was tried last."""
        return self._disk_full

    def start(self) -> None:
        """Begin to work; `ready` is set when what waited has been tried."""
        self._thread.start()

    def stop(self, timeout_s: float = 15.0) -> None:
        """Finish the round under way and end; what is still queued is refused."""
        with self._news:
            self._stopping = True
            self._news.notify()
        self._thread.join(timeout_s)

    def submit(self, job: Job) -> Answer:
        """Hand a request over. Raises Refusal while the same key of the same account is being worked on."""
        answer: Answer = Future()
        with self._news:
            if self._stopping or self.failure is not None:
                raise _away()
            if job.key is not None:
                name = (job.principal, job.key)
                if name in self._in_flight:
                    raise refused(
                        Slug.REQUEST_IN_FLIGHT,
                        "Yêu cầu trước với khóa này chưa xong; hãy thử lại sau giây lát.",
                        "The first request with this key is not done yet: try again in a moment.",
                        Retry_After="1",
                    )
                self._in_flight.add(name)
            self._queue.append((job, answer))
            self._news.notify()
        return answer

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:
            logger.exception("the courier ended")
            self.failure = error
        finally:
            with self._news:
                self._stopping = True
                left = list(self._queue)
                self._queue.clear()
            for _, answer in left:
                if answer.set_running_or_notify_cancel():
                    answer.set_exception(_away())

    def _work(self) -> None:
        store = GatewayStore(self._settings.data / FILE)
        try:
            with Publisher(self._settings, store.outbox, timeout_s=self._attempt_s, rounds=2) as publisher:
                rounds = _Rounds(self._settings, store, publisher, self._landed)
                store.signing_key()
                self._away = not rounds.publish()
                self.ready.set()
                while not self._stopping:
                    self._round(rounds)
        finally:
            store.close()

    def _round(self, rounds: _Rounds) -> None:
        jobs = self._next(rounds.pause_s)
        try:
            rounds.serve(jobs)
        finally:
            for job, answer in jobs:
                if not answer.done():
                    self._landed(job)
                    answer.set_exception(_away())
        self._away, self._disk_full = rounds.away, rounds.disk_full

    def _landed(self, job: Job) -> None:
        """Before anybody is told, so that who repeats the request at once is not told that it is under way."""
        with self._news:
            self._in_flight.discard((job.principal, job.key or ""))

    def _next(self, pause_s: float) -> list[tuple[Job, Answer]]:
        with self._news:
            if not self._queue and not self._stopping:
                self._news.wait(pause_s)
            count = min(len(self._queue), _MOST_JOBS)
            found = [self._queue.popleft() for _ in range(count)]
            # From here on an answer can't be given up: setting one that was would end this thread.
            given_up = [one for one in found if not one[1].set_running_or_notify_cancel()]
            self._in_flight -= {(job.principal, job.key or "") for job, _ in given_up}
        return [one for one in found if one not in given_up]


class _Rounds:
    """What one round does, in the courier's thread."""

    def __init__(
        self, settings: Settings, store: GatewayStore, publisher: Publisher, landed: Callable[[Job], None]
    ) -> None:
        self._settings = settings
        self._store = store
        self._publisher = publisher
        self._landed = landed
        self._failures = 0
        self._tidied = time.monotonic()
        self.disk_full = False

    @property
    def away(self) -> bool:
        return self._failures > 0

    @property
    def pause_s(self) -> float:
        """How long to wait for requests: until the next attempt while the broker is away, else until the tidying."""
        if self.away:
            return _PAUSES_S[min(self._failures, len(_PAUSES_S)) - 1]
        return _WRITABLE_AGAIN_S if self.disk_full else _TIDY_EVERY_S

    def serve(self, jobs: Sequence[tuple[Job, Answer]]) -> None:
        """Keep what is new, send what waits, answer.

        While the broker is away nothing new is kept, only what is known is looked up, and nobody waits for an attempt.
        """
        if self.away:
            self._answer(jobs, [remembered(self._store, job) or _away() for job, _ in jobs])
            self.publish()
            return
        taken = self._take([job for job, _ in jobs])
        published = self.publish()
        failpoint("gateway.before_answer")
        self._answer(jobs, taken)
        if published and (self.disk_full or time.monotonic() - self._tidied > _TIDY_EVERY_S):
            self._tidy()

    def _answer(self, jobs: Sequence[tuple[Job, Answer]], taken: Sequence[list[Taken] | Refusal]) -> None:
        for (job, answer), found in zip(jobs, taken, strict=True):
            outcomes = found if isinstance(found, Refusal) else [self._outcome(one) for one in found]
            self._landed(job)
            if isinstance(outcomes, Refusal):
                answer.set_exception(outcomes)
            else:
                answer.set_result(outcomes)

    def publish(self) -> bool:
        """Send all that waits; whether the broker took it."""
        try:
            self._publisher.finish()
            self._failures = 0
        except PublishError as error:
            self._failures += 1
            if self._failures == 1:
                logger.warning("%s", error)
        except NotNowError as error:
            # The broker has them; that is noted in the next round, and until then nobody is told 202.
            self._no_space(error)
        WAITING.set(self._store.waiting())
        AWAY.set(self.away)
        return not self.away

    def _take(self, jobs: Sequence[Job]) -> list[list[Taken] | Refusal]:
        try:
            return take(self._store, jobs, now_ms())
        except KeysError:
            raise
        except NotNowError as error:
            # Nothing was written, nothing is acknowledged, and the next request tries again.
            self._no_space(error)
        except ProducerError as error:
            logger.error("%s", error)
        return [_away() for _ in jobs]

    def _outcome(self, taken: Taken) -> Outcome:
        if isinstance(taken, Refusal):
            return taken
        placed = self._store.placed(taken.row)
        if placed.state == State.WAITING:
            return _kept_away(taken)
        if placed.state == State.REFUSED:
            return refused(Slug.TOO_LARGE, "Máy chủ Kafka không nhận bản ghi này.", "The broker refuses this record.")
        return _sent(taken, placed)

    def _no_space(self, error: NotNowError) -> None:
        if not self.disk_full:
            logger.error("%s", error)
        self.disk_full = True
        DISK_FULL.set(1)

    def _tidy(self) -> None:
        """Let receipts settle rows and old rows go, where the disk has space; where it had none, see whether it has."""
        self._tidied = time.monotonic()
        try:
            if self.disk_full:
                self._store.try_to_write()
            self._tidy_up(now_ms())
        except NotNowError as error:
            self._no_space(error)
            return
        if self.disk_full:
            logger.info("the gateway's file can be written again")
        self.disk_full = False
        DISK_FULL.set(0)

    def _tidy_up(self, now: Millis) -> None:
        """Receipts settle rows; what got none for long is sent again; what is old is let go of."""
        try:
            if self._store.has_unsettled():
                read_receipts(self._store.outbox, self._settings, now)
            else:
                # Other senders' receipts are nothing to us: the next of ours comes after these.
                with TopicReader(self._settings.bootstrap, self._settings.topic(RECEIPTS)) as reader:
                    self._store.receipts_begin_at(reader.ends())
        except (KafkaError, LogUnreachable) as error:
            logger.warning("receipts can't be read: %r", error)
            return
        if overdue := self._store.outbox.unsettled(Millis(now - _SEND_AGAIN_AFTER_MS)):
            self._store.outbox.send_again(overdue)
            self._publisher.look_again()
        self._store.outbox.prune(now)
        self._store.forget(now)


def _sent(taken: Kept, placed: Placed) -> Sent:
    return Sent(taken.revision, placed.source, taken.known)


def _kept_away(taken: Kept) -> Refusal:
    """A report that is kept here and that the broker does not have yet."""
    found = _away()
    words = (
        f"{found.words[0]} Báo cáo (lần gửi {taken.revision}) đã được giữ và sẽ tự gửi đi.",
        f"{found.words[1]} Revision {taken.revision} is kept and will be sent by itself.",
    )
    return Refusal(found.slug, words, members={"revision": taken.revision, "kept": True}, headers=found.headers)


def _away() -> Refusal:
    return refused(
        Slug.AWAY,
        "Máy chủ Kafka chưa nhận; hãy gửi lại với cùng Idempotency-Key.",
        "The broker takes nothing at the moment: repeat with the same Idempotency-Key.",
        Retry_After=str(RETRY_AFTER_S),
    )
