"""The gateway's description: OpenAPI 3.1 written here once, and 3.0.3 derived from it for tools that need that."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from importlib.metadata import version
from typing import Any

from producers.gateway.body import MOST_REPORTS
from producers.gateway.openapi_schemas import DAY, ID, TEXT, Schema, component_schemas, ref
from producers.gateway.openapi_sheets import sheet_paths, sheet_schemas
from producers.gateway.refusal import PROBLEMS, Slug
from producers.gateway.store import IDEMPOTENCY_DAYS
from schemas.report import Scope

_COMMON = (Slug.NOT_LOGGED_IN, Slug.NOT_ALLOWED, Slug.TOO_MANY_REQUESTS, Slug.BUG, Slug.AWAY)


def description() -> Schema:
    """The whole document, OpenAPI 3.1."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Chung Sức gateway",
            "version": version("chungsuc"),
            "description": "Báo cáo của các đơn vị hành chính: gửi, biên nhận, biểu mẫu. Reports of administrative "
            "units: submission, receipts, forms. An `Idempotency-Key` is remembered for "
            f"{IDEMPOTENCY_DAYS} days; after that the same key is a new request.",
            "license": {"name": "see THIRD-PARTY.md"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": _paths(),
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "cs_ACCOUNT_SECRET"}},
            "schemas": component_schemas() | sheet_schemas(),
            "responses": {_name(slug): _problem_response(slug) for slug in Slug},
        },
    }


def downgraded(document: Mapping[str, Any]) -> Schema:
    """The same in OpenAPI 3.0.3: `nullable`, one `example`, base64 as `byte`."""
    found = _without_3_1(deepcopy(dict(document)))
    if not isinstance(found, dict):
        raise TypeError(found)
    return {**found, "openapi": "3.0.3"}


def _without_3_1(node: Any) -> Any:
    if isinstance(node, list):
        return [_without_3_1(one) for one in node]
    if not isinstance(node, dict):
        return node
    made = {name: _without_3_1(child) for name, child in node.items()}
    kinds = made.get("type")
    if isinstance(kinds, list):
        others = [kind for kind in kinds if kind != "null"]
        made.pop("type")
        made |= {"type": others[0]} if len(others) == 1 else {"anyOf": [{"type": kind} for kind in others]}
        if "null" in kinds:
            made["nullable"] = True
    if made.pop("contentEncoding", None) == "base64":
        made["format"] = "byte"
    if isinstance(made.get("examples"), list):
        made["example"] = made.pop("examples")[0]
    return made


def _paths() -> Schema:
    unit, form, period = (_query(name, TEXT, needed=True) for name in ("unit", "form", "period"))
    day, limit = _query("day", DAY), _query("limit", {"type": "integer", "minimum": 1, "maximum": 500})
    line, scope = _query("line", TEXT), _query("scope", {"type": "string", "enum": [one.value for one in Scope]})
    since = _query("since", TEXT, "A time with offset (inclusive), or a receipt's id (exclusive)")
    reading = (Slug.BAD_REQUEST, *_COMMON)
    one = (Slug.NOT_FOUND, *_COMMON)
    return {
        "/v1/reports": {"post": _post()},
        "/v1/receipts": _get("What became of a unit's reports", "Receipts", [unit, since, limit], reading),
        "/v1/receipts/{id}": _get("What became of one report", "Receipt", [_path("id", ID)], one),
        "/v1/series": _get(
            "The highest revision of a series", "Series",
            [unit, form, period, line, _query("entered_by", TEXT), scope],
            reading,
        ),
        "/v1/forms": _get("Every version of every form", "Forms", [], _COMMON),
        "/v1/forms/{id}": _get("A form with columns, codes and checks", "Form", [_path("id", TEXT), day],
                               (Slug.BAD_REQUEST, *one)),
        "/v1/forms/{id}/schema": _form_schema([_path("id", TEXT), day], (Slug.BAD_REQUEST, *one)),
        "/v1/units": _get("Units of a day", "Units", [_query("q", {"type": "string"}), _query("under", TEXT), line,
                                                      day, limit], reading),
        "/v1/units/{code}": _get("The bearer of a code on a day", "Unit", [_path("code", TEXT), day],
                                 (Slug.BAD_REQUEST, *one)),
        "/v1/obligations": _get("What a unit owes, and what became of it", "Obligations",
                                [unit, _query("from", DAY), _query("to", DAY)], reading),
        "/v1/catalogue": _catalogue(),
        "/v1/keys": _get("The signing keys of a unit", "Keys", [unit], reading),
        **_sheets(),
    }  # fmt: skip


