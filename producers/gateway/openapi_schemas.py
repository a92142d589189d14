"""The parts of the gateway's description: what a report is, and what each answer is made of, as OpenAPI 3.1 schemas."""

from __future__ import annotations

from typing import Any

from producers.gateway.shown import OUTCOMES
from schemas.form import LARGEST_CLAIM
from schemas.obligations import Status
from schemas.rejection import Reason
from schemas.report import Kind, Scope

Schema = dict[str, Any]

TEXT: Schema = {"type": "string", "minLength": 1, "maxLength": 200}
ID: Schema = {"type": "string", "pattern": r"^\d{1,6}-\d{1,18}$", "examples": ["0-123"]}
DAY: Schema = {"type": "string", "format": "date"}
_WORDS: Schema = {"type": "string"}
_MAYBE: Schema = {"type": ["string", "null"]}
_MAYBE_DAY: Schema = {"type": ["string", "null"], "format": "date"}
_REVISION: Schema = {"type": "integer", "minimum": 0}
_REPORT_NAMES: Schema = {"unit": TEXT, "form": _WORDS, "period": _WORDS, "line": _WORDS, "entered_by": _MAYBE}


def component_schemas() -> Schema:
    """All of them by name, as they stand under `components`."""
    return {**_sent(), **_receipts(), **_reference(), "Problem": _problem()}


def ref(name: str) -> Schema:
    """A reference to one of them."""
    return {"$ref": f"#/components/schemas/{name}"}


def _object(required: str, **properties: Schema) -> Schema:
    return {"type": "object", "required": required.split(), "properties": properties}


def _listed(name: str, of: str, **more: Schema) -> Schema:
    return _object(" ".join((name, *more)), **{name: {"type": "array", "items": ref(of)}}, **more)


def _sent() -> Schema:
    cell = {"type": ["integer", "string", "null"], "minimum": -LARGEST_CLAIM, "maximum": LARGEST_CLAIM}
    row = {"type": "object", "additionalProperties": cell}
    report = _object(
        "form unit period", form=TEXT, unit=TEXT, period={**TEXT, "examples": ["2021-12-13"]},
        kind={"type": "string", "enum": [kind.value for kind in Kind]},
        rows={"type": "array", "items": row, "description": "Columns as /v1/forms/{id} tells them"},
        narrative={"type": ["object", "null"], "additionalProperties": {"type": "string"}},
        line=TEXT, scope={"type": "string", "enum": [scope.value for scope in Scope]},
        entered_by={"type": ["string", "null"], "description": "The superior that enters for the unit (nhập hộ)"},
        issued_at={"type": ["string", "null"], "format": "date-time"},
        after_revision={"type": ["integer", "null"], "minimum": 0},
    )  # fmt: skip
    return {
        "Report": {**report, "additionalProperties": False},
        "SignedReport": {
            **_object(
                "value headers",
                value={"type": "string", "contentEncoding": "base64"},
                headers={"type": "object", "additionalProperties": {"type": "string"}},
            ),
            "additionalProperties": False,
        },
    }


def _receipts() -> Schema:
    link = _object("unit name level counted", unit=TEXT, name=_WORDS, level=_WORDS, counted={"type": "boolean"})
    return {
        "Acknowledged": _object(
            "id status unit form period line entered_by revision receipt", id=_MAYBE, status=_WORDS, revision=_REVISION,
            receipt=_MAYBE, **_REPORT_NAMES,
        ),
        "Result": _object("status", status={"type": "integer"}, report=ref("Acknowledged"), problem=ref("Problem")),
        "Results": _listed("results", "Result", acknowledged={"type": "integer"}, refused={"type": "integer"}),
        "Receipt": _object(
            "id outcome said unit form period line revision counted", id=ID, said=_WORDS, unit_name=_MAYBE,
            outcome={"type": "string", "enum": sorted(OUTCOMES)}, revision=_REVISION, highest_revision=_REVISION,
            reason={"type": ["string", "null"]}, field=_MAYBE, detail=_MAYBE, kid=_WORDS, digest=_WORDS,
            accepted_at={"type": "string", "format": "date-time"}, counted={"type": "array", "items": link},
            **{**_REPORT_NAMES, "unit": _WORDS},
        ),
        "Receipts": _listed("receipts", "Receipt", next=_WORDS),
        "Series": _object(
            "unit form period line scope entered_by accepted highest_revision", scope=_WORDS,
            highest_revision=_REVISION, accepted={"type": ["object", "null"]}, **_REPORT_NAMES,
        ),
    }  # fmt: skip


def _reference() -> Schema:
    return {
        "Form": _object("id version label valid_from valid_to fingerprint", id=_WORDS, version={"type": "integer"},
                        label=_WORDS, valid_from=DAY, valid_to=_MAYBE_DAY, fingerprint=_WORDS),
        "Forms": _listed("forms", "Form"),
        "Unit": _object("code name level kind superior valid_from valid_to", code=_WORDS, name=_WORDS, level=_WORDS,
                        kind=_WORDS, superior=_MAYBE, valid_from=DAY, valid_to=_MAYBE_DAY),
        "Units": _listed("units", "Unit", day=DAY),
        "Obligation": _object(
            "regime form unit period due status reported_at", regime=_WORDS, name=_WORDS, form=_WORDS, unit=_WORDS,
            unit_name=_WORDS, period=_WORDS, due={"type": "string", "format": "date-time"}, said=_WORDS,
            status={"type": "string", "enum": [status.value for status in Status]}, reported_at=_MAYBE,
            entered_by=_MAYBE, decided=_MAYBE, reason=_MAYBE,
        ),
        "Obligations": _listed("obligations", "Obligation", **{"from": DAY, "to": DAY}),
        "Key": _object("kid unit public_key valid_after valid_until reason sequence", kid=_WORDS, unit=_WORDS,
                       public_key=_WORDS, valid_after=_WORDS, valid_until=_MAYBE, reason=_MAYBE,
                       sequence={"type": ["object", "null"]}),
        "Keys": _listed("keys", "Key"),
    }  # fmt: skip


def _problem() -> Schema:
    fault = _object(
        "reason detail", pointer=_WORDS, sheet=_WORDS, cell=_MAYBE, column=_MAYBE, reason=_WORDS, detail=_WORDS
    )
    return _object(
        "type title status detail", type=_WORDS, title=_WORDS, status={"type": "integer"}, detail=_WORDS,
        instance=_WORDS, trouble=_WORDS, reason={"type": "string", "enum": [reason.value for reason in Reason]},
        errors={"type": "array", "items": fault},
    )  # fmt: skip
