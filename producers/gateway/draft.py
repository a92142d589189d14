"""Drafts: what came as JSON or Avro, read into a report that has no revision and no signature yet.

Everything that is wrong in the shape of a JSON report is told at once, each with its place. What a shape can't tell
(codes, checks, authority) is left to admission, the same that ingest asks.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, TypeVar

from producers.gateway.refusal import Fault, invalid, missing
from schemas.catalogue import Catalogue
from schemas.codec import NotDecodable, decode_report, fingerprint_in
from schemas.form import LARGEST_CLAIM, Form, FormId, Measure
from schemas.period import PeriodError, PeriodText, parse_period
from schemas.rejection import Reason
from schemas.report import Cell, KeyId, Kind, Millis, Report, Revision, Scope, Series
from schemas.sentences import SENTENCES
from schemas.signature import SignedRecord
from schemas.unit import UBND, LineName, UnitCode

MEMBERS = ("form", "unit", "period", "kind", "rows", "narrative", "line", "scope", "entered_by", "issued_at",
           "after_revision")  # fmt: skip
"""What a JSON report may have."""
SIGNED_MEMBERS = ("value", "headers")
EVENT_HEADERS = ("ce_specversion", "ce_type", "ce_source", "ce_id", "ce_time", "content-type", "kid", "sig")
_MOST_FAULTS = 50
Choice = TypeVar("Choice", Kind, Scope)


@dataclass(frozen=True, slots=True)
class Draft:
    """A report that the gateway gives a revision and a signature. `after`: the highest revision its author knows."""

    form: Form
    unit: UnitCode
    period: PeriodText
    kind: Kind
    rows: tuple[Mapping[str, Cell], ...]
    narrative: Mapping[str, str]
    line: LineName = UBND
    scope: Scope = Scope.OWN
    entered_by: UnitCode | None = None
    issued_at: Millis | None = None
    after: Revision | None = None

    @property
    def sender(self) -> UnitCode:
        """Who speaks."""
        return self.entered_by or self.unit

    @property
    def series(self) -> Series:
        """What its revision will count within."""
        return Series(self.line, self.unit, self.form.id, self.period, self.entered_by, self.scope)


@dataclass(frozen=True, slots=True)
class Signed:
    """A report that its node signed; it goes on byte for byte."""

    form: Form
    report: Report
    record: SignedRecord
    kid: KeyId

    @property
    def sender(self) -> UnitCode:
        """Who speaks."""
        return self.report.header.entered_by or self.report.header.unit

    @property
    def series(self) -> Series:
        """What its revision counts within."""
        return self.report.series


Item = Draft | Signed


def from_json(raw: object, catalogue: Catalogue, today: date) -> Item:
    """A report of a batch or of its own: one in plain JSON, or a signed record in base64. Raises Refusal."""
    if not isinstance(raw, dict):
        raise invalid([_fault("", Reason.NOT_DECODABLE, "một đối tượng JSON", "a JSON object")])
    if "value" in raw:
        return _signed_json(raw, catalogue)
    return _JsonReport(raw, catalogue, today).draft()


def from_avro(value: bytes, catalogue: Catalogue, headers: Mapping[str, bytes]) -> Item:
    """A report in Avro's single-object encoding, signed where the headers say so. Raises Refusal."""
    form, report = _decoded(value, catalogue)
    if "sig" in headers:
        record = SignedRecord(report.header.unit.encode(), value, tuple(headers.items()))
        return Signed(form, report, record, KeyId(headers.get("kid", b"").decode("ascii", "replace")))
    h = report.header
    return Draft(form, h.unit, h.period, h.kind, tuple(report.rows), report.narrative or {}, h.line, h.scope,
                 h.entered_by, h.issued_at or None)  # fmt: skip


def _decoded(value: bytes, catalogue: Catalogue) -> tuple[Form, Report]:
    try:
        form = catalogue.form(fingerprint_in(value))
        if form is None:
            vi, en = SENTENCES[Reason.UNKNOWN_FORM]
            raise invalid([Fault("", Reason.UNKNOWN_FORM, (f"{vi}.", f"{en}."))])
        return form, decode_report(form, value)
    except NotDecodable as error:
        words = ("một bản ghi Avro trọn vẹn", str(error))
        raise invalid([_fault("", Reason.NOT_DECODABLE, *words)]) from error


