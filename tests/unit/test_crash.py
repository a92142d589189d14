from __future__ import annotations

from pathlib import Path

from streams.crash import CrashMemory


def test_third_failure_of_one_record_puts_it_out(tmp_path: Path) -> None:
    assert CrashMemory(tmp_path).raised(0, 10, 30) == 1
    memory = CrashMemory(tmp_path)
    assert not memory.one_by_one(0, 10, 30)
    assert memory.raised(0, 10, 25) == 2
    memory = CrashMemory(tmp_path)
    assert memory.one_by_one(0, 5, 12)
    assert not memory.one_by_one(0, 26, 40)
    assert not memory.one_by_one(1, 10, 25)
    assert not memory.out(0, 12)
    assert memory.raised(0, 12, 12) == 3
    memory = CrashMemory(tmp_path)
    assert memory.out(0, 12)
    assert not memory.out(0, 13)


def test_death_behind_the_marker_counts_against_the_marked_record(tmp_path: Path) -> None:
    memory = CrashMemory(tmp_path)
    memory.raised(2, 7, 9)
    memory.raised(2, 7, 9)
    memory.mark(2, 8)
    assert CrashMemory(tmp_path).out(2, 8)


def test_kill_without_marker_counts_for_nothing(tmp_path: Path) -> None:
    for _ in range(10):
        assert not CrashMemory(tmp_path).one_by_one(0, 0, 100)


def test_progress_past_the_records_forgets_them(tmp_path: Path) -> None:
    memory = CrashMemory(tmp_path)
    memory.raised(0, 10, 20)
    memory.passed(0, 20)
    assert memory.raised(0, 15, 20) == 2
    memory.passed(0, 21)
    assert CrashMemory(tmp_path).raised(0, 15, 20) == 1


def test_failures_of_other_records_do_not_add_up(tmp_path: Path) -> None:
    memory = CrashMemory(tmp_path)
    memory.raised(0, 1, 5)
    assert memory.raised(0, 6, 9) == 1
