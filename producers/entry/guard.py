"""Around every request for a page: its id, headers of every answer, metrics. No body, cookie or address is logged.

Pages hold what an account may see, so nothing between browser and host may keep them.
"""

from __future__ import annotations

import re
import time
import uuid

from prometheus_client import Counter, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from producers.gateway.body import request_id, traceparent
from schemas.serving import page_headers

REQUESTS = Counter("chungsuc_entry_requests_total", "Answers of the entry pages.", ["route", "status"])
SECONDS = Histogram("chungsuc_entry_request_seconds", "Until a page begins.", ["route"],
                    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10))  # fmt: skip
_HEADERS = page_headers("worker-src 'self'", "manifest-src 'self'")
_ROUTE = re.compile(r"/units/[^/]+/([a-z]+)(?:[/.].*)?")
_ROUTES = frozenset({"/", "/login", "/logout", "/account", "/language"})
_UNDER_UNITS = frozenset({"day", "nil", "other", "forms", "receipts", "history", "below", "decide", "lock", "workbook"})


class Guard:
    """Names the request, adds headers and counts."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        began = time.monotonic()
        headers = Headers(scope=scope)
        state = scope.setdefault("state", {})
        state["request_id"] = request_id(headers.get("x-request-id")) or uuid.uuid4().hex
        state["traceparent"] = traceparent(headers.get("traceparent"))
        route, asset = route_of(scope["path"]), scope["path"].startswith(("/static/", "/worker.js"))

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                answered = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    answered[name] = value
                answered["Cache-Control"] = "no-cache" if asset else "no-store"
                answered["X-Request-Id"] = state["request_id"]
                REQUESTS.labels(route, str(message["status"])).inc()
                SECONDS.labels(route).observe(time.monotonic() - began)
            await send(message)

        await self._app(scope, receive, send_guarded)


def route_of(path: str) -> str:
    """The pattern, never the address: a code in a label would make a series per unit."""
    if path.startswith("/static/") or path == "/worker.js":
        return "/static"
    match = _ROUTE.fullmatch(path)
    if match and match[1] in _UNDER_UNITS:
        return f"/units/{{unit}}/{match[1]}"
    return path if path in _ROUTES else "other"
