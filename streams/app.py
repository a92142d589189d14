"""The Faust application around a stage: membership, ownership, shutdown, and the rule "crash, don't guess".

One worker is one identity, one folder, one lock (design decision 14). Whatever goes wrong in an agent ends the process
at once, before anything is committed; the supervisor starts it again. Faust on its own would log the exception,
acknowledge the event and go on.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any, NoReturn, Protocol

import faust
from aiokafka import TopicPartition

from schemas.exit import Exit
from schemas.metrics import READY, serve_metrics
from schemas.settings import Settings
from streams.batching import FETCH_BYTES, AsIs, Batch, BatchingConsumer, BatchingTransport, fetch_records_together
from streams.crash import CrashMemory
from streams.stalls import Stalls

log = logging.getLogger("chungsuc.streams")

_A_DAY_S = 86_400.0
_BUFFERED_BATCHES = 4
_STOP_WITHIN_S = 8.0
_WATCH_EVERY_S = 2.0
_LOCK_ASKED_EVERY_S = 0.05
_LOCK_WITHIN_S = 5.0
"""A predecessor that was killed a moment ago may not be gone yet; one that lives on is a mistake of operation."""


class Refused(Exception):
    """Going on would risk a wrong number. One line that names the way out."""


class OutForGood(Refused):
    """A record has made this stage raise for the third time."""


class Stage(Protocol):
    """What a worker does with its partitions."""

    topic: str
    group: str

    async def start(self, worker: Worker) -> None:
        """Connect. Raises Refused."""

    async def stop(self) -> None:
        """Give everything back."""

    async def assigned(self, partitions: set[int]) -> None:
        """These partitions are this worker's now, and no others."""

    async def process(self, batch: Batch, *, more_waiting: bool) -> None:
        """Take a batch of an owned partition. May raise anything: the process then ends."""

    async def quarantine(self, batch: Batch) -> None:
        """Put aside the one record of `batch`, which has raised for the third time. Raises OutForGood if it can't."""

    def committable(self, topic: str, partition: int) -> int | None:
        """Below this offset all is done and acknowledged by the broker."""


