"""A form as its page shows it: rows of cells with label, unit, what was typed, what is wrong; sections of text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from producers.entry.difference import row_label
from producers.entry.typed import Fault, Judged, Typed, codes_of, is_fixed
from producers.gateway.refusal import Language
from schemas import words
from schemas.catalogue import Catalogue
from schemas.expression import Arithmetic, Tree
from schemas.form import AcrossUnits, Form, Measure


@dataclass(frozen=True, slots=True)
class Choice:
    """A cell of a dimension, where rows are chosen: its codes with labels."""

    field: str
    label: str
    code: str
    codes: Sequence[tuple[str, str]]
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Number:
    """A cell of a measure. `computed`: what the form says it must be, by the other cells of its row."""

    field: str
    label: str
    unit: str
    text: str
    optional: bool
    negative: bool
    computed: str
    equation: bool
    faults: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SheetRow:
    """One row. `name` is empty where its codes are chosen; `codes` are hidden fields where they are not."""

    at: int
    name: str
    codes: Sequence[tuple[str, str]]
    choices: Sequence[Choice]
    numbers: Sequence[Number]


@dataclass(frozen=True, slots=True)
class Text:
    """A section of text."""

    field: str
    label: str
    text: str
    required: bool
    max_letters: int
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """A check for the page's script: the rule as a tree, and its sentence with the columns' names in braces."""

    tree: Tree
    over_table: bool
    refuses: bool
    said: str
    beside: str
    computes: Tree | None


@dataclass(frozen=True, slots=True)
class Sheet:
    """The whole page of a form."""

    rows: Sequence[SheetRow]
    texts: Sequence[Text]
    totals: Sequence[tuple[str, str, str, str]]
    """Name, label, unit and sum of each column that adds up over rows."""
    summary: Sequence[tuple[str, str]]
    """Field (empty: none) and sentence of everything wrong, for the list at the top."""
    warnings: Sequence[tuple[str, str]]
    rules: Sequence[Rule]
    more_rows: bool


class SheetMaker:
    """Makes sheets of one form, for one day and language."""

    def __init__(self, form: Form, catalogue: Catalogue, day: date, language: Language) -> None:
        self._form = form
        self._catalogue = catalogue
        self._day = day
        self._at = 0 if language is Language.VIETNAMESE else 1
        self._computed: dict[str, Arithmetic] = dict(
            check.rule.equation for check in form.checks if not check.over_table and check.rule.equation is not None
        )

    def sheet(self, typed: Typed, judged: Judged | None = None) -> Sheet:
        """The sheet of what was typed, with what is wrong where it was judged."""
        faults = judged.faults if judged else ()
        warnings = judged.warnings if judged else ()
        fixed = is_fixed(self._form, self._catalogue, self._day)
        rows = [self._row(at, texts, faults, warnings, fixed=fixed) for at, texts in enumerate(typed.rows)]
        return Sheet(
            rows, [self._text(typed, section.name, faults) for section in self._form.sections], self._totals(typed),
            [self._line(fault, typed) for fault in faults], [self._line(warning, typed) for warning in warnings],
            self._rules(), more_rows=not fixed,
        )  # fmt: skip

    def _line(self, fault: Fault, typed: Typed) -> tuple[str, str]:
        """A sentence for the list at the top, which says where."""
        where = ""
        row, _, column = fault.field.partition(".")
        if row.startswith("r") and row[1:].isdigit():
            labels = {one.name: (one.label_vi, one.label_en) for one in self._form.measures}
            labels |= {one.name: (one.label_vi, one.label_en) for one in self._form.dimensions}
            row_name = self._name(typed.rows[int(row[1:])], int(row[1:]))
            where = f"{row_name}, {labels[column][self._at]}: " if column in labels else ""
        return fault.field, where + fault.words[self._at]

    def _name(self, texts: dict[str, str], at: int) -> str:
        key = tuple(texts[dimension.name] for dimension in self._form.dimensions)
        return row_label(self._form, self._catalogue, key, vietnamese=self._at == 0) or (
            f"Dòng {at + 1}" if self._at == 0 else f"Row {at + 1}"
        )

    def _row(
        self, at: int, texts: dict[str, str], faults: Sequence[Fault], warnings: Sequence[Fault], *, fixed: bool
    ) -> SheetRow:
        choices = [] if fixed else [
            Choice(
                f"r{at}.{one.name}", (one.label_vi, one.label_en)[self._at], texts[one.name],
                [(code, self._label(one.code_list, code)) for code in self._codes(one.name, texts[one.name])],
                self._said(f"r{at}.{one.name}", faults),
            )
            for one in self._form.dimensions
        ]  # fmt: skip
        codes = [(f"r{at}.{one.name}", texts[one.name]) for one in self._form.dimensions] if fixed else []
        numbers = [self._number(at, measure, texts, faults, warnings) for measure in self._form.measures]
        whole = fixed or all(texts[one.name] for one in self._form.dimensions)
        return SheetRow(at, self._name(texts, at) if whole else "", codes, choices, numbers)

    def _codes(self, name: str, chosen: str) -> list[str]:
        dimension = next(one for one in self._form.dimensions if one.name == name)
        found = codes_of(dimension, self._catalogue, self._day)
        known = chosen in self._catalogue.codes[dimension.code_list]
        return [*found, chosen] if known and chosen not in found else found

    def _label(self, code_list: str, code: str) -> str:
        entry = self._catalogue.codes[code_list][code]
        return (entry.label_vi, entry.label_en)[self._at]

    def _number(
        self, at: int, measure: Measure, texts: dict[str, str], faults: Sequence[Fault], warnings: Sequence[Fault]
    ) -> Number:
        field = f"r{at}.{measure.name}"
        unit = words.unit_of_measure(measure.unit) if self._at == 0 else measure.unit
        return Number(
            field, (measure.label_vi, measure.label_en)[self._at], unit, texts[measure.name], measure.optional,
            measure.minimum is None or measure.minimum < 0, self._result(measure.name, texts),
            measure.name in self._computed, self._said(field, faults), self._said(field, warnings),
        )  # fmt: skip

    def _result(self, name: str, texts: dict[str, str]) -> str:
        arithmetic = self._computed.get(name)
        if arithmetic is None or not all(texts[one].isdigit() and len(texts[one]) < 15 for one in arithmetic.names):
            return ""
        return words.number(arithmetic({one: int(texts[one]) for one in arithmetic.names}))

    def _said(self, field: str, faults: Sequence[Fault]) -> tuple[str, ...]:
        return tuple(fault.words[self._at] for fault in faults if fault.field == field)

    def _text(self, typed: Typed, name: str, faults: Sequence[Fault]) -> Text:
        section = next(one for one in self._form.sections if one.name == name)
        return Text(
            f"n.{name}", (section.label_vi, section.label_en)[self._at], typed.narrative.get(name, ""),
            section.required, section.max_letters, self._said(f"n.{name}", faults),
        )  # fmt: skip

    def _totals(self, typed: Typed) -> list[tuple[str, str, str, str]]:
        if len(typed.rows) < 2 or self._form.overlapping:
            return []
        found = []
        for measure in self._form.measures:
            if measure.across_units is AcrossUnits.SUM:
                numbers = [int(row[measure.name]) for row in typed.rows if row[measure.name].isdigit()]
                unit = words.unit_of_measure(measure.unit) if self._at == 0 else measure.unit
                label = (measure.label_vi, measure.label_en)[self._at]
                found.append((measure.name, label, unit, words.number(sum(numbers)) if numbers else ""))
        return found

    def _rules(self) -> list[Rule]:
        first = {check.id: next((m.name for m in self._form.measures if m.name in check.rule.names), "")
                 for check in self._form.checks}  # fmt: skip
        return [
            Rule(
                check.rule.tree, check.over_table, check.level.value == "reject",
                (check.message_vi, check.message_en)[self._at] + ".", first[check.id],
                None if check.over_table or check.rule.equation is None else check.rule.equation[1].tree,
            )
            for check in self._form.checks
        ]  # fmt: skip
