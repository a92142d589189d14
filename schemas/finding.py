"""Findings: something to look at that refuses nothing (a check across forms, levels or days that does not hold)."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.form import FormId
from schemas.unit import UnitCode


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One check that does not hold for one unit and period, with both sentences.

    `row` are the codes that it is about, empty for a whole table. `value` is what was found and `expected` what should
    be there, in the measure's unit; `difference` their difference (0 where the kind has none).
    """

    check: str
    unit: UnitCode
    form: FormId
    period: str
    row: tuple[str, ...]
    field: str
    value: int
    expected: int
    difference: int
    message_vi: str
    message_en: str
