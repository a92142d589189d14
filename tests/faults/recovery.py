"""A worker that must not go on says so in one line, and `chungsuc rebuild` is the way out."""

from __future__ import annotations

from deploy.sending import Sender
from deploy.stack import ProcessState
from schemas.exit import Exit
from tests.faults.harness import Running, metric
from tests.support.waiting import eventually


def assert_refused(running: Running, said: str, name: str = "rollup-1") -> None:
    """It has stopped for good with one clear line that names the way out; `status` and metrics show it."""
    eventually(lambda: running.state(name) is ProcessState.STOPPED_FOR_GOOD, 150)
    words = running.status(name).said
    assert said in words
    assert "chungsuc rebuild" in words
    assert running.chungsuc("status").returncode == Exit.FAILED
    assert metric(running.base + 53, "chungsuc_process_stopped_for_good") >= 1


def assert_rebuilt(running: Running) -> None:
    """`chungsuc rebuild` brings everything back, under a new epoch."""
    before = Sender(running.stack).catalogue.epoch
    done = running.chungsuc("rebuild", timeout_s=400)
    assert done.returncode == Exit.FINE, done.stderr
    running.settled_and_verified()
    assert Sender(running.stack).catalogue.epoch == before + 1
    assert running.fresh_total_within(90) > 0
