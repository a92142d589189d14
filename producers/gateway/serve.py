"""The gateway as a process on a loopback port, put together; `deploy/gateway.py` hands in the read model and starts it.

Ready when it listens and what had been kept before was tried. SIGTERM: no new request, those under way are answered.
"""

from __future__ import annotations

import asyncio
import logging

import uvicorn
from starlette.types import ASGIApp

from producers.accounts import FILE as ACCOUNTS_FILE
from producers.accounts import Accounts
from producers.audit import FILE as AUDIT_FILE
from producers.audit import AuditLog
from producers.entry.acts import GatewayActs
from producers.entry.app import Beside
from producers.entry.app import application as pages
from producers.entry.approval import Approvals
from producers.entry.archive import LogArchive
from producers.entry.frame import Frame
from producers.entry.office import Office
from producers.entry.places import Places
from producers.entry.second_factor import SecondFactors
from producers.entry.sessions import FILE as ENTRY_FILE
from producers.entry.sessions import EntryFile, Sessions
from producers.gateway.answers import Answers, Owed
from producers.gateway.app import Parts, application
from producers.gateway.courier import Courier
from producers.gateway.desk import Desk
from producers.gateway.door import Door
from producers.gateway.judgment import Judgment
from producers.gateway.limits import Limits
from producers.gateway.provider import Provider, ProviderSettingError
from producers.gateway.registry import ActRegistry
from producers.gateway.sequence_watch import SequenceWatch
from producers.gateway.sheets import Sheets
from producers.gateway.store import FILE, Lookup
from producers.registration import now_ms
from producers.sequences import FILE as SEQUENCES_FILE
from producers.sheets.learned import FILE as LEARNED_FILE
from producers.sheets.learned import LearnedHeadings
from schemas.metrics import READY
from schemas.questions import Opener, Questions
from schemas.serving import Wish, listening
from schemas.settings import Settings, SettingsError

logger = logging.getLogger("chungsuc.gateway")

_LOOK_EVERY_S = 0.1
_LAST_REQUESTS_S = 5
_BACKLOG = 512


class Service:
    """Everything behind the port, from the cluster's acts to the courier."""

    def __init__(self, settings: Settings, opener: Opener, owed: Owed) -> None:
        self._accounts = Accounts(settings.data / ACCOUNTS_FILE)
        self._registry = ActRegistry(settings)
        self._questions = Questions(opener)
        self.courier = Courier(settings)
        self.courier.start()
        self._registry.start()
        self._sequences = SequenceWatch(settings, self._registry)
        self._sequences.start()
        audit = AuditLog(settings.data / AUDIT_FILE)
        limits = Limits(settings.gateway_reports_per_s, settings.gateway_burst)
        door = Door(self._accounts, self._registry, audit, limits, provider_of(settings))
        self._lookup = Lookup(settings.data / FILE)
        judgment = Judgment(self._registry, settings.partitions)
        desk = Desk(door, self._registry, judgment, self._questions, self.courier, audit)
        answers = Answers(door, self._registry, self._questions, self._lookup, settings.data / SEQUENCES_FILE, owed)
        archive = LogArchive(settings)
        learned = LearnedHeadings(settings.data / LEARNED_FILE)
        sheets = Sheets(door, self._registry, self._questions, desk, archive, learned)
        gateway = application(Parts(door, desk, answers, sheets, limits, now_ms, self.healthy))
        self._file = EntryFile(settings.data / ENTRY_FILE)
        sessions = Sessions(self._file, settings.entry_session_hours)
        office = Office(
            Frame(door, self._accounts, sessions, now_ms), Places(self._registry, door), self._registry,
            self._questions, answers, self._lookup, desk, archive, owed, Approvals(self._file),
            SecondFactors(self._file), audit,
        )  # fmt: skip
        self.app: ASGIApp = Beside(gateway, pages(office, GatewayActs(settings), sheets, audit))

    def healthy(self) -> bool:
        """Whether reports are taken now."""
        takes = not self.courier.away and not self.courier.disk_full
        return self.courier.ready.is_set() and takes and self.failure() is None

    def failure(self) -> BaseException | None:
        """What ended one of the threads: the process must end then."""
        return self.courier.failure or self._registry.failure or self._sequences.failure

    def close(self) -> None:
        """Finish what is under way, give everything back."""
        self.courier.stop()
        self._sequences.stop()
        self._registry.stop()
        self._questions.close()
        self._lookup.close()
        self._file.close()
        self._accounts.close()


def provider_of(settings: Settings) -> Provider | None:
    """The identity provider that the settings name, if any. Raises SettingsError."""
    try:
        return Provider(settings.oidc_issuer, settings.oidc_audience) if settings.oidc_issuer else None
    except ProviderSettingError as error:
        raise SettingsError(f"CHUNGSUC_OIDC_ISSUER: {error}") from error


async def _become_ready(server: uvicorn.Server, service: Service, wish: Wish) -> None:
    """Say ready once, then watch: a thread that ended ends the process."""
    while not server.should_exit:
        if wish.made or service.failure() is not None:
            server.should_exit = True
            return
        if server.started and service.courier.ready.is_set():
            READY.set(1)
        await asyncio.sleep(_LOOK_EVERY_S)


async def _serve(settings: Settings, service: Service, wish: Wish) -> None:
    with listening(settings.gateway_port, _BACKLOG) as listener:
        logger.info("gateway at http://127.0.0.1:%d", listener.getsockname()[1])
        server = uvicorn.Server(uvicorn.Config(
            service.app, log_config=None, access_log=False, lifespan="off", server_header=False,
            timeout_graceful_shutdown=_LAST_REQUESTS_S, h11_max_incomplete_event_size=64 * 1024,
        ))  # fmt: skip
        watching = asyncio.create_task(_become_ready(server, service, wish))
        await server.serve(sockets=[listener])
        await watching


def serve(settings: Settings, opener: Opener, owed: Owed) -> None:
    """Run until SIGTERM. Raises what ended a thread, a ProducerError, or OSError where the port is taken."""
    wish = Wish()
    service = Service(settings, opener, owed)
    try:
        asyncio.run(_serve(settings, service, wish))
        failure = service.failure()
    finally:
        service.close()
    if failure is not None:
        raise failure
