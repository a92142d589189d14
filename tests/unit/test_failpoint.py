"""Failpoints: nothing unless named, then at their count, or at their place each time."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from schemas.failpoint import VARIABLE, Failpoint, failpoint


def passes(monkeypatch: pytest.MonkeyPatch, text: str, count: int = 5) -> list[int]:
    """Which of `count` passes of the point `here`, at places 0:0, 0:1, …, raise."""
    monkeypatch.setenv(VARIABLE, text)
    monkeypatch.setattr("schemas.failpoint._passed", {})
    raised = []
    for at in range(count):
        try:
            failpoint("here", f"0:{at}")
        except Failpoint:
            raised.append(at)
    return raised


@pytest.mark.parametrize(
    ("text", "raised"),
    [
        ("", []),
        ("elsewhere:1:raise", []),
        ("elsewhere@0:1:raise", []),
        ("here:1:raise", [0]),
        ("here:3:raise", [2]),
        ("here@0:3:raise", [3]),
        ("here@1:3:raise", []),
        ("here@0:33:raise", []),
    ],
)
def test_point_is_passed_unless_its_count_or_place_is_reached(
    monkeypatch: pytest.MonkeyPatch, text: str, raised: list[int]
) -> None:
    assert passes(monkeypatch, text) == raised


def test_place_raises_each_time_it_is_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert passes(monkeypatch, "here@0:3:raise") == passes(monkeypatch, "here@0:3:raise") == [3]


@pytest.mark.parametrize("text", ["here:2", "here@0:1"])
def test_without_raise_the_process_is_killed(text: str) -> None:
    code = "from schemas.failpoint import failpoint\nfor n in range(2): failpoint('here', f'0:{n}')\nprint('alive')"
    ended = subprocess.run([sys.executable, "-c", code], env={VARIABLE: text}, capture_output=True, check=False)
    assert (ended.returncode, ended.stdout) == (-signal.SIGKILL, b"")


def test_sleep_stands_still_at_its_count_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "here:2:sleep=0.05")
    monkeypatch.setattr("schemas.failpoint._passed", {})
    failpoint("here")
    began = time.monotonic()
    failpoint("here")
    assert time.monotonic() - began >= 0.05
    failpoint("here")


def test_file_in_a_folder_arms_a_point_of_a_running_process_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert passes(monkeypatch, str(tmp_path)) == []
    for _ in range(2):
        (tmp_path / "here").write_text("2:raise", "utf-8")
        assert passes(monkeypatch, str(tmp_path)) == [1]
        assert not [*tmp_path.iterdir()]


def test_file_in_a_folder_kills_one_process_once(tmp_path: Path) -> None:
    code = "from schemas.failpoint import failpoint\nfailpoint('here')\nprint('alive')"
    (tmp_path / "here").write_text("1", "utf-8")
    lives = [subprocess.Popen([sys.executable, "-c", code], env={VARIABLE: str(tmp_path)}) for _ in range(2)]
    assert sorted(process.wait() for process in lives) == [-signal.SIGKILL, 0]
