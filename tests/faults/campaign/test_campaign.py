"""The campaign itself: what it plans and keeps, what its lines do, and that its page tells what its results say."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from deploy.parts import CHECKOUT
from schemas.catalogue import RELEASED, Catalogue
from schemas.exit import Exit
from schemas.unit import UnitCode
from tests.faults.campaign import faults as _faults  # noqa: F401  (fills the register)
from tests.faults.campaign import story
from tests.faults.campaign.faults.kills import POINTS
from tests.faults.campaign.journal import mend
from tests.faults.campaign.kinds import TITLES, Kind
from tests.faults.campaign.page import PAGE, Bug, generated, page, read_bugs
from tests.faults.campaign.proxy import OPEN, Line, Proxy, State
from tests.faults.campaign.registry import FAULTS
from tests.faults.campaign.results import BROKEN, DISPROVED, PROVED, Result, Suffered, read_results
from tests.faults.campaign.schedule import brokers_of, schedule
from tests.faults.campaign.site import CATALOGUE
from tests.support.waiting import eventually
from tests.unit.test_docs import failpoints_in, sources

PROXY_PORT, TARGET_PORT = 24900, 24901

# What is planned


def test_every_kind_has_a_fault_and_a_title() -> None:
    assert {fault.kind for fault in FAULTS.values()} == set(Kind) == set(TITLES)


def test_every_named_moment_is_a_failpoint_of_the_product() -> None:
    there = set[str]().union(*map(failpoints_in, sources().values()))
    assert set(POINTS) <= there


def test_schedule_is_a_function_of_its_seed_and_has_every_kind() -> None:
    for seed in (3, 5):
        brokers = brokers_of(seed)
        plan = schedule(seed, brokers, 6, FAULTS.values())
        assert plan == schedule(seed, brokers, 6, FAULTS.values())
        assert plan != schedule(seed + 1, brokers, 6, FAULTS.values())
        kinds = {FAULTS[planned.fault].kind for planned in plan}
        assert set(Kind) - kinds <= ({Kind.NETWORK} if brokers == 1 else set())
        assert all(FAULTS[planned.fault].brokers in (0, brokers) for planned in plan)


def test_every_fifth_segment_has_one_broker() -> None:
    assert [brokers_of(seed) for seed in range(1, 6)] == [3, 3, 3, 3, 1]


def test_only_one_kind_or_one_fault_may_be_asked_for() -> None:
    assert {FAULTS[p.fault].kind for p in schedule(1, 3, 2, FAULTS.values(), "disk")} == {Kind.DISK}
    assert {p.fault for p in schedule(1, 3, 2, FAULTS.values(), "storm.2-5-2")} == {"storm.2-5-2"}
    assert schedule(1, 1, 2, FAULTS.values(), "network") == []


# What nodes say

CAMPAIGN = Catalogue.from_folder(RELEASED, CATALOGUE)
DISTRICT = UnitCode("106")


def test_step_is_said_again_word_for_word_and_has_every_accident() -> None:
    days = [date(2021, 3, day) for day in range(1, 13)]
    steps = [story.step(CAMPAIGN, DISTRICT, day, 1) for day in days]
    assert steps == [story.step(CAMPAIGN, DISTRICT, day, 1) for day in days]
    sends = [send for step in steps for send in step]
    assert {send.kind.value for send in sends} == {"report", "nil", "withdrawal"}
    assert any(send.entered_by == DISTRICT for send in sends)
    assert any(send.period < day.isoformat() for step, day in zip(steps, days, strict=True) for send in step)


def test_sends_of_a_series_come_in_the_order_of_their_issue_times() -> None:
    newest: dict[object, int] = {}
    for number in range(60):
        day = date.fromordinal(story.FIRST_DAY.toordinal() + number)
        for send in story.step(CAMPAIGN, DISTRICT, day, 4):
            assert send.issued_at >= newest.get(send.series, 0), send
            newest[send.series] = send.issued_at


@pytest.mark.parametrize("clock", story.CLOCKS)
def test_wrong_clock_moves_every_issue_time_alike(clock: str) -> None:
    sends = story.simulated(CAMPAIGN, DISTRICT, date(2023, 1, 5), 1)
    turned = story.turned(sends, clock)
    assert len({new.issued_at - old.issued_at for new, old in zip(turned, sends, strict=True)}) == 1
    assert min(send.issued_at for send in turned) > 0


def test_mixed_stream_has_both_versions_for_periods_of_both() -> None:
    sends = story.mixed(CAMPAIGN, DISTRICT, 3, 1)
    said = {(send.form.version, send.period >= "2021-06-01") for send in sends}
    assert said == {(1, False), (1, True), (2, False), (2, True)}


def test_last_line_that_was_cut_off_is_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text('["a"]\n["b', "utf-8")
    mend(path)
    mend(path)
    assert path.read_text("utf-8") == '["a"]\n'


# What the lines do


@pytest.fixture
def echo() -> Iterator[None]:
    """A server that sends back what it gets."""
    server = socket.create_server(("127.0.0.1", TARGET_PORT))

    def answer(connection: socket.socket) -> None:
        with closing(connection):
            while data := connection.recv(4096):
                connection.sendall(data)

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield
    server.shutdown(socket.SHUT_RDWR)
    server.close()


def _asked(connection: socket.socket, text: bytes) -> bytes:
    connection.settimeout(0.3)
    try:
        connection.sendall(text)
        return connection.recv(4096)
    except TimeoutError:
        return b"nothing"
    except ConnectionError:
        return b""


def _connected() -> socket.socket:
    return socket.create_connection(("127.0.0.1", PROXY_PORT), 2)


@pytest.mark.usefixtures("echo")
def test_line_is_cut_half_open_deaf_late_and_mended() -> None:
    with Proxy([(PROXY_PORT, TARGET_PORT)]) as proxy:
        with _connected() as connection:
            assert _asked(connection, b"a") == b"a"
            proxy.set(State(delay_s=0.1))
            began = time.monotonic()
            assert _asked(connection, b"b") == b"b"
            assert time.monotonic() - began >= 0.2
            for line in (Line.HALF_OPEN, Line.DEAF):
                proxy.set(State(line))
                assert _asked(connection, b"c") == b"nothing"
            proxy.set(OPEN)
            assert _asked(connection, b"d") == b""
        proxy.set(State(Line.CUT))
        with _connected() as connection:
            assert _asked(connection, b"e") == b""
        proxy.set(OPEN)
        eventually(_line_is_open, 5)


def _line_is_open() -> bool:
    with _connected() as connection:
        return _asked(connection, b"f") == b"f"


# What is kept and told

RESULT = Result(
    7, 3, "abc123", {"kafka": "4"}, "2 cores", "2026-11-22T00:00:00+00:00", load_s=3600.0,
    faults=[
        Suffered("kill.random.rollup", "kill", "rollup-1", 1.0, "", 8.0, "the kill", 0.5),
        Suffered("stop.taken-over", "stop", "rollup-2", 9.0, "", 2.0, "SIGCONT", -1.0, {"taken over": 9.5}),
    ],
    counts={"sent": 1200, "acknowledged": 1100, "lost": 0, "double": 0, "wrong": 0, "compared": 5},
    peak_mb={"rollup-1": 120.0},
    minutes_mb={"up": [90.0] * 8, "rollup-1": [60.0, 0.0, 70.0, 80.0, 90.0]}, verdict=PROVED,
)  # fmt: skip
WORDS_TEXT = "\n".join(
    f"<!-- {name} -->" for name in ("asked", "summary", "kinds", "recovery", "sizes", "failed", "bugs")
)


def test_results_are_appended_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    for verdict in (PROVED, BROKEN):
        replace(RESULT, verdict=verdict).append(path)
    assert [*read_results(path)] == [RESULT, replace(RESULT, verdict=BROKEN)]


def test_folders_of_a_machine_are_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    replace(
        RESULT, anomalies={"campaign": [f"OSError: {tmp_path}/data/stack.json: no space, testing-daily/c1/1"]}
    ).append(path)
    (found,) = read_results(path)
    assert found.anomalies == {"campaign": ["OSError: …/stack.json: no space, testing-daily/c1/1"]}


def test_line_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    RESULT.append(path)
    path.write_text(path.read_text("utf-8") + "{}\n", "utf-8")
    with pytest.raises(ValueError, match="line 2"):
        [*read_results(path)]


def test_page_tells_counts_kinds_recovery_and_bugs() -> None:
    bug = Bug("storm.2-5-2", "Seen.", "Why.", "Mended.", "tests/x.py", ["7@abc123"])
    told = page(WORDS_TEXT, [RESULT, replace(RESULT, seed=8, verdict=DISPROVED, anomalies={"lost write": ["x"]})], [])
    for line in (
        "| segments | 2 |", "| … proved | 1 |", "| hours of load | 2.00 |", "| faults | 4 |",
        "| reports sent | 2,400 |",
        "| 2 | `kill.random.rollup` | 8.0 s | 8.0 s |", "| 8@abc123 | disproved | lost write (1) |",
        "| a worker killed, from its restart by the supervisor | 2 | 7.5 s | 7.5 s | 7.5 s |",
        "| at least 300 faults | 4, 2 of them in segments that were proved exact | **missed** |",
        "| at least 2 hours of load | 2.00, 1.00 of them in segments that were proved exact | held |",
        "| 10 or more of each kind | fewest: 0 (broker) | **missed** |",
        "| 0 lost, 0 double, 0 wrong after settling | 0 lost, 0 double, 0 wrong; 1 of 2 segments proved | held |",
        "| a crashed worker that its supervisor restarts: p99 below 10 s | "
        "7.5 s of 2 (7.5 s of 2 on a quiet machine); 7.5 s of 2 with what bugs held up | held |",
        "In the longest of these segments, 8 minutes (seed 7), the largest in each quarter:",
        "| rollup-1 | 60 | 80 | 90 | 0 |",
        "| memory and disk bounded ([each](#memory-and-disk)) | all processes, by quarters of the longest segment "
        "(8 min): 150, 170, 180, 90 MB | held |",
    ):  # fmt: skip
        assert line in told.splitlines()
    explained = page(WORDS_TEXT, [replace(RESULT, verdict=DISPROVED)], [bug])
    assert "| segments | 0 |" in explained
    assert "1. **Seen.** *Why:* Why. *Mended:* Mended. Found by `storm.2-5-2`. Held by `tests/x.py`." in explained


def test_words_without_a_mark_are_refused() -> None:
    with pytest.raises(ValueError, match="asked"):
        page("", [], [])


def test_page_is_up_to_date() -> None:
    assert PAGE.read_text("utf-8") == generated(), "run `python -m tests.faults.campaign.page`"


def test_every_bug_names_a_fault_and_a_test_that_exist() -> None:
    for bug in read_bugs():
        assert bug.found_by in FAULTS
        assert not bug.test or (CHECKOUT / bug.test).exists()


def _campaign(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.faults.campaign", *arguments],
        cwd=CHECKOUT, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_unknown_kind_and_results_that_are_none_are_told_in_one_line(tmp_path: Path) -> None:
    done = _campaign("--only", "earthquake")
    assert (done.returncode, len(done.stderr.splitlines())) == (Exit.USAGE, 1)
    (tmp_path / "r").write_text(json.dumps({"seed": 1}), "utf-8")
    done = _campaign("--verify-results", "--results", str(tmp_path / "r"))
    assert (done.returncode, len(done.stderr.splitlines())) == (Exit.USAGE, 1)
