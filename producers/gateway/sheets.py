"""Workbooks over HTTP: the day's set out, and what an office fills in or has of its own in, with a result per sheet.

| route | answer |
|---|---|
| `GET /v1/sheets/{unit}` | the workbook of what is due `on` a day, or of each `form`; `filled=1` as reported before |
| `POST /v1/sheets` | what a file says; sent unless `preview=1`; `marked=1` answers with the marked copy |

What is sent goes the way of every report: judged, kept, acknowledged by the broker, with a receipt each. Pages with a
session call `workbook`, `read` and `bring` themselves.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import anyio
import anyio.to_thread
from starlette.datastructures import QueryParams, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from producers.entry.archive import Archive
from producers.gateway.asked import asked_day, asked_line, asked_period, needed
from producers.gateway.body import Body, content_type, fingerprint_of, idempotency_key, read_bytes
from producers.gateway.courier import Outcome
from producers.gateway.desk import Desk, acknowledged, no_key
from producers.gateway.door import Caller, Door
from producers.gateway.draft import Draft
from producers.gateway.refusal import Language, Refusal, Slug, refused
from producers.gateway.registry import Registry
from producers.sheets.day import NothingWantedError, due_on, named, prefilled, series_of
from producers.sheets.flaw import Flaw, SheetError
from producers.sheets.form_sheet import Wanted
from producers.sheets.learned import LearnedError, LearnedHeadings, read_pairs
from producers.sheets.marking import marked
from producers.sheets.reading import Asked, PageRead, Reading, State, read_workbook
from producers.sheets.sending import Sender, judged
from producers.sheets.writing import MEDIA_TYPE, write_workbook
from schemas.catalogue import Catalogue
from schemas.form import FormId
from schemas.period import parse_period
from schemas.principal import may_submit
from schemas.questions import Questions
from schemas.read_model import ReadModel, SeriesHead
from schemas.report import Report, Series
from schemas.unit import Unit, UnitCode

T = TypeVar("T")
_AT_ONCE = 2
_COSTS = 10
"""Reports' worth of an account's rate that reading a file takes."""
_MOST_ERRORS = 500
_MOST_FORMS = 100
_SAID = frozenset({"1", "true", "yes", "on"})
_UNSAFE = re.compile(r"[^A-Za-z0-9.-]+")


@dataclass(frozen=True, slots=True)
class Upload:
    """What came: a file's bytes, and what is asked of it (query parameters, and the other fields of a multipart)."""

    content: bytes
    asked: QueryParams

    def says(self, name: str) -> bool:
        """Whether a switch is on."""
        return self.asked.get(name, "").lower() in _SAID


@dataclass(frozen=True, slots=True)
class Result:
    """One sheet and what became of its report: None where nothing was sent of it."""

    page: PageRead
    item: Draft | None
    outcome: Outcome | None


