"""Forms: official tables as annotated Avro schemas.

A form is dimensions (what a row is about) times measures (integer columns). Everything the system knows about one comes
from its `.avsc` file; no code knows a form by name. What a measure means when it is added up stands beside it, so that
nothing is added that must not be (design decision 4).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any, NewType

from schemas.expression import Expression
from schemas.period import PeriodType

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
    """A form's file that can't be used; the message begins with the line, where there is one, and names the field."""


@dataclass(frozen=True, slots=True)
class Dimension:
    """A column that says what a row is about; its values are codes of `code_list`.

    `overlapping`: one thing may be counted under several codes (a person in two groups), so rows never add up.
    """

    name: str
    code_list: str
    label_vi: str
    label_en: str
    overlapping: bool = False
    source: str = ""


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
    source: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A text that a report of the form may carry beside its figures, or must where it is `required`.

    NĐ 09/2019/NĐ-CP asks for results, difficulties, causes and proposals. Texts travel with the report, never added up.
    `max_letters` counts characters.
    """

    name: str
    label_vi: str
    label_en: str
    required: bool
    max_letters: int


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

    `periods`: the types of period that it may report, at least one; the first is its usual one. `sections` empty: any
    text is taken, for forms of others that say nothing about it.
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
    sections: tuple[Section, ...]
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

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all columns of a row, in the form's order."""
        return (*(dimension.name for dimension in self.dimensions), *(measure.name for measure in self.measures))

    @property
    def overlapping(self) -> bool:
        """Whether rows of one table may count the same thing twice."""
        return any(dimension.overlapping for dimension in self.dimensions)

    @property
    def substance(self) -> tuple[object, ...]:
        """What figures and admission depend on; labels, sources and texts of messages may change without harm."""
        return (
            self.id,
            self.version,
            self.fingerprint,
            self.valid_from,
            self.valid_to,
            self.max_rows,
            self.max_total_rows,
            tuple((d.name, d.code_list, d.overlapping) for d in self.dimensions),
            tuple((m.name, m.unit, m.across_units, m.over_time, m.optional, m.minimum) for m in self.measures),
            tuple((c.id, c.over_table, c.level, c.rule.text) for c in self.checks),
        )
