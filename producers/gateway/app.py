"""The gateway as a web application: routes, and what every answer has.

| route | answer |
|---|---|
| `POST /v1/reports` | one report or a batch of up to 1,000; 202 after the broker's acknowledgement |
| `GET /v1/receipts/{id}`, `GET /v1/receipts` | what became of one report, or of a unit's (`unit`, `since`, `limit`) |
| `GET /v1/series` | the highest revision of (`unit`, `form`, `period`, `line`, `scope`, `entered_by`), as ETag |
| `GET /v1/forms`, `/v1/forms/{id}`, `/v1/units`, `/v1/units/{code}`, `/v1/keys` | what reports are made of |
| `GET /v1/catalogue` | forms, codes and units as one archive, for nodes that judge their reports themselves |
| `GET /v1/obligations` | what a `unit` owes, due `from` one day `to` another |
| `POST /v1/sheets`, `GET /v1/sheets/{unit}` | reports out of a workbook; the day's set as a workbook |
| `GET /v1`, `/v1/openapi.json`, `/v1/openapi-3.0.json`, `/healthz` | about the service; without login |
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from producers.audit import AuditError
from producers.gateway.answers import Answers
from producers.gateway.body import MAX_BODY_BYTES, MOST_REPORTS
from producers.gateway.desk import Desk
from producers.gateway.door import Caller, Door
from producers.gateway.guard import Guard
from producers.gateway.limits import Limits
from producers.gateway.openapi import description, downgraded
from producers.gateway.refusal import MEDIA_TYPE, Language, Refusal, Slug, preferred, refused
from producers.gateway.sheets import Sheets
from producers.gateway.store import IDEMPOTENCY_DAYS
from schemas.read_model import NotReady, ReadModelError
from schemas.report import Millis

logger = logging.getLogger("chungsuc.gateway")

_PROOFS_AT_ONCE = 2
Clock = Callable[[], Millis]
Answerer = Callable[[Request, Caller, Language], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Parts:
    """What the application is made of. `limits`: of one account. `healthy`: whether everything behind it works."""

    door: Door
    desk: Desk
    answers: Answers
    sheets: Sheets
    limits: Limits
    clock: Clock
    healthy: Callable[[], bool]


class Gateway:
    """The routes' answers."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        # Hundreds of communes that come back in one minute prove themselves one after another, beside the others' way.
        self._proofs = anyio.CapacityLimiter(_PROOFS_AT_ONCE)

    def behind_the_door(self, answer: Answerer) -> Callable[[Request], Awaitable[Response]]:
        """A route for accounts only."""

        async def entered(request: Request) -> Response:
            authorization, now = request.headers.get("authorization"), self._parts.clock()
            caller = self._parts.door.known(authorization, now)
            if caller is None:
                address = request.client.host if request.client else ""
                enter = partial(self._parts.door.enter, authorization, address, now)
                caller = await anyio.to_thread.run_sync(enter, limiter=self._proofs)
            if request.method != "POST":
                self._parts.door.spend(caller, 1)
            return await answer(request, caller, language_of(request))

        return entered

    async def about(self, request: Request) -> Response:
        """What this is, where to begin, and the bounds."""
        return JSONResponse({
            "name": "Chung Sức gateway",
            "openapi": "/v1/openapi.json",
            "reports_per_batch": MOST_REPORTS,
            "bytes_per_request": MAX_BODY_BYTES,
            "idempotency_key_expires_after_days": IDEMPOTENCY_DAYS,
            "reports_per_s": self._parts.limits.rate,
            "burst": self._parts.limits.burst,
        })  # fmt: skip

    async def openapi(self, request: Request) -> Response:
        """OpenAPI 3.1."""
        return JSONResponse(description())

    async def openapi_3_0(self, request: Request) -> Response:
        """OpenAPI 3.0.3, for tools that read no newer one."""
        return JSONResponse(downgraded(description()))

    async def health(self, request: Request) -> Response:
        """200 while reports are taken."""
        healthy = self._parts.healthy()
        return PlainTextResponse("ok\n" if healthy else "not ready\n", 200 if healthy else 503)


