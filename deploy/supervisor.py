"""The supervisor: puts a stack together, keeps every part going, takes it apart (contract 12).

Start: lock, ports, broker, topics, catalogue, then all workers at once; one `ready:` line when each is healthy. Then it
waits for a signal or for a request to rebuild. Stop: in the reverse order of the data's way, each with a bound. What it
knows is in `stack.json` and in its metrics at any time.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import replace
from itertools import chain

from kafka.errors import KafkaError
from prometheus_client import start_http_server

from deploy.catalogue_release import (
    CatalogueRelease,
    candidate,
    given_trees,
    local_files,
    read_registers,
    remembered_trees,
)
from deploy.errors import StackError
from deploy.files import read_json
from deploy.kafka_config import HOST
from deploy.kafka_launch import require_free
from deploy.operator_key import operator_key
from deploy.plan import Plan
from deploy.rebuild import rebuild, rebuild_pending
from deploy.stack import STACK, DataLock, Request, Stack
from deploy.topic_set import create_topics
from deploy.watch import Watch
from producers.gateway.enrolment import enrol
from schemas.catalogue import Catalogue
from schemas.settings import Settings
from schemas.signature import Ed25519Key

REQUEST = "rebuild.request"
SETTLE_WITHIN_S = 180.0
"""A restore of a large system takes that long; afterwards `up` says what is missing and keeps the rest going."""

_WORKER_STOPS_WITHIN_S = 10.0
_BROKER_STOPS_WITHIN_S = 30.0
_LOOK_FOR_REQUESTS_EVERY_S = 0.1

log = logging.getLogger("supervisor")


class Supervisor:
    """One stack, from `run` to its end. Must live in the main thread: its children are bound to that."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._operator: Ed25519Key | None = None
        self._broker: Watch | None = None
        self._groups: list[list[Watch]] = []
        self._stack: Stack | None = None
        self._settled = False
        self._unwritten = False
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Start, print the ready line, serve until SIGTERM or SIGINT, stop. Raises StackError and BrokerError."""
        lock = DataLock(self._plan.data)
        (self._plan.data / STACK).unlink(missing_ok=True)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        try:
            if await self._unless_stopped(self._start()):
                self._say_ready()
                await self._serve()
        finally:
            await self._take_apart()
            (self._plan.data / STACK).unlink(missing_ok=True)
            lock.release()

    async def _unless_stopped(self, work: Coroutine[None, None, None]) -> bool:
        """Do the work, or give it up when the signal to stop comes first. Returns whether it was done."""
        task, stop = asyncio.create_task(work), asyncio.create_task(self._stop.wait())
        await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        done = task.done()
        if not done:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return False
        task.result()
        return True

    async def _start(self) -> None:
        plan = self._plan
        self._operator = operator_key(plan.data)
        require_free(plan.ports.without_broker(plan.workers))
        start_http_server(plan.ports.supervisor, addr=HOST)
        trees = given_trees(plan.trees)
        reading = asyncio.to_thread(
            candidate, {**remembered_trees(plan.data), **trees}, plan.catalogues, local_files(plan.data)
        )
        wanted, bootstrap = await asyncio.gather(reading, self._start_broker())
        self._stack = plan.stack(bootstrap, self._operator.public.hex(), os.getpid())
        await asyncio.to_thread(self._prepare_log, wanted, trees)
        self._groups = [[Watch(w, self._publish) for w in group] for group in plan.worker_groups(self._stack)]
        await self._start_workers()

    async def _start_broker(self) -> str:
        part = self._plan.broker()
        if part is None:
            return self._plan.settings.bootstrap
        self._broker = Watch(part, self._publish)
        await part.start()  # the first time a reason not to start is final
        self._broker.begin(started=True)
        return part.cluster.bootstrap

    def _prepare_log(self, wanted: Catalogue, trees: dict[str, str]) -> None:
        """Topics, catalogue, and what a rebuild that was cut off left to do: before any worker reads."""
        settings, operator = self._known()
        create_topics(settings)
        if rebuild_pending(settings.data):
            log.warning("completing the rebuild that was cut off")
            rebuild(settings, operator, log.info)
        registers = read_registers(settings, operator)
        release = CatalogueRelease(settings, operator)
        try:
            announcement = release.ensure(wanted, registers, trees)
        finally:
            release.close()
        log.info("the gateway signs with %s", enrol(settings, operator))
        log.info("catalogue %d/%d %s is announced", announcement.epoch, announcement.serial, announcement.digest.hex())

    def _known(self) -> tuple[Settings, Ed25519Key]:
        if self._stack is None or self._operator is None:
            raise RuntimeError(self._plan.data)
        return self._stack.settings(), self._operator

    async def _start_workers(self) -> None:
        watches = [watch for group in self._groups for watch in group]
        for watch in watches:
            watch.begin()
        waiting = [asyncio.create_task(watch.settled()) for watch in watches]
        _, late = await asyncio.wait(waiting, timeout=SETTLE_WITHIN_S)
        for task in late:
            task.cancel()
        self._settled = True
        self._publish()

    def _say_ready(self) -> None:
        """The one line on stdout; without full health, a line for each part that lacks it on stderr instead."""
        stack = self._stack
        if stack is None:
            return
        if stack.ready:
            print(stack.ready_line(), flush=True)
        for line in stack.unready_lines():
            print(line, file=sys.stderr, flush=True)

    async def _serve(self) -> None:
        """Look for requests until the signal to stop."""
        while not self._stop.is_set():
            if (request := read_json(self._plan.data / REQUEST)) is not None:
                (self._plan.data / REQUEST).unlink()
                await self._unless_stopped(self._rebuild(str(request["id"])))
            if self._unwritten:
                self._publish()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), _LOOK_FOR_REQUESTS_EVERY_S)

    async def _rebuild(self, request_id: str) -> None:
        """Stop every worker, rebuild, start them again. After a failure they stay stopped until the next attempt."""
        loop = asyncio.get_running_loop()

        def tell(step: str, done: bool = False, error: str = "") -> None:
            log.info("rebuild: %s %s", step, error)
            self._publish(Request(request_id, step, done, error))

        def from_thread(step: str) -> None:
            loop.call_soon_threadsafe(tell, step)

        self._settled = False
        tell("stopping the workers")
        await self._stop_workers()
        settings, operator = self._known()
        try:
            epoch = await asyncio.to_thread(rebuild, settings, operator, from_thread)
        except (StackError, KafkaError, OSError) as error:
            tell("failed; the workers stay stopped", done=True, error=" ".join(str(error).split()))
            return
        tell(f"starting the workers under epoch {epoch}")
        await self._start_workers()
        tell(f"rebuilt under epoch {epoch}", done=True)

    async def _stop_workers(self) -> None:
        for group in reversed(self._groups):
            await asyncio.gather(*(watch.stop(_WORKER_STOPS_WITHIN_S) for watch in group))

    async def _take_apart(self) -> None:
        await self._stop_workers()
        if self._broker is not None:
            await self._broker.stop(_BROKER_STOPS_WITHIN_S)

    def _publish(self, request: Request | None = None) -> None:
        """Write what is known into `stack.json`, once there is a stack to tell about."""
        if self._stack is None:
            return
        watches = [*([self._broker] if self._broker is not None else []), *chain.from_iterable(self._groups)]
        self._stack = replace(
            self._stack,
            processes=tuple(watch.status for watch in watches),
            settled=self._settled,
            rebuild=request or self._stack.rebuild,
        )
        try:
            self._stack.save()
        except OSError as error:
            # Raised here it would end whoever keeps a part going, and nobody would start that part again.
            if not self._unwritten:
                log.warning("what is known can't be written: %s; trying again", error)
            self._unwritten = True
        else:
            self._unwritten = False
