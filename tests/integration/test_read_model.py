"""The read model's writer and `verify` on a real broker: restarts, kills, two writers, another log, the proof."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from kafka import KafkaProducer

from consumers.read_model.database import FILE_NAME, DatabaseRefused, open_writer
from consumers.read_model.reader import SqliteReadModel
from consumers.read_model.writer import Writer
from consumers.verify import verify
from deploy.kafka import BrokerSettings, Cluster
from deploy.topic_set import create_topics, recreate_topic
from schemas.act import AttesterRegistered, PeriodLocked, PrincipalBound
from schemas.exit import Exit
from schemas.failpoint import VARIABLE
from schemas.form import FormId
from schemas.log import Record, TopicReader
from schemas.period import PeriodText
from schemas.principal import ALL_UNITS, Binding, PrincipalName, Role
from schemas.read_model import FigureQuery, NotReady
from schemas.report import Millis, Offset
from schemas.settings import Settings, load_settings
from schemas.signature import SignedRecord
from schemas.topics import ACTS, FIGURES, INGEST_GROUP, REPORTS, ROLLUP_GROUP
from schemas.unit import UBND, UnitCode
from tests.support.groups import commit
from tests.support.read_model import DAYS, OPERATOR, PARTITIONS, FigureLog, catalogue_act, doses
from tests.support.reports import ReportLog, acts, eventful
from tests.support.signed import GATE, act_record, attested, release_act

ROOT = Path(__file__).resolve().parents[2]
WITHIN_S = 60.0
NATION = FigureQuery(UnitCode("R"), FormId("covid-doses"))
_prefixes = count(1)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(BrokerSettings(tmp_path_factory.mktemp("read-model") / "kafka", 27200)) as one:
        one.start()
        yield one


@pytest.fixture
def settings(cluster: Cluster, tmp_path: Path) -> Settings:
    """A data folder and topics of its own."""
    made = load_settings(data=tmp_path, bootstrap=cluster.bootstrap, operator_key=OPERATOR.public.hex(),
                         prefix=f"rm{next(_prefixes)}.", partitions=PARTITIONS)  # fmt: skip
    create_topics(made)
    return made


def send(settings: Settings, records: Iterable[Record]) -> None:
    with closing(KafkaProducer(bootstrap_servers=settings.bootstrap.split(","), acks="all")) as producer:
        sent = [producer.send(settings.topic(r.topic), key=r.key, value=r.value, headers=list(r.headers),
                              partition=r.partition) for r in records]  # fmt: skip
        for one in sent:
            one.get(WITHIN_S)


def send_figures(settings: Settings, log: FigureLog) -> None:
    send(settings, [catalogue_act()])
    send(settings, [record for records in log.partitions for record in records])


def many(number: int) -> FigureLog:
    """Corrections of one commune's day, each with its totals."""
    log = FigureLog()
    for revision in range(1, number + 1):
        log.report(doses("a1", DAYS[0], revision, revision=revision, source=(0, revision)))
    return log


def wait_until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < deadline, f"not within {WITHIN_S} s: {what}"
        time.sleep(0.02)


@contextmanager
def writer_on(settings: Settings) -> Iterator[Writer]:
    connection = open_writer(settings.data / FILE_NAME)
    with closing(connection), closing(Writer(settings, connection)) as writer:
        yield writer


def store_all(settings: Settings) -> None:
    with writer_on(settings) as writer:
        ends = writer.ends()
        wait_until(lambda: bool(writer.step(0.2)) and writer.caught_up(ends), "everything stored")


def nation(settings: Settings) -> tuple[int | None, ...]:
    with closing(SqliteReadModel(settings.data / FILE_NAME)) as model:
        rows = model.figures(NATION).rows
        return rows[0].measures if rows else ()


def is_stored(settings: Settings, ends: Mapping[int, int]) -> bool:
    try:
        with closing(SqliteReadModel(settings.data / FILE_NAME)) as model:
            stored = {one.partition: one.next for one in model.freshness() if one.topic == FIGURES}
    except NotReady:
        return False
    return all(stored.get(partition, 0) >= end for partition, end in ends.items())


def free_port() -> int:
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def started(settings: Settings, port: int = 0, failpoint: str = "") -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CHUNGSUC_")}
    environment |= {
        "CHUNGSUC_DATA": str(settings.data), "CHUNGSUC_BOOTSTRAP": settings.bootstrap,
        "CHUNGSUC_PREFIX": settings.prefix, "CHUNGSUC_OPERATOR_KEY": settings.operator_key,
        "CHUNGSUC_METRICS_PORT": str(port),
    }  # fmt: skip
    if failpoint:
        environment[VARIABLE] = failpoint
    return subprocess.Popen([sys.executable, "-m", "consumers.read_model"], cwd=ROOT, env=environment, text=True,
                            stderr=subprocess.PIPE)  # fmt: skip


