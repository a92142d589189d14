"""Why a report is not counted: the closed list of reasons (contract 3) and the value that names one with its place."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from schemas.report import Report


class Reason(StrEnum):
    """Why a report is rejected, in the order tested. The list is closed."""

    TOO_LARGE = "too_large"
    NOT_DECODABLE = "not_decodable"
    UNKNOWN_FORM = "unknown_form"
    HEADER_INVALID = "header_invalid"
    UNKNOWN_UNIT = "unknown_unit"
    STALE_NAME = "stale_name"
    WRONG_KEY = "wrong_key"
    WRONG_PARTITION = "wrong_partition"
    UNKNOWN_KEY = "unknown_key"
    KEY_NOT_VALID = "key_not_valid"
    BAD_SIGNATURE = "bad_signature"
    NOT_AUTHORISED = "not_authorised"
    FORM_NOT_IN_FORCE = "form_not_in_force"
    PERIOD_INVALID = "period_invalid"
    PERIOD_FUTURE = "period_future"
    KIND_ROWS = "kind_rows"
    TOO_MANY_ROWS = "too_many_rows"
    DUPLICATE_ROW = "duplicate_row"
    UNKNOWN_CODE = "unknown_code"
    VALUE_MISSING = "value_missing"
    VALUE_RANGE = "value_range"
    CHECK_FAILED = "check_failed"
    INTERNAL_ERROR = "internal_error"


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a report is not counted: reason, field, the value found and what was expected."""

    reason: Reason
    field: str
    value: str
    expected: str
    report: Report | None = None
    message_vi: str = ""
    message_en: str = ""
    expected_vi: str = ""
    """`expected` in Vietnamese; empty where it is a code or a name."""


_SHOWN_LETTERS = 200
"""Texts of a record reach a rejection cut to this: uncut they would burst the headers that carry it."""


Words = tuple[str, str]
"""Vietnamese, English."""


class Refused(Exception):
    """Ends the judgment of one report within admission; `decide` turns it into its value."""

    def __init__(
        self, reason: Reason, field: str, value: object, expected: str | Words, messages: Words = ("", "")
    ) -> None:
        vietnamese, english = (expected, expected) if isinstance(expected, str) else expected
        cut = slice(_SHOWN_LETTERS)
        self._parts = (reason, field, str(value)[cut], english[cut])
        self._vietnamese = vietnamese[cut]
        self._messages = messages

    def rejection(self, report: Report | None) -> Rejection:
        """The value: with the report as far as it could be read."""
        return Rejection(*self._parts, report, *self._messages, expected_vi=self._vietnamese)
