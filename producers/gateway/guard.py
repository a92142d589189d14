"""Around every request: its id and trace, headers of every answer, metrics. No body, token or address is logged."""

from __future__ import annotations

import re
import time
import uuid

from prometheus_client import Counter, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from producers.gateway.body import request_id, traceparent

REQUESTS = Counter("chungsuc_gateway_requests_total", "Answers of the gateway.", ["route", "status"])
SECONDS = Histogram("chungsuc_gateway_request_seconds", "Until an answer begins.", ["route"],
                    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10))  # fmt: skip
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}
_ROUTE = re.compile(r"/v1/(receipts|forms|units|sheets)/[^/]+(/schema)?")
_ROUTES = frozenset({
    "/v1", "/v1/reports", "/v1/receipts", "/v1/series", "/v1/forms", "/v1/units", "/v1/keys", "/v1/obligations",
    "/v1/catalogue", "/v1/sheets", "/v1/openapi.json", "/v1/openapi-3.0.json", "/healthz",
})  # fmt: skip


class Guard:
    """Names the request, adds headers and counts."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        headers = Headers(scope=scope)
        name = request_id(headers.get("x-request-id")) or uuid.uuid4().hex
        state = scope.setdefault("state", {})
        state["request_id"], state["traceparent"] = name, traceparent(headers.get("traceparent"))
        route = route_of(scope["path"])

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                answered = MutableHeaders(scope=message)
                for header, value in _HEADERS.items():
                    answered[header] = value
                answered["X-Request-Id"] = name
                answered["Vary"] = "Accept-Language, Authorization"
                REQUESTS.labels(route, str(message["status"])).inc()
                SECONDS.labels(route).observe(time.monotonic() - began)
            await send(message)

        await self._app(scope, receive, send_guarded)


def route_of(path: str) -> str:
    """The pattern, never the address: a code in a label would make a series per unit."""
    match = _ROUTE.fullmatch(path)
    if match:
        return f"/v1/{match[1]}/{{id}}{match[2] or ''}"
    return path if path in _ROUTES else "other"
