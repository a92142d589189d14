"""A request's body: read with a bound, as JSON or Avro, one report or a batch; and the headers that belong to it.

Whatever bytes come, this ends in items or in a Refusal, never in an exception of a parser.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from starlette.requests import Request

from producers.gateway.draft import Item, from_avro, from_json
from producers.gateway.refusal import Refusal, Slug, refused
from schemas.catalogue import Catalogue
from schemas.topics import HEADER_ROOM_BYTES, MAX_REPORT_BYTES, MIB

MOST_REPORTS = 1000
MAX_BODY_BYTES = 16 * MIB
"""Of a batch; one report in Avro may have what a record may."""
AVRO_TYPES = ("application/avro", "application/octet-stream")
JSON_TYPES = ("application/json",)
_EVENT = ("ce-specversion", "ce-type", "ce-source", "ce-id", "ce-time")
_KEY = re.compile(r'"([\x20\x21\x23-\x5b\x5d-\x7e]{1,255})"|([A-Za-z0-9._~:/+=-]{1,255})')
_TAG = re.compile(r'"(\d{1,15})"')
_TRACE = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._~:-]{1,128}")


@dataclass(frozen=True, slots=True)
class Body:
    """What came: the reports, or what is wrong with each, and whether they came as a batch."""

    items: list[Item | Refusal]
    batch: bool
    fingerprint: bytes
    signed: bool


async def read_bytes(request: Request) -> bytes:
    """The whole body. Raises Refusal above the bound, before it is in memory."""
    limit = MAX_REPORT_BYTES + HEADER_ROOM_BYTES if content_type(request) in AVRO_TYPES else MAX_BODY_BYTES
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise refused(
                Slug.TOO_LARGE, f"Nhiều nhất {limit:,} byte một lần gửi.", f"At most {limit:,} bytes a request."
            )
        parts.append(part)
    return b"".join(parts)


def content_type(request: Request) -> str:
    """The media type without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def read_body(content: bytes, kind: str, headers: Mapping[str, str], catalogue: Catalogue, today: date) -> Body:
    """The reports in a body of a media type. Raises Refusal where none can be told apart."""
    if kind in AVRO_TYPES:
        named = _event_headers(headers)
        item = from_avro(content, catalogue, named)
        return Body([item], False, _fingerprint(content, kind, headers), "sig" in named)
    if kind not in JSON_TYPES:
        raise refused(
            Slug.UNSUPPORTED_TYPE,
            "Gửi Content-Type: application/json, hoặc application/avro.",
            "Send Content-Type: application/json, or application/avro.",
        )
    raw = read_json(content)
    listed = raw.get("reports") if isinstance(raw, dict) and "reports" in raw else None
    if listed is None:
        item = from_json(raw, catalogue, today)
        return Body([item], False, _fingerprint(content, kind, headers), "value" in _as_object(raw))
    if not isinstance(listed, list) or set(_as_object(raw)) != {"reports"} or not 1 <= len(listed) <= MOST_REPORTS:
        raise refused(
            Slug.BAD_REQUEST,
            f'Một lô là {{"reports": […]}} với 1 đến {MOST_REPORTS} báo cáo.',
            f'A batch is {{"reports": […]}} with 1 to {MOST_REPORTS} reports.',
        )
    items: list[Item | Refusal] = []
    for at, one in enumerate(listed):
        try:
            items.append(from_json(one, catalogue, today))
        except Refusal as refusal:
            items.append(refusal.at(f"/reports/{at}"))
    signed = all(isinstance(one, dict) and "value" in one for one in listed)
    return Body(items, True, _fingerprint(content, kind, headers), signed)


def read_json(content: bytes) -> Any:
    """A JSON value whose texts can be written again as UTF-8. Raises Refusal."""
    try:
        found = json.loads(content, parse_constant=_no_number)
        json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        words = str(error)[:200] or type(error).__name__
        raise refused(Slug.BAD_REQUEST, f"Không phải JSON: {words}.", f"Not JSON: {words}.") from error
    return found


def idempotency_key(header: str | None) -> str | None:
    """The key in the header Idempotency-Key: a quoted string, or a bare word. Raises Refusal for anything else."""
    if header is None:
        return None
    match = _KEY.fullmatch(header.strip())
    if match is None:
        raise refused(
            Slug.BAD_REQUEST,
            "Idempotency-Key là một chuỗi trong dấu ngoặc kép, dài 1 đến 255 ký tự.",
            "Idempotency-Key is a quoted string of 1 to 255 characters.",
        )
    return match[1] or match[2]


def expected_revision(headers: Mapping[str, str]) -> int | None:
    """The revision that the author has seen, by If-Match or `If-None-Match: *`. Raises Refusal."""
    if_match, if_none_match = headers.get("if-match"), headers.get("if-none-match")
    if if_none_match is not None and if_none_match.strip() == "*" and if_match is None:
        return 0
    if if_none_match is not None or if_match is None:
        if if_none_match is None:
            return None
        raise refused(Slug.BAD_REQUEST, "If-None-Match chỉ nhận *.", "If-None-Match takes * only, without If-Match.")
    tag = _TAG.fullmatch(if_match.strip())
    if tag is None:
        raise refused(
            Slug.BAD_REQUEST, 'If-Match là số lần gửi đã xem, như "3".', 'If-Match is the revision seen, such as "3".'
        )
    return int(tag[1])


def traceparent(header: str | None) -> str | None:
    """The caller's trace, where it is one (W3C Trace Context); anything else is not passed on."""
    return header if header is not None and _TRACE.fullmatch(header) else None


def request_id(header: str | None) -> str | None:
    """The caller's own name for the request, where it is short and plain."""
    return header if header is not None and _REQUEST_ID.fullmatch(header) else None


def _event_headers(headers: Mapping[str, str]) -> dict[str, bytes]:
    """The Kafka headers of a signed report, from CloudEvents' HTTP binding; empty for one without signature."""
    if "sig" not in headers:
        return {}
    try:
        signature = base64.b64decode(headers["sig"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise refused(Slug.BAD_REQUEST, "Tiêu đề sig phải là base64.", "The header sig must be base64.") from error
    named = {name.replace("-", "_", 1): headers[name].encode() for name in _EVENT if name in headers}
    return {**named, "content-type": b"application/avro", "kid": headers.get("kid", "").encode(), "sig": signature}


def _fingerprint(content: bytes, kind: str, headers: Mapping[str, str]) -> bytes:
    """What makes a request the same request: body, type, and the headers that change its meaning."""
    digest = hashlib.sha256(content)
    for name in (*_EVENT, "kid", "sig", "if-match", "if-none-match"):
        digest.update(f"\n{name}:{headers.get(name, '')}".encode())
    digest.update(f"\n{kind}".encode())
    return digest.digest()


def fingerprint_of(reports: Sequence[Mapping[str, Any]]) -> bytes:
    """What makes the reports of a page the same ones."""
    return hashlib.sha256(json.dumps(list(reports), sort_keys=True, ensure_ascii=False).encode()).digest()


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number of JSON")


def _as_object(raw: object) -> Mapping[str, object]:
    return raw if isinstance(raw, dict) else {}