def _post() -> Schema:
    header = {"in": "header"}
    report = {"$ref": "#/components/schemas/Report"}
    signed = {"$ref": "#/components/schemas/SignedReport"}
    batch = {
        "type": "object",
        "required": ["reports"],
        "additionalProperties": False,
        "properties": {
            "reports": {"type": "array", "minItems": 1, "maxItems": MOST_REPORTS, "items": {"anyOf": [report, signed]}}
        },
    }
    refusals = (Slug.BAD_REQUEST, Slug.REQUEST_IN_FLIGHT, Slug.OTHER_REVISION, Slug.TOO_LARGE, Slug.UNSUPPORTED_TYPE,
                Slug.REPORT_INVALID, *_COMMON)  # fmt: skip
    return {
        "operationId": "postReports",
        "summary": "Send one report, or a batch with a result each",
        "description": "Answered 202 only after Kafka acknowledged with acks=all. A signed report in Avro carries the "
        "headers ce-specversion, ce-type, ce-source, ce-id, ce-time, kid and sig (base64) and needs no key.",
        "parameters": [
            {**header, "name": "Idempotency-Key", "required": False, "schema": {"type": "string", "maxLength": 257},
             "description": f"A quoted string of your own per request, remembered for {IDEMPOTENCY_DAYS} days. "
                            "Required unless every report is signed."},
            {**header, "name": "If-Match", "schema": {"type": "string", "pattern": r'^"\d{1,15}"$'},
             "description": "The revision that the author has seen; 412 where there is another"},
            {**header, "name": "If-None-Match", "schema": {"type": "string", "enum": ["*"]},
             "description": "Only where nothing was reported yet"},
            {**header, "name": "traceparent", "schema": {"type": "string"}, "description": "W3C Trace Context"},
            {**header, "name": "X-Request-Id", "schema": {"type": "string", "maxLength": 128}},
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"anyOf": [report, signed, batch]}},
                "application/avro": {"schema": {"type": "string", "format": "binary"}},
            },
        },
        "responses": {
            "202": {
                "description": "The broker has it",
                "headers": {
                    "ETag": {"schema": {"type": "string"}, "description": "The revision"},
                    "Location": {"schema": {"type": "string"}, "description": "The receipt"},
                },
                "content": _content({"anyOf": [ref("Acknowledged"), ref("Results")]}),
            },
            "207": {"description": "A result each; some were refused", "content": _content(ref("Results"))},
            **_responses(refusals),
        },
    }  # fmt: skip


def _form_schema(parameters: list[Schema], refusals: tuple[Slug, ...]) -> Schema:
    content = {"application/schema+json": {"schema": {"type": "object"}}}
    summary = "What a report of the form in JSON must be, as JSON Schema"
    about = {"operationId": "getFormSchema", "summary": summary, "parameters": parameters}
    return {
        "get": {**about, "responses": {"200": {"description": summary, "content": content}, **_responses(refusals)}}
    }


def _sheets() -> Schema:
    """Workbooks, with what may be refused."""
    refusals = {
        "post": (
            Slug.BAD_REQUEST,
            Slug.NOT_FOUND,
            Slug.REQUEST_IN_FLIGHT,
            Slug.TOO_LARGE,
            Slug.SHEET_INVALID,
            *_COMMON,
        ),
        "get": (Slug.BAD_REQUEST, Slug.NOT_FOUND, *_COMMON),
    }
    paths = sheet_paths()
    for operations in paths.values():
        for method, operation in operations.items():
            operation["responses"] |= _responses(refusals[method])
    return paths


def _catalogue() -> Schema:
    tag: Schema = {"type": "string", "pattern": '^"[0-9a-f]{64}"$'}
    return {
        "get": {
            "operationId": "getCatalogue",
            "summary": "Forms, code lists, units and all else that reports are judged by, as one archive",
            "description": "A tar without times, for nodes that judge by themselves; the ETag is its SHA-256.",
            "parameters": [{"in": "header", "name": "If-None-Match", "required": False, "schema": tag}],
            "responses": {
                "200": {
                    "description": "The archive",
                    "headers": {"ETag": {"schema": tag, "description": "SHA-256 of the archive, quoted"}},
                    "content": {"application/x-tar": {"schema": {"type": "string", "format": "binary"}}},
                },
                "304": {"description": "The archive with that digest is the one in force"},
                **_responses(_COMMON),
            },
        }
    }


def _get(summary: str, name: str, parameters: list[Schema], refusals: tuple[Slug, ...]) -> Schema:
    answer = {"description": summary, "content": _content(ref(name))}
    about = {"operationId": f"get{name}", "summary": summary, "parameters": parameters}
    return {"get": {**about, "responses": {"200": answer, **_responses(refusals)}}}


def _responses(slugs: tuple[Slug, ...]) -> Schema:
    return {str(PROBLEMS[slug][0]): {"$ref": f"#/components/responses/{_name(slug)}"} for slug in slugs}


def _problem_response(slug: Slug) -> Schema:
    schema = {"application/problem+json": {"schema": ref("Problem")}}
    return {"description": PROBLEMS[slug][1][1], "content": schema}


def _name(slug: Slug) -> str:
    return "".join(part.capitalize() for part in slug.value.split("-"))


def _content(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}


def _query(name: str, schema: Schema, description: str = "", *, needed: bool = False) -> Schema:
    found: Schema = {"in": "query", "name": name, "required": needed, "schema": schema}
    return {**found, "description": description} if description else found


def _path(name: str, schema: Schema) -> Schema:
    return {"in": "path", "name": name, "required": True, "schema": schema}
