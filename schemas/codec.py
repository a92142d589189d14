"""Bytes of every record: Avro single-object encoding, `C3 01`, fingerprint, body (design 5).

Self-identifying, standard, no registry. `decode_*` raise `NotDecodable` for anything that is not exactly one record:
a missing marker, a truncated body, bytes after it.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import fastavro

from schemas.act import (
    Act,
    ActBody,
    Attested,
    AttesterRegistered,
    CatalogueReleased,
    Decided,
    KeyRegistered,
    KeyRevoked,
    ObligationDecided,
    PeriodLocked,
    PrincipalBound,
    ReportApproved,
    ReportReturned,
)
from schemas.figure import Figure, FigureKind, ScopeCode, Slot, State
from schemas.form import Fingerprint, Form, FormId
from schemas.form_reader import fingerprint_of
from schemas.period import PeriodText
from schemas.precedence import Outcome
from schemas.principal import Binding, PrincipalName, Role
from schemas.receipt import Receipt
from schemas.report import Digest, Header, KeyId, Kind, Millis, Offset, Report, Revision, Scope, Source
from schemas.signature import PublicKey
from schemas.unit import LineName, UnitCode

MARKER = b"\xc3\x01"
PREFIX_BYTES = len(MARKER) + 8

_NUMBERS_8 = ("version", "revision", "source_offset", "accepted_at", "issued_at", "first_accepted", "newest_accepted")
_NUMBERS_4 = ("source_partition", "epoch", "catalogue", "reported", "nil", "entered", "valid_from")
_NUMBERS_1 = ("kind", "state", "scope", "slot")
_RECEIPT_NUMBERS = ("revision", "accepted_at", "highest_revision", "figures_offset")
_OUTCOMES = tuple(Outcome)
"""Their order is the wire's."""


class NotDecodable(ValueError):
    """The bytes are not exactly one record of a known schema."""


@cache
def record_schema(name: str) -> tuple[Any, Fingerprint]:
    """Parsed schema and fingerprint of a shared record: figure, receipts, act or announcement."""
    text = (Path(__file__).parent / "records" / f"{name}.avsc").read_text(encoding="utf-8")
    schema = fastavro.parse_schema(json.loads(text))
    return schema, fingerprint_of(schema)


@cache
def header_schema() -> Mapping[str, Any]:
    """The schema of the header that all forms share, as written in its file."""
    text = (Path(__file__).parent / "records" / "header.avsc").read_text(encoding="utf-8")
    schema: Mapping[str, Any] = json.loads(text)
    return schema


def fingerprint_in(value: bytes) -> Fingerprint:
    """The fingerprint in front of an encoded record. Raises NotDecodable without the marker."""
    if len(value) < PREFIX_BYTES or value[: len(MARKER)] != MARKER:
        raise NotDecodable("no single-object marker C3 01 in front")
    return Fingerprint(value[len(MARKER) : PREFIX_BYTES])


def _int8(number: int) -> bytes:
    return number.to_bytes(8, "little", signed=True)


def _encode(schema: Any, fingerprint: Fingerprint, record: Mapping[str, Any]) -> bytes:
    out = io.BytesIO()
    out.write(MARKER + fingerprint)
    fastavro.schemaless_writer(out, schema, record, strict_allow_default=True)
    return out.getvalue()


def _decode(schema: Any, value: bytes) -> dict[str, Any]:
    stream = io.BytesIO(value)
    stream.seek(PREFIX_BYTES)
    try:
        record = fastavro.schemaless_reader(stream, schema, None)
    except Exception as error:  # fastavro raises EOFError, IndexError, UnicodeDecodeError and more for bad bytes
        raise NotDecodable(f"the body is not a record of its form: {error or type(error).__name__}") from error
    if stream.tell() != len(value):
        raise NotDecodable(f"{len(value) - stream.tell()} bytes follow the body")
    if not isinstance(record, dict):
        raise NotDecodable("the body is not a record")
    return record


