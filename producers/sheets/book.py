"""A workbook as read, whatever program made it: pages of cells, each a plain value that says where it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

Value = str | int | float | bool | datetime | date | time | timedelta
Place = tuple[int, int]
"""Row and column, both from 1."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a cell holds. `formula`: `value` is the text of a formula that has no result; `error`: an error's name."""

    value: Value
    percent: bool = False
    formula: bool = False
    error: bool = False


@dataclass(frozen=True, slots=True)
class Area:
    """Merged cells, inclusive; the value stands in the first."""

    top: int
    left: int
    bottom: int
    right: int


@dataclass(frozen=True, slots=True)
class Page:
    """One sheet: its filled cells only. Texts are Unicode (NFC)."""

    name: str
    hidden: bool
    cells: Mapping[Place, Found]
    merged: tuple[Area, ...] = ()

    @property
    def last_row(self) -> int:
        """The last row with anything in it; 0 for an empty page."""
        return max((row for row, _ in self.cells), default=0)

    @property
    def last_column(self) -> int:
        """The last column with anything in it; 0 for an empty page."""
        return max((column for _, column in self.cells), default=0)

    def text(self, row: int, column: int) -> str:
        """A cell as people read it, without spaces around; empty for none."""
        found = self.cells.get((row, column))
        return "" if found is None else " ".join(str(found.value).split())


@dataclass(frozen=True, slots=True)
class Book:
    """The pages of a file. `kind`: xlsx, xls or csv; `converted`: the old encoding its texts were in, or empty."""

    kind: str
    pages: tuple[Page, ...]
    converted: str = ""
