"""What can be wrong with a spreadsheet, each with its place and in the reader's language.

Both lists are closed and stand in `docs/sheets.md`; a test holds them together. Invariant: whatever file comes in, all
that is said about it is one `SheetError` (nothing of it can be read) or flaws with a place (a value, not an exception).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from openpyxl.utils import get_column_letter

from producers.errors import ProducerError

Words = tuple[str, str]
"""Vietnamese, English."""


class Trouble(StrEnum):
    """Why a file can't be read at all."""

    TOO_LARGE = "too-large"
    TOO_MANY_CELLS = "too-many-cells"
    NOT_A_SHEET = "not-a-sheet"
    WEB_PAGE = "web-page"
    PROTECTED = "protected"
    MACROS = "macros"
    ENTITIES = "entities"
    DAMAGED = "damaged"
    NO_FORM = "no-form"


class Wrong(StrEnum):
    """What is wrong with a cell, a row or a page."""

    NOT_A_NUMBER = "not-a-number"
    DECIMAL = "decimal"
    PERCENT = "percent"
    A_DATE = "a-date"
    AN_ERROR = "an-error"
    NO_RESULT = "no-result"
    VALUE_MISSING = "value-missing"
    VALUE_RANGE = "value-range"
    UNKNOWN_CODE = "unknown-code"
    DUPLICATE_ROW = "duplicate-row"
    CHECK_FAILED = "check-failed"
    TOTAL_DIFFERS = "total-differs"
    TEXT_TOO_LONG = "text-too-long"
    TOO_MANY_ROWS = "too-many-rows"
    HEADING_MISSING = "heading-missing"
    HEADING_TWICE = "heading-twice"
    UNKNOWN_FORM = "unknown-form"
    OTHER_UNIT = "other-unit"
    PERIOD = "period"
    NIL = "nil"
    TWICE = "twice"
    NOT_TAKEN = "not-taken"


class SheetError(ProducerError):
    """A file that is no spreadsheet of ours to read; one sentence in each language."""

    def __init__(self, trouble: Trouble, vietnamese: str, english: str) -> None:
        super().__init__(english)
        self.trouble = trouble
        self.words: Words = (vietnamese, english)


@dataclass(frozen=True, slots=True)
class Flaw:
    """One thing wrong. `row` and `column` count from 1; 0 where it is about the page. `heading`: the column's."""

    page: str
    row: int
    column: int
    heading: str
    wrong: Wrong
    words: Words

    @property
    def cell(self) -> str:
        """Excel's name of the cell, such as C9; empty where it is about the page."""
        if not self.row:
            return ""
        return f"{get_column_letter(self.column)}{self.row}" if self.column else f"{self.row}:{self.row}"
