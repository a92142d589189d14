"""Refusals: everything the gateway says no to, as problem details (RFC 9457) in Vietnamese or English.

The list is closed and stands in `docs/gateway.md`; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from schemas.rejection import Reason, Rejection
from schemas.sentences import SENTENCES, sentence_en, sentence_vi

MEDIA_TYPE = "application/problem+json"
URN = "urn:chungsuc:problem:"
Words = tuple[str, str]
"""Vietnamese, English."""


class Language(StrEnum):
    """What the gateway speaks."""

    VIETNAMESE = "vi"
    ENGLISH = "en"


class Slug(StrEnum):
    """Closed list of the kinds of problem: the last part of `type`."""

    BAD_REQUEST = "bad-request"
    IDEMPOTENCY_KEY_MISSING = "idempotency-key-missing"
    NOT_LOGGED_IN = "not-logged-in"
    NOT_ALLOWED = "not-allowed"
    NOT_FOUND = "not-found"
    METHOD_NOT_ALLOWED = "method-not-allowed"
    NOT_ACCEPTABLE = "not-acceptable"
    REQUEST_IN_FLIGHT = "request-in-flight"
    REVISION_TAKEN = "revision-taken"
    PERIOD_LOCKED = "period-locked"
    OTHER_REVISION = "other-revision"
    TOO_LARGE = "too-large"
    UNSUPPORTED_TYPE = "unsupported-type"
    REPORT_INVALID = "report-invalid"
    SHEET_UNREADABLE = "sheet-unreadable"
    SHEET_INVALID = "sheet-invalid"
    IDEMPOTENCY_KEY_REUSED = "idempotency-key-reused"
    TOO_MANY_REQUESTS = "too-many-requests"
    BUG = "bug"
    AWAY = "away"


PROBLEMS: Mapping[Slug, tuple[int, Words]] = {
    Slug.BAD_REQUEST: (400, ("Yêu cầu không hợp lệ", "The request can't be read")),
    Slug.IDEMPOTENCY_KEY_MISSING: (400, ("Thiếu tiêu đề Idempotency-Key", "The header Idempotency-Key is missing")),
    Slug.NOT_LOGGED_IN: (401, ("Chưa đăng nhập", "Not logged in")),
    Slug.NOT_ALLOWED: (403, ("Tài khoản không có quyền này", "This account may not do that")),
    Slug.NOT_FOUND: (404, ("Không tìm thấy", "Not found")),
    Slug.METHOD_NOT_ALLOWED: (405, ("Không dùng được phương thức này ở đây", "This method is not for this address")),
    Slug.NOT_ACCEPTABLE: (406, ("Không có dạng trả lời được yêu cầu", "No answer of the wanted type")),
    Slug.REQUEST_IN_FLIGHT: (409, ("Yêu cầu này đang được xử lý", "This request is being worked on")),
    Slug.REVISION_TAKEN: (409, ("Lần gửi này đã có nội dung khác", "This revision has other content already")),
    Slug.PERIOD_LOCKED: (409, ("Kỳ báo cáo đã khóa", "The period is locked")),
    Slug.OTHER_REVISION: (412, ("Báo cáo đã có bản mới hơn", "The report has another revision by now")),
    Slug.TOO_LARGE: (413, ("Nội dung gửi quá lớn", "What was sent is too large")),
    Slug.UNSUPPORTED_TYPE: (415, ("Không đọc được kiểu dữ liệu này", "This type of content is not read here")),
    Slug.REPORT_INVALID: (422, ("Báo cáo không hợp lệ", "The report is not valid")),
    Slug.SHEET_UNREADABLE: (422, ("Không đọc được bảng tính", "The spreadsheet can't be read")),
    Slug.SHEET_INVALID: (422, ("Bảng tính có chỗ sai", "The spreadsheet has flaws")),
    Slug.IDEMPOTENCY_KEY_REUSED: (
        422,
        ("Idempotency-Key đã dùng cho nội dung khác", "The Idempotency-Key was used for other content"),
    ),
    Slug.TOO_MANY_REQUESTS: (429, ("Gửi quá nhanh", "Too many requests")),
    Slug.BUG: (500, ("Hệ thống gặp lỗi", "The system failed")),
    Slug.AWAY: (503, ("Hệ thống tạm thời chưa nhận được", "The system can't take this right now")),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong in a report: where (a JSON pointer into it), under which reason of the contract, in words."""

    pointer: str
    reason: Reason
    words: Words


