"""Reads a form from its annotated Avro file, strictly: what is not understood is refused by its line.

A misspelt annotation that were passed over would be a default nobody chose: a measure added up that must not be. So
each place of the file has a closed list of names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from enum import StrEnum
from typing import Any, NoReturn, TypeVar

import fastavro
import fastavro.schema

from schemas.expression import Expression, ExpressionError
from schemas.form import (
    AcrossUnits,
    Check,
    CheckLevel,
    Dimension,
    Fingerprint,
    Form,
    FormError,
    FormId,
    Measure,
    OverTime,
    Section,
)
from schemas.period import PeriodType
from schemas.topics import MAX_REPORT_BYTES
from schemas.unit import OPEN

Raw = Mapping[str, Any]
Word = TypeVar("Word", bound=StrEnum)

_LABELS = {"label_vi", "label_en"}
_KNOWN = {
    "file": {"type", "name", "namespace", "doc", "form", "fields"},
    "form": {"id", "version", "valid_from", "valid_to", "periods", "max_rows", "max_total_rows", "source", "checks"}
    | _LABELS,
    "narrative": {"name", "type", "default", "doc", "sections"},
    "section": {"name", "required", "max_letters"} | _LABELS,
    "dimension": {"name", "type", "doc", "dimension", "overlapping", "source"} | _LABELS,
    "measure": {"name", "type", "default", "doc", "measure", "source"} | _LABELS,
    "measure annotation": {"unit", "across_units", "over_time", "minimum"},
    "check": {"id", "over", "level", "rule", "message_vi", "message_en"},
}
_NAMES = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)
_LONGEST_SECTION = MAX_REPORT_BYTES
"""Where a form says nothing: as long as a report may be."""
_TOTAL_ROWS = 4096


def fingerprint_of(schema: Any) -> Fingerprint:
    """CRC-64-AVRO of a schema's canonical form, in the byte order of the single-object encoding."""
    return Fingerprint(_crc_64_avro(fastavro.schema.to_parsing_canonical_form(schema).encode()))


_EMPTY = 0xC15D213AA4D7A795


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        entry = byte
        for _ in range(8):
            entry = (entry >> 1) ^ (_EMPTY & -(entry & 1))
        table.append(entry)
    return table


_CRC_TABLE = _crc_table()


def _crc_64_avro(content: bytes) -> bytes:
    """As the Avro specification states it; by a table, because fastavro's own takes a millisecond a form."""
    value = _EMPTY
    for byte in content:
        value = (value >> 8) ^ _CRC_TABLE[(value ^ byte) & 0xFF]
    return value.to_bytes(8, "little")


def read_form(text: str, header: Raw) -> Form:
    """A form from the text of its `.avsc` file and the schema of the header that all forms share.

    Raises FormError with the line at fault. The parsed schema reads timestamps as integers of milliseconds.
    """
    return _Reader(text).form(header)


