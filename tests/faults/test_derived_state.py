"""What is derived may be lost: the read model, the outbox, the checkpoints. Two writers may share one database."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from consumers.read_model.database import FILE_NAME
from deploy.sending import Sender
from producers.outbox import FILE as OUTBOX
from tests.faults.conftest import Note
from tests.faults.harness import Running, metric, stack_on
from tests.faults.load import FORMS, PROVINCE, SEED, Days, assert_answers
from tests.faults.recovery import assert_rebuilt, assert_refused
from tests.support.waiting import eventually

pytestmark = pytest.mark.long
BASE = 22300
SECOND_PORT = BASE + 59
DAY = date(2021, 5, 3)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(tmp_path_factory.mktemp("derived"), BASE)
    try:
        running.up()
        yield running
    finally:
        running.down()


def test_single_record_in_the_first_fetch_is_counted_and_committed_and_so_is_the_next(running: Running) -> None:
    """Stock Faust never commits again after a first fetch of exactly one record."""
    probe = running.probe()
    probe.send()
    running.drained()
    running.fresh_total_within(90)
    running.drained()
    running.settled_and_verified()


def test_two_writers_on_one_read_model_store_everything_once(running: Running) -> None:
    with running.worker("consumers.read_model", "read-model-2", SECOND_PORT) as second:
        eventually(lambda: metric(SECOND_PORT, "chungsuc_ready"), 90)
        with Days(running.stack, first=date(2021, 6, 1)) as days:
            eventually(lambda: days.sent, 120)
        running.settled_and_verified()
        assert second.poll() is None
        running.pause("read-model")
        running.fresh_total_within(90)
        running.resume("read-model")
        running.fresh_total_within(90)
    running.settled_and_verified()
    assert_answers(running.settings, days)


def test_read_model_deleted_while_it_runs_is_made_anew(running: Running, note: Note) -> None:
    with Days(running.stack, first=date(2021, 7, 1)) as days:
        eventually(lambda: days.sent, 120)
        for path in running.data.glob(f"{FILE_NAME}*"):
            path.unlink()
        began = time.monotonic()
        eventually((running.data / FILE_NAME).exists, 90)
        note("new file after", time.monotonic() - began)
        note("fresh total after", running.fresh_total_within(120))
    running.settled_and_verified()
    assert_answers(running.settings, days)


def test_outbox_deleted_and_history_sent_again_changes_no_figure(running: Running) -> None:
    Sender(running.stack).simulate(PROVINCE, [DAY], SEED, forms=FORMS)
    running.drained()
    for path in running.data.glob(f"{OUTBOX}*"):
        path.unlink()
    summary = Sender(running.stack).simulate(PROVINCE, [DAY], SEED, forms=FORMS)
    assert not summary.problems
    assert summary.new == 0
    running.settled_and_verified()


def test_read_model_and_checkpoints_deleted_while_stopped_come_back_and_the_log_says_so(running: Running) -> None:
    before = running.settled_and_verified().compared_by
    running.down()
    for path in running.data.glob(f"{FILE_NAME}*"):
        path.unlink()
    shutil.rmtree(running.data / "checkpoints")
    running.up()
    after = running.settled_and_verified().compared_by
    assert after == before
    assert "no checkpoint of figures-" in running.log("rollup-1")
    assert "which takes longer" in running.log("rollup-1")


def largest_checkpoint(running: Running) -> Path:
    """The folder of the partition with most in it."""
    folders = [path for path in (running.data / "checkpoints").iterdir() if (path / "manifest.json").exists()]
    return max(folders, key=lambda folder: sum(file.stat().st_size for file in folder.iterdir()))


def test_damaged_checkpoint_stops_rollup_for_good_and_rebuild_is_the_way_out(running: Running) -> None:
    running.settled_and_verified()
    running.down()
    folder = largest_checkpoint(running)
    page = max(folder.glob("pack-*.bin"), key=lambda path: path.stat().st_size)
    content = bytearray(page.read_bytes())
    content[len(content) // 2] ^= 1
    page.write_bytes(content)
    running.up(wait=False)
    assert_refused(running, "is damaged")
    assert_rebuilt(running)


def test_checkpoint_of_another_cluster_stops_rollup_for_good_and_rebuild_is_the_way_out(
    running: Running, tmp_path: Path
) -> None:
    with stack_on(tmp_path, BASE + 100) as other:
        other.fresh_total_within(90)
        other.drained()
        other.down()
        foreign = largest_checkpoint(other)
    running.down()
    shutil.rmtree(running.data / "checkpoints" / foreign.name)
    shutil.copytree(foreign, running.data / "checkpoints" / foreign.name)
    running.up(wait=False)
    assert_refused(running, "belongs to another cluster or topic")
    assert_rebuilt(running)
