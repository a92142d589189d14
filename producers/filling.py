"""Believable tables for any form, from its annotations: code lists, minima, and its own checks.

What more is known about a form, or about a unit of measure, is data (`habits.toml`). Invariant: a table that is
returned breaks no check of level `reject` and no minimum; checks of level `warn` hold too but for a slip now and then.
"""

from __future__ import annotations

import ast
import itertools
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

from schemas.catalogue import Catalogue
from schemas.expression import Arithmetic
from schemas.form import Check, CheckLevel, Form
from schemas.row_checks import broken_check

Table = tuple[dict[str, int | str | None], ...]
_Row = dict[str, int | str | None]

_BLANK_SHARE = 0.2
_SLIP_SHARE = 0.02
_TEXT_SHARE = 0.1
_PASSES = 8
_MOST_ROWS = 3
_GENERIC: Mapping[str, Any] = {"active": 0.5, "second_row": 0.3}


@dataclass(frozen=True, slots=True)
class Filler:
    """Fills one form on one day. `combinations` are what its rows can be about."""

    form: Form
    combinations: Sequence[tuple[str, ...]]
    habits: Mapping[str, Any]

    def active(self, random: Random) -> bool:
        """Whether the unit has something to report. A stock is always reported: a nil would set it to zero."""
        return self.form.has_stock or random.random() < self.habits["active"]

    def table(self, random: Random, size: float) -> Table | None:
        """A table of a unit `size` times as large as the usual one; None where the form's checks can't be met."""
        count = 2 if random.random() < self.habits["second_row"] else 1
        about = random.sample(self.combinations, min(count, len(self.combinations), self.form.max_rows, _MOST_ROWS))
        rows = [self._row(random, size, dimensions) for dimensions in sorted(about)]
        repaired(self.form, rows)
        if random.random() < _SLIP_SHARE:
            _slip(self.form, rows, random)
        return tuple(rows) if _legal(self.form, rows) else None

    def narrative(self, random: Random) -> dict[str, str]:
        """The texts beside a table: those that the form requires, and another one now and then."""
        return {
            section.name: random.choice(_habits()["texts"].get(section.name, ["…"]))
            for section in self.form.sections
            if section.required or random.random() < _TEXT_SHARE
        }

    def corrected(self, random: Random, table: Table) -> Table | None:
        """The same table with one number put right; None where that can't be done within the checks."""
        measures = [measure.name for measure in self.form.measures]
        for name in random.sample(measures, len(measures)):
            rows = [dict(row) for row in table]
            rows[0][name] = int(rows[0][name] or 0) + random.randint(1, 6)
            repaired(self.form, rows)
            if tuple(rows) != table and _legal(self.form, rows):
                return tuple(rows)
        return None

    def _row(self, random: Random, size: float, dimensions: tuple[str, ...]) -> _Row:
        ways: Mapping[str, Mapping[str, Any]] = self.habits.get("measures", {})
        values: dict[str, int] = {}
        for name, way in ways.items():
            values[name] = _number(way, values, random, size)
        row: _Row = dict(zip((d.name for d in self.form.dimensions), dimensions, strict=True))
        for measure in self.form.measures:
            if measure.name in values:
                row[measure.name] = values[measure.name]
            elif measure.optional and random.random() < _BLANK_SHARE:
                row[measure.name] = None
            else:
                units = _habits()["units"]
                way = units.get(measure.unit, units["other"])
                row[measure.name] = (measure.minimum or 0) + _number(way, values, random, size)
        return row


def filler(form: Form, catalogue: Catalogue, day: date) -> Filler | None:
    """What fills `form` on `day`; None where one of its code lists has no code in force then."""
    habits = {**_GENERIC, **_habits()["forms"].get(form.id, {})}
    codes: list[list[str]] = []
    for dimension in form.dimensions:
        in_force = [
            code
            for code in catalogue.codes[dimension.code_list]
            if catalogue.code_in_force(dimension.code_list, code, day)
        ]
        chosen = [code for code in habits.get("choices", {}).get(dimension.name, in_force) if code in in_force]
        codes.append(chosen or in_force)
    if not all(codes):
        return None
    return Filler(form, list(itertools.islice(itertools.product(*codes), 1000)), habits)


