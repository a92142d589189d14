"""The verdict over a settled segment: the history against the log, the figures against the independent fold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from consumers.verify import verify
from schemas.log import TopicReader
from schemas.topics import REPORTS
from tests.faults.campaign import story
from tests.faults.campaign.following import Observer
from tests.faults.campaign.history import Acked, History, Sent, read_history
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

_MOST_NAMED = 20
_LOOK_EVERY_S = 3.0
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


def judge(site: Site, history: Path, result: Result) -> None:
    """Fill counts and anomalies. Everything must have settled."""
    sent = {event.send: event for event in read_history(history) if isinstance(event, Sent)}
    acked = [event for event in read_history(history) if isinstance(event, Acked)]
    acknowledged = {event.send for event in acked}
    settings = site.settings
    at: dict[tuple[int, int], str] = {}
    with TopicReader(settings.bootstrap, settings.topic(REPORTS)) as reader:
        for record in reader.to_end():
            at[record.partition, record.offset] = dict(record.headers).get("ce_id", b"").decode()
    events = Counter(at.values())
    lost = [sent[number].event for number in acknowledged if not events[sent[number].event]]
    elsewhere = [
        f"{ack.partition}:{ack.offset} holds {at.get((ack.partition, ack.offset))}, not {sent[ack.send].event}"
        for ack in acked
        if ack.offset >= 0 and at.get((ack.partition, ack.offset)) != sent[ack.send].event
    ]
    known = {event.event for event in sent.values()}
    unknown = [event for event in events if event not in known and not event.startswith("catalogue/")]
    checked = verify(settings)
    result.counts = {
        "sent": len(sent),
        "acknowledged": len(acknowledged),
        "records": len(at),
        "again": sum(count - 1 for count in events.values()),
        "lost": len(lost),
        "compared": checked.compared,
        "wrong": checked.differing,
    }
    for name, found in (
        ("lost-write", lost),
        ("inconsistent-offsets", elsewhere),
        ("unsent-observed", unknown),
        ("wrong-figure", checked.differences),
    ):
        if found:
            result.anomalies[name] = [*map(str, found[:_MOST_NAMED])]
