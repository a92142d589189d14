"""The pages as a web application, beside the gateway's addresses in the same process.

| address | page |
|---|---|
| `/login`, `/logout`, `/account`, `/language` | the session, its second factor and language |
| `/`, `/units/{unit}/day`, `/units/{unit}/nil` | the day's set; "không phát sinh" for the rest |
| `/units/{unit}/forms/{form}/{period}` | where a report is typed, corrected and sent |
| `/units/{unit}/receipts/{id}`, `/units/{unit}/history/{form}/{period}` | what became of it; withdrawal |
| `/units/{unit}/workbook`, `/units/{unit}/workbook.xlsx` | the set as a workbook: in, with a preview, and out |
| `/units/{unit}/below`, `/units/{unit}/decide/{form}/{period}`, `/units/{unit}/lock/…` | the superior's desk |
"""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from producers.audit import AuditLog
from producers.entry.acts import Acts
from producers.entry.days import Days
from producers.entry.guard import Guard
from producers.entry.login import Login
from producers.entry.office import Office
from producers.entry.receipts import Receipts
from producers.entry.reports import Reports
from producers.entry.superior import Superior
from producers.entry.workbooks import Workbooks
from producers.gateway.app import as_refusal
from producers.gateway.refusal import Refusal
from producers.gateway.sheets import Sheets
from schemas.read_model import ReadModelError

_HERE = Path(__file__).parent
_SERIES = "{form}/{period}"


def application(office: Office, acts: Acts, sheets: Sheets, audit: AuditLog) -> ASGIApp:
    """All pages."""
    frame, days, reports, receipts = office.frame, Days(office), Reports(office), Receipts(office)
    login, superior = Login(frame, office.factors, audit), Superior(office, acts, audit)
    workbooks = Workbooks(office, sheets)

    async def refused(request: Request, error: Exception) -> Response:
        return frame.refused(request, as_refusal(error))

    async def worker(request: Request) -> Response:
        """The script that works without a line; at the root, so that it serves all pages."""
        return FileResponse(_HERE / "static" / "worker.js", media_type="text/javascript")

    inside = frame.inside
    routes = Starlette(
        routes=[
            Route("/login", login.ask, methods=["GET"]),
            Route("/login", login.enter, methods=["POST"]),
            Route("/logout", inside(login.leave), methods=["POST"]),
            Route("/account", inside(login.account), methods=["GET"]),
            Route("/account", inside(login.change), methods=["POST"]),
            Route("/language", login.speak, methods=["GET"]),
            Route("/", inside(days.home), methods=["GET"]),
            Route("/units/{unit}/day", inside(days.show), methods=["GET"]),
            Route("/units/{unit}/nil", inside(days.nil), methods=["POST"]),
            Route("/units/{unit}/other", inside(reports.other), methods=["GET"]),
            Route("/units/{unit}/forms/" + _SERIES, inside(reports.show), methods=["GET"]),
            Route("/units/{unit}/forms/" + _SERIES, inside(reports.take), methods=["POST"]),
            Route("/units/{unit}/receipts/{id}", inside(receipts.show), methods=["GET"]),
            Route("/units/{unit}/history/" + _SERIES, inside(receipts.history), methods=["GET"]),
            Route("/units/{unit}/history/" + _SERIES, inside(receipts.withdraw), methods=["POST"]),
            Route("/units/{unit}/below", inside(superior.below), methods=["GET"]),
            Route("/units/{unit}/decide/" + _SERIES, inside(superior.decide), methods=["POST"]),
            Route("/units/{unit}/lock/" + _SERIES, inside(superior.lock), methods=["POST"]),
            Route("/units/{unit}/workbook.xlsx", inside(workbooks.give), methods=["GET"]),
            Route("/units/{unit}/workbook", inside(workbooks.ask), methods=["GET"]),
            Route("/units/{unit}/workbook", inside(workbooks.take), methods=["POST"]),
            Route("/worker.js", worker, methods=["GET"]),
            Mount("/static", StaticFiles(directory=_HERE / "static")),
        ],
        middleware=[Middleware(GZipMiddleware, minimum_size=1000)],
        exception_handlers={Refusal: refused, ReadModelError: refused, HTTPException: refused, Exception: refused},
    )
    return Guard(routes)


class Beside:
    """The gateway's addresses and the pages behind one port, each with its own headers and answers."""

    def __init__(self, gateway: ASGIApp, pages: ASGIApp) -> None:
        self._gateway = gateway
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request to the one it is for."""
        path = scope.get("path", "")
        to_gateway = scope["type"] != "http" or path in ("/v1", "/healthz") or path.startswith("/v1/")
        await (self._gateway if to_gateway else self._pages)(scope, receive, send)
