"""The agent as a process: folders, local door and forwarder around one file, until SIGTERM.

Each part has its own connection to the file and its own thread. An exception in one ends the process (design decision
13); whatever starts services starts it again, and nothing that was kept is lost or counted twice.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import uvicorn

from producers.agent.asker import Asker
from producers.agent.config import AgentConfig, local_token
from producers.agent.door import AgentDoor
from producers.agent.folder import Folder
from producers.agent.forwarder import Forwarder
from producers.agent.held_catalogue import HeldCatalogue
from producers.agent.status import LOCK, Status, look
from producers.agent.store import FILE, AgentStore
from producers.agent.transport import Transport
from producers.agent.transport_http import HttpTransport
from producers.agent.transport_kafka import KafkaTransport
from producers.agent.watch import Watch
from producers.errors import ProducerError
from producers.registration import now_ms
from schemas.folder_lock import FolderLock, FolderTaken
from schemas.serving import Wish, listening
from schemas.settings import load_settings

logger = logging.getLogger("chungsuc.agent")

_LOOK_EVERY_S = 0.25
_ASK_WITHIN_S = 3.0
_LAST_REQUESTS_S = 5
_BACKLOG = 64


class BusyError(ProducerError):
    """Another process runs this agent, or has its port."""


class Agent:
    """All parts of one agent."""

    def __init__(self, folder: Path, config: AgentConfig) -> None:
        self._folder = folder
        self._config = config
        with closing(self._store()) as store:
            self._catalogue = HeldCatalogue(folder, store.signing_key())
        self._stopping = threading.Event()
        self._forwarder: Forwarder | None = None
        self._watch_failing = ""
        self.failure: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._guarded, args=(work,), name=name, daemon=True)
            for name, work in (("forwarder", self._forward), ("watch", self._watch))
        ]
        self._asker = Asker(lambda: self._transport(_ASK_WITHIN_S), self._reachable)
        self.door = AgentDoor(
            self._store, self._catalogue, local_token(folder), now_ms, self._asker, self._tell, self._status
        )

    def start(self) -> None:
        """Begin to work."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Finish what is under way and end."""
        self._stopping.set()
        self._tell()
        for thread in self._threads:
            thread.join(20)
        self.door.close()
        self._asker.close()

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            logger.exception("the agent ends")
            self.failure = error

    def _forward(self) -> None:
        with closing(self._store()) as store, closing(self._transport()) as transport:
            self._forwarder = Forwarder(store, transport, self._catalogue, now_ms)
            self._forwarder.run(self._stopping)

    def _watch(self) -> None:
        asker = Asker(lambda: self._transport(_ASK_WITHIN_S), self._reachable)
        with closing(self._store()) as store, closing(asker):
            folder = Folder(self._folder, self._config.steady_s)
            watch = Watch(folder, store, self._catalogue, now_ms, asker)
            while not self._stopping.is_set():
                if watch.look(time.monotonic()):
                    self._tell()
                self._watch_failing = watch.failing
                self._stopping.wait(_LOOK_EVERY_S)

    def _store(self) -> AgentStore:
        return AgentStore(self._folder / FILE)

    def _transport(self, timeout_s: float = 30.0) -> Transport:
        config = self._config
        if config.gateway:
            return HttpTransport(config.gateway, Path(config.token_file), now_ms, timeout_s)
        settings = load_settings(bootstrap=config.bootstrap, operator_key=config.operator_key, prefix=config.prefix)
        return KafkaTransport(settings)

    def _reachable(self) -> bool:
        return self._forwarder is not None and self._forwarder.reachable

    def _tell(self) -> None:
        if self._forwarder is not None:
            self._forwarder.news.set()

    def _status(self, store: AgentStore) -> Status:
        return look(store, self._folder, now_ms(), self._watch_failing)


async def _serve(agent: Agent, port: int, wish: Wish) -> None:
    with listening(port, _BACKLOG) as listener:
        server = uvicorn.Server(uvicorn.Config(
            agent.door.application(), log_config=None, access_log=False, lifespan="off", server_header=False,
            timeout_graceful_shutdown=_LAST_REQUESTS_S,
        ))  # fmt: skip
        agent.start()
        logger.info("agent at http://127.0.0.1:%d", listener.getsockname()[1])
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        while not (serving.done() or wish.made or agent.failure is not None):
            await asyncio.sleep(_LOOK_EVERY_S)
        server.should_exit = True
        await serving


def run(folder: Path, config: AgentConfig) -> None:
    """Run until SIGTERM. Raises what ended a thread, a ProducerError, BusyError where another one runs."""
    try:
        lock = FolderLock(folder / LOCK)
    except FolderTaken as taken:
        raise BusyError(f"an agent already runs on {folder} (process {taken.process or 'another'})") from None
    wish = Wish()
    agent = Agent(folder, config)
    try:
        asyncio.run(_serve(agent, config.port, wish))
    except OSError as error:
        raise BusyError(f"port {config.port} can't be had: {error}") from error
    finally:
        agent.stop()
        lock.release()
    if agent.failure is not None:
        raise agent.failure
