"""Answers to questions: receipts, series, forms, units, keys. Each refuses in words what it can't understand."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from producers.gateway.asked import asked_day, asked_limit, asked_line, asked_period, bad, needed
from producers.gateway.door import Caller, Door
from producers.gateway.draft import parse_time
from producers.gateway.intake import etag
from producers.gateway.refusal import Language, Refusal, Slug, refused
from producers.gateway.registry import Registry
from producers.gateway.shown import (
    form_shown,
    form_whole,
    key_shown,
    obligation_shown,
    pending_shown,
    read_receipt_id,
    receipt_id,
    receipt_shown,
    unit_shown,
    units_named,
)
from producers.gateway.store import Lookup
from producers.sequences import last_looked_at
from schemas.form import Form, FormId
from schemas.json_schema import form_schema
from schemas.obligations import Moment, Obligation
from schemas.principal import may_read
from schemas.questions import Questions
from schemas.read_model import ReadModel, SeriesHead
from schemas.receipt import Receipt
from schemas.report import Millis, Revision, Scope, Series, Source
from schemas.unit import UBND, Unit, UnitCode

_MOST_DAYS = 31
Owed = Callable[[ReadModel, UnitCode, date, date, Moment], Sequence[Obligation]]
"""What a unit and everybody below it owe, due between two days, as known at a moment."""


class Answers:
    """Reads for accounts."""

    def __init__(
        self, door: Door, registry: Registry, questions: Questions, lookup: Lookup, sequences: Path, owed: Owed
    ) -> None:
        self._door = door
        self._registry = registry
        self._questions = questions
        self._lookup = lookup
        self._sequences = sequences
        self._owed = owed

    async def receipt(self, request: Request, caller: Caller, language: Language) -> Response:
        """What became of one report. One that is not the account's to read is not found."""
        return _json(await self.receipt_of(request.path_params["id"], caller, language), language)

    async def receipt_of(self, name: str, caller: Caller, language: Language) -> dict[str, Any]:
        """What is shown of the report of that id. Raises Refusal where there is none for this account."""
        source = read_receipt_id(name)
        if source is None:
            raise _no_receipt()
        found = await self._questions.ask(_receipt, source, language)
        if found is None:
            held = self._lookup.at(source)
            if held is None:
                raise _no_receipt()
            found = pending_shown(source, held, self._registry.catalogue(), language)
        try:
            self._door.check_reading(caller, UnitCode(found["unit"]))
        except Refusal as refusal:
            raise _no_receipt() from refusal
        return found

    async def receipts(self, request: Request, caller: Caller, language: Language) -> Response:
        """A unit's receipts, oldest first, from a moment or behind a receipt; `next` goes on from the last."""
        asked = request.query_params
        unit = UnitCode(needed(asked.get("unit"), "unit"))
        self._door.check_reading(caller, unit)
        limit = asked_limit(asked.get("limit"))
        since, after = asked.get("since", "1970-01-01T00:00:00Z"), None
        moment = parse_time(since)
        if moment is None and (after := read_receipt_id(since)) is None:
            raise bad("since", "thời điểm như 2021-12-13T00:00:00+07:00, hoặc mã biên nhận",
                       "a time such as 2021-12-13T00:00:00+07:00, or a receipt's id")  # fmt: skip
        found = await self._questions.ask(_receipts, unit, moment, after, limit, language)
        last = found[-1]["id"] if found else since
        following = f"/v1/receipts?{urlencode({'unit': unit, 'since': last, 'limit': limit})}"
        return _json({"receipts": found, "next": following}, language)

    async def series(self, request: Request, caller: Caller, language: Language) -> Response:
        """The highest revision of a series: accepted, and known to this gateway. Its ETag is what If-Match takes."""
        asked = request.query_params
        unit, form = UnitCode(needed(asked.get("unit"), "unit")), FormId(needed(asked.get("form"), "form"))
        period = asked_period(needed(asked.get("period"), "period"))
        by = UnitCode(asked["entered_by"]) if asked.get("entered_by") else None
        self._door.check_reading(caller, unit)
        if asked.get("scope", Scope.OWN) not in list(Scope):
            raise bad("scope", "own hoặc subtree", "own or subtree")
        line = asked_line(asked.get("line"), self._registry.catalogue())
        series = Series(line, unit, form, period, by, Scope(asked.get("scope", Scope.OWN)))
        head: SeriesHead | None = (await self._questions.ask(_head, series))[0]
        highest = max(self._lookup.highest(series), head.revision if head else 0)
        accepted = None if head is None else {
            "revision": head.revision, "id": receipt_id(head.source), "digest": head.digest.hex(),
        }  # fmt: skip
        shown = {"unit": unit, "form": form, "period": period, "line": line, "scope": series.scope.value,
                 "entered_by": by, "accepted": accepted, "highest_revision": highest}  # fmt: skip
        return _json(shown, language, ETag=etag(Revision(highest)))

    async def forms(self, request: Request, caller: Caller, language: Language) -> Response:
        """Every version of every form."""
        forms = sorted(self._registry.catalogue().forms, key=lambda form: (form.id, form.version))
        return _json({"forms": [form_shown(form, language) for form in forms]}, language)

    async def form(self, request: Request, caller: Caller, language: Language) -> Response:
        """The version of a form in force on a day (`day`, by default today), with columns, codes and checks."""
        form, day = self._form(request, caller)
        return _json(form_whole(form, self._registry.catalogue(), day, language), language)

    async def form_schema(self, request: Request, caller: Caller, language: Language) -> Response:
        """What a report of that version in JSON must be, as JSON Schema."""
        form, day = self._form(request, caller)
        return JSONResponse(form_schema(form, self._registry.catalogue(), day), media_type="application/schema+json")

    async def catalogue(self, request: Request, caller: Caller, language: Language) -> Response:
        """The bundle of the catalogue released last; its SHA-256 is its ETag. 304 for who has it already."""
        catalogue = self._registry.catalogue()
        headers = {"ETag": f'"{catalogue.digest.hex()}"'}
        if request.headers.get("if-none-match", "").strip() == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        content = catalogue.bundle
        if "gzip" in request.headers.get("accept-encoding", ""):
            content = await run_in_threadpool(_packed, content)
            headers["Content-Encoding"] = "gzip"
        return Response(content, headers=headers, media_type="application/x-tar")

    def _form(self, request: Request, caller: Caller) -> tuple[Form, date]:
        wanted, day = request.path_params["id"], asked_day(request.query_params.get("day"), caller.day)
        found = self._registry.catalogue().form_in_force(FormId(wanted), day)
        if found is None:
            raise refused(Slug.NOT_FOUND, f"Ngày {day:%d/%m/%Y} không có biểu mẫu {wanted[:100]}.",
                          f"No form {wanted[:100]} is in force on {day}.")  # fmt: skip
        return found, day

    async def units(self, request: Request, caller: Caller, language: Language) -> Response:
        """Units of a day by name or code (`q`), or those directly below one (`under`)."""
        asked, catalogue = request.query_params, self._registry.catalogue()
        day, limit = asked_day(asked.get("day"), caller.day), asked_limit(asked.get("limit"))
        line = asked_line(asked.get("line"), catalogue)

        def found() -> Iterator[Unit]:
            if asked.get("under"):
                codes = catalogue.units.children(UnitCode(asked["under"]), day, line)
                yield from (unit for code in codes if (unit := catalogue.units.unit(code, day)) is not None)
            else:
                yield from units_named(catalogue, asked.get("q", ""), day)

        shown = [unit_shown(unit, catalogue.units.superior(unit.code, day, line)) for unit in islice(found(), limit)]
        return _json({"day": day.isoformat(), "units": shown}, language)

    async def unit(self, request: Request, caller: Caller, language: Language) -> Response:
        """The bearer of a code on a day."""
        units, code = self._registry.catalogue().units, UnitCode(request.path_params["code"])
        day = asked_day(request.query_params.get("day"), caller.day)
        found = units.unit(code, day)
        if found is None:
            raise refused(Slug.NOT_FOUND, f"Ngày {day:%d/%m/%Y} không có đơn vị {code[:50]}.",
                          f"No unit {code[:50]} is in force on {day}.")  # fmt: skip
        return _json(unit_shown(found, units.superior(code, day, UBND)), language)

    async def obligations(self, request: Request, caller: Caller, language: Language) -> Response:
        """What a unit owes (and for who oversees, everybody below it), due between two days, and what became of it."""
        asked = request.query_params
        unit = UnitCode(needed(asked.get("unit"), "unit"))
        self._door.check_reading(caller, unit)
        first = asked_day(asked.get("from"), caller.day, "from")
        last = asked_day(asked.get("to"), first, "to")
        if not first <= last < first + timedelta(days=_MOST_DAYS):
            raise bad("to", f"từ from đến {_MOST_DAYS} ngày sau", f"from `from` to {_MOST_DAYS} days later")
        found = await self._questions.ask(self._owed, unit, first, last, Moment(caller.at))
        units = self._registry.catalogue().units
        codes = {one.duty.unit.code for one in found}
        readable = {code for code in codes if may_read(caller.bindings, units, code, caller.day)}
        shown = [obligation_shown(one, language) for one in found if one.duty.unit.code in readable]
        return _json({"from": first.isoformat(), "to": last.isoformat(), "obligations": shown}, language)

    async def keys(self, request: Request, caller: Caller, language: Language) -> Response:
        """The keys registered for a unit."""
        unit = UnitCode(needed(request.query_params.get("unit"), "unit"))
        self._door.check_reading(caller, unit)
        entries = self._registry.keys_of(unit)
        signed = await run_in_threadpool(last_looked_at, self._sequences, [entry.kid for entry in entries])
        return _json({"keys": [key_shown(entry, signed.get(entry.kid)) for entry in entries]}, language)


