"""Forms: official tables as annotated Avro schemas.

A form is dimensions (what a row is about) times measures (integer columns). Everything the system knows about one comes
from its `.avsc` file; no code knows a form by name. What a measure means when it is added up stands beside it, so that
nothing is added that must not be (design decision 4).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any, NewType

import fastavro
import fastavro.schema

from schemas.expression import Expression, ExpressionError
from schemas.period import PeriodType
from schemas.unit import OPEN

FormId = NewType("FormId", str)
Fingerprint = NewType("Fingerprint", bytes)
"""CRC-64-AVRO of the canonical form, 8 bytes little-endian: what stands in front of every encoded record."""

LARGEST = 10**12
LARGEST_CLAIM = 10**14


class AcrossUnits(StrEnum):
    """How a measure of several units becomes one figure."""

    SUM = "sum"
    NONE = "none"


class OverTime(StrEnum):
    """How a measure of several periods becomes one figure."""

    SUM = "sum"
    LAST = "last"
    NONE = "none"


class CheckLevel(StrEnum):
    """What a broken check within a form does."""

    REJECT = "reject"
    WARN = "warn"


class FormError(ValueError):
    """A form's file that can't be used; the message names form and field."""


@dataclass(frozen=True, slots=True)
class Dimension:
    """A column that says what a row is about; its values are codes of `code_list`."""

    name: str
    code_list: str
    label_vi: str
    label_en: str


@dataclass(frozen=True, slots=True)
class Measure:
    """An integer column. `minimum` None: negative values are taken too."""

    name: str
    unit: str
    across_units: AcrossUnits
    over_time: OverTime
    optional: bool
    minimum: int | None
    label_vi: str
    label_en: str


@dataclass(frozen=True, slots=True)
class Check:
    """A rule within one report, over each row or over the sums of its table."""

    id: str
    over_table: bool
    level: CheckLevel
    rule: Expression
    message_vi: str
    message_en: str


@dataclass(frozen=True, slots=True)
class Form:
    """One version of a form. Equality and hash are those of its fingerprint and text.

    `periods`: the types of period that it may report, at least one; the first is its usual one.
    """

    id: FormId
    version: int
    valid_from: date
    valid_to: date
    periods: tuple[PeriodType, ...]
    max_rows: int
    max_total_rows: int
    dimensions: tuple[Dimension, ...]
    measures: tuple[Measure, ...]
    checks: tuple[Check, ...]
    label_vi: str
    label_en: str
    source: str
    fingerprint: Fingerprint
    text: str
    schema: Any

    def __hash__(self) -> int:
        return hash(self.text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Form) and other.text == self.text

    @property
    def optional(self) -> tuple[int, ...]:
        """Positions, among the measures, of those that a unit may leave blank."""
        return tuple(i for i, measure in enumerate(self.measures) if measure.optional)

    @property
    def has_stock(self) -> bool:
        """Whether a measure is a stock, which a `nil` would set to zero."""
        return any(measure.over_time is OverTime.LAST for measure in self.measures)


def fingerprint_of(schema: Any) -> Fingerprint:
    """CRC-64-AVRO of a parsed schema, in the byte order of the single-object encoding."""
    canonical = fastavro.schema.to_parsing_canonical_form(schema)
    return Fingerprint(bytes.fromhex(fastavro.schema.fingerprint(canonical, "CRC-64-AVRO")))


def read_form(text: str, header: Mapping[str, Any]) -> Form:
    """A form from the text of its `.avsc` file and the schema of the header that all forms share.

    Raises FormError. The parsed schema reads timestamps as integers of milliseconds.
    """
    raw = json.loads(text)
    about: Mapping[str, Any] = raw.get("form") or {}
    form_id = FormId(str(about.get("id", "")))
    if not form_id:
        raise FormError(f"{raw.get('namespace', 'a form')}: no form id")
    fields = _row_fields(raw, form_id)
    dimensions = tuple(_dimension(f) for f in fields if "dimension" in f)
    measures = tuple(_measure(f, form_id) for f in fields if "measure" in f)
    if len(dimensions) + len(measures) != len(fields):
        raise FormError(f"{form_id}: every column is a dimension or a measure")
    if [("measure" in f) for f in fields] != sorted("measure" in f for f in fields):
        raise FormError(f"{form_id}: dimensions come before measures")
    schema = fastavro.parse_schema(_with_header(raw, header))
    return Form(
        id=form_id,
        version=int(about["version"]),
        valid_from=date.fromisoformat(about["valid_from"]),
        valid_to=date.fromisoformat(about["valid_to"]) if about.get("valid_to") else OPEN,
        periods=_periods(about.get("periods", [PeriodType.DAY]), form_id),
        max_rows=int(about["max_rows"]),
        max_total_rows=int(about["max_total_rows"]) if "max_total_rows" in about else 4096,
        dimensions=dimensions,
        measures=measures,
        checks=tuple(_check(c, measures, form_id) for c in about.get("checks", ())),
        label_vi=str(about.get("label_vi", form_id)),
        label_en=str(about.get("label_en", form_id)),
        source=str(about.get("source", "")),
        fingerprint=fingerprint_of(schema),
        text=text,
        schema=schema,
    )


def _periods(given: object, form_id: FormId) -> tuple[PeriodType, ...]:
    if not isinstance(given, list) or not given:
        raise FormError(f"{form_id}: periods is a list of types of period")
    if unknown := sorted({str(of) for of in given} - set(PeriodType)):
        raise FormError(f"{form_id}: no type of period {', '.join(unknown)}; there are {', '.join(PeriodType)}")
    return tuple(PeriodType(of) for of in given)


def _row_fields(raw: Mapping[str, Any], form_id: FormId) -> Sequence[Mapping[str, Any]]:
    if [field["name"] for field in raw["fields"]] != ["header", "narrative", "rows"]:
        raise FormError(f"{form_id}: the fields of a form are header, narrative and rows")
    rows: Sequence[Mapping[str, Any]] = raw["fields"][2]["type"]["items"]["fields"]
    return rows


def _with_header(raw: Mapping[str, Any], header: Mapping[str, Any]) -> dict[str, Any]:
    """The schema with the shared header written out, its times as plain longs."""
    fields = [
        {**f, "type": f["type"]["type"]} if isinstance(f["type"], dict) and "logicalType" in f["type"] else f
        for f in header["fields"]
    ]
    first, *rest = raw["fields"]
    return {**raw, "fields": [{**first, "type": {**header, "fields": fields}}, *rest]}


def _dimension(field: Mapping[str, Any]) -> Dimension:
    return Dimension(field["name"], field["dimension"], field.get("label_vi", ""), field.get("label_en", ""))


def _measure(field: Mapping[str, Any], form_id: FormId) -> Measure:
    about = field["measure"]
    optional = field["type"] == ["null", "long"]
    if not optional and field["type"] != "long":
        raise FormError(f"{form_id}: measure {field['name']} is neither long nor [null, long]")
    return Measure(
        name=field["name"],
        unit=about["unit"],
        across_units=AcrossUnits(about["across_units"]),
        over_time=OverTime(about["over_time"]),
        optional=optional,
        minimum=about.get("minimum", 0),
        label_vi=field.get("label_vi", ""),
        label_en=field.get("label_en", ""),
    )


def _check(raw: Mapping[str, Any], measures: Sequence[Measure], form_id: FormId) -> Check:
    try:
        rule = Expression(raw["rule"])
    except ExpressionError as error:
        raise FormError(f"{form_id}: check {raw['id']}: {error}") from error
    required = {measure.name for measure in measures if not measure.optional}
    if unknown := sorted(rule.names - required):
        raise FormError(f"{form_id}: check {raw['id']} reads {', '.join(unknown)}, not among the required measures")
    return Check(
        id=raw["id"],
        over_table=raw["over"] == "table",
        level=CheckLevel(raw["level"]),
        rule=rule,
        message_vi=raw["message_vi"],
        message_en=raw["message_en"],
    )
