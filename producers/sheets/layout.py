"""Where everything of a form stands on its sheet: in the official order where one is prescribed, else in the form's.

What is prescribed is data (`official.toml`); no code knows a form by name.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any

from openpyxl.utils import get_column_letter

from schemas.form import Dimension, Form, Measure


class Role(StrEnum):
    """What a column is for that is none of the form's."""

    NUMBER = "number"
    PLACE = "place"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a sheet; `of` is the form's dimension or measure, or a role of the layout. `at` counts from 1."""

    at: int
    heading: str
    of: Dimension | Measure | Role

    @property
    def letter(self) -> str:
        """Excel's name of the column."""
        return str(get_column_letter(self.at))

    @property
    def parts(self) -> tuple[str, str]:
        """Group and own part of the heading; the group is empty where it stands alone."""
        group, _, leaf = self.heading.rpartition(": ")
        return group, leaf


@dataclass(frozen=True, slots=True)
class Layout:
    """A form's sheet. Rows count from 1: heading rows, the row of totals, then the rows to fill in."""

    form: Form
    annex: str
    title: str
    lines: tuple[str, ...]
    columns: tuple[Column, ...]
    heading: int
    grouped: bool

    @property
    def total(self) -> int:
        """The row of totals; 0 where rows don't add up, or nothing could be told to be one."""
        adds = not self.form.overlapping and self.form.max_rows > 1 and not isinstance(self.columns[0].of, Measure)
        return self._below if adds else 0

    @property
    def first(self) -> int:
        """The first row to fill in."""
        return self.total + 1 if self.total else self._below

    @property
    def last(self) -> int:
        """The last row to fill in."""
        return self.first + self.form.max_rows - 1

    @property
    def _below(self) -> int:
        return self.heading + (2 if self.grouped else 1)

    def letter(self, name: str) -> str:
        """The column of a dimension or measure of the form."""
        return next(
            column.letter for column in self.columns if not isinstance(column.of, Role) and column.of.name == name
        )


_ABOUT_ROWS = 5
"""Title, basis, unit, form and period, help: what stands above every table."""


def layout_of(form: Form) -> Layout:
    """The layout of one version of a form."""
    official = _official().get(form.id, {})
    before, after = (_roles(official.get(side, ())) for side in ("before", "after"))
    listed: list[tuple[str, Dimension | Measure | Role]] = [
        *before, *((d.label_vi, d) for d in form.dimensions), *((m.label_vi, m) for m in form.measures), *after,
    ]  # fmt: skip
    columns = tuple(Column(at, heading, of) for at, (heading, of) in enumerate(listed, 1))
    lines = tuple(official.get("lines", ()))
    return Layout(
        form,
        official.get("annex", ""),
        official.get("title", form.label_vi),
        lines,
        columns,
        _ABOUT_ROWS + len(lines) + 1,
        any(column.parts[0] for column in columns),
    )


def _roles(listed: Sequence[Mapping[str, str]]) -> list[tuple[str, Role]]:
    return [(one["heading"], Role(one["role"])) for one in listed]


@lru_cache(maxsize=1)
def _official() -> Mapping[str, Mapping[str, Any]]:
    text = Path(__file__).with_name("official.toml").read_text(encoding="utf-8")
    return {layout["form"]: layout for layout in tomllib.loads(text)["layout"]}
