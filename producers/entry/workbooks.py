"""Workbooks on the pages: the day's set to fill in, and what an office filled in, looked at before it is sent.

The file travels with the preview and is read again when it is sent, so nothing of it stays on the server.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import uuid
from collections.abc import Sequence
from typing import Any

from starlette.datastructures import QueryParams
from starlette.responses import Response

from producers.entry.approval import must_be_approved
from producers.entry.frame import Visit
from producers.entry.office import Office
from producers.entry.places import Target
from producers.gateway.refusal import Language, Refusal, Slug, refused
from producers.gateway.sheets import Result, Sheets, Upload, shown
from producers.sheets.reading import Reading
from producers.sheets.writing import MEDIA_TYPE
from schemas.period import parse_period
from schemas.topics import MIB
from schemas.unit import UBND, Unit

_MOST_BYTES = MIB
"""Of a file that travels with its preview; larger ones go over the gateway's own address."""
_MOST_TOLD = 100


class Workbooks:
    """Answers about files of a unit."""

    def __init__(self, office: Office, sheets: Sheets) -> None:
        self._office = office
        self._sheets = sheets

    async def give(self, visit: Visit) -> Response:
        """The set of a day (`on`) as a workbook; `filled=1`: with what was reported."""
        unit, asked = self._office.places.read(visit), visit.request.query_params
        content = await self._sheets.workbook(visit.caller, unit.code, asked)
        name = f"bo-bieu-{unit.code}-{asked.get('on', visit.caller.day.isoformat())[:10]}.xlsx"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(content, media_type=MEDIA_TYPE, headers=headers)

    async def ask(self, visit: Visit) -> Response:
        """Where a file is chosen."""
        return self._page(visit, self._writing(visit))

    async def take(self, visit: Visit) -> Response:
        """What a file says, cell by cell; sent where that was pressed."""
        unit = self._writing(visit)
        at = 0 if visit.language is Language.VIETNAMESE else 1
        sending = visit.fields.get("do") == "send"
        try:
            upload = self._upload(visit, unit)
            reading = await self._sheets.read(visit.caller, upload)
            results: Sequence[Result] = ()
            if sending:
                self._require_unapproved(visit, unit, reading)
                key = f"{visit.fields.get('key', '')[:64]}-{hashlib.sha256(upload.content).hexdigest()[:32]}"
                state = visit.request.state
                results = await self._sheets.bring(
                    visit.caller, upload, reading, key, (state.request_id, state.traceparent)
                )
        except Refusal as refusal:
            if refusal.slug is Slug.NOT_ALLOWED:
                raise
            return self._page(visit, unit, fault=refusal.words[at], status=refusal.status)
        told = shown(reading, results or [Result(page, None, None) for page in reading.pages], visit.language)
        catalogue = self._office.registry.catalogue()
        labels = {form.id: (form.label_vi, form.label_en)[at] for form in catalogue.forms}
        good = sum(1 for _ in reading.reports())
        return self._page(
            visit, unit, told=told, labels=labels, sent=sending, good=good, flaws=len(reading.flaws),
            file="" if sending else base64.b64encode(upload.content).decode(),
        )  # fmt: skip

    def _page(self, visit: Visit, unit: Unit, fault: str = "", status: int = 200, **shown_: Any) -> Response:
        nothing: dict[str, Any] = {"told": None, "labels": {}, "sent": False, "good": 0, "flaws": 0, "file": ""}
        return self._office.frame.page(
            "workbook.html", visit, status, unit=unit, fault=fault, key=str(uuid.uuid4()), most=_MOST_TOLD,
            **{**nothing, **shown_},
        )  # fmt: skip

    def _writing(self, visit: Visit) -> Unit:
        """The unit that the account reports for. Raises Refusal."""
        unit = self._office.places.read(visit)
        if unit.code not in self._office.places.own(visit):
            raise self._office.frame.door.not_for(unit.code)
        return unit

    @staticmethod
    def _upload(visit: Visit, unit: Unit) -> Upload:
        content = visit.file
        if not content:
            try:
                content = base64.b64decode(visit.fields.get("kept", ""), validate=True)
            except binascii.Error:
                content = b""
        if not content:
            raise refused(Slug.BAD_REQUEST, "Hãy chọn một tệp.", "Choose a file.")
        if len(content) > _MOST_BYTES:
            raise refused(Slug.TOO_LARGE, "Trên trang nhận tệp đến 1 MB.", "Files of up to 1 MB are taken here.")
        asked = {"unit": unit.code, "only_good": visit.fields.get("only_good", "")}
        return Upload(content, QueryParams(asked))

    def _require_unapproved(self, visit: Visit, unit: Unit, reading: Reading) -> None:
        """Raises Refusal for a report that the head must see first: it is typed on its page."""
        catalogue = self._office.registry.catalogue()
        for one in reading.reports():
            target = Target(unit, one.form, parse_period(one.period), UBND, None)
            if must_be_approved(catalogue, target, visit.caller):
                raise refused(
                    Slug.REPORT_INVALID, f"“{one.form.label_vi}” cần lãnh đạo duyệt: hãy nhập trên trang của biểu.",
                    f"“{one.form.label_en}” needs the head's approval: enter it on its page.",
                )  # fmt: skip