def _decode_shared(name: str, value: bytes) -> dict[str, Any]:
    schema, fingerprint = record_schema(name)
    if (found := fingerprint_in(value)) != fingerprint:
        raise NotDecodable(f"fingerprint {found.hex()} is not that of {name}")
    return _decode(schema, value)


def encode_report(form: Form, report: Report) -> bytes:
    """The value of a record of `reports`. The report's rows carry the columns of `form`."""
    h = report.header
    record = {
        "header": {
            "unit": h.unit,
            "unit_name": h.unit_name,
            "line": h.line,
            "scope": h.scope.value,
            "period": h.period,
            "kind": h.kind.value,
            "revision": h.revision,
            "sequence": h.sequence,
            "issued_at": h.issued_at,
            "entered_by": h.entered_by,
            "principal": h.principal,
        },
        "narrative": dict(report.narrative or {}),
        "rows": [dict(row) for row in report.rows],
    }
    return _encode(form.schema, form.fingerprint, record)


def decode_report(form: Form, value: bytes) -> Report:
    """A report from its bytes, `form` being the one whose fingerprint stands in front. Raises NotDecodable."""
    record = _decode(form.schema, value)
    h = record["header"]
    header = Header(
        unit=UnitCode(h["unit"]),
        period=PeriodText(h["period"]),
        kind=Kind(h["kind"]),
        revision=Revision(h["revision"]),
        sequence=h["sequence"],
        issued_at=Millis(h["issued_at"]),
        unit_name=h["unit_name"],
        line=LineName(h["line"]),
        scope=Scope(h["scope"]),
        entered_by=UnitCode(h["entered_by"]) if h["entered_by"] is not None else None,
        principal=h["principal"],
    )
    return Report(form.id, header, record["rows"], record["narrative"])


def encode_figure(figure: Figure) -> bytes:
    """The value of a record of `figures`, by fastavro; `streams/columns.py` writes the same bytes faster."""
    schema, fingerprint = record_schema("figure")
    record: dict[str, Any] = {
        "digest": figure.digest,
        "form_version": figure.form_version,
        "form": figure.form,
        "line": figure.line,
        "period": figure.period,
        "unit": figure.unit,
        "entered_by": figure.entered_by,
        "kid": figure.kid,
        "values": figure.values,
        "given": figure.given,
        "dims": list(figure.dims),
    }
    for names, size in ((_NUMBERS_8, 8), (_NUMBERS_4, 4)):
        for name in names:
            record[name] = int(getattr(figure, name)).to_bytes(size, "little", signed=True)
    for name in _NUMBERS_1:
        record[name] = bytes([getattr(figure, name)])
    return _encode(schema, fingerprint, record)


def decode_figure(value: bytes) -> Figure:
    """One figure from its bytes, by fastavro. Raises NotDecodable."""
    record = _decode_shared("figure", value)
    numbers = {name: int.from_bytes(record[name], "little", signed=True) for name in (*_NUMBERS_8, *_NUMBERS_4)}
    return Figure(
        kind=FigureKind(record["kind"][0]),
        state=State(record["state"][0]),
        form=FormId(record["form"]),
        scope=ScopeCode(record["scope"][0]),
        line=LineName(record["line"]),
        period=PeriodText(record["period"]),
        slot=Slot(record["slot"][0]),
        unit=UnitCode(record["unit"]),
        valid_from=numbers["valid_from"],
        form_version=Fingerprint(record["form_version"]),
        epoch=numbers["epoch"],
        catalogue=numbers["catalogue"],
        values=record["values"],
        given=record["given"],
        dims=tuple(record["dims"]),
        version=numbers["version"],
        revision=Revision(numbers["revision"]),
        source_partition=numbers["source_partition"],
        source_offset=Offset(numbers["source_offset"]),
        accepted_at=Millis(numbers["accepted_at"]),
        issued_at=Millis(numbers["issued_at"]),
        first_accepted=Millis(numbers["first_accepted"]),
        newest_accepted=Millis(numbers["newest_accepted"]),
        digest=Digest(record["digest"]),
        reported=numbers["reported"],
        nil=numbers["nil"],
        entered=numbers["entered"],
        entered_by=record["entered_by"],
        kid=record["kid"],
    )


