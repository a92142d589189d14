"""`kill -9` of every process while reports come in: nothing lost, nothing twice, fresh totals soon after."""

from __future__ import annotations

import gzip
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import date
from functools import partial
from pathlib import Path

import pytest

from deploy.parts import CHECKOUT
from deploy.real import HISTORY, UNITS
from deploy.sending import Sender
from tests.faults.conftest import Note
from tests.faults.harness import OthersShare, Running, metric
from tests.faults.load import Days, assert_answers
from tests.support.waiting import eventually

BASE = 22000


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(tmp_path_factory.mktemp("kills"), BASE, workers=2, trees=(UNITS.absolute(),))
    try:
        running.up()
        running.fresh_total_within(60)
        yield running
    finally:
        running.down()


def _month(number: int) -> date:
    """Each test plays days of its own."""
    return date(2021, number, 1)


def _lines(count: int) -> list[str]:
    with gzip.open(HISTORY, "rt", encoding="utf-8") as file:
        return [next(file) for _ in range(count)]


def folds_on(running: Running, count: float) -> bool:
    """Whether the rollup workers have folded more than so many records."""
    return folded(running) > count


def folded(running: Running) -> float:
    """Records of `figures` folded in the lives of the present rollup workers."""
    return sum(metric(running.base + 40 + at, "chungsuc_figures_folded_total") for at in range(running.workers))


def sends_totals(running: Running, worker: int) -> bool:
    """Whether this life of a rollup worker has sent totals: it is in the middle of its work."""
    return metric(running.base + 39 + worker, "chungsuc_totals_emitted_total") > 0


def recovered(running: Running, name: str, restarts: int, note: Note) -> None:
    """After a kill: ready again, a fresh total in time."""
    began = time.monotonic()
    running.restarted(name, restarts, 60)
    note("ready after", time.monotonic() - began)
    fresh_in_time(running, note)


def fresh_in_time(running: Running, note: Note) -> None:
    """A report sent now is in the nation's total within the bound."""
    others = OthersShare()
    fresh = running.fresh_total_within(100)
    bound = others.bound_s()
    note("fresh total after", fresh)
    note("of", bound)
    assert fresh < bound


@pytest.mark.long
def test_rollup_workers_killed_ten_times_in_mid_run_leave_no_difference(running: Running, note: Note) -> None:
    with Days(running.stack) as days:
        for kill in range(10):
            worker = 1 + kill % 2
            eventually(partial(sends_totals, running, worker), 90)
            restarts = running.kill(f"rollup-{worker}")
            began = time.monotonic()
            running.restarted(f"rollup-{worker}", restarts, 60)
            note("ready after", time.monotonic() - began)
        fresh_in_time(running, note)
    running.settled_and_verified()
    assert_answers(running.settings, days)


@pytest.mark.long
@pytest.mark.parametrize("name", ["ingest-1", "rollup-1", "read-model", "broker"])
def test_killed_process_is_back_in_time_and_leaves_no_difference(running: Running, name: str, note: Note) -> None:
    first = {"ingest-1": 2, "rollup-1": 4, "read-model": 6, "broker": 8}[name]
    with Days(running.stack, first=_month(first)) as days:
        eventually(lambda: days.sent, 60)
        recovered(running, name, running.kill(name), note)
    running.settled_and_verified()
    assert_answers(running.settings, days)


@pytest.mark.long
def test_publisher_killed_in_mid_replay_and_repeated_leaves_no_difference(running: Running, tmp_path: Path) -> None:
    history = tmp_path / "history.csv"
    history.write_text("".join(_lines(6000)), encoding="utf-8")
    command = running.command("replay", str(history), "--form", "covid-doses")
    for _ in range(2):
        before = folded(running)
        publisher = subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            eventually(partial(folds_on, running, before + 200), 90)
        finally:
            publisher.kill()
        assert publisher.wait() == -signal.SIGKILL
    sender = Sender(running.stack)
    summary = sender.replay(history, "covid-doses")
    assert not summary.problems
    assert sender.replay(history, "covid-doses").acked == 0
    running.settled_and_verified()


@pytest.mark.long
def test_killed_supervisor_takes_its_children_along_and_the_next_up_goes_on(running: Running, note: Note) -> None:
    with Days(running.stack, first=_month(10)) as days:
        eventually(lambda: days.sent, 60)
        running.kill_up()
        began = time.monotonic()
        running.up()
        note("up again after", time.monotonic() - began)
        fresh_in_time(running, note)
    running.settled_and_verified()
    assert_answers(running.settings, days)


def test_everything_killed_at_once_leaves_no_difference(running: Running, note: Note) -> None:
    with Days(running.stack, first=_month(11)) as days:
        eventually(lambda: days.sent, 60)
        running.kill_everything()
        began = time.monotonic()
        running.up()
        note("up again after", time.monotonic() - began)
        fresh_in_time(running, note)
    running.settled_and_verified()
    assert_answers(running.settings, days)
