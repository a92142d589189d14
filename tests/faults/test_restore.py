"""A restore that lasts longer than the session timeout, and a backlog that must fit into memory."""

from __future__ import annotations

import shutil
import time
from datetime import date
from pathlib import Path

import pytest

from deploy.sending import Sender
from tests.faults.backlog import send_backlog
from tests.faults.conftest import Note
from tests.faults.harness import Running, peak_mb
from tests.faults.load import FORMS, PROVINCE, SEED

BASE = 22600
SESSION_S = 6.0
RESTORE_S = 14.0
BACKLOG = 500_000
MOST_MB = 1024.0
DRAIN_WITHIN_S = 1800.0


@pytest.mark.long
def test_restore_longer_than_the_session_timeout_ends_with_the_partitions_owned_and_committed(
    tmp_path: Path, note: Note
) -> None:
    running = Running(tmp_path, BASE, environment={"CHUNGSUC_SESSION_TIMEOUT_S": str(SESSION_S)})
    try:
        running.up()
        Sender(running.stack).simulate(PROVINCE, [date(2021, 4, 5)], SEED, forms=FORMS)
        running.drained()
        running.down()
        shutil.rmtree(running.data / "checkpoints")
        running.environment["CHUNGSUC_FAILPOINT"] = f"rollup.fold:1:sleep={RESTORE_S}"
        began = time.monotonic()
        running.up()
        note("up after", time.monotonic() - began)
        assert time.monotonic() - began > RESTORE_S
        running.fresh_total_within(90)
        running.settled_and_verified()
        assert running.status("rollup-1").restarts == 0
    finally:
        running.down()


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_backlog_is_worked_off_with_every_process_under_a_gigabyte(tmp_path: Path, note: Note) -> None:
    running = Running(tmp_path, BASE)
    try:
        running.up()
        running.pause("ingest-1")
        began = time.monotonic()
        assert send_backlog(running, BACKLOG) == BACKLOG
        note("sent in", time.monotonic() - began)
        began = time.monotonic()
        running.resume("ingest-1")
        running.drained(DRAIN_WITHIN_S)
        note("worked off in", time.monotonic() - began)
        peaks = {name: peak_mb(pid) for name, pid in running.pids().items()}
        print(peaks)
        running.settled_and_verified()
        assert max(peaks.values()) < MOST_MB, peaks
    finally:
        running.down()