def encode_receipts(receipts: Iterable[Receipt]) -> bytes:
    """The value of a record of `receipts`: many receipts of units whose codes hash to its partition."""
    schema, fingerprint = record_schema("receipts")
    records = [
        {
            **{name: _int8(getattr(r, name)) for name in _RECEIPT_NUMBERS},
            "source_offset": _int8(r.source.offset),
            "source_partition": r.source.partition.to_bytes(4, "little"),
            "digest": r.digest,
            "outcome": bytes([_OUTCOMES.index(r.outcome)]),
            "form": r.form,
            "scope": b"\0",
            "line": r.line,
            "period": r.period,
            "slot": bytes([Slot.ENTERED if r.entered_by else Slot.OWN]),
            "unit": r.unit,
            "valid_from": bytes(4),
            "entered_by": r.entered_by,
            "kid": r.kid,
            "reason": r.reason,
            "field": r.field,
            "detail": r.detail,
        }
        for r in receipts
    ]
    return _encode(schema, fingerprint, {"receipts": records})


def decode_receipts(value: bytes) -> list[Receipt]:
    """All receipts of one record. Raises NotDecodable."""
    found = []
    for r in _decode_shared("receipts", value)["receipts"]:
        numbers = {name: int.from_bytes(r[name], "little", signed=True) for name in _RECEIPT_NUMBERS}
        source = Source(
            int.from_bytes(r["source_partition"], "little"),
            Offset(int.from_bytes(r["source_offset"], "little", signed=True)),
        )
        found.append(
            Receipt(
                unit=r["unit"],
                line=r["line"],
                form=r["form"],
                period=r["period"],
                entered_by=r["entered_by"],
                revision=Revision(numbers["revision"]),
                kid=r["kid"],
                digest=Digest(r["digest"]),
                source=source,
                outcome=_OUTCOMES[r["outcome"][0]],
                reason=r["reason"],
                field=r["field"],
                detail=r["detail"],
                highest_revision=Revision(numbers["highest_revision"]),
                accepted_at=Millis(numbers["accepted_at"]),
                figures_offset=Offset(numbers["figures_offset"]),
            )
        )
    return found


def encode_act(act: Act) -> bytes:
    """The value of a record of `acts`."""
    body = {name: getattr(act.body, name) for name in act.body.__dataclass_fields__}
    if isinstance(act.body, PrincipalBound):
        body["bindings"] = [_binding_fields(binding) for binding in act.body.bindings]
    if isinstance(act.body, ObligationDecided):
        body["decided"] = act.body.decided.name
    if isinstance(act.body, ReportReturned | ReportApproved):
        body["source_partition"], body["source_offset"] = act.body.source.partition, act.body.source.offset
        del body["source"]
    kind = f"vn.chungsuc.{type(act.body).__name__}"
    schema, fingerprint = record_schema(_act_kinds()[kind])
    return _encode(schema, fingerprint, {"id": act.id, "issued_at": act.issued_at, "body": (kind, body)})


@cache
def act_schemas() -> Mapping[Fingerprint, str]:
    """Names of the schemas of acts, by fingerprint. New kinds of act come in a file of their own, `records/act-N.avsc`.

    So bytes of older kinds never change, and a process that does not know the new ones still reads the others.
    """
    return {record_schema(name)[1]: name for name in _act_schema_names()}


def _act_schema_names() -> list[str]:
    return sorted(path.stem for path in (Path(__file__).parent / "records").glob("act*.avsc"))


@cache
def _act_kinds() -> Mapping[str, str]:
    """The schema that carries each kind of act."""
    return {
        branch["name"]: name
        for name in _act_schema_names()
        for branch in next(f["type"] for f in record_schema(name)[0]["fields"] if f["name"] == "body")
    }