def _json(content: dict[str, Any], language: Language, **headers: str) -> Response:
    return JSONResponse(content, headers={"Content-Language": language.value, **headers})


def _receipt(model: ReadModel, source: Source, language: Language) -> dict[str, Any] | None:
    found = model.receipt(source)
    return None if found is None else receipt_shown(model, found, language)


def _receipts(
    model: ReadModel, unit: UnitCode, moment: Millis | None, after: Source | None, limit: int, language: Language
) -> list[dict[str, Any]]:
    if after is not None:
        last: Receipt | None = model.receipt(after)
        if last is None or last.unit != unit:
            raise _no_receipt()
        moment = last.accepted_at
    found = model.receipts_after(unit, moment or Millis(0), after, limit)
    return [receipt_shown(model, receipt, language) for receipt in found]


def _head(model: ReadModel, series: Series) -> list[SeriesHead | None]:
    return model.heads([series])


@lru_cache(maxsize=2)
def _packed(content: bytes) -> bytes:
    """A tenth of it; every node of a province asks in the same morning."""
    return gzip.compress(content, mtime=0)


def _no_receipt() -> Refusal:
    return refused(
        Slug.NOT_FOUND, "Không có biên nhận này cho tài khoản của bạn.", "There is no such receipt for this account."
    )
