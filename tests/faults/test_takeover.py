"""A worker that stops for longer than its session timeout, another that takes over, and both alive afterwards."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from deploy.topic_set import admin_client
from schemas.exit import Exit
from schemas.topics import ROLLUP_GROUP
from tests.faults.conftest import Note
from tests.faults.harness import Running, metric
from tests.faults.load import Days, assert_answers
from tests.support.waiting import eventually

BASE = 22200
SESSION_S = 6.0
"""The least that the broker allows (group.min.session.timeout.ms)."""
BY_HAND_PORT = BASE + 49


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(
        tmp_path_factory.mktemp("takeover"), BASE, environment={"CHUNGSUC_SESSION_TIMEOUT_S": str(SESSION_S)}
    )
    try:
        running.up()
        running.fresh_total_within(60)
        yield running
    finally:
        running.down()


def owners(running: Running) -> dict[str, int]:
    """How many partitions of `figures` each instance id owns now."""
    group = running.settings.topic(ROLLUP_GROUP)
    with admin_client(running.settings.bootstrap) as admin:
        members = admin.describe_groups([group])[group]["members"]
    found: dict[str, int] = {}
    for member in members:
        assignment = member["member_assignment"]
        partitions = assignment["assigned_partitions"] if assignment else []
        found[str(member.get("group_instance_id"))] = sum(len(topic["partitions"]) for topic in partitions)
    return found


@pytest.mark.long
def test_stopped_worker_is_replaced_by_one_with_another_folder_and_may_wake_up(running: Running, note: Note) -> None:
    with (
        Days(running.stack, first=date(2021, 2, 1)) as days,
        running.worker("streams.rollup", "rollup-9", BY_HAND_PORT),
    ):
        eventually(lambda: days.sent, 120)
        eventually(lambda: metric(BY_HAND_PORT, "chungsuc_ready"), 90)
        running.pause("rollup-1")
        began = time.monotonic()
        eventually(lambda: owners(running).get("rollup-9") == 4, SESSION_S + 90, 0.2)
        note("taken over after", time.monotonic() - began)
        note("fresh total after the takeover", running.fresh_total_within(90))
        running.resume("rollup-1")
        note("fresh total after it woke up", running.fresh_total_within(90))
        eventually(lambda: len(found := owners(running)) == 2 and min(found.values()) > 0, 90, 0.2)
    note("fresh total after the second worker was killed", running.fresh_total_within(90))
    running.settled_and_verified()
    assert_answers(running.settings, days)


@pytest.mark.long
def test_stopped_worker_is_replaced_by_a_twin_with_its_id_and_may_wake_up(
    running: Running, tmp_path: Path, note: Note
) -> None:
    """A mistake in operation: the same id on two hosts. One of them has to give way; figures stay right."""
    with Days(running.stack, first=date(2021, 3, 1)) as days:
        eventually(lambda: days.sent, 120)
        stopped = running.pid("rollup-1")
        running.pause("rollup-1")
        with running.worker("streams.rollup", "rollup-1", BY_HAND_PORT, data=tmp_path) as twin:
            eventually(lambda: metric(BY_HAND_PORT, "chungsuc_ready"), 90)
            note("fresh total by the twin", running.fresh_total_within(90))
            os.kill(stopped, signal.SIGCONT)
            eventually(lambda: twin.poll() is not None or running.pid_or_none("rollup-1") != stopped, 90)
            assert twin.poll() in (None, Exit.BUG, Exit.REFUSED)
        note("fresh total after the twin was killed", running.fresh_total_within(120))
    running.settled_and_verified()
    assert_answers(running.settings, days)


@pytest.mark.long
def test_second_worker_on_the_same_folder_is_refused_while_the_first_lives(running: Running) -> None:
    with running.worker("streams.rollup", "rollup-1", BY_HAND_PORT) as second:
        assert second.wait(60) == Exit.REFUSED
    said = running.log("rollup-1-by-hand")
    assert f"is in use by process {running.pid('rollup-1')}" in said
    assert "Traceback" not in said
