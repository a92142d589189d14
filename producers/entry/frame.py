"""The frame of every page: who looks at it, in which language, which form it brings, and how it is answered.

A form is taken only from a page of this host that belongs to the same session: by its hidden token, and by what the
browser says of where it comes from. Whoever is not logged in is led to the login and back.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from producers.accounts import Accounts
from producers.entry.sessions import Session, Sessions
from producers.gateway.body import content_type
from producers.gateway.door import Caller, Door
from producers.gateway.refusal import PROBLEMS, Language, Refusal, Slug, preferred, refused
from producers.gateway.sheets import upload_of
from schemas import words
from schemas.report import Millis
from schemas.topics import MIB

_HERE = Path(__file__).parent
_MAX_FORM_BYTES, _MOST_FIELDS = 2 * MIB, 20_000
COOKIE, LANGUAGE_COOKIE, VISITOR_COOKIE = "chungsuc", "chungsuc_lang", "chungsuc_visitor"
Clock = Callable[[], Millis]


@dataclass(frozen=True)
class Visit:
    """A request by somebody who is logged in. `fields` and `file` are those of the form it brought."""

    request: Request
    session: Session
    caller: Caller
    language: Language
    fields: Mapping[str, str] = field(default_factory=dict)
    file: bytes = b""

    @property
    def wants_json(self) -> bool:
        """Whether the page's script asks, which shows the answer itself."""
        return "application/json" in self.request.headers.get("accept", "")


Answer = Callable[[Visit], Awaitable[Response]]


class Frame:
    """Renders pages and lets visits in."""

    def __init__(self, door: Door, accounts: Accounts, sessions: Sessions, clock: Clock) -> None:
        self.door = door
        self.accounts = accounts
        self.sessions = sessions
        self.clock = clock
        self._templates = Environment(
            loader=FileSystemLoader(_HERE / "templates"), autoescape=True, undefined=StrictUndefined,
            trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip
        self._templates.filters["number"] = words.number
        self._templates.filters["path"] = lambda text: quote(str(text), safe=":")

    def inside(self, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
        """A route for those who are logged in."""

        async def entered(request: Request) -> Response:
            language = language_of(request)
            session, caller = self._found(request)
            if session is None or caller is None:
                return self._to_login(request, language)
            self.door.spend(caller, 1)
            fields: Mapping[str, str] = {}
            file = b""
            if request.method == "POST" and content_type(request) == "multipart/form-data":
                upload = await upload_of(request)
                fields, file = dict(upload.asked), upload.content
            elif request.method == "POST":
                fields = await read_form(request)
            if request.method == "POST":
                require_same_host(request)
                if not session.owns(fields.get("csrf", "")):
                    raise _stale()
            return await answer(Visit(request, session, caller, language, fields, file))

        return entered

    def _found(self, request: Request) -> tuple[Session | None, Caller | None]:
        now = self.clock()
        session = self.sessions.find(request.cookies.get(COOKIE, ""), now)
        if session is None or not self.accounts.stands(session.token):
            return None, None
        return session, self.door.caller(session.principal, now)

    def _to_login(self, request: Request, language: Language) -> Response:
        if "application/json" in request.headers.get("accept", ""):
            refusal = refused(Slug.NOT_LOGGED_IN, "Hãy đăng nhập lại.", "Log in again.")
            return JSONResponse(refusal.problem(language), refusal.status)
        asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        back = asked if request.method == "GET" and asked != "/" else ""
        return RedirectResponse("/login" + (f"?{urlencode({'next': back})}" if back else ""), 303)

    def page(self, name: str, visit: Visit, status: int = 200, **shown: Any) -> Response:
        """A page for somebody who is logged in."""
        return self._rendered(name, visit.language, status, visit=visit, csrf=visit.session.csrf, **shown)

    def open_page(self, name: str, request: Request, status: int = 200, csrf: str = "", **shown: Any) -> Response:
        """A page for anybody."""
        return self._rendered(name, language_of(request), status, visit=None, csrf=csrf, **shown)

    def _rendered(self, name: str, language: Language, status: int, **shown: Any) -> Response:
        def say(vietnamese: str, english: str) -> str:
            return vietnamese if language is Language.VIETNAMESE else english

        text = self._templates.get_template(name).render(say=say, language=language.value, **shown)
        return HTMLResponse(text, status, {"Content-Language": language.value})

    def refused(self, request: Request, refusal: Refusal) -> Response:
        """What is said instead: a page, or a problem for the page's script."""
        language = language_of(request)
        if "application/json" in request.headers.get("accept", ""):
            return JSONResponse(refusal.problem(language), refusal.status, dict(refusal.headers))
        at = 0 if language is Language.VIETNAMESE else 1
        title = PROBLEMS[refusal.slug][1][at]
        answer = self.open_page("message.html", request, refusal.status, title=title, advice=refusal.words[at])
        for name, value in refusal.headers.items():
            if name.lower() == "retry-after":
                answer.headers[name] = value
        return answer


def language_of(request: Request) -> Language:
    """What was chosen on the page, else what the browser prefers, as at the gateway."""
    chosen = request.cookies.get(LANGUAGE_COOKIE, "")
    return Language(chosen) if chosen in list(Language) else preferred(request.headers.get("accept-language"))


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form as browsers send it (urlencoded). Raises Refusal for anything else, and above the bounds."""
    if content_type(request) != "application/x-www-form-urlencoded":
        raise refused(Slug.UNSUPPORTED_TYPE, "Hãy gửi từ trang nhập liệu.", "Send the form of the page.")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _MAX_FORM_BYTES:
            raise refused(Slug.TOO_LARGE, "Biểu gửi quá lớn.", "The form is too large.")
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict"))
    except ValueError as error:
        raise refused(Slug.BAD_REQUEST, "Không đọc được biểu gửi.", "The form can't be read.") from error


def require_same_host(request: Request) -> None:
    """Raises Refusal for a form that another site sent."""
    origin = request.headers.get("origin")
    foreign = origin is not None and urlsplit(origin).netloc != request.headers.get("host", "")
    if foreign or request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise _stale()


def new_visitor() -> str:
    """What ties the login form to the browser it was shown in."""
    return secrets.token_urlsafe(32)


def same(one: str, other: str) -> bool:
    """Compared without telling how far two texts agree."""
    return bool(one) and hmac.compare_digest(one.encode("utf-8", "replace"), other.encode("utf-8", "replace"))


def set_cookie(request: Request, answer: Response, name: str, value: str, lasts_s: int) -> None:
    """A cookie that scripts don't see and other sites don't send; over TLS only where the page came so."""
    answer.set_cookie(
        name, value, max_age=lasts_s, httponly=True, samesite="strict", secure=request.url.scheme == "https", path="/"
    )


def _stale() -> Refusal:
    return refused(
        Slug.NOT_ALLOWED,
        "Trang đã cũ: hãy quay lại, tải lại trang rồi gửi lại. Số liệu đã nhập vẫn được giữ trên máy này.",
        "This page is out of date: go back, reload it and send again.",
    )