def repaired(form: Form, rows: list[_Row]) -> None:
    """Move single measures until the checks hold, as far as that is possible, within a bound."""
    for _ in range(_PASSES):
        broken = [check for check in form.checks if broken_check(check, form, rows)]
        if not broken:
            return
        for check in broken:
            for row in rows[:1] if check.over_table else rows:
                others = [other for other in rows if other is not row] if check.over_table else []
                _repair(ast.parse(check.rule.text, mode="eval").body, form, row, others)


@lru_cache(maxsize=1)
def _habits() -> Mapping[str, Mapping[str, Any]]:
    return tomllib.loads(Path(__file__).with_name("habits.toml").read_text(encoding="utf-8"))


def _number(way: Mapping[str, Any], values: Mapping[str, int], random: Random, size: float) -> int:
    if "equals" in way:
        return int(Arithmetic(way["equals"])(values))
    drawn = random.uniform(way["from"], way["to"])
    if "share_of" in way:
        return round(drawn * int(Arithmetic(way["share_of"])(values)))
    step = int(way.get("step", 1))
    return round(drawn * size / step) * step


def _legal(form: Form, rows: Sequence[_Row]) -> bool:
    above = all(
        measure.minimum is None or (cell := row[measure.name]) is None or int(cell) >= measure.minimum
        for row in rows
        for measure in form.measures
    )
    return above and not _broken(form, rows, CheckLevel.REJECT)


def _broken(form: Form, rows: Sequence[_Row], level: CheckLevel) -> bool:
    return any(broken_check(check, form, rows) for check in form.checks if check.level is level)


def _repair(rule: ast.expr, form: Form, row: _Row, others: Sequence[_Row]) -> None:
    """Let one comparison hold by moving the side that is a single measure; `others` are the table's other rows."""
    if isinstance(rule, ast.BoolOp) and isinstance(rule.op, ast.And):
        for part in rule.values:
            _repair(part, form, row, others)
    if not isinstance(rule, ast.Compare):
        return
    left, right, operation = rule.left, rule.comparators[0], rule.ops[0]
    sums = {m.name: sum(int(r[m.name] or 0) for r in (row, *others)) for m in form.measures if not m.optional}
    a, b = (int(Arithmetic(ast.unparse(side))(sums)) for side in (left, right))
    if isinstance(operation, ast.Gt | ast.GtE):
        left, right, a, b = right, left, b, a
    strict = isinstance(operation, ast.Lt | ast.Gt)
    if isinstance(operation, ast.Eq):
        moves = [(left, b - a), (right, a - b)]
    elif isinstance(operation, ast.NotEq):
        moves = [(left, 1), (right, 1)]
    else:
        # Raise the larger side before lowering the smaller: a part never exceeds its whole by getting smaller.
        moves = [(right, a - b + strict), (left, b - a - strict)]
    for side, by in moves:
        if isinstance(side, ast.Name):
            row[side.id] = int(row[side.id] or 0) + by
            return


def _slip(form: Form, rows: list[_Row], random: Random) -> None:
    """Let one check of level `warn` fail by a little, if none of level `reject` fails with it."""
    warnings = [check for check in form.checks if check.level is CheckLevel.WARN and _single(check)]
    if not warnings:
        return
    name = _single(random.choice(warnings))
    before = rows[0][name]
    rows[0][name] = int(before or 0) + random.randint(1, 3)
    if _broken(form, rows, CheckLevel.REJECT):
        rows[0][name] = before


def _single(check: Check) -> str:
    """The measure that stands alone on the left of a comparison, or nothing."""
    rule = ast.parse(check.rule.text, mode="eval").body
    return rule.left.id if isinstance(rule, ast.Compare) and isinstance(rule.left, ast.Name) else ""
