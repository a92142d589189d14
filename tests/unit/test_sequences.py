"""Sequences: gaps and forks are found whatever comes between, and only what was truly signed counts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from producers.sequences import Sequences
from schemas.log import Record
from schemas.report import Millis, Offset
from schemas.topics import REPORTS
from tests.support.signed import CATALOGUE, Draft, registers


@pytest.fixture
def sequences(tmp_path: Path) -> Iterator[Sequences]:
    made = Sequences(tmp_path / "sequences.sqlite")
    yield made
    made.close()


def record(offset: int, sequence: int, **more: Any) -> Record:
    signed = Draft(sequence=sequence, **more).record()
    return Record(REPORTS, 0, Offset(offset), Millis(1), signed.key, signed.value, signed.headers)


def told(sequences: Sequences, *records: Record) -> tuple[list[tuple[int, int]], list[tuple[int, str]]]:
    sequences.take(records, CATALOGUE, registers())
    found = sequences.of("kid-c1-1")
    return list(found.gaps), list(found.forks)


def test_numbers_without_a_gap_say_nothing_in_any_order(sequences: Sequences) -> None:
    assert told(sequences, record(0, 2), record(1, 1), record(2, 3)) == ([], [])
    assert (sequences.of("kid-c1-1").highest, sequences.of("kid-c1-1").reports) == (3, 3)


def test_gaps_are_told_and_closed_when_what_was_missing_comes(sequences: Sequences) -> None:
    assert told(sequences, record(0, 2), record(1, 5), record(2, 9)) == ([(1, 1), (3, 4), (6, 8)], [])
    assert told(sequences, record(3, 1), record(4, 3), record(5, 4)) == ([(6, 8)], [])


def test_same_record_sent_again_is_no_fork_and_another_content_is(sequences: Sequences) -> None:
    assert told(sequences, record(0, 1), record(7, 1)) == ([], [])
    gaps, forks = told(sequences, record(9, 1, revision=2))
    assert gaps == []
    assert [(sequence, sorted(places.split())) for sequence, places in forks] == [(1, ["0:0", "0:9"])]


def test_what_was_not_signed_by_the_key_does_not_count(sequences: Sequences) -> None:
    garbage = Record(REPORTS, 0, Offset(3), Millis(1), b"c1", b"garbage", ())
    assert told(sequences, record(0, 1), record(1, 7, flip_signature=True), garbage) == ([], [])


def test_records_read_twice_change_nothing(sequences: Sequences) -> None:
    records = [record(0, 1), record(1, 3)]
    assert told(sequences, *records) == told(sequences, *records) == ([(2, 2)], [])


def test_key_that_signed_nothing_has_nothing(sequences: Sequences) -> None:
    assert sequences.of("kid-R-1").highest == 0
