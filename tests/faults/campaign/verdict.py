"""The verdict over a settled segment: the history against the log, the figures against the independent fold."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from consumers.verify import verify
from tests.faults.campaign import story
from tests.faults.campaign.following import Observer
from tests.faults.campaign.history import History
from tests.faults.campaign.journal import mend
from tests.faults.campaign.observers import (
    FiguresObserver,
    PageObserver,
    ReadModelObserver,
    ReceiptsObserver,
    Watch,
)
from tests.faults.campaign.results import Result
from tests.faults.campaign.site import Site
from tests.faults.campaign.verifier.evidence import READ_MODEL, capture, forget
from tests.faults.campaign.verifier.verify import verify_segment

_MOST_NAMED = 20
_LONGEST = 500
_LOOK_EVERY_S = 5.0
_WATCH = Watch(("VN", "12", "106", "001"), ("03352", "03406", "00001"), (*story.FORMS, "covid-doses"))


def observers(site: Site, history: History) -> list[Observer]:
    """All of them; those that ask do so less often than they could, because load and faults need the two cores."""
    settings = site.settings
    return [
        FiguresObserver(settings, _WATCH, history),
        ReadModelObserver(settings, _WATCH, history, _LOOK_EVERY_S),
        PageObserver(site.running.stack.page, _WATCH, history, _LOOK_EVERY_S),
        ReceiptsObserver(settings, _WATCH, history),
    ]


def merged(histories: Iterable[Path], into: Path) -> None:
    """One history of what several processes told, torn last lines left out."""
    with into.open("ab") as file:
        for path in histories:
            mend(path)
            if path.exists():
                file.write(path.read_bytes())


def outcomes(read_model: Path) -> dict[str, int]:
    """How many reports ended in which way: a conflict is nobody's loss by the contract, and worth to be seen."""
    with closing(sqlite3.connect(read_model)) as connection:
        rows = connection.execute("SELECT outcome, count(*) FROM receipts GROUP BY outcome").fetchall()
    return {f"outcome {outcome}": count for outcome, count in rows}


def judge(site: Site, folder: Path, result: Result) -> None:
    """Fill counts and anomalies from the evidence, which is taken into `folder`. Everything must have settled."""
    settings = site.settings
    capture(settings, folder)
    found = verify_segment(folder)
    theirs = verify(settings)
    result.counts = {
        "sent": found.sent,
        "acknowledged": found.acknowledged,
        "recovered": found.recovered,
        "withheld": found.withheld,
        "reports": found.reports,
        "totals": found.totals,
        "repeated": found.repeated,
        "observed": found.observed,
        "unchecked": found.unchecked,
        "outages": found.outages,
        "compared": found.compared,
        "lost": found.lost,
        "double": found.double,
        "wrong": found.wrong,
        "compared by the product": theirs.compared,
        "differing by the product": theirs.differing,
    }
    result.counts |= outcomes(folder / READ_MODEL)
    result.word = found.word
    result.wrong_while_running = found.wrong_seen
    result.wrong_for_s = found.wrong_for_ms / 1000
    for anomaly in found.anomalies:
        result.anomalies.setdefault(anomaly.name.value, []).append(f"{anomaly.where}: {anomaly.evidence}"[:_LONGEST])
    if theirs.differing:
        result.anomalies["the product's own verify"] = [*map(str, theirs.differences[:_MOST_NAMED])]
    if not result.anomalies:
        forget(folder)