def metric(port: int, name: str) -> float:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            lines: Sequence[str] = answer.read().decode().splitlines()
    except OSError:
        return -1.0
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


def test_what_a_superior_decides_after_a_restart_is_stored(settings: Settings) -> None:
    """It counts by acts that were stored before the restart: the gateway's key, the account, the catalogue."""
    bound = PrincipalBound(PrincipalName("d-vp"), (Binding(UnitCode("D"), Role.SUPERIOR),))
    before = [
        release_act(signer=OPERATOR),
        act_record(AttesterRegistered(GATE.kid, ALL_UNITS, GATE.public), "gateway", OPERATOR),
        act_record(bound, "bound", OPERATOR),
    ]
    send(settings, [as_record(one) for one in before])
    store_all(settings)
    lock = PeriodLocked(FormId("testing-small"), UBND, UnitCode("D"), PeriodText("2021-12-13"), True, "đã tổng hợp")
    send(settings, [as_record(attested(lock))])
    store_all(settings)
    with closing(sqlite3.connect(settings.data / FILE_NAME)) as database:
        assert database.execute("SELECT unit, locked FROM locks").fetchall() == [("D", 1)]


def as_record(signed: SignedRecord) -> Record:
    """As it goes into `acts`."""
    return Record(ACTS, 0, Offset(0), Millis(0), signed.key, signed.value, signed.headers)


def test_a_writer_goes_on_where_the_database_ends(settings: Settings) -> None:
    log = many(3)
    send_figures(settings, log)
    store_all(settings)
    assert nation(settings) == (3, 0, 0, 0)
    ends = [len(records) for records in log.partitions]
    log.report(doses("b1", DAYS[0], 7, source=(1, 1)))
    send(settings, [r for records, end in zip(log.partitions, ends, strict=True) for r in records[end:]])
    store_all(settings)
    assert nation(settings) == (10, 0, 0, 0)


def test_a_deleted_database_comes_back_the_same(settings: Settings) -> None:
    send_figures(settings, many(5))
    store_all(settings)
    before = nation(settings)
    for file in settings.data.glob(f"{FILE_NAME}*"):
        file.unlink()
    store_all(settings)
    assert nation(settings) == before


def test_two_writers_on_one_database_apply_everything_once(settings: Settings) -> None:
    log = many(40)
    with writer_on(settings) as one, writer_on(settings) as other:
        applied = 0
        send_figures(settings, log)
        ends = one.ends()

        def both() -> bool:
            nonlocal applied
            for writer in (one, other):
                applied += sum(writer.step(0.2).records.values())
            return one.caught_up(ends)

        wait_until(both, "both writers at the end")
    assert applied == sum(len(records) for records in log.partitions) + 1
    assert nation(settings) == (40, 0, 0, 0)


def test_a_process_killed_beside_its_commit_goes_on_and_stores_all(settings: Settings) -> None:
    log = many(30)
    ends = {partition: len(records) for partition, records in enumerate(log.partitions)}
    send_figures(settings, log)
    commit(settings, ROLLUP_GROUP, {(FIGURES, partition): end for partition, end in ends.items()})
    for point in ("read_model.before_commit", "read_model.after_commit"):
        assert not is_stored(settings, ends)
        with started(settings, failpoint=point) as process:
            assert process.wait(WITHIN_S) == -signal.SIGKILL
    port = free_port()
    with started(settings, port) as process:
        wait_until(lambda: metric(port, "chungsuc_ready ") == 1.0, "ready")
        log.report(doses("b1", DAYS[0], 5, source=(1, 1)))
        send(settings, [r for at, records in enumerate(log.partitions) for r in records[ends[at] :]])
        ends = {partition: len(records) for partition, records in enumerate(log.partitions)}
        wait_until(lambda: is_stored(settings, ends), "the new figures stored")
        wait_until(lambda: metric(port, "chungsuc_end_to_end_seconds_count") > 0, "times measured")
        assert metric(port, 'chungsuc_read_model_applied_records_total{topic="figures"}') > 0
        process.send_signal(signal.SIGTERM)
        assert process.wait(WITHIN_S) == Exit.FINE
    assert nation(settings) == (35, 0, 0, 0)


