"""Precedence is a total order, and the arrays' version of it is the same one."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from schemas.figure import HEAD, Slot
from schemas.precedence import Outcome, outcome, rank, stands_before
from schemas.report import Digest, Offset, Revision, Source
from streams.book import CHILD
from streams.judgment import NOTHING, judged

contributions = st.tuples(
    st.integers(1, 3).map(Revision),
    st.builds(Source, st.integers(0, 2), st.integers(0, 3).map(Offset)),
    st.sampled_from([Digest(b"a" * 32), Digest(b"b" * 32)]),
)


@given(contributions, contributions, contributions)
def test_precedence_is_a_total_order(
    a: tuple[Revision, Source, Digest], b: tuple[Revision, Source, Digest], c: tuple[Revision, Source, Digest]
) -> None:
    def before(x: tuple[Revision, Source, Digest], y: tuple[Revision, Source, Digest]) -> bool:
        return stands_before(x[0], x[1], y[0], y[1])

    assert not before(a, a)
    if a[:2] != b[:2]:
        assert before(a, b) != before(b, a)
    if before(a, b) and before(b, c):
        assert before(a, c)


@given(st.permutations([(Revision(r), Source(p, Offset(o))) for r, p, o in itertools.product((1, 2), (0, 1), (0, 1))]))
def test_what_stands_does_not_depend_on_the_order_of_arrival(arrival: list[tuple[Revision, Source]]) -> None:
    standing = arrival[0]
    for contribution in arrival[1:]:
        if stands_before(*contribution, *standing):
            standing = contribution
    assert standing == (Revision(2), Source(0, Offset(0)))
    assert standing == max(arrival, key=lambda c: rank(*c))


@given(contributions, contributions)
def test_arrays_judge_as_the_pure_function_does(
    new: tuple[Revision, Source, Digest], old: tuple[Revision, Source, Digest]
) -> None:
    assume(new == old or new[1] != old[1])  # one source has one revision and one content
    head = np.zeros(1, HEAD)
    child = np.zeros(1, CHILD)
    child["slot"], child["present"] = Slot.OWN, True
    for array, (revision, source, digest) in ((head, new), (child, old)):
        array["revision"], array["digest"] = revision, np.void(digest)
        array["source_partition"], array["source_offset"] = source.partition, source.offset
    wins, found = judged(head, child)
    expected = outcome(*new, *old)
    assert found[0] == (NOTHING if expected is None else list(Outcome).index(expected))
    assert bool(wins[0]) == stands_before(new[0], new[1], old[0], old[1])
