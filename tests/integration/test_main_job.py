"""The main job from an empty folder, as `make demo` and `make real` run it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.drain import drain
from deploy.parts import CHECKOUT
from deploy.reading import open_read_model, stored_offsets
from deploy.real import FORM, HISTORY, ROWS, UNITS, publications, states_summed
from deploy.sending import Sender
from deploy.throwaway import stack_at
from schemas.exit import Exit
from tests.support.waiting import eventually


def run(*arguments: str, timeout_s: float) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=timeout_s, check=False)


def test_demo_shows_every_expected_figure_as_equal(tmp_path: Path) -> None:
    done = run("deploy.demo", "--no-wait", "--data", str(tmp_path), "--port-base", "27800", timeout_s=240)
    assert done.returncode == Exit.FINE, done.stdout + done.stderr
    assert "46 of 46 equal" in done.stdout
    assert re.search(r"all +229 +214 +11 +3 +1 +0 +0 +equal", done.stdout)
    assert "Huyện Tam Đường" in done.stdout
    assert "synthetic" in done.stdout


@pytest.mark.long
@pytest.mark.timeout(600)
def test_real_history_gives_the_published_nation_but_for_five_publications() -> None:
    # The time is asserted by `make real` on a quiet machine; here other tests may share the cores.
    done = run("deploy.real", "--target", "300", "--port-base", "27900", timeout_s=580)
    assert done.returncode == Exit.FINE, done.stdout + done.stderr
    assert "DOES NOT HOLD" not in done.stdout
    assert done.stdout.count("withdrawn") >= 5


@pytest.mark.long
@pytest.mark.timeout(600)
def test_replay_cut_off_in_the_middle_and_repeated_gives_the_same_figures(tmp_path: Path) -> None:
    with stack_at(tmp_path, port_base=27800, trees=[UNITS]) as stack:
        settings = stack.settings()
        command = [sys.executable, "-m", "deploy.cli.main", "replay", str(HISTORY), "--form", FORM]
        with subprocess.Popen(
            [*command, "--data", str(tmp_path)], cwd=CHECKOUT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as cut:
            try:
                # All of a nation's contributions lie in its own partition of `figures`, whichever that is.
                eventually(lambda: max(stored_offsets(settings).values(), default=0) > 1000, 60)
            finally:
                cut.kill()
        assert cut.returncode == -signal.SIGKILL
        summary = Sender(stack).replay(HISTORY, FORM)
        assert not summary.problems
        assert 0 < summary.acked < ROWS
        drain(settings, lambda: stored_offsets(settings), 300)
        with open_read_model(settings) as model:
            assert states_summed(model) == list(publications())[-1].nation
