"""Crashes of ingest on the real broker: only a record that makes it raise counts against itself, and only thrice."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.kafka import BrokerSettings, Cluster
from schemas.exit import Exit
from schemas.figure import FigureKind
from schemas.precedence import Outcome
from schemas.rejection import Reason
from schemas.report import Offset, Source
from schemas.topics import partition_of
from tests.support.pipeline import STARTED_WITHIN_S, Pipeline, pipeline, source_of
from tests.support.signed import PARTITIONS, TESTING, Draft

PORT = 27620
HERE = partition_of(b"c1", PARTITIONS)
BAD = Source(HERE, Offset(2))
"""The control record is at 0, a good report at 1, and two more behind the bad one."""
GOOD = {Source(HERE, Offset(at)) for at in (1, 3, 4)}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(BrokerSettings(data_dir=tmp_path_factory.mktemp("kafka"), port=PORT)) as cluster:
        cluster.start()
        yield cluster


@pytest.fixture
def ingest(cluster: Cluster, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Pipeline]:
    """Four reports that wait to be read, and no ingest yet."""
    with pipeline(cluster.bootstrap, tmp_path, f"{request.node.name[:40]}.") as made:
        for revision in (1, 2, 3, 4):
            made.send(Draft(revision=revision).record(), HERE)
        yield made


def ended(process: subprocess.Popen[bytes]) -> int:
    return process.wait(STARTED_WITHIN_S)


def sources(made: Pipeline) -> set[Source]:
    return {source_of(figure) for figure in made.contributions()}


def stopped_cleanly(process: subprocess.Popen[bytes]) -> bool:
    process.send_signal(signal.SIGTERM)
    return ended(process) == 0


def suspicions(made: Pipeline) -> object:
    folder = made.settings.data / "streams" / "ingest-1"
    assert not (folder / "marker.json").exists()
    file = folder / "crashes.json"
    return json.loads(file.read_text()) if file.exists() else {}


def test_record_that_makes_ingest_raise_is_quarantined_at_the_third_time_and_stays_out(ingest: Pipeline) -> None:
    failpoint = f"ingest.decide@{BAD}:raise"
    assert [ended(ingest.start("ingest", failpoint)) for _ in range(3)] == [Exit.BUG] * 3
    assert not ingest.rejected.to_end()
    fourth = ingest.start("ingest", failpoint)
    ingest.await_figure(lambda figure: figure.revision == 4)
    assert stopped_cleanly(fourth)
    assert sources(ingest) == GOOD
    (rejected,) = ingest.rejected.to_end()
    said = dict(rejected.headers)
    assert (said["reason"], said["source"]) == (b"internal_error", str(BAD).encode())
    assert (rejected.value, rejected.key) == (Draft(revision=2).record().value, b"c1")
    (receipt,) = ingest.all_receipts()
    assert (receipt.source, receipt.outcome, receipt.reason) == (BAD, Outcome.REJECTED, Reason.INTERNAL_ERROR)
    assert suspicions(ingest) == {}

    # From offset 0 again, without the fault and without anything remembered on disk.
    shutil.rmtree(ingest.settings.data / "checkpoints")
    shutil.rmtree(ingest.settings.data / "streams")
    ingest.forget_offsets("ingest")
    before = len(ingest.figures.to_end())
    again = ingest.start("ingest")
    newest = ingest.send(Draft(revision=5).record(), HERE)
    ingest.await_figure(lambda figure: figure.revision == 5)
    assert stopped_cleanly(again)
    assert len(ingest.contributions()) == before + len(GOOD) + 1
    assert sources(ingest) == GOOD | {Source(HERE, Offset(newest))}
    assert len(ingest.rejected.to_end()) == 1


@pytest.mark.long
def test_kill_at_one_offset_again_and_again_quarantines_nothing(ingest: Pipeline) -> None:
    failpoint = f"ingest.decide@{BAD}"
    assert [ended(ingest.start("ingest", failpoint)) for _ in range(6)] == [-signal.SIGKILL] * 6
    process = ingest.start("ingest")
    ingest.await_figure(lambda figure: figure.revision == 4)
    assert stopped_cleanly(process)
    assert sources(ingest) == GOOD | {BAD}
    assert not ingest.rejected.to_end()
    assert suspicions(ingest) == {}


def test_end_by_sigterm_during_work_is_clean_and_counts_for_nothing(ingest: Pipeline) -> None:
    newest = 4
    for _ in range(2):
        first, newest = newest + 1, newest + 1_500
        for revision in range(first, newest + 1):
            ingest.queue(Draft(revision=revision).record(), HERE)
        ingest.producer.flush(60)
        process = ingest.start("ingest")
        ingest.await_figure(lambda figure, first=first: figure.revision >= first)  # type: ignore[misc]
        assert stopped_cleanly(process)
        assert suspicions(ingest) == {}
    process = ingest.start("ingest")
    last = ingest.send(Draft(revision=newest + 1).record(), HERE)
    ingest.await_figure(lambda figure: figure.revision == newest + 1)
    assert stopped_cleanly(process)
    assert sources(ingest) == {Source(HERE, Offset(at)) for at in range(1, last + 1)}
    assert not ingest.rejected.to_end()


def test_lines_roll_up_independently_from_report_to_root(cluster: Cluster, tmp_path: Path) -> None:
    """c1 reports on the line of the committees and, with another number, on the Front's, where it answers to A."""
    with pipeline(cluster.bootstrap, tmp_path, "lines.") as made:
        for line, persons in (("ubnd", 150), ("front", 70)):
            made.send(Draft(line=line, rows=[{**TESTING, "persons": persons}]).record(), HERE)
        made.start("ingest")
        made.start("rollup")
        for line, root, persons in (("ubnd", "R", 150), ("front", "A", 70)):
            total = made.await_figure(lambda f, line=line: f.kind is FigureKind.ROOT and f.line == line)  # type: ignore[misc]
            assert (total.unit, int.from_bytes(total.values[:8], "little"), total.reported) == (root, persons, 1)
        assert {figure.unit for figure in made.contributions() if figure.line == "front"} == {"c1", "A"}
