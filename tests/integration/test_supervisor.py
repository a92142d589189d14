"""The supervisor with the real broker and log, over plain worker processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.errors import RefusedError
from deploy.parts import CHECKOUT
from deploy.stack import ProcessState, Stack, holder, read_stack, running_stack
from deploy.topic_set import create_topics
from schemas.exit import Exit
from tests.support.waiting import eventually, lives

BASE = 27400


def start(data: Path, base: int, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.plain_stack", str(data), str(base)],
        cwd=CHECKOUT, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip


def settled(data: Path, process: subprocess.Popen[str]) -> Stack:
    def look() -> Stack | None:
        assert process.poll() is None, process.communicate()
        stack = read_stack(data)
        return stack if stack is not None and stack.supervisor_pid == process.pid and stack.settled else None

    stack = eventually(look, 60)
    assert stack is not None
    return stack


def stop(process: subprocess.Popen[str]) -> tuple[str, str]:
    process.send_signal(signal.SIGTERM)
    output = process.communicate(timeout=60)
    assert process.returncode == 0, output
    return output


def chungsuc(*arguments: str | Path | int, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deploy.cli.main", *map(str, arguments)]
    return subprocess.run(command, cwd=CHECKOUT, env={**os.environ, **environment}, capture_output=True, text=True,
                          timeout=120, check=False)  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stack")


@pytest.fixture(scope="module")
def process(data: Path) -> Iterator[subprocess.Popen[str]]:
    started = start(data, BASE)
    settled(data, started)
    yield started
    if started.poll() is None:
        stop(started)


@pytest.fixture
def stack(data: Path, process: subprocess.Popen[str]) -> Stack:
    """The stack with every part ready."""
    assert process.poll() is None
    return eventually(lambda: (s := running_stack(data)).ready and s, 30) or running_stack(data)


def test_second_up_on_a_data_folder_is_refused_in_one_line_with_the_first_ones_pid(data: Path, stack: Stack) -> None:
    second = chungsuc("up", "--data", data, "--port-base", BASE + 100)
    assert second.returncode == Exit.REFUSED
    assert str(stack.supervisor_pid) in second.stderr
    assert second.stderr.count("\n") == 1


def test_up_on_taken_ports_is_refused_in_one_line(stack: Stack, tmp_path: Path) -> None:
    second = chungsuc("up", "--data", tmp_path / "other", "--port-base", BASE)
    assert second.returncode == Exit.REFUSED
    assert "port" in second.stderr.splitlines()[-1]
    assert "Traceback" not in second.stderr


def test_killed_worker_is_started_again_with_another_pid(data: Path, stack: Stack) -> None:
    before = stack.process("second")
    assert before.pid is not None
    os.kill(before.pid, signal.SIGKILL)
    after = eventually(lambda: (p := running_stack(data).process("second")).restarts > before.restarts and p, 10)
    assert after
    eventually(lambda: running_stack(data).process("second").state is ProcessState.READY, 10)
    assert running_stack(data).process("second").pid not in (None, before.pid)
    assert running_stack(data).process("first").restarts == stack.process("first").restarts


def test_worker_that_refuses_has_stopped_for_good_and_the_rest_goes_on(data: Path, stack: Stack) -> None:
    (data / "refuse-first").touch()
    pid = stack.process("first").pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: running_stack(data).process("first").state is ProcessState.STOPPED_FOR_GOOD)
    shown = chungsuc("status", "--data", data)
    assert shown.returncode == Exit.FAILED
    assert "stopped_for_good" in shown.stdout
    assert "the checkpoint is of another cluster" in shown.stdout
    with urllib.request.urlopen(stack.metrics, timeout=5) as answer:
        metrics = answer.read().decode()
    assert 'chungsuc_process_stopped_for_good{process="first"} 1.0' in metrics
    assert 'chungsuc_process_state{chungsuc_process_state="ready",process="second"} 1.0' in metrics


def test_rebuild_starts_a_refused_worker_again_under_a_new_epoch(data: Path, process: subprocess.Popen[str]) -> None:
    (data / "refuse-first").unlink(missing_ok=True)
    (data / "checkpoints").mkdir()
    (data / "read-model.sqlite").touch()
    done = chungsuc("rebuild", "--data", data)
    assert done.returncode == 0, done.stderr
    assert "rebuilt under epoch 2" in done.stderr
    assert running_stack(data).ready
    assert not (data / "checkpoints").exists()
    assert not (data / "read-model.sqlite").exists()
    assert not (data / "rebuild.json").exists()


def test_killed_broker_is_started_again(data: Path, stack: Stack) -> None:
    before = stack.process("broker")
    assert before.pid is not None
    os.kill(before.pid, signal.SIGKILL)
    eventually(lambda: running_stack(data).process("broker").restarts > before.restarts, 30)
    eventually(lambda: running_stack(data).process("broker").state is ProcessState.READY, 30)
    assert create_topics(running_stack(data).settings()) == []


def test_setting_points_a_stack_at_an_existing_cluster(stack: Stack, tmp_path: Path) -> None:
    guest = start(tmp_path, BASE + 100, CHUNGSUC_BOOTSTRAP=stack.bootstrap, CHUNGSUC_PREFIX="guest.")
    found = settled(tmp_path, guest)
    assert found.ready
    assert [process.name for process in found.processes] == ["first", "second"]
    assert found.bootstrap == stack.bootstrap
    assert create_topics(found.settings()) == []
    stop(guest)


def test_topic_with_another_partition_count_is_refused(stack: Stack) -> None:
    with pytest.raises(RefusedError, match="has 4 partitions, 5 are set"):
        create_topics(stack.settings().model_copy(update={"partitions": 5}))


def test_supervisor_killed_takes_every_child_with_it(data: Path, stack: Stack, process: subprocess.Popen[str]) -> None:
    pids = [p.pid for p in stack.processes if p.pid is not None]
    assert len(pids) == 3
    process.kill()
    process.communicate(timeout=10)
    eventually(lambda: not any(lives(pid) for pid in pids), 20)
    assert holder(data) is None
    assert chungsuc("status", "--data", data).returncode == Exit.UNREACHABLE


def test_ready_line_then_clean_down(data: Path, process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        stop(process)
    again = start(data, BASE)
    stack = settled(data, again)
    pids = [p.pid for p in stack.processes if p.pid is not None]
    assert chungsuc("down", "--data", data).returncode == 0
    printed, _ = again.communicate(timeout=30)
    assert printed == stack.ready_line() + "\n"
    assert printed.startswith("ready: page http://127.0.0.1:27420")
    assert again.returncode == 0
    assert not any(lives(pid) for pid in pids)
    assert read_stack(data) is None
    assert chungsuc("down", "--data", data).returncode == Exit.UNREACHABLE


@pytest.mark.long
def test_two_stacks_run_side_by_side(tmp_path: Path) -> None:
    left, right = start(tmp_path / "left", BASE + 100), start(tmp_path / "right", BASE + 200)
    stacks = settled(tmp_path / "left", left), settled(tmp_path / "right", right)
    assert all(stack.ready for stack in stacks)
    assert stacks[0].bootstrap != stacks[1].bootstrap
    stop(left)
    assert running_stack(tmp_path / "right").ready
    stop(right)


def test_unknown_setting_is_refused_by_its_name(tmp_path: Path) -> None:
    refused = chungsuc("up", "--data", tmp_path, CHUNGSUC_WORKRES="2")
    assert refused.returncode == Exit.REFUSED
    assert "CHUNGSUC_WORKRES" in refused.stderr
    assert refused.stderr.count("\n") == 1
