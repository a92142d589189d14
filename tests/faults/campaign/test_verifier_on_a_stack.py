"""Observers and verifier on a real small stack: exact although processes are killed, until its evidence is changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from deploy.operator_key import operator_key
from deploy.sending import Sender
from producers.delivery import Delivery
from producers.outbox import FILE as OUTBOX
from producers.simulator import simulated_day
from schemas.codec import decode_figure, encode_figure
from schemas.figure import FigureKind
from schemas.form import FormId
from schemas.settings import Settings
from schemas.topics import FIGURES, RECEIPTS
from schemas.unit import UnitCode
from tests.faults.campaign.following import Observers
from tests.faults.campaign.history import History, Outage, Seen, read_history
from tests.faults.campaign.journal import Journal, JournalOutbox
from tests.faults.campaign.observers import Watch, all_observers
from tests.faults.campaign.verifier.anomaly import Name
from tests.faults.campaign.verifier.evidence import LOG, LogFile, capture, history_of
from tests.faults.campaign.verifier.verify import verify_segment
from tests.faults.harness import Running, stack_on
from tests.support.waiting import eventually

BASE = 24600
UNDER = UnitCode("12")
WATCH = Watch(("VN", "12", "106"), ("03406", "03388"), ("testing-daily", "vaccination-daily"))


@contextmanager
def delivery(running: Running, folder: Path) -> Iterator[Delivery]:
    """An outbox of its own that tells a journal what it does."""
    settings = running.settings.model_copy(update={"data": folder})
    folder.mkdir()
    journal = Journal(history_of(folder), 0)
    found = Delivery(settings, operator_key(running.settings.data))
    found.outbox.close()
    found.outbox = JournalOutbox(folder / OUTBOX, journal)
    try:
        yield found
    finally:
        found.close()
        journal.close()


def dark(path: Path, observer: str) -> bool:
    """Whether an observer has told of an outage that is over."""
    return any(isinstance(e, Outage) and e.observer == observer and e.ended > 0 for e in read_history(path))


def suffer(running: Running, folder: Path, settings: Settings) -> None:
    """Two days are sent while a worker, the read model and the page are killed; all is seen, and taken as evidence."""
    catalogue = Sender(running.stack).catalogue
    path = history_of(folder)
    history = History(path)
    with (
        delivery(running, folder / "node") as node,
        Observers(all_observers(settings, running.stack.page, WATCH, history)) as observers,
    ):
        for day, killed in ((1, "rollup-1"), (2, "read-model")):
            running.kill(killed)
            sent = simulated_day(catalogue, UNDER, date(2021, 12, day), forms=[FormId(form) for form in WATCH.forms])
            assert not node.deliver([one.send for one in sent], catalogue).problems
        restarts = running.kill("page")
        running.restarted("page", restarts)
        eventually(lambda: dark(path, "page"), 30)
        running.drained()
        observers.end()
    history.close()
    with path.open("ab") as file:
        file.write(history_of(folder / "node").read_bytes())
    capture(settings, folder)


def change_the_nations_total(log: LogFile) -> None:
    """One more in one cell of the newest total of the nation."""
    record = [r for r in log.read(FIGURES) if r.value and decode_figure(r.value).kind == FigureKind.ROOT][-1]
    figure = decode_figure(record.value or b"")
    first = int.from_bytes(figure.values[:8], "little", signed=True) + 1
    values = first.to_bytes(8, "little", signed=True) + figure.values[8:]
    log.replace(replace(record, value=encode_figure(replace(figure, values=values))))


@pytest.mark.long
def test_stack_that_was_killed_about_is_exact_until_its_evidence_is_changed(tmp_path: Path) -> None:
    folder = tmp_path / "segment"
    with stack_on(tmp_path / "data", BASE, workers=2) as running:
        suffer(running, folder, running.settings)
    verdict = verify_segment(folder)
    assert not verdict.anomalies
    assert verdict.word == "EXACT"
    assert verdict.acknowledged == verdict.sent > 300
    assert _observers(folder) == {"figures", "read model", "page"}

    with closing(LogFile(folder / LOG)) as log:
        change_the_nations_total(log)
    found = verify_segment(folder).found
    assert found[Name.NEVER_TRUE] >= 1
    assert found[Name.WRONG_VALUE] == 1

    with closing(sqlite3.connect(folder / LOG)) as database:
        database.execute("DELETE FROM record WHERE topic = ?", (RECEIPTS,))
        database.commit()
    assert verify_segment(folder).found[Name.NO_OUTCOME] == verdict.reports


def _observers(folder: Path) -> set[str]:
    return {event.observer for event in read_history(history_of(folder)) if isinstance(event, Seen)}
