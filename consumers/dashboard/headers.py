"""Headers of every answer, and the page's own metrics.

Figures change, so nothing is kept by caches but what never changes.
"""

from __future__ import annotations

import time

from prometheus_client import Counter, Histogram
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from consumers.dashboard.frame import PAGES
from schemas.serving import page_headers

REQUESTS = Counter("chungsuc_page_requests_total", "Answers of the page, by route and status.", ["route", "status"])
SECONDS = Histogram("chungsuc_page_request_seconds", "Until an answer begins, by route.", ["route"],
                    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10))  # fmt: skip
_HEADERS = page_headers()
_ROUTES = ("/", "/events", "/healthz", "/api/figures", *(f"/api/{name}" for name in PAGES if name))


class Guard:
    """Adds the headers and counts."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-cache" if _is_asset(scope) else "no-store")
                route = _route(scope)
                REQUESTS.labels(route, str(message["status"])).inc()
                SECONDS.labels(route).observe(time.monotonic() - began)
            await send(message)

        await self._app(scope, receive, send_guarded)


def _is_asset(scope: Scope) -> bool:
    return str(scope["path"]).startswith("/static/")


def _route(scope: Scope) -> str:
    """The pattern, never the address: a code in a label would make a series per unit."""
    if _is_asset(scope):
        return "/static"
    path = str(scope["path"])
    for pattern in ("/units/", "/api/units/"):
        if path.startswith(pattern):
            page = path.removeprefix(pattern).partition("/")[2]
            return f"{pattern}{{code}}" + (f"/{page}" if page in PAGES and page else "")
    return path if path in _ROUTES else "other"
