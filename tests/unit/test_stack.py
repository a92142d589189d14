"""The small parts that a stack is put together from."""

from __future__ import annotations

import json
import os
import select
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from kafka import TopicPartition

from deploy.backoff import Backoff
from deploy.bound import bound_to_this_process
from deploy.catalogue_release import given_trees
from deploy.drain import lag
from deploy.errors import NotRunningError, RefusedError
from deploy.kafka import BrokerSettings
from deploy.operator_key import operator_key
from deploy.parts import CHECKOUT, last_line
from deploy.ports import MOST_WORKERS, STEP, Ports
from deploy.stack import DataLock, ProcessState, ProcessStatus, Request, Stack, holder, read_stack, running_stack
from deploy.watch import ending
from schemas.exit import Exit
from tests.support.waiting import eventually


def stack_on(data: Path) -> Stack:
    return Stack(
        data=str(data), port_base=17000, bootstrap="127.0.0.1:17000", operator_key="00", prefix="", partitions=4,
        keyless_partitions=1, replication=1, act_delay_ms=0, page="http://127.0.0.1:17020",
        gateway="http://127.0.0.1:17021",
        metrics="http://127.0.0.1:17053/metrics", supervisor_pid=os.getpid(), settled=True,
        processes=(ProcessStatus("ingest-1", ProcessState.READY, "http://127.0.0.1:17030/metrics", 7),
                   ProcessStatus("rollup-1", ProcessState.STOPPED_FOR_GOOD, "http://127.0.0.1:17040", said="no")),
        rebuild=Request("id", "step"),
    )  # fmt: skip


def test_no_two_ports_of_a_stack_are_the_same_and_all_lie_within_its_hundred() -> None:
    broker = BrokerSettings(data_dir=Path(), port=17000, brokers=3, proxy_ports=(1, 2, 3))
    ports = [port for broker_id in broker.broker_ids for port in broker.ports(broker_id)]
    ports += Ports(17000).without_broker(MOST_WORKERS)
    assert len(ports) == len(set(ports))
    assert all(17000 <= port < 17000 + STEP for port in ports)


def test_pauses_double_to_the_longest_and_start_over_after_a_healthy_life() -> None:
    backoff = Backoff()
    assert [backoff.after(1.0) for _ in range(8)] == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]
    assert backoff.after(10.0) == 0.2
    assert backoff.after(1.0) == 0.4


def test_stack_that_another_version_saved_is_no_stack(tmp_path: Path) -> None:
    stack_on(tmp_path).save()
    path = tmp_path / "stack.json"
    known = json.loads(path.read_text("utf-8"))
    for other in ({**known, "more": 1}, {name: value for name, value in known.items() if name != "gateway"}):
        path.write_text(json.dumps(other), "utf-8")
        assert read_stack(tmp_path) is None


def test_stack_is_read_as_it_was_saved(tmp_path: Path) -> None:
    stack = stack_on(tmp_path)
    stack.save()
    assert read_stack(tmp_path) == stack
    assert not stack.ready
    assert stack.unready_lines() == ["not ready: rollup-1 is stopped_for_good: no"]


def test_second_lock_names_the_first_ones_process_until_it_is_released(tmp_path: Path) -> None:
    lock = DataLock(tmp_path)
    assert holder(tmp_path) == os.getpid()
    with pytest.raises(RefusedError, match=f"process {os.getpid()}"):
        DataLock(tmp_path)
    lock.release()
    assert holder(tmp_path) is None
    DataLock(tmp_path).release()


def test_stack_file_without_a_lock_is_no_running_stack(tmp_path: Path) -> None:
    stack_on(tmp_path).save()
    with pytest.raises(NotRunningError, match="no stack runs"):
        running_stack(tmp_path)


def test_lock_without_a_stack_file_is_a_stack_that_is_starting(tmp_path: Path) -> None:
    lock = DataLock(tmp_path)
    with pytest.raises(NotRunningError, match="only starting"):
        running_stack(tmp_path)
    lock.release()


def test_operator_key_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    key = operator_key(tmp_path)
    assert operator_key(tmp_path) == key
    assert stat.S_IMODE((tmp_path / "operator.key").stat().st_mode) == 0o600


def test_operator_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    operator_key(tmp_path)
    (tmp_path / "operator.key").chmod(0o644)
    with pytest.raises(RefusedError, match="readable by others"):
        operator_key(tmp_path)


def test_damaged_operator_key_is_refused_and_not_replaced(tmp_path: Path) -> None:
    operator_key(tmp_path)
    (tmp_path / "operator.key").write_text("12", encoding="ascii")
    with pytest.raises(RefusedError, match="does not hold a key"):
        operator_key(tmp_path)


def test_two_trees_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for path in (tmp_path / "land.csv", tmp_path / "a" / "land.csv"):
        path.write_text("code", encoding="utf-8")
    with pytest.raises(RefusedError, match="two files given with --units are called land"):
        given_trees([tmp_path / "land.csv", tmp_path / "a" / "land.csv"])


def test_lag_counts_no_empty_partition_and_nothing_read_beyond_the_end() -> None:
    empty, behind, ahead = (TopicPartition("reports", partition) for partition in range(3))
    assert lag({empty: 0, behind: 10, ahead: 5}, {behind: 7, ahead: 9}) == 3


def test_last_line_is_that_of_this_life(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    log.write_text("an earlier life\n", encoding="utf-8")
    start = log.stat().st_size
    assert last_line(log, start) == ""
    with log.open("a", encoding="utf-8") as file:
        file.write("first\nsecond\n\n")
    assert last_line(log, start) == "second"


def test_endings_in_words() -> None:
    assert ending(5) == "ended with exit code 5"
    assert ending(-9) == "killed by SIGKILL"


STARTER = """
import subprocess, sys
from deploy.bound import bound_to_this_process
child = subprocess.Popen([*bound_to_this_process(), sys.executable, "-c", "import signal; signal.pause()"])
print(child.pid, flush=True)
child.wait()
"""


def test_bound_process_dies_with_the_one_that_started_it() -> None:
    command = [sys.executable, "-c", STARTER]
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        handle = os.pidfd_open(int(starter.stdout.readline()))
        eventually(lambda: "bound_exec" not in Path(f"/proc/{child_of(starter.pid)}/cmdline").read_text("utf-8"))
        starter.kill()
    ended, _, _ = select.select([handle], [], [], 10)
    os.close(handle)
    assert ended


def child_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text("utf-8").split()[0])


def test_orphan_of_a_bound_start_does_not_run() -> None:
    command = [*bound_to_this_process()[:4], "1", "9", sys.executable, "-c", "print('runs')"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == Exit.FAILED
    assert done.stdout == ""
