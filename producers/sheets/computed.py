"""Columns of a form that its own checks make a sum of others, and checks as formulas of Excel.

A check of level `reject` over each row that says `targeted == dose1 + dose2 + …` computes `targeted`. In a workbook it
is a formula; where a program left the formula without a result, the reader works it out by the same rule.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping

from schemas.expression import Arithmetic
from schemas.form import Check, CheckLevel, Form

Reference = Callable[[str], str]
"""Where a measure stands: its cell, such as $C9."""
_OPERATORS: Mapping[type[ast.AST], str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Eq: "=", ast.NotEq: "<>", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">",
    ast.GtE: ">=",
}  # fmt: skip


def computed_columns(form: Form) -> Mapping[str, Arithmetic]:
    """Measures that are computed from others, with how. None is computed from one that is computed itself."""
    found: dict[str, Arithmetic] = {}
    required = {measure.name for measure in form.measures if not measure.optional}
    for check in form.checks:
        rule = _rule(check)
        if check.level is not CheckLevel.REJECT or check.over_table or not isinstance(rule, ast.Compare):
            continue
        left, right = rule.left, rule.comparators[0]
        if isinstance(left, ast.Name) and isinstance(rule.ops[0], ast.Eq) and not isinstance(right, ast.Constant):
            parts = Arithmetic(ast.unparse(right))
            free = parts.names.isdisjoint({left.id, *found}) and left.id not in _used(found)
            if parts.names and free and {left.id, *parts.names} <= required:
                found[left.id] = parts
    return found


def _used(found: Mapping[str, Arithmetic]) -> set[str]:
    return {name for rule in found.values() for name in rule.names}


def computing_formula(rule: Arithmetic, at: Reference) -> str:
    """The formula of a computed cell: empty while nothing of what it is computed from is there."""
    cells = ",".join(at(name) for name in sorted(rule.names))
    return f'=IF(COUNT({cells})=0,"",{_excel(ast.parse(rule.text, mode="eval").body, at)})'


def holds_formula(check: Check, at: Reference) -> str:
    """Whether a check holds, as a formula without the sign =; true as long as a number of it is missing."""
    cells = ",".join(at(name) for name in sorted(check.rule.names))
    return f"OR(COUNT({cells})<{len(check.rule.names)},{_excel(_rule(check), at)})"


def _rule(check: Check) -> ast.expr:
    return ast.parse(check.rule.text, mode="eval").body


def _excel(node: ast.expr, at: Reference) -> str:
    """An expression of the grammar of checks in Excel's own."""
    match node:
        case ast.Name(id=name):
            return at(name)
        case ast.Constant(value=value):
            return str(value)
        case ast.BinOp(left=left, op=op, right=right):
            return f"({_excel(left, at)}{_OPERATORS[type(op)]}{_excel(right, at)})"
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return f"(-{_excel(operand, at)})"
        case ast.UnaryOp(operand=operand):
            return f"NOT({_excel(operand, at)})"
        case ast.BoolOp(op=op, values=parts):
            return f"{'AND' if isinstance(op, ast.And) else 'OR'}({','.join(_excel(part, at) for part in parts)})"
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return f"({_excel(left, at)}{_OPERATORS[type(op)]}{_excel(right, at)})"
    raise TypeError(ast.unparse(node))
