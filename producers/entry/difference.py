"""What a correction changes: cell by cell, before and after, with the rows named as people name them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from schemas import words
from schemas.catalogue import Catalogue
from schemas.form import Form
from schemas.report import Cell

Key = tuple[str, ...]
_NONE = "–"


@dataclass(frozen=True, slots=True)
class Content:
    """A report's content: rows by their dimensions, and texts. `texts` None: not known here."""

    rows: Mapping[Key, Mapping[str, Cell]]
    texts: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One cell or text that differs. `row` is empty for a text."""

    row: str
    column: str
    before: str
    after: str


def content_of(form: Form, rows: Sequence[Mapping[str, Cell]], texts: Mapping[str, str] | None = None) -> Content:
    """Rows as a report has them, by dimensions."""
    names = [dimension.name for dimension in form.dimensions]
    return Content({tuple(str(row[name]) for name in names): row for row in rows}, texts)


def differences(form: Form, catalogue: Catalogue, before: Content, after: Content, *, vietnamese: bool) -> list[Change]:
    """Cells that differ, rows in the order of the later content and then those that are gone."""
    found: list[Change] = []
    for key in [*after.rows, *(key for key in before.rows if key not in after.rows)]:
        old, new = before.rows.get(key, {}), after.rows.get(key, {})
        for measure in form.measures:
            one, other = old.get(measure.name), new.get(measure.name)
            if one != other:
                label = measure.label_vi if vietnamese else measure.label_en
                found.append(Change(row_label(form, catalogue, key, vietnamese=vietnamese), label, _cell(one),
                                    _cell(other)))  # fmt: skip
    if before.texts is not None and after.texts is not None:
        labels = {one.name: one.label_vi if vietnamese else one.label_en for one in form.sections}
        for name in dict.fromkeys([*labels, *before.texts, *after.texts]):
            old_text, new_text = before.texts.get(name, "").strip(), after.texts.get(name, "").strip()
            if old_text != new_text:
                found.append(Change("", labels.get(name, name), old_text or _NONE, new_text or _NONE))
    return found


def row_label(form: Form, catalogue: Catalogue, key: Key, *, vietnamese: bool) -> str:
    """A row by the labels of its codes."""
    parts = []
    for dimension, code in zip(form.dimensions, key, strict=True):
        entry = catalogue.codes[dimension.code_list].get(code)
        parts.append((entry.label_vi if vietnamese else entry.label_en) if entry else code)
    return ", ".join(part for part in parts if part)


def _cell(value: Cell) -> str:
    return _NONE if value is None else words.number(int(value))


def day_of(text: str, default: date) -> date:
    """The day of a text, the default for none and for what is no day."""
    try:
        return date.fromisoformat(text) if len(text) == 10 else default
    except ValueError:
        return default