class Sheets:
    """Workbooks for accounts."""

    def __init__(
        self,
        door: Door,
        registry: Registry,
        questions: Questions,
        desk: Desk,
        archive: Archive,
        learned: LearnedHeadings,
    ) -> None:
        self._door = door
        self._registry = registry
        self._questions = questions
        self._desk = desk
        self._archive = archive
        self._learned = learned
        # Parsing takes seconds at worst, and must not take the threads that other requests need.
        self._threads = anyio.CapacityLimiter(_AT_ONCE)

    async def give(self, request: Request, caller: Caller, language: Language) -> Response:
        """The workbook of a unit."""
        unit = UnitCode(request.path_params["unit"])
        content = await self.workbook(caller, unit, request.query_params)
        name = _UNSAFE.sub("-", f"{unit}-{request.query_params.get('on', caller.day.isoformat())}")[:60]
        return _file(content, f"{name}.xlsx")

    async def workbook(self, caller: Caller, unit: UnitCode, asked: QueryParams) -> bytes:
        """The same as bytes. Raises Refusal."""
        self._door.check_reading(caller, unit)
        catalogue = self._registry.catalogue()
        day, line = asked_day(asked.get("on"), caller.day, "on"), asked_line(asked.get("line"), catalogue)
        period = parse_period(asked_period(asked["period"])) if asked.get("period") else None
        bearer = catalogue.units.unit(unit, period.last_day if period else day)
        if bearer is None:
            raise refused(Slug.NOT_FOUND, f"Ngày {day:%d/%m/%Y} không có đơn vị {unit[:50]}.",
                          f"No unit {unit[:50]} is in force on {day}.")  # fmt: skip
        forms = asked.getlist("form")[:_MOST_FORMS]
        try:
            wanted = named(catalogue, forms, day, period) if forms else due_on(catalogue, unit, day, line)
        except NothingWantedError as error:
            raise refused(Slug.NOT_FOUND, error.words[0], f"{error.words[1]}.") from error
        heads: Sequence[SeriesHead | None] = [None] * len(wanted)
        if asked.get("filled", "").lower() in _SAID:
            heads = await self._questions.ask(_heads, [series_of(one, unit, line) for one in wanted])
        return await self._apart(lambda: self._written(bearer, wanted, heads, catalogue))

    def _written(
        self, unit: Unit, wanted: Sequence[Wanted], heads: Sequence[SeriesHead | None], catalogue: Catalogue
    ) -> bytes:
        filled = [
            one if head is None else prefilled(one, self._report(head, catalogue))
            for one, head in zip(wanted, heads, strict=True)
        ]
        return write_workbook(unit.code, unit.name, filled, catalogue)

    def _report(self, head: SeriesHead, catalogue: Catalogue) -> Report:
        return self._archive.report(head.source, catalogue)

    async def take(self, request: Request, caller: Caller, language: Language) -> Response:
        """What a file says, and what became of its reports. Raises Refusal."""
        key = idempotency_key(request.headers.get("idempotency-key"))
        upload = await upload_of(request)
        preview = upload.says("preview")
        if key is None and not (preview or upload.says("marked")):
            raise no_key()
        reading = await self.read(caller, upload)
        if upload.says("marked"):
            copy = await self._apart(lambda: marked(upload.content, reading.flaws, _at(language)))
            return _file(copy, "marked.xlsx")
        if preview:
            results = [Result(page, None, None) for page in reading.pages]
        else:
            named_as = (request.state.request_id, request.state.traceparent)
            results = await self.bring(caller, upload, reading, key or "", named_as)
        return JSONResponse(shown(reading, results, language), _status(results, preview=preview),
                            {"Content-Language": language.value})  # fmt: skip

    async def read(self, caller: Caller, upload: Upload) -> Reading:
        """What a file says, judged by the same admission as ingest's. Raises Refusal."""
        asked, catalogue = upload.asked, self._registry.catalogue()
        unit = UnitCode(needed(asked.get("unit"), "unit"))
        self._door.check_reading(caller, unit)
        self._door.spend(caller, _COSTS)
        line = asked_line(asked.get("line"), catalogue)
        period = asked_period(asked["period"]) if asked.get("period") else None
        form = FormId(asked["form"]) if asked.get("form") else None
        try:
            learned = self._learned.of(unit)
            if asked.getlist("map"):
                learned = self._mapped(caller, unit, form, asked, catalogue)
            sheet = Asked(unit, catalogue, caller.day, form, period, learned)
            sender = Sender(unit, caller.at, line, _entered_by(asked))
            return await self._apart(lambda: judged(read_workbook(upload.content, sheet), sender, catalogue))
        except SheetError as error:
            members = {"trouble": error.trouble.value}
            raise Refusal(Slug.SHEET_UNREADABLE, error.words, members=members) from error
        except LearnedError as error:
            raise refused(Slug.BAD_REQUEST, f"Tham số map: {error}.", f"Parameter map: {error}.") from error

    async def bring(
        self, caller: Caller, upload: Upload, reading: Reading, key: str, named_as: tuple[str, str | None]
    ) -> list[Result]:
        """Send what is whole: all sheets, or only the good ones where that is asked. Raises Refusal."""
        reports = {report.page: report for report in reading.reports()}
        if reading.flaws and not upload.says("only_good"):
            raise _flawed(reading)
        if not reports:
            raise refused(Slug.SHEET_INVALID, "Không có biểu nào được điền.", "No form was filled in.")
        line = asked_line(upload.asked.get("line"), self._registry.catalogue())
        unit, by = UnitCode(upload.asked["unit"]), _entered_by(upload.asked)
        items = {
            page: Draft(one.form, unit, one.period, one.kind, one.rows, one.narrative, line, entered_by=by)
            for page, one in reports.items()
        }
        body = Body(list(items.values()), True, fingerprint_of([_identity(item) for item in items.values()]), False)
        outcomes = dict(zip(items, await self._desk.bring(body, caller, key, None, named_as), strict=True))
        return [Result(page, items.get(page.page), outcomes.get(page.page)) for page in reading.pages]

    def _mapped(
        self, caller: Caller, unit: UnitCode, form: FormId | None, asked: QueryParams, catalogue: Catalogue
    ) -> Mapping[str, Mapping[str, str]]:
        """What is mapped from now on. Only who reports for the unit teaches it."""
        pairs = asked.getlist("map")
        versions = [one for one in catalogue.forms if one.id == form]
        if not versions:
            raise LearnedError("name the form whose columns are meant (form)")
        sender = _entered_by(asked) or unit
        if not may_submit(caller.bindings, sender, versions[-1].id, caller.day, for_other=sender != unit):
            raise self._door.not_for(unit)
        self._learned.learn(unit, versions[-1], read_pairs(pairs))
        return self._learned.of(unit)

    async def _apart(self, work: Callable[[], T]) -> T:
        """Heavy work in one of a few threads of its own."""
        return await anyio.to_thread.run_sync(work, limiter=self._threads)


