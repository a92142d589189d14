"""Login and logout: a token once, then a session. What may be tried is limited by address, as at the gateway."""

from __future__ import annotations

from functools import partial

import anyio
import anyio.to_thread
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from producers.audit import AuditLog, Event
from producers.entry.frame import (
    COOKIE,
    LANGUAGE_COOKIE,
    VISITOR_COOKIE,
    Frame,
    Visit,
    new_visitor,
    read_form,
    require_same_host,
    same,
    set_cookie,
)
from producers.entry.second_factor import SecondFactors, address_of
from producers.gateway.refusal import Language, Refusal, Slug
from schemas import words

_VISIT_S = 3600
_YEAR_S = 365 * 86_400
_PROOFS_AT_ONCE = 2


class Login:
    """The pages around a session's beginning and end."""

    def __init__(self, frame: Frame, factors: SecondFactors, audit: AuditLog) -> None:
        self._frame = frame
        self._factors = factors
        self._audit = audit
        self._proofs = anyio.CapacityLimiter(_PROOFS_AT_ONCE)

    async def ask(self, request: Request) -> Response:
        """The form."""
        return self._form(request)

    def _form(self, request: Request, status: int = 200, fault: str = "") -> Response:
        visitor = request.cookies.get(VISITOR_COOKIE) or new_visitor()
        next_ = _inner(request.query_params.get("next", ""))
        answer = self._frame.open_page("login.html", request, status, csrf=visitor, fault=fault, next=next_)
        set_cookie(request, answer, VISITOR_COOKIE, visitor, _VISIT_S)
        return answer

    async def enter(self, request: Request) -> Response:
        """A session for a token that proves itself."""
        fields = await read_form(request)
        require_same_host(request)
        if not same(request.cookies.get(VISITOR_COOKIE, ""), fields.get("csrf", "")):
            return self._form(request, 403, fault="stale")
        now, address = self._frame.clock(), request.client.host if request.client else ""
        prove = partial(self._frame.door.prove, fields.get("token", "").strip(), address, now)
        try:
            name, token = await anyio.to_thread.run_sync(prove, limiter=self._proofs)
            self._frame.door.caller(name, now)
        except Refusal as refusal:
            if refusal.slug is Slug.NOT_LOGGED_IN:
                return self._form(request, 401, fault="token")
            if refusal.slug is Slug.TOO_MANY_REQUESTS:
                return self._form(request, 429, fault="often")
            raise
        if self._factors.needed(name) and not self._factors.proves(name, fields.get("code", ""), now):
            self._audit.note(now, Event.LOGIN_REFUSED, principal=name, address=address, why="second factor")
            return self._form(request, 401, fault="code")
        secret = self._frame.sessions.open(name, token, now)
        answer = RedirectResponse(_inner(fields.get("next", "")) or "/", 303)
        set_cookie(request, answer, COOKIE, secret, self._frame.sessions.lasts_s)
        answer.delete_cookie(VISITOR_COOKIE)
        return answer

    async def account(self, visit: Visit) -> Response:
        """The account's own page: what it may do, and its second factor."""
        return self._account(visit)

    def _account(self, visit: Visit, secret: str = "", fault: str = "", status: int = 200) -> Response:
        name = visit.caller.name
        return self._frame.page(
            "account.html", visit, status, secret=secret, otpauth=address_of(name, secret) if secret else "",
            fault=fault, has_second=self._factors.needed(name), role_words=words.ROLES,
        )  # fmt: skip

    async def change(self, visit: Visit) -> Response:
        """Begin a second factor, or put it in force by its first code."""
        name = visit.caller.name
        if visit.fields.get("do") == "begin":
            secret = self._factors.begin(name)
            return self._account(visit, secret or "")
        if self._factors.needed(name) or not self._factors.proves(name, visit.fields.get("code", ""), visit.caller.at):
            return self._account(visit, fault="code", status=422)
        self._audit.note(visit.caller.at, Event.SECOND_FACTOR, principal=name)
        return RedirectResponse("/account", 303)

    async def leave(self, visit: Visit) -> Response:
        """The end of a session."""
        self._frame.sessions.close(visit.session)
        self._audit.note(visit.caller.at, Event.LOGOUT, principal=visit.caller.name)
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(COOKIE)
        answer.headers["Clear-Site-Data"] = '"cache"'
        return answer

    async def speak(self, request: Request) -> Response:
        """The language of the pages, kept in this browser."""
        wanted = request.query_params.get("to", "")
        answer = RedirectResponse(_inner(request.query_params.get("next", "")) or "/", 303)
        if wanted in list(Language):
            set_cookie(request, answer, LANGUAGE_COOKIE, wanted, _YEAR_S)
        return answer


def _inner(address: str) -> str:
    """An address of this site, or nothing: a link must not lead elsewhere after a login."""
    plain = address.startswith("/") and not address.startswith(("//", "/\\")) and "\\" not in address
    return address if plain and address.isprintable() else ""