def test_a_database_made_anew_answers_once_all_that_was_reported_is_counted_again(settings: Settings) -> None:
    """Else a page would show figures that fall, as far as they are counted again (read-model.deleted, log-cut)."""
    send(settings, acts())
    log = eventful()
    send(settings, log.records)
    ends = {partition: len(records) for partition, records in enumerate(log.figures.partitions)}
    reports = {record.partition: 0 for record in log.records}
    for record in log.records:
        reports[record.partition] += 1
    counted = (
        (INGEST_GROUP, {(REPORTS, partition): end for partition, end in reports.items()}),
        (ROLLUP_GROUP, {(FIGURES, partition): end for partition, end in ends.items()}),
    )
    port = free_port()
    with started(settings, port) as process:
        try:
            wait_until(lambda: is_stored(settings, {}), "a database")
            send(settings, [r for records in log.figures.partitions for r in records])
            wait_until(lambda: is_stored(settings, ends), "figures stored")
            for group, offsets in counted:
                with pytest.raises(NotReady, match="counted again"):
                    nation(settings)
                assert metric(port, "chungsuc_ready ") == 0.0
                commit(settings, group, offsets)
            wait_until(lambda: metric(port, "chungsuc_ready ") == 1.0, "ready")
            assert nation(settings)
        finally:
            process.terminate()


def test_a_log_made_anew_is_refused_for_good_and_names_the_way_out(settings: Settings) -> None:
    send_figures(settings, many(3))
    store_all(settings)
    recreate_topic(settings, FIGURES)
    with started(settings) as process:
        _, said = process.communicate(timeout=WITHIN_S)
    assert process.returncode == Exit.REFUSED
    assert "another topic figures" in said
    assert "chungsuc rebuild" in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE positions SET next = next + 1000 WHERE topic = 'figures'", "the log was cut"),
        ("UPDATE positions SET digest = zeroblob(32) WHERE topic = 'figures'", "has grown again"),
        ("UPDATE positions SET time = time + 1 WHERE topic = 'acts'", "has grown again"),
        ("UPDATE identity SET value = 'other' WHERE name = 'cluster'", "belongs to cluster other"),
    ],
)
def test_a_database_that_knows_another_history_is_refused(settings: Settings, change: str, said: str) -> None:
    send_figures(settings, many(2))
    store_all(settings)
    with closing(open_writer(settings.data / FILE_NAME)) as connection:
        connection.execute(change)
    with pytest.raises(DatabaseRefused, match=f"{said}.*chungsuc rebuild"), writer_on(settings):
        pass


def with_broker_times(settings: Settings, log: ReportLog) -> ReportLog:
    """The same log, its figures bearing the times at which the broker took the reports."""
    with TopicReader(settings.bootstrap, settings.topic(REPORTS)) as reader:
        times = {(record.partition, int(record.offset)): record.time for record in reader.to_end()}
    figures = FigureLog()
    for sent in log.figures.reports:
        figures.report(replace(sent, accepted_at=times[sent.source]))
    return replace(log, figures=figures, records=log.records)


def test_verify_finds_no_difference_in_figures_that_follow_from_the_reports(settings: Settings) -> None:
    send(settings, acts())
    log = eventful()
    send(settings, log.records)
    log = with_broker_times(settings, log)
    receipts, rejected = log.outcome_records()
    send(settings, [*receipts, *rejected, *(r for records in log.figures.partitions for r in records)])
    store_all(settings)
    told: list[tuple[int, int]] = []
    result = verify(settings, lambda done, of: told.append((done, of)))
    assert result.differences == []
    assert result.compared_by == {
        "total in figures": 7, "total in read model": 7, "own report": 6, "outcome of report": 11}  # fmt: skip
    assert told[-1] == (11, 11)


def test_verify_says_where_a_published_total_is_wrong(settings: Settings) -> None:
    send(settings, acts())
    log = eventful()
    send(settings, log.records)
    log = with_broker_times(settings, log)
    receipts, rejected = log.outcome_records()
    a1_own = next(sent.source for sent in log.figures.reports if sent.unit == "a1" and not sent.entered_by)
    wrong = FigureLog()
    for sent in log.figures.reports:
        wrong.report(replace(sent, rows=doses("a1", DAYS[0], 136).rows) if sent.source == a1_own else sent)
    send(settings, [*receipts, *rejected, *(r for records in wrong.partitions for r in records)])
    store_all(settings)
    result = verify(settings)
    assert result.differing == 5  # the report itself, and A's and R's total in both places
    assert "row (all) (136, 0, 0, 0) instead of (135, 0, 0, 0)" in result.differences[0]