async def upload_of(request: Request) -> Upload:
    """The file of a request, raw or as the part `file` of a multipart form. Raises Refusal."""
    content = await read_bytes(request)
    if content_type(request) != "multipart/form-data":
        return Upload(content, request.query_params)

    try:
        form = await MultiPartParser(request.headers, _once(content), max_files=1, max_fields=60).parse()
    except (MultiPartException, KeyError, UnicodeDecodeError) as error:
        raise refused(
            Slug.BAD_REQUEST, "Biểu mẫu gửi lên không đọc được.", "The multipart form can't be read."
        ) from error
    file = next((part for _, part in form.multi_items() if isinstance(part, UploadFile)), None)
    if file is None:
        raise refused(Slug.BAD_REQUEST, "Thiếu tệp (phần file).", "The file is missing (part file).")
    fields = [(name, part) for name, part in form.multi_items() if isinstance(part, str)]
    try:
        return Upload(await file.read(), QueryParams([*request.query_params.multi_items(), *fields]))
    finally:
        await form.close()


async def _once(content: bytes) -> AsyncGenerator[bytes, None]:
    yield content


def shown(reading: Reading, results: Sequence[Result], language: Language) -> dict[str, Any]:
    """A file and each of its sheets, as JSON."""
    sheets = [_sheet(one, language) for one in results]
    sent = [one for one in results if one.outcome is not None]
    refusals = sum(isinstance(one.outcome, Refusal) for one in sent)
    return {
        "kind": reading.kind, "converted": reading.converted or None, "acknowledged": len(sent) - refusals,
        "refused": refusals, "sheets": sheets,
    }  # fmt: skip


def _sheet(result: Result, language: Language) -> dict[str, Any]:
    page, at = result.page, _at(language)
    said: dict[str, Any] = {
        "sheet": page.page, "state": page.state.value, "form": page.form.id if page.form else None,
        "period": page.period, "rows": len(page.rows), "notes": [words[at] for words in page.notes],
        "errors": [_error(flaw, at) for flaw in page.flaws[:_MOST_ERRORS]],
    }  # fmt: skip
    if isinstance(result.outcome, Refusal):
        said["problem"] = result.outcome.problem(language)
    elif result.outcome is not None and result.item is not None:
        said["report"] = acknowledged(result.item, result.outcome)
    return said


def _error(flaw: Flaw, at: int) -> dict[str, Any]:
    return {"sheet": flaw.page, "cell": flaw.cell or None, "column": flaw.heading or None, "reason": flaw.wrong.value,
            "detail": flaw.words[at]}  # fmt: skip


def _flawed(reading: Reading) -> Refusal:
    flaws = reading.flaws
    first, more = flaws[0], len(flaws) - 1
    where = f"“{first.page}” {first.cell}".strip()
    words = (
        f"{where}: {first.words[0]}" + (f" (và {more} chỗ khác)" if more else ""),
        f"{where}: {first.words[1]}" + (f" (and {more} more)" if more else ""),
    )
    return SheetRefusal(Slug.SHEET_INVALID, words, flaws=flaws[:_MOST_ERRORS])


@dataclass(eq=False)
class SheetRefusal(Refusal):
    """A workbook that was refused, with every flaw by sheet and cell."""

    flaws: Sequence[Flaw] = ()

    def problem(self, language: Language, instance: str = "") -> dict[str, Any]:
        """The JSON object that is sent: `errors` name cells instead of pointers."""
        return super().problem(language, instance) | {"errors": [_error(flaw, _at(language)) for flaw in self.flaws]}


def _identity(item: Draft) -> dict[str, Any]:
    """What makes a report of a file the same one, for the Idempotency-Key."""
    return {
        "form": item.form.id, "version": item.form.version, "unit": item.unit, "period": item.period,
        "kind": item.kind.value, "line": item.line, "entered_by": item.entered_by, "rows": [dict(r) for r in item.rows],
        "narrative": dict(item.narrative),
    }  # fmt: skip


def _status(results: Sequence[Result], *, preview: bool) -> int:
    if preview:
        return 200
    flawed = any(one.page.state is State.FLAWED or isinstance(one.outcome, Refusal) for one in results)
    return 207 if flawed else 202


def _entered_by(asked: QueryParams) -> UnitCode | None:
    return UnitCode(asked["entered_by"]) if asked.get("entered_by") else None


def _at(language: Language) -> int:
    return 0 if language is Language.VIETNAMESE else 1


def _heads(model: ReadModel, series: Sequence[Series]) -> Sequence[SeriesHead | None]:
    return model.heads(series)


def _file(content: bytes, name: str) -> Response:
    return Response(content, media_type=MEDIA_TYPE, headers={"Content-Disposition": f'attachment; filename="{name}"'})