class Worker:
    """One process of a stage."""

    def __init__(self, settings: Settings, stage: Stage) -> None:
        self.settings = settings
        self.stage = stage
        self.owned: set[int] = set()
        self.folder = settings.data / "streams" / settings.worker_id
        self.folder.mkdir(parents=True, exist_ok=True)
        self.crashes: CrashMemory
        self.stalls = Stalls(settings.stalled_after_s)
        self.busy = False
        self._stopping = False
        self._settled: asyncio.Task[None] | None = None
        self._app: Any = None

    def run(self) -> NoReturn:
        """Work until SIGTERM or SIGINT; never returns."""
        try:
            self._lock = hold_lock(self.folder / "lock", _LOCK_WITHIN_S)
            self.crashes = CrashMemory(self.folder)
            serve_metrics(self.settings.metrics_port)
            code = asyncio.run(self._main())
        except Refused as refused:
            self.refuse(refused)
        except Exception:
            log.exception("the worker could not start")
            code = Exit.BUG
        _end(code)

    async def committed(self, partition: int) -> int:
        """Committed offset of an owned partition, 0 without one. Asked as the member that owns it.

        Anybody else may be told "none" by a coordinator that is still loading.
        """
        thread = self._app.consumer._thread
        found = await thread.call_thread(thread._consumer.committed, TopicPartition(self.stage.topic, partition))
        return int(found or 0)

    def refuse(self, why: Refused) -> NoReturn:
        """Stop for good: the supervisor does not start a process again that ended so."""
        log.error("%s", why)
        sys.stderr.write(f"{why}\n")
        _end(Exit.REFUSED)

    def crash(self, what: str, *args: object) -> NoReturn:
        """End now, before anything is committed."""
        log.critical(what, *args, exc_info=sys.exc_info()[0] is not None)
        _end(Exit.BUG)

    async def _main(self) -> Exit:
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        fetch_records_together()
        await self.stage.start(self)
        self._app = self._build(loop)
        await self._app.start()
        self._end_with_lost_membership()
        watch = asyncio.create_task(self._watch())
        await stop.wait()
        self._stopping = True
        self.crashes.unmark()  # stopped from outside: counts against no record
        READY.set(0)
        watch.cancel()
        try:
            async with asyncio.timeout(_STOP_WITHIN_S):
                await self._app.stop()
                await self.stage.stop()
        except TimeoutError:
            log.warning("stopping took longer than %s s; nothing uncommitted is lost by ending now", _STOP_WITHIN_S)
        return Exit.FINE

    def _build(self, loop: asyncio.AbstractEventLoop) -> Any:
        settings, stage = self.settings, self.stage
        app = faust.App(
            stage.group,
            broker=[f"kafka://{server}" for server in settings.bootstrap.split(",")],
            loop=loop,
            datadir=str(self.folder / "faust"),
            web_enabled=False,
            topic_allow_declare=False,
            topic_disable_leader=True,
            processing_guarantee="at_least_once",
            stream_wait_empty=False,
            stream_buffer_maxsize=_BUFFERED_BATCHES,
            broker_commit_interval=0.2,
            broker_commit_every=None,
            broker_max_poll_interval=_A_DAY_S,
            broker_max_poll_records=None,
            broker_session_timeout=settings.session_timeout_s,
            broker_heartbeat_interval=settings.session_timeout_s / 3.5,
            broker_rebalance_timeout=settings.session_timeout_s * 2,
            broker_request_timeout=60.0,
            consumer_group_instance_id=settings.worker_id,
            consumer_max_fetch_size=FETCH_BYTES,
            consumer_auto_offset_reset="earliest",
            store="memory://",
            broker_check_crcs=True,
        )

        class StageConsumer(BatchingConsumer):
            committable = staticmethod(stage.committable)

        transport = BatchingTransport(app.conf.broker_consumer, app, loop=loop)
        transport.Consumer = StageConsumer
        app.transport = transport
        topic = app.topic(stage.topic, schema=AsIs(), key_type=bytes, value_type=bytes)

        async def take(stream: Any) -> None:
            async for event in stream.events():
                await self._take(event.value, more_waiting=not stream.channel.queue.empty())

        app.agent(topic, name=f"{stage.group}.take", concurrency=1)(take)
        app.on_partitions_assigned.connect(self._on_assigned, weak=False)
        app.on_partitions_revoked.connect(self._on_revoked, weak=False)
        return app

    async def _on_assigned(self, _: Any, assigned: Iterable[Any], **__: Any) -> None:
        self.owned = {tp.partition for tp in assigned if tp.topic == self.stage.topic}
        log.info("owns partitions %s", sorted(self.owned))
        # Not awaited here: a restore inside the rebalance would hold up the group, and outlast its time limit.
        self._settled = asyncio.create_task(self._settle(self._settled, set(self.owned)))

    async def _settle(self, before: asyncio.Task[None] | None, owned: set[int]) -> None:
        if before is not None:
            await before
        if owned == self.owned:  # else a newer assignment has come meanwhile, with its own task
            await self.guarded(self.stage.assigned(owned))

    async def _on_revoked(self, _: Any, revoked: Iterable[Any], **__: Any) -> None:
        self.owned -= {tp.partition for tp in revoked if tp.topic == self.stage.topic}

    async def _take(self, batch: Batch, *, more_waiting: bool) -> None:
        if self._settled is not None:
            self.busy = True
            await self._settled
        if batch.partition not in self.owned:
            return  # fetched before a rebalance: its new owner gets it from the committed offset
        self.busy = True
        try:
            if self.crashes.one_by_one(batch.partition, batch.first, batch.last):
                for alone in batch.one_by_one():
                    await self._take_alone(alone)
            else:
                await self.guarded(self.stage.process(batch, more_waiting=more_waiting), batch)
        finally:
            self.busy = False
        self.crashes.passed(batch.partition, self.stage.committable(batch.topic, batch.partition) or 0)

    async def _take_alone(self, batch: Batch) -> None:
        if self.crashes.out(batch.partition, batch.first):
            await self.guarded(self.stage.quarantine(batch), batch)
            return
        self.crashes.mark(batch.partition, batch.first)
        await self.guarded(self.stage.process(batch, more_waiting=False), batch)
        self.crashes.unmark()

    async def guarded(self, work: Any, batch: Batch | None = None) -> None:
        """Await work of the stage; whatever it raises ends the process."""
        try:
            await work
        except Refused as refused:
            self.refuse(refused)
        except (ConnectionError, TimeoutError) as error:
            self.crash("the broker is away: %s", error)
        except Exception as error:
            if batch is not None and not _is_of_the_broker(error):
                count = self.crashes.raised(batch.partition, batch.first, batch.last)
                self.crashes.unmark()
                self.crash(
                    "records %s to %s of %s-%s raised, for the %s. time",
                    batch.first,
                    batch.last,
                    batch.topic,
                    batch.partition,
                    count,
                )
            self.crash("the worker raised")

    def _end_with_lost_membership(self) -> None:
        """Aiokafka would quietly join again and go on from what another worker has since committed."""
        coordinator = self._app.consumer._thread._consumer._coordinator
        reset = coordinator.reset_generation

        def lost() -> None:
            reset()
            if not self._stopping:
                self.crash("membership in group %s is lost", self.stage.group)

        coordinator.reset_generation = lost

    async def _watch(self) -> None:
        """End a worker that has left its group or stands still; Faust would sit there for ever."""
        while True:
            await asyncio.sleep(_WATCH_EVERY_S)
            if self._app.should_stop and not self._stopping:
                self.crash("Faust has stopped")
            if self._settled is not None and not self._settled.done():
                self.stalls.forget()  # a restore takes as long as it takes
            elif (stalled := self.stalls.look(self._waiting(), time.monotonic())) and not self.busy:
                self.crash("stands still for %.0f s with records waiting in %s", *stalled)

    def _waiting(self) -> dict[str, int]:
        """How far each partition with records waiting is done; a worker in no group waits for one."""
        consumer = self._app.consumer
        if not self.owned:
            return {"no group": 0} if consumer._thread._consumer._coordinator.generation < 0 else {}
        done = {tp: self.stage.committable(tp.topic, tp.partition) or 0 for tp in consumer.assignment()}
        return {f"{tp.topic}-{tp.partition}": at for tp, at in done.items() if (consumer.highwater(tp) or 0) > at}


def _is_of_the_broker(error: Exception) -> bool:
    """Whether the failure came from Kafka rather than from the records."""
    return type(error).__module__.startswith(("aiokafka", "kafka"))


def hold_lock(path: Path, within_s: float = 0.0) -> IO[str]:
    """An exclusive lock for as long as the process lives. Raises Refused where another process keeps it for so long."""
    file = path.open("a+", encoding="utf-8")
    deadline = time.monotonic() + within_s
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError as error:
            if time.monotonic() < deadline:
                time.sleep(_LOCK_ASKED_EVERY_S)
                continue
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise Refused(f"{path.parent} is in use by process {holder}; one folder belongs to one worker") from error
    file.seek(0)
    file.truncate()
    file.write(str(os.getpid()))
    file.flush()
    return file


def _end(code: Exit) -> NoReturn:
    """End without waiting for Faust's threads, which may hang; everything durable has been written before."""
    logging.shutdown()
    sys.stderr.flush()
    sys.stdout.flush()
    os._exit(code)


def configure_logging() -> None:
    """One line per event to stderr, which the supervisor keeps in the worker's file."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    for name in ("faust", "mode", "aiokafka", "kafka"):
        logging.getLogger(name).setLevel(logging.WARNING)
