"""Workbooks in the gateway's description: the two addresses, without the refusals that all addresses share."""

from __future__ import annotations

from producers.gateway.openapi_schemas import DAY, TEXT, Schema, ref
from producers.sheets.flaw import Trouble, Wrong
from producers.sheets.reading import State
from producers.sheets.writing import MEDIA_TYPE

_BINARY: Schema = {"type": "string", "format": "binary"}
_SWITCH: Schema = {"type": "string", "enum": ["0", "1"]}
_WORDS: Schema = {"type": "string"}
_MAYBE: Schema = {"type": ["string", "null"]}
_TYPES = (MEDIA_TYPE, "application/vnd.ms-excel", "text/csv", "application/octet-stream")


def sheet_paths() -> dict[str, Schema]:
    """Both addresses, each with its one method."""
    return {"/v1/sheets": {"post": _post()}, "/v1/sheets/{unit}": {"get": _get()}}


def sheet_schemas() -> dict[str, Schema]:
    """What is said of a file and of each of its sheets."""
    error: Schema = {
        "type": "object", "required": ["sheet", "cell", "column", "reason", "detail"],
        "properties": {"sheet": _WORDS, "cell": {**_MAYBE, "examples": ["C9"]}, "column": _MAYBE, "detail": _WORDS,
                       "reason": {"type": "string", "enum": [wrong.value for wrong in Wrong]}},
    }  # fmt: skip
    sheet: Schema = {
        "type": "object", "required": ["sheet", "state", "form", "period", "rows", "notes", "errors"],
        "properties": {
            "sheet": _WORDS, "state": {"type": "string", "enum": [state.value for state in State]}, "form": _MAYBE,
            "period": _MAYBE, "rows": {"type": "integer"}, "notes": {"type": "array", "items": _WORDS},
            "errors": {"type": "array", "items": error}, "report": ref("Acknowledged"), "problem": ref("Problem"),
        },
    }  # fmt: skip
    file: Schema = {
        "type": "object", "required": ["kind", "converted", "acknowledged", "refused", "sheets"],
        "properties": {
            "kind": {"type": "string", "enum": ["xlsx", "xls", "csv"]}, "converted": _MAYBE,
            "acknowledged": {"type": "integer"}, "refused": {"type": "integer"},
            "sheets": {"type": "array", "items": ref("Sheet")},
        },
    }  # fmt: skip
    return {"Sheet": sheet, "Workbook": file}


def _query(name: str, schema: Schema, description: str, *, needed: bool = False) -> Schema:
    return {"in": "query", "name": name, "required": needed, "schema": schema, "description": description}


def _post() -> Schema:
    raw = {kind: {"schema": _BINARY} for kind in _TYPES}
    form = {"schema": {"type": "object", "required": ["file"], "properties": {"file": _BINARY}}}
    answer = {"application/json": {"schema": ref("Workbook")}}
    texts: Schema = {"type": "array", "maxItems": 100, "items": {"type": "string"}}
    troubles = ", ".join(Trouble)
    return {
        "operationId": "postSheets",
        "summary": "Reports out of a workbook (.xlsx, .xls, .csv), with a result per sheet",
        "description": "A sheet is sent whole or not at all; while any has a flaw nothing is sent (422, `errors` with "
        "sheet and cell), unless `only_good`. In a multipart form the parameters may be fields too. A file that can't "
        f"be read is 422 with `trouble`: {troubles}.",
        "parameters": [
            {"in": "header", "name": "Idempotency-Key", "schema": {"type": "string", "maxLength": 257},
             "description": "A quoted string of your own per request; not needed for a preview"},
            _query("unit", TEXT, "The unit that reports", needed=True),
            _query("form", TEXT, "The form, of sheets that don't say theirs"),
            _query("period", TEXT, "The period, of sheets that don't say theirs"),
            _query("line", TEXT, "The hierarchy"),
            _query("entered_by", TEXT, "The superior that enters for the unit (nhập hộ)"),
            _query("preview", _SWITCH, "Only say what it says and what is wrong"),
            _query("marked", _SWITCH, "Answer with a copy (.xlsx) in which every bad cell is red; nothing is sent"),
            _query("only_good", _SWITCH, "Send the sheets without a flaw although others have some"),
            _query("map", texts, "HEADING=COLUMN, remembered for the unit; needs `form`"),
        ],
        "requestBody": {"required": True, "content": {**raw, "multipart/form-data": form}},
        "responses": {
            "200": {"description": "A preview, or the marked copy",
                    "content": {**answer, MEDIA_TYPE: {"schema": _BINARY}}},
            "202": {"description": "The broker has every report", "content": answer},
            "207": {"description": "Some were not sent, or refused", "content": answer},
        },
    }  # fmt: skip


def _get() -> Schema:
    forms: Schema = {"type": "array", "maxItems": 100, "items": {"type": "string"}}
    return {
        "operationId": "getSheets",
        "summary": "The day's set of forms of a unit as one workbook (.xlsx)",
        "parameters": [
            {"in": "path", "name": "unit", "required": True, "schema": TEXT},
            _query("on", DAY, "The day whose reports are due; today as if left out"),
            _query("form", forms, "Only these forms, due or not"),
            _query("period", TEXT, "The period of the forms that are named"),
            _query("filled", _SWITCH, "With what was reported before, for corrections"),
            _query("line", TEXT, "The hierarchy"),
        ],
        "responses": {"200": {"description": "The workbook", "content": {MEDIA_TYPE: {"schema": _BINARY}}}},
    }
