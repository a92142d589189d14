"""A partition that stands still is told, whatever the others do."""

from __future__ import annotations

from streams.stalls import Stalls


def test_partition_that_stands_still_is_told_while_another_moves() -> None:
    stalls = Stalls(60)
    for second in range(0, 60, 2):
        assert stalls.look({"figures-0": 1, "figures-1": second}, second) is None
    assert stalls.look({"figures-0": 1, "figures-1": 99}, 61) == (61, "figures-0")


def test_partition_that_moves_or_has_nothing_waiting_begins_anew() -> None:
    stalls = Stalls(60)
    assert stalls.look({"figures-0": 1}, 0) is None
    assert stalls.look({"figures-0": 2}, 50) is None
    assert stalls.look({"figures-0": 2}, 100) is None
    assert stalls.look({}, 105) is None
    assert stalls.look({"figures-0": 2}, 111) is None
    assert stalls.look({"figures-0": 2}, 172) == (61, "figures-0")


def test_after_a_restore_nothing_is_remembered() -> None:
    stalls = Stalls(60)
    stalls.look({"figures-0": 1}, 0)
    stalls.forget()
    assert stalls.look({"figures-0": 1}, 100) is None
