"""Topics, registers and stream workers by hand on a real broker, for tests of one worker at a time."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import MemberToRemove

from deploy.parts import CHECKOUT
from deploy.topic_set import create_topics
from schemas.catalogue import Catalogue
from schemas.codec import decode_figure, decode_receipts
from schemas.failpoint import VARIABLE
from schemas.figure import Figure
from schemas.log import Record, TopicReader
from schemas.receipt import Receipt
from schemas.report import Source
from schemas.settings import Settings, load_settings
from schemas.signature import SignedRecord
from schemas.topics import ACTS, FIGURES, MIB, RECEIPTS, REJECTED, REPORTS
from tests.support.signed import OPERATOR, PARTITIONS, control_record, key_acts, release_act

STARTED_WITHIN_S = 60.0


class Tail:
    """Everything of one topic so far; `read` takes in what has come since."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self._reader = TopicReader(settings.bootstrap, settings.topic(topic))
        self.records: list[Record] = []

    def read(self, timeout_s: float = 0.05) -> list[Record]:
        self.records += self._reader.poll(timeout_s)
        return self.records

    def to_end(self) -> list[Record]:
        self.records += self._reader.to_end()
        return self.records

    def close(self) -> None:
        self._reader.close()


class Pipeline:
    """One set of topics with a released catalogue and registered keys."""

    def __init__(self, bootstrap: str, data: Path, prefix: str) -> None:
        self.settings = load_settings(
            data=data, bootstrap=bootstrap, operator_key=OPERATOR.public.hex(), prefix=prefix, partitions=PARTITIONS
        )
        create_topics(self.settings)
        self.producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all", max_request_size=17 * MIB)
        self.figures, self.rejected, self.receipts = (
            Tail(self.settings, topic) for topic in (FIGURES, REJECTED, RECEIPTS)
        )
        self._processes: list[subprocess.Popen[bytes]] = []
        for act in (release_act(), *key_acts()):
            self.send(act, 0, ACTS)
        for partition in range(PARTITIONS):
            self.send(control_record(), partition)

    def close(self) -> None:
        """End what was started here."""
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait(10)
        for tail in (self.figures, self.rejected, self.receipts):
            tail.close()
        self.producer.close(timeout=5)

    def release(self, catalogue: Catalogue) -> None:
        """Release another catalogue, without announcing it."""
        self.send(release_act(catalogue), 0, ACTS)

    def send(self, record: SignedRecord, partition: int, topic: str = REPORTS) -> int:
        """Its offset, once the broker has it."""
        return self.queue(record, partition, topic)()

    def queue(self, record: SignedRecord, partition: int, topic: str = REPORTS) -> Callable[[], int]:
        """Send without waiting; the answer waits for the broker and gives the offset."""
        future = self.producer.send(
            self.settings.topic(topic), record.value, record.key, list(record.headers), partition=partition
        )
        return lambda: int(future.get(20).offset)

    def start(self, stage: str, failpoint: str = "") -> subprocess.Popen[bytes]:
        """`python -m streams.<stage>`; its log is `<stage>.log` in the data folder."""
        settings = self.settings
        environment = {name: text for name, text in os.environ.items() if not name.startswith("CHUNGSUC_")} | {
            "CHUNGSUC_DATA": str(settings.data), "CHUNGSUC_BOOTSTRAP": settings.bootstrap,
            "CHUNGSUC_OPERATOR_KEY": settings.operator_key, "CHUNGSUC_PREFIX": settings.prefix,
            "CHUNGSUC_WORKER_ID": f"{stage}-1",
        }  # fmt: skip
        if failpoint:
            environment[VARIABLE] = failpoint
        with self.log(stage).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", f"streams.{stage}"], cwd=CHECKOUT, env=environment, stderr=log
            )
        self._processes.append(process)
        return process

    def log(self, stage: str) -> Path:
        """What the stage's processes have written."""
        return self.settings.data / f"{stage}.log"

    def contributions(self) -> list[Figure]:
        """Every figure so far, redelivered ones too."""
        return [decode_figure(record.value or b"") for record in self.figures.to_end()]

    def all_receipts(self) -> list[Receipt]:
        """Every receipt so far."""
        return [receipt for record in self.receipts.to_end() for receipt in decode_receipts(record.value or b"")]

    def await_figure(self, wanted: Callable[[Figure], bool], within_s: float = STARTED_WITHIN_S) -> Figure:
        """The first figure that is wanted; an AssertionError after the bound, or when a process has ended meanwhile."""
        deadline = time.monotonic() + within_s
        looked_at = 0
        while True:
            records = self.figures.read()
            for record in records[looked_at:]:
                figure = decode_figure(record.value or b"")
                if wanted(figure):
                    return figure
            looked_at = len(records)
            assert time.monotonic() < deadline, f"not among {looked_at} figures within {within_s} s"

    def forget_offsets(self, stage: str) -> None:
        """Delete the stage's group with all that it has committed; a static member stays in it after its end."""
        group = self.settings.topic(f"chungsuc-{stage}")
        admin = KafkaAdminClient(bootstrap_servers=self.settings.bootstrap)
        try:
            admin.remove_group_members(group, [MemberToRemove(group_instance_id=f"{stage}-1")])
            assert admin.delete_groups([group]) == {group: "OK"}
        finally:
            admin.close()


@contextmanager
def pipeline(bootstrap: str, data: Path, prefix: str) -> Iterator[Pipeline]:
    """A pipeline that ends what it started."""
    made = Pipeline(bootstrap, data, prefix)
    try:
        yield made
    finally:
        made.close()


def source_of(figure: Figure) -> Source:
    """The report that a contribution comes from."""
    return Source(figure.source_partition, figure.source_offset)