def decode_act(value: bytes) -> Act:
    """One act of any kind. Raises NotDecodable."""
    name = act_schemas().get(found := fingerprint_in(value))
    if name is None:
        raise NotDecodable(f"fingerprint {found.hex()} is not that of an act")
    schema, _ = record_schema(name)
    stream = io.BytesIO(value[PREFIX_BYTES:])
    try:
        record: Any = fastavro.schemaless_reader(stream, schema, None, return_record_name=True)
    except Exception as error:  # as in _decode
        raise NotDecodable(f"not an act: {error or type(error).__name__}") from error
    if stream.tell() != len(value) - PREFIX_BYTES:
        raise NotDecodable("bytes follow the act")
    kind, fields = record["body"]
    return Act(record["id"], Millis(record["issued_at"]), _act_body(kind.rpartition(".")[2], fields))


def _act_body(name: str, fields: Mapping[str, Any]) -> ActBody:
    match name:
        case "KeyRegistered":
            return KeyRegistered(KeyId(fields["kid"]), UnitCode(fields["unit"]), PublicKey(fields["public_key"]))
        case "AttesterRegistered":
            return AttesterRegistered(KeyId(fields["kid"]), UnitCode(fields["unit"]), PublicKey(fields["public_key"]))
        case "KeyRevoked":
            return KeyRevoked(KeyId(fields["kid"]), fields["reason"])
        case "CatalogueReleased":
            return CatalogueReleased(fields["epoch"], fields["serial"], fields["digest"], fields["bundle"])
        case "PrincipalBound":
            return PrincipalBound(PrincipalName(fields["principal"]), tuple(map(_binding, fields["bindings"])))
        case "ObligationDecided":
            return ObligationDecided(
                fields["regime"], UnitCode(fields["unit"]), PeriodText(fields["period"]), Decided[fields["decided"]],
                None if fields["until"] is None else Millis(fields["until"]), UnitCode(fields["by"]), fields["reason"],
            )  # fmt: skip
        case "ReportApproved":
            return ReportApproved(
                Source(fields["source_partition"], Offset(fields["source_offset"])), UnitCode(fields["unit"]),
                fields["approved"], UnitCode(fields["by"]), fields["reason"],
            )  # fmt: skip
        case "PeriodLocked":
            return PeriodLocked(
                FormId(fields["form"]), LineName(fields["line"]), UnitCode(fields["unit"]),
                PeriodText(fields["period"]), fields["locked"], fields["reason"],
            )  # fmt: skip
        case "Attested":
            return Attested(PrincipalName(fields["principal"]), fields["value"])
        case "ReportReturned":
            return ReportReturned(
                Source(fields["source_partition"], Offset(fields["source_offset"])), UnitCode(fields["unit"]),
                None if fields["until"] is None else Millis(fields["until"]), UnitCode(fields["by"]), fields["reason"],
            )  # fmt: skip
    raise NotDecodable(f"unknown kind of act {name}")


def _binding_fields(binding: Binding) -> dict[str, Any]:
    return {
        "unit": binding.unit,
        "role": binding.role.value,
        "forms": list(binding.forms),
        "valid_from": binding.valid_from.isoformat(),
        "valid_to": binding.valid_to.isoformat(),
    }


def _binding(fields: Mapping[str, Any]) -> Binding:
    try:
        days = date.fromisoformat(fields["valid_from"]), date.fromisoformat(fields["valid_to"])
        return Binding(UnitCode(fields["unit"]), Role(fields["role"]), tuple(fields["forms"]), *days)
    except ValueError as error:
        raise NotDecodable(f"not a binding: {error}") from error


def encode_announcement(epoch: int, serial: int, digest: bytes) -> bytes:
    """The value of a control record."""
    schema, fingerprint = record_schema("announcement")
    return _encode(schema, fingerprint, {"epoch": epoch, "serial": serial, "digest": digest})


def decode_announcement(value: bytes) -> tuple[int, int, bytes]:
    """(epoch, serial, digest) of a control record. Raises NotDecodable."""
    record = _decode_shared("announcement", value)
    return record["epoch"], record["serial"], record["digest"]
