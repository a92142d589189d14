"""The closed grammar of checks: comparisons of integer arithmetic, decided alike for integers and arrays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.expression import Expression, ExpressionError
from schemas.form import LARGEST_CLAIM

NAMES = ("a", "b", "c")


@pytest.mark.parametrize(
    "text",
    [
        "f(a) == 1", "__import__('os') == 1", "a.b == 1", "a.__class__ == b", "a[0] == 1", "'x' == a", "b'x' == a",
        "a ** 2 == b", "a / b == 1", "a // 2 == b", "a % 2 == 0", "a @ b == 1", "a << 1 == b", "a & b == 1",
        "a | b == 1", "a ^ b == 1", "~a == 1", "+a == 1", "a * b == c", "(a + 1) * (b + 1) == c",
        "(a * 2) * (b - 1) == c",
        "a < b < c", "a == b == c", "a is b", "a is not b", "a in b", "a not in b", "a if b else c", "(a := 1) == 1",
        "[a] == 1", "(a, b) == 1", "{a} == 1", "{a: b} == 1", "[x for x in a] == 1", "lambda: a", "f'{a}' == b",
        "1.5 == a", "1j == a", "True == a", "None == a", "... == a", "await a == 1", "*a == 1",
        "", " ", "a ==", "a; b", "a = b", "import os", "a == b\nc == d", "a \0 b",
        "-" * 5_000 + "a == 1", "a == " + "(" * 5_000 + "b" + ")" * 5_000,
    ],
)  # fmt: skip
def test_what_is_not_in_the_grammar_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError):
        Expression(text)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("targeted == dose1 + dose2 + referred", {"targeted", "dose1", "dose2", "referred"}),
        ("2 * a - b * 3 >= -1", {"a", "b"}),
        ("not (a < 0 or b < 0) and c != 5", {"a", "b", "c"}),
    ],
)
def test_rule_in_the_grammar_names_what_it_reads(text: str, names: set[str]) -> None:
    assert Expression(text).names == names


@pytest.mark.parametrize("text", ["a", "1", "a + b", "-a", "not a", "a or b", "(a < b) + 1", "(a < b) == (b < c)"])
def test_rule_is_a_statement_and_not_a_number(text: str) -> None:
    with pytest.raises(ExpressionError):
        Expression(text)


NUMBERS = st.recursive(
    st.sampled_from(NAMES) | st.integers(0, 99).map(str),
    lambda parts: (
        st.builds("({} {} {})".format, parts, st.sampled_from("+-"), parts)
        | st.builds("({} * {})".format, st.integers(0, 9), parts)
        | parts.map("(-{})".format)
    ),
    max_leaves=5,
)
RULES = st.recursive(
    st.builds("({} {} {})".format, NUMBERS, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), NUMBERS),
    lambda parts: (
        st.builds("({} {} {})".format, parts, st.sampled_from(["and", "or"]), parts) | parts.map("(not {})".format)
    ),
    max_leaves=4,
)
VALUES = st.integers(-3, 3) | st.integers(-LARGEST_CLAIM, LARGEST_CLAIM)


@settings(deadline=None)
@given(RULES, st.lists(st.tuples(VALUES, VALUES, VALUES), min_size=1, max_size=6))
def test_integers_and_arrays_and_python_itself_decide_alike(text: str, rows: list[tuple[int, int, int]]) -> None:
    rule = Expression(text)
    alone = [bool(rule(dict(zip(NAMES, row, strict=True)))) for row in rows]
    columns = {name: np.array([row[at] for row in rows], np.int64) for at, name in enumerate(NAMES)}
    together = np.broadcast_to(rule(columns), len(rows)).tolist()
    by_python = [bool(eval(text, {}, dict(zip(NAMES, row, strict=True)))) for row in rows]
    assert alone == together == by_python
