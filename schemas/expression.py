"""The closed grammar of checks: comparisons of integer arithmetic over measures.

`targeted == dose1 + dose2 + referred`. Read with Python's own parser, then only names, integers, `+ - *`, comparisons
and `and` / `or` / `not` are let through, so a form can compute nothing else. One evaluator serves integers (admission)
and numpy arrays (thousands of tables at once in rollup), so both decide alike.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

_ARITHMETIC: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
}
_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


_SIGNS: Mapping[type[ast.operator] | type[ast.cmpop], str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*",
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
}  # fmt: skip
Tree = str | int | list["Tree"]


class ExpressionError(ValueError):
    """The rule is not in the grammar."""


class Expression:
    """A parsed rule; `names` are the measures it reads. `constants`: names that stand for numbers of a file.

    A constant may be multiplied with a measure, since neither a file's author nor a report alone makes it overflow.
    """

    def __init__(self, text: str, constants: frozenset[str] = frozenset()) -> None:
        self.text = text
        self._constants = constants
        try:
            self._body = ast.parse(text, mode="eval").body
            self._require()
        except ExpressionError:
            raise
        except SyntaxError as error:
            raise ExpressionError(f"rule {text!r}: {error.msg}") from error
        except (ValueError, RecursionError, MemoryError) as error:  # a NUL, or nested too deep: Pythons differ
            raise ExpressionError(f"rule {text[:80]!r}: {error}") from error
        self.names: frozenset[str] = frozenset(n.id for n in ast.walk(self._body) if isinstance(n, ast.Name))

    def _require(self) -> None:
        _check(self._body, self.text, self._constants)

    def __call__(self, values: Mapping[str, Any]) -> Any:
        """Whether the rule holds: a bool for integers, an array of bool for arrays of int64."""
        return _evaluate(self._body, values)

    @property
    def tree(self) -> Tree:
        """The rule for programs in other languages: a name, a number, or an operator and what it joins."""
        return _tree(self._body)

    @property
    def equation(self) -> tuple[str, Arithmetic] | None:
        """The measure that the rule says must be computed so from others, where it says just that."""
        match self._body:
            case ast.Compare(left=ast.Name(id=name), ops=[ast.Eq()], comparators=[ast.BinOp() as right]):
                return name, Arithmetic(ast.unparse(right), self._constants)
        return None


class Arithmetic(Expression):
    """A number computed from measures, in the same grammar: what a simulated report fills a cell with."""

    def _require(self) -> None:
        _check_number(self._body, self.text, self._constants)


def _check(node: ast.expr, text: str, constants: frozenset[str]) -> None:
    """A statement: comparisons joined by `and`, `or`, `not`.

    Truth values are kept out of arithmetic: two of them add up to 2 as integers and to True as arrays.
    """
    match node:
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            _check(operand, text, constants)
        case ast.BoolOp(values=values):
            for part in values:
                _check(part, text, constants)
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARISONS:
            _check_number(left, text, constants)
            _check_number(right, text, constants)
        case _:
            raise ExpressionError(f"rule {text!r}: {ast.unparse(node)!r} is not a comparison of the grammar of checks")


def _check_number(node: ast.expr, text: str, constants: frozenset[str]) -> None:
    """Integer arithmetic over measures."""
    match node:
        case ast.Name():
            return
        case ast.Constant(value=value) if type(value) is int:
            return
        case ast.BinOp(left=left, op=ast.Mult(), right=right) if not (
            _constant(left, constants) or _constant(right, constants)
        ):
            # Two measures of 10^12 multiplied would overflow int64, and arrays would decide unlike integers.
            raise ExpressionError(f"rule {text!r}: {ast.unparse(node)!r} multiplies two measures")
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            _check_number(left, text, constants)
            _check_number(right, text, constants)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            _check_number(operand, text, constants)
        case _:
            raise ExpressionError(f"rule {text!r}: {ast.unparse(node)!r} is not in the grammar of checks")


def _constant(node: ast.expr, constants: frozenset[str]) -> bool:
    return isinstance(node, ast.Constant) or (isinstance(node, ast.Name) and node.id in constants)


def _evaluate(node: ast.expr, values: Mapping[str, Any]) -> Any:
    match node:
        case ast.Name(id=name):
            return values[name]
        case ast.Constant(value=value):
            return value
        case ast.BinOp(left=left, op=op, right=right):
            return _ARITHMETIC[type(op)](_evaluate(left, values), _evaluate(right, values))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_evaluate(operand, values)
        case ast.UnaryOp(operand=operand):
            return _evaluate(operand, values) == False  # noqa: E712  (`not` does not work on arrays)
        case ast.BoolOp(op=op, values=parts):
            join = operator.and_ if isinstance(op, ast.And) else operator.or_
            result = _evaluate(parts[0], values)
            for part in parts[1:]:
                result = join(result, _evaluate(part, values))
            return result
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return _COMPARISONS[type(op)](_evaluate(left, values), _evaluate(right, values))
    raise ExpressionError(f"{ast.unparse(node)!r} is not in the grammar of checks")


def _tree(node: ast.expr) -> Tree:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Constant(value=int() as value):
            return value
        case ast.BinOp(left=left, op=sign, right=right):
            return [_SIGNS[type(sign)], _tree(left), _tree(right)]
        case ast.Compare(left=left, ops=[compared], comparators=[right]):
            return [_SIGNS[type(compared)], _tree(left), _tree(right)]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return ["neg", _tree(operand)]
        case ast.UnaryOp(operand=operand):
            return ["not", _tree(operand)]
        case ast.BoolOp(op=joined, values=parts):
            return ["and" if isinstance(joined, ast.And) else "or", *map(_tree, parts)]
    raise ExpressionError(f"{ast.unparse(node)!r} is not in the grammar of checks")
