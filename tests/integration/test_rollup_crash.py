"""Crashes of rollup on the real broker: what makes it raise stops it for good, a kill from outside never does."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.kafka import BrokerSettings, Cluster
from schemas.admission import Admitted
from schemas.codec import encode_figure
from schemas.exit import Exit
from schemas.figure import FigureKind
from schemas.report import Offset, Source
from schemas.signature import SignedRecord
from schemas.topics import FIGURES, partition_of
from streams.ingest import figure_of
from tests.support.pipeline import STARTED_WITHIN_S, Pipeline, pipeline
from tests.support.signed import CATALOGUE, PARTITIONS, Draft, admission

PORT = 27640
HERE = partition_of(b"D", PARTITIONS)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(BrokerSettings(data_dir=tmp_path_factory.mktemp("kafka"), port=PORT)) as cluster:
        cluster.start()
        yield cluster


@pytest.fixture
def rollup(cluster: Cluster, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Pipeline]:
    """Two contributions to D that wait to be folded, and no rollup yet."""
    with pipeline(cluster.bootstrap, tmp_path, f"{request.node.name[:40]}.") as made:
        for offset, unit in enumerate(("c1", "c2")):
            made.send(contribution(unit, offset), HERE, FIGURES)
        yield made


def contribution(unit: str, offset: int) -> SignedRecord:
    """As ingest would send it, for a report of 150 persons."""
    received = Draft(unit=unit).received()
    admitted = admission().decide(received)
    assert isinstance(admitted, Admitted)
    received = type(received)(
        received.key, received.value, received.headers, Source(0, Offset(offset)), received.accepted_at, PARTITIONS
    )
    figure = figure_of(admitted, CATALOGUE, 1, received)
    return SignedRecord(admitted.receiver.encode(), encode_figure(figure), ())


def ended(process: subprocess.Popen[bytes]) -> int:
    return process.wait(STARTED_WITHIN_S)


def await_nation(made: Pipeline, persons: int) -> None:
    made.await_figure(
        lambda figure: figure.kind is FigureKind.ROOT and int.from_bytes(figure.values[:8], "little") == persons
    )


def test_contribution_that_makes_rollup_raise_stops_it_for_good_with_a_clear_line(rollup: Pipeline) -> None:
    failpoint = "rollup.fold:1:raise"
    assert [ended(rollup.start("rollup", failpoint)) for _ in range(3)] == [Exit.BUG] * 3
    for _ in range(2):  # a start that nobody asked for changes nothing
        rollup.log("rollup").write_bytes(b"")
        assert ended(rollup.start("rollup", failpoint)) == Exit.REFUSED
        last = rollup.log("rollup").read_text().splitlines()[-1]
        assert f"record 0 of {rollup.settings.topic(FIGURES)}-{HERE} has made rollup raise three times" in last
    assert len(rollup.figures.to_end()) == 2


@pytest.mark.long
def test_kill_at_one_offset_again_and_again_stops_nothing(rollup: Pipeline) -> None:
    assert [ended(rollup.start("rollup", "rollup.fold:1")) for _ in range(4)] == [-signal.SIGKILL] * 4
    process = rollup.start("rollup")
    await_nation(rollup, 300)
    process.send_signal(signal.SIGTERM)
    assert ended(process) == 0
    assert not (rollup.settings.data / "streams" / "rollup-1" / "crashes.json").exists()
