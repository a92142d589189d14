"""Terms: numbers that checks and indicators take from figures, said as data.

A term names a form, integer arithmetic over its measures, which rows count and which days. It is read against the
catalogue's forms, so that a term about a measure that no version of the form has never gets as far as a question.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pydantic import Field

from schemas.expression import Arithmetic, ExpressionError
from schemas.form import Form, FormId
from schemas.period import PeriodType
from schemas.toml_file import Name, Part, Text, TomlFile
from schemas.unit import UBND, LineName


class Over(StrEnum):
    """Which days a term covers, where `days` are those asked about."""

    DAYS = "days"
    TO_DATE = "to-date"
    BEFORE = "before"
    WEEK = "week"


@dataclass(frozen=True, slots=True)
class Term:
    """A number of a unit: `value` over the measures of a form, of the rows where each dimension has one of some codes.

    `over`: the days asked about, all up to their last one, all before their first one, or the seven up to the last.
    """

    form: FormId
    value: Arithmetic
    where: Mapping[str, frozenset[str]]
    over: Over
    line: LineName
    period: PeriodType
    dimensions: frozenset[str]
    """Dimensions of the form."""
    optional: bool = False
    """Nothing reported is 0: for forms that not everybody has something to say in."""


class TermPart(Part):
    """A term as a file says it."""

    form: Name
    value: Text
    where: dict[str, list[Text]] = Field(default_factory=dict)
    over: Over = Over.DAYS
    line: Name = str(UBND)
    period: PeriodType | None = None
    optional: bool = False


@dataclass(frozen=True)
class Known:
    """What terms may speak of: forms by name, codes by list, lines."""

    forms: Mapping[FormId, Sequence[Form]]
    codes: Mapping[str, Iterable[str]]
    lines: frozenset[LineName]


def known_forms(forms: Iterable[Form]) -> Mapping[FormId, Sequence[Form]]:
    """Versions by name of the form."""
    found: dict[FormId, list[Form]] = {}
    for form in forms:
        found.setdefault(form.id, []).append(form)
    return found


def read_term(file: TomlFile, part: TermPart, known: Known, *path: str | int) -> Term:
    """A term that the catalogue can answer. Raises TomlError at the line of what it can't."""
    versions = known.forms.get(FormId(part.form))
    if not versions:
        raise file.error(f"no form {part.form} in the catalogue", *path, "form")
    if part.line not in known.lines:
        raise file.error(f"no line {part.line}; there are {', '.join(sorted(known.lines))}", *path, "line")
    value = arithmetic(file, part.value, *path, "value")
    measures = {measure.name for form in versions for measure in form.measures}
    if unknown := sorted(value.names - measures):
        raise file.error(f"form {part.form} has no measure {', '.join(unknown)}", *path, "value")
    dimensions = {one.name: one.code_list for form in versions for one in form.dimensions}
    for name, codes in part.where.items():
        if name not in dimensions:
            raise file.error(f"form {part.form} has no dimension {name}", *path, "where")
        if unknown := sorted({*codes} - {*known.codes[dimensions[name]]}):
            raise file.error(f"no code {', '.join(unknown)} in the list {dimensions[name]}", *path, "where")
    period = part.period or versions[-1].periods[0]
    if period not in {of for form in versions for of in form.periods}:
        raise file.error(f"form {part.form} is not reported by {period}", *path, "period")
    return Term(
        FormId(part.form),
        value,
        {name: frozenset(codes) for name, codes in part.where.items()},
        part.over,
        LineName(part.line),
        period,
        frozenset(dimensions),
        part.optional,
    )


def arithmetic(file: TomlFile, text: str, *path: str | int, constants: frozenset[str] = frozenset()) -> Arithmetic:
    """Integer arithmetic. Raises TomlError at its line."""
    try:
        return Arithmetic(text, constants)
    except ExpressionError as error:
        raise file.error(str(error), *path) from error