async def refused_answer(request: Request, error: Exception) -> Response:
    """Whatever was refused, as problem details in the caller's language."""
    refusal = as_refusal(error)
    language = language_of(request)
    instance = f"urn:chungsuc:request:{getattr(request.state, 'request_id', '')}"
    headers = {"Content-Language": language.value, **refusal.headers}
    return JSONResponse(refusal.problem(language, instance), refusal.status, headers, media_type=MEDIA_TYPE)


def as_refusal(error: Exception) -> Refusal:
    """What people are told about an error that ends a request."""
    match error:
        case Refusal():
            return error
        case NotReady():
            words = ("Kho số liệu đang được chuẩn bị; hãy thử lại sau vài giây.", "The read model is being prepared.")
            return refused(Slug.AWAY, *words, Retry_After="2")
        case AuditError():
            vietnamese = "Nhật ký kiểm tra chưa ghi được; hãy gửi lại với cùng Idempotency-Key."
            english = "The audit log can't be written: repeat with the same Idempotency-Key."
            logger.error("%s", error)
            return refused(Slug.AWAY, vietnamese, english, Retry_After="5")
        case ReadModelError():
            return refused(Slug.NOT_FOUND, f"Không có câu trả lời: {error}.", f"There is no answer: {error}.")
        case HTTPException(status_code=404):
            return refused(Slug.NOT_FOUND, "Không có địa chỉ này.", "There is no such address.")
        case HTTPException(status_code=405):
            allowed = (error.headers or {}).get("Allow", "")
            return refused(Slug.METHOD_NOT_ALLOWED, f"Ở đây dùng {allowed}.", f"Use {allowed} here.", Allow=allowed)
        case HTTPException():
            return refused(Slug.BAD_REQUEST, "Yêu cầu không đọc được.", "The request can't be read.")
    return refused(Slug.BUG, "Đơn vị vận hành xem nhật ký theo mã yêu cầu này.",
                   "The operator finds it in the log by this request's id.")  # fmt: skip


def language_of(request: Request) -> Language:
    """The language of the answer."""
    return preferred(request.headers.get("accept-language"))


def application(parts: Parts) -> Starlette:
    """The whole application."""
    gateway = Gateway(parts)
    answers: dict[str, Answerer] = {
        "/v1/receipts": parts.answers.receipts,
        "/v1/receipts/{id}": parts.answers.receipt,
        "/v1/series": parts.answers.series,
        "/v1/forms": parts.answers.forms,
        "/v1/forms/{id}": parts.answers.form,
        "/v1/forms/{id}/schema": parts.answers.form_schema,
        "/v1/units": parts.answers.units,
        "/v1/units/{code}": parts.answers.unit,
        "/v1/obligations": parts.answers.obligations,
        "/v1/catalogue": parts.answers.catalogue,
        "/v1/keys": parts.answers.keys,
        "/v1/sheets/{unit}": parts.sheets.give,
    }
    open_routes: dict[str, Any] = {
        "/v1": gateway.about,
        "/v1/openapi.json": gateway.openapi,
        "/v1/openapi-3.0.json": gateway.openapi_3_0,
        "/healthz": gateway.health,
    }
    return Starlette(
        routes=[
            Route("/v1/reports", gateway.behind_the_door(parts.desk.take), methods=["POST"]),
            Route("/v1/sheets", gateway.behind_the_door(parts.sheets.take), methods=["POST"]),
            *(Route(path, gateway.behind_the_door(answer), methods=["GET"]) for path, answer in answers.items()),
            *(Route(path, answer, methods=["GET"]) for path, answer in open_routes.items()),
        ],
        middleware=[Middleware(Guard)],
        exception_handlers={
            Refusal: refused_answer,
            ReadModelError: refused_answer,
            AuditError: refused_answer,
            HTTPException: refused_answer,
            Exception: refused_answer,
        },
    )
