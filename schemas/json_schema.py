"""A form as JSON Schema (2020-12): what a report in JSON must be, for whoever sends one without Avro.

One source for everybody who has to know the shape of a report in JSON: documents, entry over HTTP, generated clients.
A schema says what one report can say by itself: columns, codes in force on a day, minima, sections. Checks between
columns are sentences of the form (`x-checks`), and whether a unit may say so is admission's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from schemas.catalogue import Catalogue
from schemas.form import LARGEST, Dimension, Form, Measure
from schemas.report import Kind, Scope
from schemas.unit import UBND

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]

_CODE: Schema = {"type": "string", "minLength": 1, "maxLength": 200}


def form_schema(form: Form, catalogue: Catalogue, day: date | None = None) -> Schema:
    """The schema of a report of `form` in JSON. With a `day`: codes in force then, else every code of the lists."""
    properties: Schema = {
        "form": {"const": form.id},
        "unit": {**_CODE, "description": "code of the reporting unit"},
        "period": {"type": "string", "examples": [of.example for of in form.periods]},
        "kind": {"enum": _kinds(form), "default": Kind.REPORT.value},
        "scope": {"enum": [scope.value for scope in Scope], "default": Scope.OWN.value},
        "line": {**_CODE, "default": str(UBND)},
        "entered_by": {"type": ["string", "null"], "description": "code of the superior that enters it for the unit"},
        "issued_at": {"type": ["string", "null"], "format": "date-time"},
        "after_revision": {"type": ["integer", "null"], "minimum": 0},
        "narrative": _narrative(form),
        "rows": {"type": "array", "maxItems": form.max_rows, "items": _row(form, catalogue, day)},
    }
    return {
        "$schema": DIALECT,
        "$id": f"urn:chungsuc:form:{form.id}:{form.version}",
        "title": form.label_en,
        "description": form.label_vi,
        "type": "object",
        "properties": properties,
        "required": ["form", "unit", "period"],
        "additionalProperties": False,
        "allOf": [_rows_by_kind(), *_required_texts(form)],
        "x-checks": [
            {"rule": c.rule.text, "level": c.level.value, "message_vi": c.message_vi, "message_en": c.message_en}
            for c in form.checks
        ],
    }


def _kinds(form: Form) -> list[str]:
    """A stock takes no nil, which would set it to zero."""
    return [kind.value for kind in Kind if kind is not Kind.NIL or not form.has_stock]


def _rows_by_kind() -> Schema:
    """A report has rows; nil and a withdrawal have none."""
    others = [Kind.NIL.value, Kind.WITHDRAWAL.value]
    return {
        "if": {"properties": {"kind": {"enum": others}}, "required": ["kind"]},
        "then": {"properties": {"rows": {"maxItems": 0}}},
        "else": {"properties": {"rows": {"minItems": 1}}, "required": ["rows"]},
    }


def _required_texts(form: Form) -> Sequence[Schema]:
    required = [section.name for section in form.sections if section.required]
    if not required:
        return []
    texts = {"required": required, "properties": {name: {"pattern": r"\S"} for name in required}}
    return [
        {
            "if": {"properties": {"kind": {"const": Kind.REPORT.value}}},
            "then": {"required": ["narrative"], "properties": {"narrative": texts}},
        }
    ]


def _narrative(form: Form) -> Schema:
    if not form.sections:
        return {"type": "object", "additionalProperties": {"type": "string"}}
    sections = {
        s.name: {"type": "string", "maxLength": s.max_letters, **_labels(s.label_vi, s.label_en)} for s in form.sections
    }
    return {"type": "object", "properties": sections, "additionalProperties": False}


def _row(form: Form, catalogue: Catalogue, day: date | None) -> Schema:
    columns: Schema = {d.name: _dimension(d, catalogue, day) for d in form.dimensions}
    columns |= {m.name: _measure(m) for m in form.measures}
    required = [*(d.name for d in form.dimensions), *(m.name for m in form.measures if not m.optional)]
    return {"type": "object", "properties": columns, "required": required, "additionalProperties": False}


def _dimension(dimension: Dimension, catalogue: Catalogue, day: date | None) -> Schema:
    entries = [e for e in catalogue.codes[dimension.code_list].values() if day is None or e.in_force(day)]
    return {
        "oneOf": [{"const": e.code, **_labels(e.label_vi, e.label_en)} for e in entries],
        **_labels(dimension.label_vi, dimension.label_en),
        "x-code-list": dimension.code_list,
        "x-overlapping": dimension.overlapping,
    }


def _measure(measure: Measure) -> Schema:
    return {
        "type": ["integer", "null"] if measure.optional else "integer",
        "minimum": -LARGEST if measure.minimum is None else measure.minimum,
        "maximum": LARGEST,
        **_labels(measure.label_vi, measure.label_en),
        "x-unit": measure.unit,
        "x-across-units": measure.across_units.value,
        "x-over-time": measure.over_time.value,
    }


def _labels(vietnamese: str, english: str) -> Mapping[str, str]:
    return {"title": english, "description": vietnamese}
