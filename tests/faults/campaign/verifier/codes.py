"""Under which code a row counts, by the contract: a code that has ended is its list's `counted_as`, and on.

Rows that then fall together are added; where the form forbids that, nothing may be counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

from schemas.catalogue import Catalogue
from schemas.form import AcrossUnits, Form
from schemas.report import Cell

Row = Mapping[str, Cell]


def code_on(catalogue: Catalogue, code_list: str, code: str, day: date) -> str | None:
    """What `code` counts as in a period that ends on `day`; None where it may not be used."""
    entries = catalogue.codes[code_list]
    if code not in entries or day < entries[code].valid_from:
        return None
    while code in entries and entries[code].valid_to < day:
        code = entries[code].counted_as
    return code if code in entries and entries[code].valid_from <= day else None


def under_codes_of(day: date, catalogue: Catalogue, form: Form, rows: Iterable[Row]) -> list[dict[str, Cell]] | None:
    """The rows as they count on `day`; None where a code is none, or two rows fall together that must not be added."""
    found: dict[tuple[str, ...], dict[str, Cell]] = {}
    may_add = not any(d.overlapping for d in form.dimensions) and all(
        measure.across_units is AcrossUnits.SUM for measure in form.measures
    )
    for row in rows:
        codes = {d.name: code_on(catalogue, d.code_list, str(row[d.name]), day) for d in form.dimensions}
        about = tuple(code for code in codes.values() if code is not None)
        if len(about) < len(codes):
            return None
        here = found.get(about)
        if here is None:
            found[about] = {**row, **codes}
        elif not may_add:
            return None
        else:
            for measure in form.measures:
                cells = [cell for cell in (here.get(measure.name), row.get(measure.name)) if cell is not None]
                here[measure.name] = sum(map(int, cells)) if cells else None
    return list(found.values())
