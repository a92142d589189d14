"""The history of a segment: what is appended is read back, whoever wrote it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from schemas.form import FormId
from schemas.period import PeriodText
from schemas.report import Header, Kind, Millis, Report, Revision
from schemas.unit import UnitCode
from tests.faults.campaign.history import (
    FILE,
    Acked,
    Ended,
    Event,
    History,
    Outage,
    Seen,
    SeenReceipt,
    Sent,
    read_history,
)
from tests.support.signed import CATALOGUE, TESTING

FORM = next(form for form in CATALOGUE.forms if form.id == "testing-small")
HEADER = Header(
    UnitCode("c1"), PeriodText("2021-12-13"), Kind.REPORT, Revision(2), 1, Millis(5), entered_by=UnitCode("D")
)
EVENTS: tuple[Event, ...] = (
    Sent.of(1, FORM, Report(FormId("testing-small"), HEADER, [dict(TESTING)]), Millis(1), refused="unknown_code"),
    Acked(1, 3, -1, Millis(2)),
    Seen(
        "page",
        Millis(3),
        "D",
        "testing-small",
        "ubnd",
        "2021-12-13",
        1,
        7,
        1,
        ("a", "b"),
        ((("pcr", "một"), (1, None)),),
    ),
    SeenReceipt("receipts", Millis(4), 3, 7, "accepted", 12),
    Outage("page", Millis(5), Millis(-1), "no answer"),
    Ended("page", Millis(6), 9),
)


def test_events_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    history = History(tmp_path / FILE)
    history.append(*EVENTS)
    history.close()
    assert tuple(read_history(tmp_path / FILE)) == EVENTS


def test_sent_bears_the_identity_of_its_report() -> None:
    sent = EVENTS[0]
    assert isinstance(sent, Sent)
    assert sent.event == "testing-small/c1/ubnd/2021-12-13/D/2"
    assert len(bytes.fromhex(sent.digest)) == 32


def test_a_history_opened_again_is_gone_on_with(tmp_path: Path) -> None:
    for event in EVENTS:
        history = History(tmp_path / FILE)
        history.append(event)
        history.close()
    assert tuple(read_history(tmp_path / FILE)) == EVENTS


def test_events_of_many_threads_stay_whole(tmp_path: Path) -> None:
    history = History(tmp_path / FILE)

    def write(thread: int) -> None:
        for number in range(200):
            history.append(Acked(number, thread, number, Millis(0)), Acked(number, thread, -1, Millis(0)))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    history.close()
    found = [event for event in read_history(tmp_path / FILE) if isinstance(event, Acked)]
    assert len(found) == 1600
    assert all(second.offset == -1 and second.send == first.send and second.partition == first.partition
               for first, second in zip(found[::2], found[1::2], strict=True))  # fmt: skip


def test_a_line_that_is_no_event_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('["Acked",{"send":1}]\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"history\.jsonl line 1"):
        list(read_history(tmp_path / FILE))