@dataclass(eq=False)
class Refusal(Exception):
    """Ends one request, or one report of a batch. `members` are extension members of the problem."""

    slug: Slug
    words: Words
    faults: Sequence[Fault] = ()
    members: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def status(self) -> int:
        """The HTTP status."""
        return PROBLEMS[self.slug][0]

    def at(self, pointer: str) -> Refusal:
        """The same of a report that stands at a place of a batch."""
        faults = [replace(fault, pointer=f"{pointer}{fault.pointer}") for fault in self.faults]
        return Refusal(self.slug, self.words, faults, self.members, self.headers)

    def problem(self, language: Language, instance: str = "") -> dict[str, Any]:
        """The JSON object that is sent."""
        at = 0 if language is Language.VIETNAMESE else 1
        status, title = PROBLEMS[self.slug]
        said: dict[str, Any] = {
            "type": URN + self.slug.value,
            "title": title[at],
            "status": status,
            "detail": self.words[at],
        }
        if instance:
            said["instance"] = instance
        if self.faults:
            said["errors"] = [
                {"pointer": fault.pointer, "reason": fault.reason.value, "detail": fault.words[at]}
                for fault in self.faults
            ]
        return said | dict(self.members)


def refused(slug: Slug, vietnamese: str, english: str, **headers: str) -> Refusal:
    """A refusal in two sentences."""
    return Refusal(
        slug, (vietnamese, english), headers={name.replace("_", "-"): text for name, text in headers.items()}
    )


def invalid(faults: Sequence[Fault]) -> Refusal:
    """A report with these faults; the first one's sentence is the problem's."""
    return Refusal(Slug.REPORT_INVALID, faults[0].words, faults, {"reason": faults[0].reason.value})


def of_rejection(rejection: Rejection) -> Refusal:
    """What ingest would reject, before it is sent: the same reason, field and sentences."""
    words = (sentence_vi(rejection), sentence_en(rejection))
    fault = Fault(_pointer(rejection), rejection.reason, words)
    if rejection.reason in (Reason.NOT_AUTHORISED, Reason.UNKNOWN_KEY, Reason.KEY_NOT_VALID, Reason.BAD_SIGNATURE):
        return Refusal(Slug.NOT_ALLOWED, words, (fault,), {"reason": rejection.reason.value})
    if rejection.reason is Reason.TOO_LARGE:
        return Refusal(Slug.TOO_LARGE, words, (fault,), {"reason": rejection.reason.value})
    return invalid([fault])


def missing(vietnamese: str, english: str) -> Words:
    """The contract's sentence for a number that is not there, with what it is about."""
    vi, en = SENTENCES[Reason.VALUE_MISSING]
    return f"{vi}: {vietnamese}.", f"{en}: {english}."


def _pointer(rejection: Rejection) -> str:
    in_report = {"unit", "unit_name", "line", "period", "kind", "entered_by", "issued_at", "revision", "rows", "scope"}
    return f"/{rejection.field}" if rejection.field in in_report else ""


def preferred(accept_language: str | None) -> Language:
    """The language that a header wants most among ours; Vietnamese where it says nothing that we speak."""
    best, weight = Language.VIETNAMESE, 0.0
    for part in (accept_language or "").split(","):
        tag, _, parameters = part.strip().partition(";")
        name = tag.strip().lower().partition("-")[0]
        if name not in ("vi", "en"):
            continue
        quality = parameters.replace(" ", "").removeprefix("q=") if parameters else "1"
        try:
            found = float(quality)
        except ValueError:
            continue
        if weight < found <= 1:
            best, weight = Language(name), found
    return best
