"""The page as a web application: routes, answers, headers. Read-only, and nothing in it comes from another host.

| route | answer |
|---|---|
| `/` | forms with their newest period, roots, search by name (`q`) |
| `/units/{code}` | figures of a unit: `form`, `from`, `to`, `as_of`, `axis`, `line` |
| `/units/{code}/obligations` | reports due: who is missing, late, extended; `from`, `to`, `as_of`, `axis`, `line` |
| `/units/{code}/findings` | what does not add up or stands out; the same parameters |
| `/units/{code}/indicators` | ratios and levels, or why there is none; the same parameters |
| `/events` | server-sent events: the version of what a page shows; `unit` and the page's parameters |
| `/api/figures` | contract 8 by its parameters: `unit`, `form`, `from`, `to`, `sum`, `kind`, …, `format` csv or json |
| `/api/obligations`, `/api/findings`, `/api/indicators` | the lines of the commands of these names |
| `/api/units/{code}` | a unit, its superiors and children; with `form` and `period` also its coverage |
| `/healthz` | 200 when questions can be answered |
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from consumers.dashboard.api import LINES, figures_answer, lines_answer, unit_answer
from consumers.dashboard.findings import findings_view
from consumers.dashboard.headers import Guard
from consumers.dashboard.home import home
from consumers.dashboard.indicators import indicators_view
from consumers.dashboard.obligations import obligations_view
from consumers.dashboard.question import Question, Refusal
from consumers.dashboard.source import Source, is_there, resolved, version
from consumers.dashboard.view import UnitView, unit_view
from consumers.dashboard.watch import Watch
from schemas import words
from schemas.catalogue import ZONE
from schemas.read_model import NotReady, ReadModel, ReadModelError

_HERE = Path(__file__).parent
Clock = Callable[[], datetime]
P = TypeVar("P")


def now() -> datetime:
    """The time in Vietnam."""
    return datetime.now(ZONE)


class Pages:
    """The routes' answers. What takes seconds is asked over a connection of its own, so that figures do not wait."""

    def __init__(self, source: Source, clock: Clock) -> None:
        self._source = source
        self._slow = source.another()
        self._clock = clock
        self._watch = Watch(source)
        self._templates = Environment(
            loader=FileSystemLoader(_HERE / "templates"), autoescape=True, undefined=StrictUndefined,
            trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip
        self._templates.filters["number"] = words.number

    async def home(self, request: Request) -> Response:
        """The first page."""
        asked = request.query_params.get("q", "")[:100]
        return self._html("home.html", home=await self._source.ask(home, asked, self._clock().date()))

    async def unit(self, request: Request) -> Response:
        """Figures of a unit."""
        question = Question.read(request.path_params["code"], request.query_params)
        found, view, forms = await self._source.ask(_unit, question)
        asked = view.subject.question
        return self._html(
            "unit.html", view=view, version=found, forms=forms, at=self._clock().strftime("%H:%M:%S ngày %d/%m/%Y"),
            events=f"/events?{urlencode({'unit': asked.unit, **asked.parameters()})}",
        )  # fmt: skip

    async def obligations(self, request: Request) -> Response:
        """Reports due of a unit and of those below it."""
        return await self._about(request, obligations_view, self._clock(), "obligations.html")

    async def findings(self, request: Request) -> Response:
        """What does not add up or stands out at a unit and below."""
        return await self._about(request, findings_view, self._clock().date(), "findings.html")

    async def indicators(self, request: Request) -> Response:
        """Indicators of a unit and of those right below it."""
        return await self._about(request, indicators_view, self._clock(), "indicators.html")

    async def _about(
        self, request: Request, view: Callable[[ReadModel, Question, P], object], known: P, template: str
    ) -> Response:
        question = Question.read(request.path_params["code"], request.query_params)
        shown = await self._slow.ask(view, question, known)
        return self._html(template, view=shown, at=self._clock().strftime("%H:%M:%S ngày %d/%m/%Y"))

    async def lines(self, request: Request) -> Response:
        """Obligations, findings or indicators as CSV or JSON."""
        name = request.url.path.rpartition("/")[2]
        return await self._slow.ask(lines_answer, name, request.query_params, self._clock())

    async def events(self, request: Request) -> Response:
        """The live connection of a page."""
        question = Question.read(request.query_params.get("unit", ""), request.query_params)
        await self._source.ask(resolved, question)
        return self._watch.events(question)

    async def figures(self, request: Request) -> Response:
        """Figures as CSV or JSON."""
        return await self._source.ask(figures_answer, request.query_params)

    async def about_unit(self, request: Request) -> Response:
        """A unit as JSON."""
        return await self._source.ask(unit_answer, request.path_params["code"], request.query_params)

    async def health(self, request: Request) -> Response:
        """Whether questions can be answered."""
        there = await self._source.ask(is_there)
        return PlainTextResponse("ok\n" if there else "not ready\n", 200 if there else 503)

    async def refused(self, request: Request, error: Exception) -> Response:
        """A question without an answer, as the asker reads it: a page, or JSON under `/api`."""
        refusal = _as_refusal(error)
        headers = {"Retry-After": "5"} if refusal.status == 503 else {}
        if request.url.path.startswith(("/api/", "/events", "/healthz")):
            return JSONResponse({"error": refusal.title, "advice": refusal.advice}, refusal.status, headers)
        return self._html("message.html", refusal.status, headers, title=refusal.title, advice=refusal.advice,
                          links=refusal.links, again=refusal.status == 503)  # fmt: skip

    def _html(self, name: str, status: int = 200, headers: dict[str, str] | None = None, **shown: Any) -> Response:
        text = self._templates.get_template(name).render(notice=self._source.notice(), **shown)
        return HTMLResponse(text, status, headers)


def application(source: Source, clock: Clock = now) -> Starlette:
    """The whole application on a source. `clock` gives the time that is printed."""
    pages = Pages(source, clock)
    return Starlette(
        routes=[
            Route("/", pages.home),
            Route("/units/{code}", pages.unit, name="unit"),
            Route("/units/{code}/obligations", pages.obligations),
            Route("/units/{code}/findings", pages.findings),
            Route("/units/{code}/indicators", pages.indicators),
            Route("/events", pages.events),
            Route("/api/figures", pages.figures),
            *(Route(f"/api/{name}", pages.lines) for name in LINES),
            Route("/api/units/{code}", pages.about_unit),
            Route("/healthz", pages.health),
            Mount("/static", StaticFiles(directory=_HERE / "static")),
        ],
        middleware=[Middleware(Guard), Middleware(GZipMiddleware, minimum_size=1000)],
        exception_handlers={
            Refusal: pages.refused,
            ReadModelError: pages.refused,
            HTTPException: pages.refused,
        },
    )


def _unit(model: ReadModel, question: Question) -> tuple[str, UnitView, Sequence[tuple[str, str]]]:
    """The version is read first: what changes in between is then shown once more, never missed."""
    found = version(model, question)
    catalogue = model.catalogue()
    view = unit_view(model, catalogue, resolved(model, question))
    having = {found.form for found in model.form_periods() if found.line == view.subject.line}
    forms = {form.id: form.label_vi + ("" if form.id in having else " (chưa có báo cáo)") for form in catalogue.forms}
    return found, view, sorted(forms.items(), key=lambda item: (item[0] not in having, item[1]))


def _as_refusal(error: Exception) -> Refusal:
    if isinstance(error, Refusal):
        return error
    if isinstance(error, NotReady):
        return Refusal(503, "Số liệu đang được chuẩn bị", "Hệ thống vừa khởi động hoặc đang dựng lại kho số liệu. "
                       "Trang này tự tải lại sau vài giây.")  # fmt: skip
    if isinstance(error, HTTPException):
        title = "Không có trang này" if error.status_code == 404 else "Yêu cầu không hợp lệ"
        return Refusal(error.status_code, title, "Hãy kiểm tra địa chỉ, hoặc bắt đầu lại từ trang đầu.")
    return Refusal(404, "Không trả lời được câu hỏi này", f"Hãy chọn lại đơn vị, biểu hoặc ngày. ({error})")


__all__ = ["Clock", "Pages", "application", "now"]
