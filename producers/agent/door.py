"""The agent's own door on loopback: reports from programs of this host, answered once they are on the disk.

| route | answer |
|---|---|
| `POST /v1/reports` | the gateway's JSON, one report or a batch; 202 when it is kept, with the local token |
| `GET /healthz` | 200 while reports can be kept, with counts; `GET /metrics`: Prometheus text |
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from producers.agent.held_catalogue import HeldCatalogue
from producers.agent.intake import FromRequest, Taken, remembered, shown, take
from producers.agent.status import Status, lacking_space
from producers.agent.store import AgentStore
from producers.agent.watch import Asked
from producers.errors import OutboxError
from producers.gateway.app import language_of, refused_answer
from producers.gateway.body import idempotency_key, read_bytes, read_json
from producers.gateway.draft import Draft
from producers.gateway.refusal import Language, Refusal, Slug, refused
from schemas.catalogue import ZONE
from schemas.report import Millis

_RETRY_S = "5"


class AgentDoor:
    """Takes reports of this host's programs. Its store lives in a thread of its own."""

    def __init__(
        self,
        opener: Callable[[], AgentStore],
        catalogue: HeldCatalogue,
        token: str,
        clock: Callable[[], Millis],
        asked: Asked,
        news: Callable[[], None],
        status: Callable[[AgentStore], Status],
    ) -> None:
        self._opener = opener
        self._catalogue = catalogue
        self._token = token
        self._clock = clock
        self._asked = asked
        self._news = news
        self._status = status
        self._thread = ThreadPoolExecutor(1, "door")
        self._store: AgentStore | None = None

    def application(self) -> Starlette:
        """The routes."""
        return Starlette(
            routes=[
                Route("/v1/reports", self.take, methods=["POST"]),
                Route("/healthz", self.health, methods=["GET"]),
                Route("/metrics", self.metrics, methods=["GET"]),
            ],
            exception_handlers={Refusal: refused_answer, HTTPException: refused_answer, Exception: refused_answer},
        )

    def close(self) -> None:
        """Give the file back."""
        self._thread.submit(self._close).result()
        self._thread.shutdown()

    async def take(self, request: Request) -> Response:
        """Keep one report or a batch."""
        given = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            words = "Gửi mã trong tệp local.token.", "Send the token of the file local.token."
            raise refused(Slug.NOT_LOGGED_IN, *words, WWW_Authenticate='Bearer realm="chungsuc-agent"')
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise refused(Slug.UNSUPPORTED_TYPE, "Gửi Content-Type: application/json.", "Send application/json.")
        key = idempotency_key(request.headers.get("idempotency-key"))
        content = await read_bytes(request)
        kept = await asyncio.get_running_loop().run_in_executor(self._thread, self._take, content, key)
        self._news()
        return _answer(kept, language_of(request))

    async def health(self, request: Request) -> Response:
        """Whether reports can be kept, and how many wait."""
        found = await asyncio.get_running_loop().run_in_executor(self._thread, self._look)
        return JSONResponse(asdict(found), 503 if found.refusing else 200)

    async def metrics(self, request: Request) -> Response:
        """Prometheus text, with fresh counts."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._look)
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    def _take(self, content: bytes, key: str | None) -> tuple[bool, list[dict[str, Any] | Refusal]]:
        judge = self._catalogue.judge()
        if judge is None:
            self._catalogue.wanted.set()
            raise _later("Chưa có danh mục: máy này chưa liên lạc được lần nào.",
                         "No catalogue yet: this node has not reached the other side once.")  # fmt: skip
        store = self._opened()
        if lacking := lacking_space(store.path.parent):
            raise _later(f"Chưa lưu được: {lacking}.", f"It can't be kept: {lacking}.")
        raw = read_json(content)
        batch = isinstance(raw, dict) and "reports" in raw
        came = FromRequest(key, hashlib.sha256(content).digest())
        try:
            known = remembered(store, came) if key is not None else None
            today = datetime.fromtimestamp(self._clock() / 1000, UTC).astimezone(ZONE).date()
            judged = judge.reports(raw, today)
            if known is not None:
                return batch, _told(known, judged)
            drafts = [one for one in judged if isinstance(one, Draft)]
            if not drafts:
                return batch, [one for one in judged if isinstance(one, Refusal)]
            taken = take(store, judged, self._clock(), came, self._asked(store, drafts))
        except OutboxError as error:
            raise _later(f"Chưa lưu được: {error}", f"It can't be kept: {error}") from error
        return batch, [one if isinstance(one, Refusal) else shown(one) for one in taken]

    def _look(self) -> Status:
        return self._status(self._opened())

    def _opened(self) -> AgentStore:
        if self._store is None:
            self._store = self._opener()
        return self._store

    def _close(self) -> None:
        if self._store is not None:
            self._store.close()


def _told(known: Sequence[dict[str, Any] | None], judged: Sequence[Taken | Draft]) -> list[dict[str, Any] | Refusal]:
    """What an earlier request was told; a report that was refused then is judged as it is now."""
    again = refused(Slug.REPORT_INVALID, "Báo cáo này đã bị từ chối ở lần gửi trước; hãy dùng khóa mới.",
                    "This report was refused in the first request: use a new key.")  # fmt: skip
    return [
        one if one is not None else (now if isinstance(now, Refusal) else again)
        for one, now in zip(known, judged, strict=True)
    ]


def _later(vietnamese: str, english: str) -> Refusal:
    return refused(Slug.AWAY, vietnamese, english, Retry_After=_RETRY_S)


def _answer(kept: tuple[bool, list[dict[str, Any] | Refusal]], language: Language) -> Response:
    batch, found = kept
    if not batch:
        if isinstance(found[0], Refusal):
            raise found[0]
        return JSONResponse(found[0], 202)
    results = [
        {"status": one.status, "problem": one.problem(language)} if isinstance(one, Refusal) else
        {"status": 202, "report": one}
        for one in found
    ]  # fmt: skip
    refusals = sum(result["status"] != 202 for result in results)
    content = {"kept": len(results) - refusals, "refused": refusals, "results": results}
    return JSONResponse(content, 207 if refusals else 202)
