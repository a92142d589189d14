"""Checks across forms, levels, units and days: data that asks figures a question and refuses nothing.

What one report must satisfy by itself stands in its form and can keep it out (`schemas/admission.py`). What needs other
reports is a finding (design decision 16): the numbers stand, somebody should look. Each check is a table of
`checks/*.toml`, in a closed grammar; it is read against the catalogue, so a check about nothing is refused at start.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from schemas.expression import Arithmetic
from schemas.form import FormId
from schemas.term import Known, Term, TermPart, arithmetic, read_term
from schemas.toml_file import Name, Part, Text, TomlFile, Word

FOLDER = "checks/"


class CheckKind(StrEnum):
    """Closed list of what a check looks at."""

    COMPARE = "compare"
    CLAIM = "claim"
    SAME_TABLE = "same-table"
    TWO_SENDERS = "two-senders"
    JUMP = "jump"
    OUTLIER = "outlier"


class At(StrEnum):
    """Whose numbers are compared: what each unit reported itself, or totals of all levels."""

    REPORT = "report"
    TOTAL = "total"


class Every(StrEnum):
    """Whether each period of the first term is compared by itself, or all days asked about at once."""

    PERIOD = "period"
    DAYS = "days"


class Comparison(StrEnum):
    """What must hold between value and expectation."""

    EQUAL = "=="
    AT_MOST = "<="
    AT_LEAST = ">="

    def holds(self, value: int, expected: int) -> bool:
        """Whether it does."""
        return {"==": value == expected, "<=": value <= expected, ">=": value >= expected}[self.value]


@dataclass(frozen=True, slots=True)
class CrossCheck:
    """One check. Of the fields after `forms` those of its kind are used.

    `value` and `expected` are arithmetic over names of terms (and `rate`, the number of `rates` for the row's code of
    `rates_by`); `by` are dimensions, each combination of which is compared by itself. `least`: what is smaller is not
    looked at. `days`, `fewest`, `threshold`: how far back, how many values at least, and how many robust standard
    deviations from their median make a value stand out; `skip_zero`: days with nothing are no days.
    """

    id: str
    kind: CheckKind
    label_vi: str
    label_en: str
    message_vi: str
    message_en: str
    source: str
    forms: tuple[FormId, ...]
    terms: Mapping[str, Term] = field(default_factory=dict)
    value: Arithmetic | None = None
    comparison: Comparison = Comparison.EQUAL
    expected: Arithmetic | None = None
    by: tuple[str, ...] = ()
    at: At = At.REPORT
    every: Every = Every.PERIOD
    rates_by: str = ""
    rates: Mapping[str, int] = field(default_factory=dict)
    least: int = 0
    days: int = 28
    fewest: int = 7
    threshold: float = 3.5
    skip_zero: bool = False


class _CheckPart(Part):
    id: Name
    kind: CheckKind
    label_vi: Text
    label_en: Text
    message_vi: Text
    message_en: Text
    source: Text
    terms: dict[Word, TermPart] = Field(default_factory=dict)
    value: str = ""
    compare: Comparison = Comparison.EQUAL
    expected: str = ""
    by: list[Word] = Field(default_factory=list)
    at: At = At.REPORT
    every: Every = Every.PERIOD
    rates_by: str = ""
    rates: str = ""
    forms: list[Name] = Field(default_factory=list)
    least: Annotated[int, Field(ge=0, strict=True)] = 0
    days: Annotated[int, Field(ge=2, le=366, strict=True)] = 28
    fewest: Annotated[int, Field(ge=3, le=366, strict=True)] = 7
    threshold: Annotated[float, Field(gt=0)] = 3.5
    skip_zero: bool = False


class _ChecksFile(Part):
    check: list[_CheckPart]
    rates: dict[Name, dict[str, Annotated[int, Field(ge=1, strict=True)]]] = Field(default_factory=dict)


_SPOKEN = {
    CheckKind.COMPARE: frozenset({"value", "expected", "difference"}),
    CheckKind.CLAIM: frozenset({"measure", "value", "expected", "difference"}),
    CheckKind.SAME_TABLE: frozenset({"others", "value"}),
    CheckKind.TWO_SENDERS: frozenset({"measure", "value", "expected", "entered_by"}),
    CheckKind.JUMP: frozenset({"value", "expected", "spread"}),
    CheckKind.OUTLIER: frozenset({"value", "expected", "spread"}),
}
_EVERYWHERE = frozenset({"unit", "form", "period", "row"})
_NEEDED = frozenset({"value", "expected"})


def read_checks(files: Mapping[str, bytes], known: Known) -> tuple[CrossCheck, ...]:
    """All checks of a catalogue, by id. Raises TomlError at the line of the first thing that does not fit."""
    found: dict[str, CrossCheck] = {}
    for name, content in files.items():
        if name.startswith(FOLDER):
            file = TomlFile(name, content)
            content_read = file.read(_ChecksFile)
            for number, part in enumerate(content_read.check):
                if part.id in found:
                    raise file.error(f"check {part.id} is there twice", "check", number, "id")
                found[part.id] = _Reading(file, part, known, number, content_read.rates).check()
    return tuple(found[name] for name in sorted(found))


class _Reading:
    """One check on its way in."""

    def __init__(
        self, file: TomlFile, part: _CheckPart, known: Known, number: int, rates: Mapping[str, Mapping[str, int]]
    ) -> None:
        self._file = file
        self._rates = rates
        self._part = part
        self._known = known
        self._path = ("check", number)

    def check(self) -> CrossCheck:
        """The check. Raises TomlError."""
        part, path = self._part, self._path
        terms = {
            name: read_term(self._file, term, self._known, *path, "terms", name) for name, term in part.terms.items()
        }
        for name in part.forms:
            if FormId(name) not in self._known.forms:
                raise self._file.error(f"no form {name} in the catalogue", *path, "forms")
        constants = frozenset({"rate"}) if part.rates else frozenset[str]()
        value = expected = None
        if part.kind is CheckKind.COMPARE:
            value = self._over_terms("value", part.value, constants)
            expected = self._over_terms("expected", part.expected, constants)
            self._check_grouping(terms)
        elif part.kind in (CheckKind.JUMP, CheckKind.OUTLIER):
            if len(terms) != 1:
                raise self._file.error(f"a {part.kind} looks at exactly one term", *path, "terms")
        elif terms:
            raise self._file.error(f"a {part.kind} has no terms", *path, "terms")
        self._check_messages(frozenset(terms) | constants)
        return CrossCheck(
            part.id, part.kind, part.label_vi, part.label_en, part.message_vi, part.message_en, part.source,
            tuple(FormId(name) for name in part.forms), terms, value, part.compare, expected, tuple(part.by), part.at,
            part.every, part.rates_by, self._rates.get(part.rates, {}), part.least, part.days, part.fewest,
            part.threshold, part.skip_zero,
        )  # fmt: skip

    def _over_terms(self, key: str, text: str, constants: frozenset[str]) -> Arithmetic:
        if not text:
            raise self._file.error(f"{key} is missing", *self._path)
        found = arithmetic(self._file, text, *self._path, key, constants=constants)
        if unknown := sorted(found.names - {*self._part.terms} - constants):
            raise self._file.error(f"{key} names no term {', '.join(unknown)}", *self._path, key)
        return found

    def _check_grouping(self, terms: Mapping[str, Term]) -> None:
        part, path = self._part, self._path
        for name in part.by:
            for term_name, term in terms.items():
                if name not in term.dimensions:
                    raise self._file.error(f"form {term.form} of {term_name} has no dimension {name}", *path, "by")
        if bool(part.rates) != bool(part.rates_by) or (part.rates_by and part.rates_by not in part.by):
            raise self._file.error("rates need rates_by, one of the dimensions in by", *path, "rates")
        if part.rates and part.rates not in self._rates:
            raise self._file.error(f"no rates {part.rates} in this file", *path, "rates")
        if part.rates:
            form = self._known.forms[next(iter(terms.values())).form]
            lists = {d.code_list for version in form for d in version.dimensions if d.name == part.rates_by}
            codes = {code for name in lists for code in self._known.codes[name]}
            if unknown := sorted({*self._rates[part.rates]} - codes):
                raise self._file.error(
                    f"no code {unknown[0]} in the list {', '.join(lists)}", "rates", part.rates, unknown[0]
                )

    def _check_messages(self, terms: Iterable[str]) -> None:
        may = _SPOKEN[self._part.kind] | _EVERYWHERE | {*terms}
        for key, message in (("message_vi", self._part.message_vi), ("message_en", self._part.message_en)):
            try:
                named = {name for _, name, _, _ in string.Formatter().parse(message) if name is not None}
            except ValueError as error:
                raise self._file.error(f"{message!r}: {error}", *self._path, key) from error
            if unknown := sorted(named - may):
                raise self._file.error(f"{{{unknown[0]}}} stands for nothing here", *self._path, key)
            if missing := sorted(_NEEDED & _SPOKEN[self._part.kind] - named):
                raise self._file.error(f"says nothing about {{{missing[0]}}}", *self._path, key)