def _signed_json(raw: Mapping[str, Any], catalogue: Catalogue) -> Signed:
    headers = raw.get("headers")
    if set(raw) != set(SIGNED_MEMBERS) or not isinstance(headers, dict) or not isinstance(raw["value"], str):
        words = "value (base64) và headers", "value (base64) and headers, and nothing else"
        raise invalid([_fault("", Reason.HEADER_INVALID, *words)])
    if any(not isinstance(text, str) for text in headers.values()) or "sig" not in headers:
        raise invalid([_fault("/headers", Reason.HEADER_INVALID, "sig và các tiêu đề ce_…", "sig and the ce_ headers")])
    try:
        value = base64.b64decode(raw["value"], validate=True)
        named = {name: text.encode() for name, text in headers.items() if name in EVENT_HEADERS}
        named["sig"] = base64.b64decode(headers["sig"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid([_fault("/value", Reason.NOT_DECODABLE, "base64", "base64")]) from error
    item = from_avro(value, catalogue, named)
    if not isinstance(item, Signed):
        raise TypeError(item)
    return item


def parse_time(text: object) -> Millis | None:
    """A time with an offset, such as 2021-12-13T15:45:00+07:00, as milliseconds; None for anything else."""
    if not isinstance(text, str) or len(text) > 40:
        return None
    try:
        found = datetime.fromisoformat(text)
        return None if found.tzinfo is None else Millis(int(found.timestamp() * 1000))
    except (ValueError, OverflowError):
        return None


def _fault(pointer: str, reason: Reason, vietnamese: str, english: str) -> Fault:
    vi, en = SENTENCES[reason]
    return Fault(pointer, reason, (f"{vi}; yêu cầu: {vietnamese}.", f"{en}; expected: {english}."))


class _JsonReport:
    """One JSON object on its way to a draft; gathers what is wrong with it."""

    def __init__(self, raw: Mapping[str, Any], catalogue: Catalogue, today: date) -> None:
        self._raw = raw
        self._catalogue = catalogue
        self._today = today
        self._faults: list[Fault] = []

    def draft(self) -> Draft:
        """The draft. Raises Refusal with all faults of the shape."""
        raw = self._raw
        for name in raw:
            if name not in MEMBERS:
                known = ", ".join(MEMBERS)
                self._wrong(f"/{name}", Reason.HEADER_INVALID, f"chỉ các mục {known}", f"only {known}")
        unit, period = self._text("unit"), self._text("period")
        kind = self._choice("kind", Kind, Kind.REPORT)
        scope = self._choice("scope", Scope, Scope.OWN)
        line = self._text("line", UBND)
        entered_by = self._text("entered_by", "", empty=True)
        form = self._form(self._text("form"), period)
        rows = self._rows(form) if form is not None else ()
        narrative = self._narrative()
        issued_at, after = self._issued_at(), self._after()
        if self._faults or form is None:
            raise invalid(self._faults[:_MOST_FAULTS])
        return Draft(form, UnitCode(unit), PeriodText(period), kind, rows, narrative, LineName(line), scope,
                     UnitCode(entered_by) if entered_by else None, issued_at, after)  # fmt: skip

    def _wrong(self, pointer: str, reason: Reason, vietnamese: str, english: str) -> None:
        self._faults.append(_fault(pointer, reason, vietnamese, english))

    def _text(self, name: str, default: str | None = None, *, empty: bool = False) -> str:
        found = self._raw.get(name, default)
        if found is None and empty:
            return ""
        if not isinstance(found, str) or len(found) > 200 or not (found or empty):
            self._wrong(f"/{name}", Reason.HEADER_INVALID, "một chuỗi ký tự", "a text")
            return ""
        return found

    def _choice(self, name: str, kind: type[Choice], default: Choice) -> Choice:
        found = self._raw.get(name, default.value)
        if found in [one.value for one in kind]:
            return kind(found)
        known = ", ".join(kind)
        self._wrong(f"/{name}", Reason.HEADER_INVALID, f"một trong {known}", f"one of {known}")
        return default

    def _form(self, name: str, period: str) -> Form | None:
        versions = [form for form in self._catalogue.forms if form.id == name]
        if not versions:
            if name:
                known = ", ".join(sorted({form.id for form in self._catalogue.forms}))
                self._wrong("/form", Reason.UNKNOWN_FORM, f"một trong {known}", f"one of {known}")
            return None
        try:
            day = parse_period(period).last_day
        except PeriodError:
            day = self._today
        return self._catalogue.form_in_force(FormId(name), day) or max(versions, key=lambda form: form.valid_from)

    def _rows(self, form: Form) -> tuple[Mapping[str, Cell], ...]:
        found = self._raw.get("rows", [])
        if not isinstance(found, list):
            self._wrong("/rows", Reason.KIND_ROWS, "một danh sách dòng", "a list of rows")
            return ()
        if len(found) > form.max_rows:
            most = f"{form.max_rows}"
            self._wrong("/rows", Reason.TOO_MANY_ROWS, f"nhiều nhất {most} dòng", f"at most {most} rows")
            return ()
        return tuple(self._row(form, row, f"/rows/{at}") for at, row in enumerate(found))

    def _row(self, form: Form, row: object, pointer: str) -> Mapping[str, Cell]:
        if not isinstance(row, dict):
            self._wrong(pointer, Reason.KIND_ROWS, "một đối tượng JSON cho mỗi dòng", "a JSON object per row")
            return {}
        cells: dict[str, Cell] = {}
        known = {d.name for d in form.dimensions} | {m.name for m in form.measures}
        for name in row:
            if name not in known:
                columns = ", ".join(sorted(known))
                self._wrong(f"{pointer}/{name}", Reason.HEADER_INVALID, f"một cột trong {columns}", f"one of {columns}")
        for dimension in form.dimensions:
            code = row.get(dimension.name)
            if not isinstance(code, str):
                about = f"một mã của danh mục {dimension.code_list}", f"a code of {dimension.code_list}"
                self._wrong(f"{pointer}/{dimension.name}", Reason.UNKNOWN_CODE, *about)
                continue
            cells[dimension.name] = code
        for measure in form.measures:
            for problem in self._cell(measure, row.get(measure.name), cells):
                self._faults.append(Fault(f"{pointer}/{measure.name}", *problem))
        return cells

    def _cell(
        self, measure: Measure, found: object, cells: dict[str, Cell]
    ) -> Iterator[tuple[Reason, tuple[str, str]]]:
        """Put one number among the cells. JSON has one kind of number, so 5.0 is five, as in JSON Schema."""
        cells[measure.name] = None
        if found is None:
            if not measure.optional:
                yield Reason.VALUE_MISSING, missing(measure.label_vi, measure.label_en)
            return
        if isinstance(found, float) and found.is_integer() and abs(found) <= LARGEST_CLAIM:
            found = int(found)
        if isinstance(found, bool) or not isinstance(found, int) or abs(found) > LARGEST_CLAIM:
            fault = _fault(
                "", Reason.VALUE_RANGE, f"{measure.label_vi}: một số nguyên", f"{measure.label_en}: an integer"
            )
            yield fault.reason, fault.words
            return
        cells[measure.name] = found

    def _narrative(self) -> Mapping[str, str]:
        found = self._raw.get("narrative") or {}
        if not isinstance(found, dict) or any(not isinstance(text, str) for text in found.values()):
            self._wrong("/narrative", Reason.HEADER_INVALID, "các đoạn văn theo tên mục", "texts by name")
            return {}
        return found

    def _issued_at(self) -> Millis | None:
        if self._raw.get("issued_at") is None:
            return None
        found = parse_time(self._raw["issued_at"])
        if found is None or found < 0:
            example = "2021-12-13T15:45:00+07:00"
            self._wrong("/issued_at", Reason.HEADER_INVALID, f"thời điểm như {example}", f"a time such as {example}")
        return found

    def _after(self) -> Revision | None:
        found = self._raw.get("after_revision")
        if found is None:
            return None
        if isinstance(found, bool) or not isinstance(found, int) or found < 0:
            self._wrong("/after_revision", Reason.HEADER_INVALID, "số lần gửi, từ 0", "a revision, from 0 on")
            return None
        return Revision(found)