class _Reader:
    """One file; knows its text, so that an error can name a line."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._id = "a form"

    def form(self, header: Raw) -> Form:
        raw = self._raw()
        self._only("file", raw)
        about = raw.get("form")
        if not isinstance(about, dict) or not about.get("id"):
            self._fail("no form id", "form")
        self._id = str(about["id"])
        self._only("form", about)
        self._labelled(about, self._id)
        narrative, rows = self._fields(raw)
        dimensions = tuple(self._dimension(f) for f in rows if "dimension" in f)
        measures = tuple(self._measure(f) for f in rows if "measure" in f)
        self._columns(rows, len(dimensions) + len(measures))
        schema = self._schema(raw, header)
        return Form(
            id=FormId(self._id),
            version=self._count(about, "version"),
            valid_from=self._day(about, "valid_from"),
            valid_to=self._day(about, "valid_to") if about.get("valid_to") else OPEN,
            periods=self._periods(about.get("periods", [PeriodType.DAY])),
            max_rows=self._count(about, "max_rows"),
            max_total_rows=self._count(about, "max_total_rows") if "max_total_rows" in about else _TOTAL_ROWS,
            dimensions=dimensions,
            measures=measures,
            checks=tuple(self._checks(about.get("checks", ()), dimensions, measures)),
            sections=tuple(self._sections(narrative)),
            label_vi=about["label_vi"],
            label_en=about["label_en"],
            source=str(about.get("source", "")),
            fingerprint=fingerprint_of(schema),
            text=self._text,
            schema=schema,
        )

    def _periods(self, given: object) -> tuple[PeriodType, ...]:
        if not isinstance(given, list) or not given:
            self._fail("periods is a list of types of period", "periods")
        return tuple(self._word(PeriodType, of, "periods") for of in given)

    def _raw(self) -> Raw:
        try:
            raw = json.loads(self._text)
        except json.JSONDecodeError as error:
            raise FormError(f"line {error.lineno}: no JSON: {error.msg}") from error
        if not isinstance(raw, dict):
            raise FormError("line 1: a form is a JSON object")
        return raw

    def _fields(self, raw: Raw) -> tuple[Raw, Sequence[Raw]]:
        """The field of the narrative, and the columns of a row."""
        try:
            if [field["name"] for field in raw["fields"]] != ["header", "narrative", "rows"]:
                self._fail("the fields of a form are header, narrative and rows", "fields")
            narrative = raw["fields"][1]
            rows = raw["fields"][2]["type"]["items"]["fields"]
        except (LookupError, TypeError):
            self._fail("the fields of a form are header, narrative and rows", "fields")
        if narrative.get("type") != {"type": "map", "values": "string"}:
            self._fail("narrative is a map of strings", "narrative")
        self._only("narrative", narrative)
        return narrative, rows

    def _columns(self, rows: Sequence[Raw], known: int) -> None:
        if known != len(rows) or any("dimension" in field and "measure" in field for field in rows):
            odd = next((f for f in rows if ("dimension" in f) == ("measure" in f)), {})
            self._fail("every column is a dimension or a measure", "rows", str(odd.get("name", "")))
        if [("measure" in f) for f in rows] != sorted("measure" in f for f in rows):
            self._fail("dimensions come before measures", "rows")
        names = [str(field["name"]) for field in rows]
        for name in names:
            if not _NAMES.fullmatch(name):
                self._fail(f"column {name!r} is not named in small letters, digits and _", "rows", name)
            if names.count(name) > 1:
                self._fail(f"two columns are called {name}", "rows", name)

    def _schema(self, raw: Raw, header: Raw) -> Any:
        try:
            return fastavro.parse_schema(_with_header(raw, header))
        except Exception as error:  # fastavro raises several kinds, all of which mean the same here
            self._fail(f"no Avro schema: {error}", "fields")

    def _dimension(self, field: Raw) -> Dimension:
        name = str(field["name"])
        self._only("dimension", field, "rows", name)
        if field["type"] != "string":
            self._fail(f"dimension {name} is no string", "rows", name)
        self._labelled(field, name)
        return Dimension(
            name,
            str(field["dimension"]),
            field["label_vi"],
            field["label_en"],
            self._flag(field, "overlapping", "rows", name),
            str(field.get("source", "")),
        )

    def _measure(self, field: Raw) -> Measure:
        name, about = str(field["name"]), field["measure"]
        self._only("measure", field, "rows", name)
        if not isinstance(about, dict):
            self._fail(f"measure {name} says nothing about itself", "rows", name)
        self._only("measure annotation", about, "rows", name)
        optional = field["type"] == ["null", "long"]
        if not optional and field["type"] != "long":
            self._fail(f"measure {name} is neither long nor [null, long]", "rows", name)
        if not about.get("unit"):
            self._fail(f"measure {name} has no unit", "rows", name)
        minimum = about.get("minimum", 0)
        if minimum is not None and type(minimum) is not int:
            self._fail(f"measure {name}: minimum {minimum!r} is neither a whole number nor null", "rows", name)
        self._labelled(field, name)
        return Measure(
            name=name,
            unit=str(about["unit"]),
            across_units=self._word(AcrossUnits, about.get("across_units"), "rows", name, "across_units"),
            over_time=self._word(OverTime, about.get("over_time"), "rows", name, "over_time"),
            optional=optional,
            minimum=minimum,
            label_vi=field["label_vi"],
            label_en=field["label_en"],
            source=str(field.get("source", "")),
        )

    def _sections(self, narrative: Raw) -> Iterator[Section]:
        for raw in narrative.get("sections", ()):
            name = str(raw.get("name", ""))
            self._only("section", raw, "sections", name)
            if not _NAMES.fullmatch(name):
                self._fail(f"section {name!r} is not named in small letters, digits and _", "sections", name)
            self._labelled(raw, name)
            letters = self._count(raw, "max_letters") if "max_letters" in raw else _LONGEST_SECTION
            yield Section(name, raw["label_vi"], raw["label_en"], self._flag(raw, "required", "sections"), letters)

    def _checks(
        self, raws: Sequence[Raw], dimensions: Sequence[Dimension], measures: Sequence[Measure]
    ) -> Iterator[Check]:
        required = {measure.name for measure in measures if not measure.optional}
        for raw in raws:
            name = str(raw.get("id", ""))
            self._only("check", raw, "checks", name)
            try:
                rule = Expression(raw["rule"])
            except (ExpressionError, KeyError, TypeError) as error:
                self._fail(f"check {name}: {error}", "checks", name)
            if unknown := sorted(rule.names - required):
                self._fail(
                    f"check {name} reads {', '.join(unknown)}, not among the required measures", "checks", name, "rule"
                )
            over = raw.get("over")
            if over not in ("row", "table"):
                self._fail(f"check {name}: over {over!r} is neither row nor table", "checks", name)
            if over == "table" and any(dimension.overlapping for dimension in dimensions):
                self._fail(f"check {name} adds up rows, which overlap", "checks", name)
            level = self._word(CheckLevel, raw.get("level"), "checks", name, "level")
            messages = [str(raw.get(f"message_{language}", "")) for language in ("vi", "en")]
            for message in messages:
                self._message(name, message, rule)
            yield Check(name, over == "table", level, rule, *messages)

    def _message(self, check: str, message: str, rule: Expression) -> None:
        try:
            filled = message.format_map(dict.fromkeys(rule.names, 0))
        except (LookupError, ValueError) as error:
            self._fail(f"check {check}: its message names {error}, which its rule does not read", "checks", check)
        if not filled:
            self._fail(f"check {check} has no message", "checks", check)

    def _only(self, place: str, found: Raw, *near: str) -> None:
        """Refuse what is not understood there."""
        if unknown := sorted(found.keys() - _KNOWN[place]):
            self._fail(f"{unknown[0]} is not understood in a {place}", *near, unknown[0])

    def _labelled(self, found: Raw, name: str) -> None:
        for label in sorted(_LABELS):
            if not isinstance(found.get(label), str) or not found[label].strip():
                self._fail(f"{name} has no {label}", name)

    def _flag(self, found: Raw, name: str, *near: str) -> bool:
        value = found.get(name, False)
        if not isinstance(value, bool):
            self._fail(f"{name} {value!r} is neither true nor false", *near, name)
        return value

    def _count(self, found: Raw, name: str) -> int:
        value = found.get(name)
        if type(value) is not int or value < 1:
            self._fail(f"{name} {value!r} is not a whole number from 1 on", name)
        return value

    def _day(self, found: Raw, name: str) -> date:
        try:
            return date.fromisoformat(found[name])
        except (LookupError, TypeError, ValueError):
            self._fail(f"{name} {found.get(name)!r} is not a day such as 2021-12-13", name)

    def _word(self, words: type[Word], value: object, *near: str) -> Word:
        if not isinstance(value, str) or value not in set(words):
            self._fail(f"{near[-1]} {value!r} is not one of {', '.join(words)}", *near)
        return words(value)

    def _fail(self, message: str, *near: str) -> NoReturn:
        """Raise with the line where the names in `near` stand one after another, as far as they are found."""
        at = 0
        for name in near:
            found = self._text.find(f'"{name}"', at)
            at = at if found < 0 else found
        raise FormError(f"line {self._text.count(chr(10), 0, at) + 1}: {self._id}: {message}")


def _with_header(raw: Raw, header: Raw) -> dict[str, Any]:
    """The schema with the shared header written out, its times as plain longs."""
    fields = [
        {**f, "type": f["type"]["type"]} if isinstance(f["type"], dict) and "logicalType" in f["type"] else f
        for f in header["fields"]
    ]
    first, *rest = raw["fields"]
    return {**raw, "fields": [{**first, "type": {**header, "fields": fields}}, *rest]}
