"""Producers against a real broker: what was sent is in `reports` once per send, whatever dies in between.

No stream runs here: where a test needs receipts it writes them, as ingest and rollup would.
"""

from __future__ import annotations

import gc
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import date
from itertools import count
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import NewTopic

from deploy.kafka import BrokerSettings, Cluster
from producers.delivery import Delivery, Summary, deliver
from producers.errors import KeysError, OutboxError, ProducerError, PublishError
from producers.gateway.courier import Courier, Sent
from producers.gateway.courier import Outcome as Told
from producers.gateway.refusal import Refusal
from producers.gateway.store import FILE as GATEWAY_FILE
from producers.gateway.store import GatewayStore
from producers.history import replay
from producers.keys import NodeKeys
from producers.outbox import Outbox, State
from producers.publisher import Publisher
from producers.registration import now_ms
from producers.send import Send
from producers.simulator import Accidents, simulate
from schemas.admission import Admission, Admitted, Received
from schemas.codec import decode_report, encode_receipts, fingerprint_in
from schemas.failpoint import VARIABLE
from schemas.form import Form, FormId
from schemas.log import ActReader, LogUnreachable, Record, TopicReader
from schemas.period import PeriodText
from schemas.precedence import Outcome
from schemas.principal import ALL_UNITS
from schemas.receipt import Receipt
from schemas.register import Registers
from schemas.rejection import Reason, Rejection
from schemas.report import KeyId, Kind, Millis, Offset, Report
from schemas.settings import Settings, load_settings
from schemas.signature import Ed25519Key
from schemas.topics import ACTS, RECEIPTS, REPORTS, TOPICS, partition_of, topic_config
from schemas.unit import UnitCode
from tests.support.released import released_catalogue
from tests.support.signed import registers
from tests.support.waiting import eventually
from tests.unit.test_gateway_intake import item, job

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "deploy" / "demo" / "tam-duong"
CATALOGUE = released_catalogue()
OPERATOR = Ed25519Key(KeyId("operator-1"), b"o" * 32)
UNIT, DISTRICT = UnitCode("03430"), UnitCode("106")
NOON = Millis(1_639_371_600_000)
MINUTE = 60_000
PARTITIONS = 4
_prefixes = count(1)


def form(name: str) -> Form:
    found = CATALOGUE.form_in_force(FormId(name), date(2021, 12, 13))
    assert found is not None
    return found


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(BrokerSettings(tmp_path_factory.mktemp("producers") / "kafka", 27300)) as one:
        one.start()
        yield one


@pytest.fixture
def settings(cluster: Cluster, tmp_path: Path) -> Settings:
    """A host with its own topics."""
    made = load_settings(
        data=tmp_path / "data",
        bootstrap=cluster.bootstrap,
        operator_key=OPERATOR.public.hex(),
        prefix=f"t{next(_prefixes)}.",
    )
    admin = KafkaAdminClient(bootstrap_servers=cluster.bootstrap)
    admin.create_topics(
        [
            NewTopic(made.topic(topic.name), PARTITIONS if topic.keyed else 1, 1,
                     topic_configs=dict(topic_config(topic, 1)))
            for topic in TOPICS
        ],
        wait_for_metadata=True,
    )  # fmt: skip
    admin.close()
    return made


def table(dose1: int, minute: int = 0, **more: object) -> Send:
    row = {"dose1": dose1, "dose2": 0, "dose3": 0, "dose4": 0}
    send = Send(
        form("covid-doses"), UNIT, PeriodText("2021-12-13"), Kind.REPORT, Millis(NOON + minute * MINUTE), (row,)
    )
    return replace(send, **more)  # type: ignore[arg-type]


def give(settings: Settings, *sends: Send) -> Summary:
    return deliver(settings, OPERATOR, CATALOGUE, sends)


def log(settings: Settings, topic: str = REPORTS) -> list[Record]:
    with TopicReader(settings.bootstrap, settings.topic(topic)) as reader:
        return list(reader.to_end())


def report(record: Record) -> Report:
    assert record.value is not None
    sent_form = CATALOGUE.form(fingerprint_in(record.value))
    assert sent_form is not None
    return decode_report(sent_form, record.value)


def said(settings: Settings) -> list[tuple[int, int, int]]:
    """(revision, sequence, dose1) of every record, in the order of the log."""
    found = [report(record) for record in log(settings)]
    return [(one.header.revision, one.header.sequence, int(one.rows[0]["dose1"] or 0)) for one in found]


def decide(settings: Settings) -> list[Admitted | Rejection]:
    acts = ActReader(settings, Registers(OPERATOR.public, settings.act_delay_ms))
    admission = Admission(CATALOGUE, acts.refresh())
    acts.close()
    return [admission.decide(Received(r.key, r.value, r.headers, r.source, r.time, PARTITIONS)) for r in log(settings)]


def write_receipts(settings: Settings, outcome: Outcome, *records: Record) -> None:
    producer = KafkaProducer(bootstrap_servers=settings.bootstrap)
    for n, record in enumerate(records):
        one = report(record)
        h = one.header
        receipt = Receipt(
            unit=h.unit, line=h.line, form=one.form, period=h.period, entered_by=h.entered_by or "",
            revision=h.revision, kid=dict(record.headers)["kid"].decode(), digest=one.digest([]), source=record.source,
            outcome=outcome, reason="", field="", detail="", highest_revision=h.revision, accepted_at=record.time,
            figures_offset=Offset(n),
        )  # fmt: skip
        partition = partition_of(h.unit.encode(), PARTITIONS)
        producer.send(settings.topic(RECEIPTS), encode_receipts([receipt]), partition=partition).get(10)
    producer.close()


def killed_at(settings: Settings, failpoint: str, *sends: tuple[int, int]) -> None:
    """Deliver (dose1, minute) sends in a process of its own, which dies at the failpoint."""
    code = f"""
from tests.integration.test_producers import give, table
from schemas.settings import load_settings
give(load_settings(), *[table(*one) for one in {sends!r}])
"""
    environment = {
        **os.environ,
        VARIABLE: failpoint,
        "CHUNGSUC_DATA": str(settings.data),
        "CHUNGSUC_BOOTSTRAP": settings.bootstrap,
        "CHUNGSUC_OPERATOR_KEY": settings.operator_key,
        "CHUNGSUC_PREFIX": settings.prefix,
    }
    ended = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=ROOT, timeout=60, check=False, capture_output=True
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()


def test_sends_are_admitted_with_keys_registered_on_first_use(settings: Settings) -> None:
    summary = give(settings, table(1), table(2, 1), table(3, 2, entered_by=DISTRICT))
    assert (summary.sends, summary.new, summary.known, summary.acked, summary.problems) == (3, 3, 0, 3, [])
    decided = decide(settings)
    assert all(isinstance(one, Admitted) for one in decided), decided
    assert len(log(settings, ACTS)) == 2


def test_second_delivery_changes_nothing(settings: Settings) -> None:
    give(settings, table(1), table(2, 1))
    again = give(settings, table(1), table(2, 1))
    assert (again.new, again.known, again.acked) == (0, 2, 0)
    assert said(settings) == [(1, 1, 1), (2, 2, 2)]
    assert len(log(settings, ACTS)) == 1


@pytest.mark.parametrize("failpoint", ["publisher.after_ack", "outbox.before_mark"])
def test_publisher_killed_between_ack_and_mark_sends_the_same_bytes_again(settings: Settings, failpoint: str) -> None:
    killed_at(settings, failpoint, (1, 0), (2, 1))
    before = log(settings)
    assert len(before) == 2
    summary = give(settings, table(1), table(2, 1))
    assert (summary.new, summary.known, summary.acked) == (0, 2, 2)
    after = log(settings)
    assert [(r.key, r.value, r.headers) for r in after[2:]] == [(r.key, r.value, r.headers) for r in before]
    assert said(settings) == [(1, 1, 1), (2, 2, 2)] * 2


def test_publisher_killed_before_anything_was_sent_sends_it_next_time(settings: Settings) -> None:
    killed_at(settings, "outbox.after_write", (1, 0))
    assert log(settings) == []
    assert give(settings, table(1)).acked == 1
    assert said(settings) == [(1, 1, 1)]


def test_deleted_outbox_is_rebuilt_with_revisions_issue_times_and_sequence(settings: Settings) -> None:
    sends = [table(1), table(2, 1), table(9, 0, entered_by=DISTRICT), table(4, 0, period=PeriodText("2021-12-12"))]
    give(settings, *sends)
    for path in settings.data.glob("outbox.sqlite*"):
        path.unlink()
    again = give(settings, *sends)
    assert (again.new, again.known, again.acked) == (0, 4, 0)
    give(settings, table(3, 2))
    records = log(settings)
    newest = report(records[-1]).header if report(records[-1]).header.revision == 3 else None
    assert len(records) == 5
    assert newest is not None
    assert newest.sequence == 4


def test_reader_that_is_kept_misses_nothing_that_came_after_it_had_asked_for_the_end(settings: Settings) -> None:
    """An act in that moment was unknown to a worker until its restart, and reports under its key were refused."""
    give(settings, table(1), table(2, 1), table(3, 2))
    partition = partition_of(UNIT.encode(), PARTITIONS)
    with TopicReader(settings.bootstrap, settings.topic(REPORTS)) as reader:
        assert [record.offset for record in reader.to_end({partition: 1})] == [0]
        broken_off = reader.to_end()
        assert next(broken_off).offset == 1
        broken_off.close()
        assert [record.offset for record in reader.to_end()] == [2]


def test_reader_that_gets_nothing_before_the_end_gives_up(settings: Settings) -> None:
    give(settings, table(1))
    partition = partition_of(UNIT.encode(), PARTITIONS)
    with TopicReader(settings.bootstrap, settings.topic(REPORTS), silence_s=0.5) as reader:
        read = reader.to_end({partition: 2})
        next(read)
        with pytest.raises(LogUnreachable, match="nothing came from"):
            next(read)


@pytest.mark.parametrize("kept", [8192, 100], ids=["behind its first pages", "from its header on"])
def test_damaged_outbox_is_told_in_one_line_and_made_anew_when_it_is_deleted(settings: Settings, kept: int) -> None:
    give(settings, table(1))
    outbox = settings.data / "outbox.sqlite"
    content = outbox.read_bytes()
    outbox.write_bytes(content[:kept] + b"\xa5" * (len(content) - kept))
    with pytest.raises(OutboxError, match=r"^the outbox .* is damaged .* delete it and send again; .* `reports`$"):
        give(settings, table(2, 1))
    outbox.unlink()
    give(settings, table(2, 1))
    assert said(settings) == [(1, 1, 1), (2, 2, 2)]


def test_outbox_older_than_its_own_past_gives_no_revision_twice(settings: Settings) -> None:
    """Put back from a backup, or its write-ahead log lost in a crash (outbox.log-lost)."""
    give(settings, table(1))
    outbox = settings.data / "outbox.sqlite"
    older = outbox.read_bytes()
    give(settings, table(2, 1), table(3, 2))
    outbox.write_bytes(older)
    summary = give(settings, table(4, 3))
    assert (summary.new, summary.problems) == (1, [])
    assert said(settings) == [(1, 1, 1), (2, 2, 2), (3, 3, 3), (4, 4, 4)]
    again = give(settings, table(2, 1), table(3, 2))
    assert (again.new, again.known) == (0, 2)


def test_rebuilt_outbox_takes_older_content_for_what_it_is(settings: Settings) -> None:
    give(settings, table(1), table(2, 1))
    for path in settings.data.glob("outbox.sqlite*"):
        path.unlink()
    (problem,) = give(settings, table(7, 0, where="line 2")).problems
    assert "known with other content" in str(problem)


def test_rebuilt_rows_are_settled_by_receipts_read_before(settings: Settings) -> None:
    give(settings, table(1))
    write_receipts(settings, Outcome.ACCEPTED, *log(settings))
    for path in settings.data.glob("outbox.sqlite*"):
        path.unlink()
    give(settings, table(1))
    outbox = Outbox(settings.data / "outbox.sqlite")
    assert outbox.counts() == {State.SETTLED: 1}
    outbox.close()


def test_unit_new_to_an_old_outbox_goes_on_where_it_was(settings: Settings, tmp_path: Path) -> None:
    """Its key moved to this host with it; its outbox did not."""
    give(settings, table(1), table(2, 1))
    elsewhere = settings.model_copy(update={"data": tmp_path / "elsewhere"})
    give(elsewhere, table(5, 0, unit=UnitCode("03390")))
    (settings.data / "keys.sqlite").rename(elsewhere.data / "keys.sqlite")
    summary = give(elsewhere, table(3, 5))
    assert summary.new == 1
    assert (3, 3, 3) in said(settings)


def test_lost_keys_are_replaced_and_revisions_go_on(settings: Settings) -> None:
    give(settings, table(1), table(2, 1))
    for path in settings.data.glob("*.sqlite*"):
        path.unlink()
    give(settings, table(3, 2))
    assert said(settings) == [(1, 1, 1), (2, 2, 2), (3, 1, 3)]
    assert dict(log(settings)[-1].headers)["kid"] == b"kid-03430-2"
    assert all(isinstance(one, Admitted) for one in decide(settings))


def test_records_that_others_forged_do_not_count_in_a_rebuild(settings: Settings) -> None:
    give(settings, table(1))
    (genuine,) = log(settings)
    producer = KafkaProducer(bootstrap_servers=settings.bootstrap)
    forged = [(name, bytes(64) if name == "sig" else value) for name, value in genuine.headers]
    outbox = Outbox(settings.data / "elsewhere.sqlite")
    keys = NodeKeys(settings.data / "elsewhere-keys.sqlite")
    outbox.put([table(n, n) for n in range(1, 9)], keys.of([UNIT], Registers(OPERATOR.public, 0)))
    value = outbox.waiting(10)[-1].record.value
    producer.send(settings.topic(REPORTS), value, key=b"03430", headers=forged).get(10)
    producer.close()
    outbox.close()
    keys.close()
    for path in settings.data.glob("outbox.sqlite*"):
        path.unlink()
    give(settings, table(2, 1))
    assert said(settings)[-1] == (2, 2, 2)


def test_receipts_settle_and_what_has_none_is_sent_again(settings: Settings) -> None:
    give(settings, table(1), table(2, 1), table(3, 2))
    records = log(settings)
    write_receipts(settings, Outcome.ACCEPTED, records[0])
    write_receipts(settings, Outcome.REJECTED, records[1])
    delivery = Delivery(settings, OPERATOR)
    later = Millis(now_ms() + 3_600_000)
    assert delivery.reconnect(later) == 1
    assert delivery.outbox.counts() == {State.SETTLED: 1, State.REJECTED: 1, State.WAITING: 1}
    delivery.close()
    give(settings)
    after = log(settings)
    assert (after[3].key, after[3].value, after[3].headers) == (records[2].key, records[2].value, records[2].headers)


def test_ten_megabytes_are_refused_in_one_line_and_the_rest_goes_on(settings: Settings) -> None:
    huge = table(1, narrative={"difficulties": "x" * 10_000_000}, where="line 2")
    summary = give(settings, huge, table(2, 1))
    assert [problem.where for problem in summary.problems] == ["line 2"]
    assert "at most 1,048,576 are taken" in summary.problems[0].message
    assert said(settings) == [(1, 1, 2)]


def test_what_the_broker_finds_too_large_is_put_aside_and_the_rest_goes_on(settings: Settings) -> None:
    admin = KafkaAdminClient(bootstrap_servers=settings.bootstrap)
    name = f"{settings.prefix}small.{REPORTS}"
    admin.create_topics([NewTopic(name, PARTITIONS, 1, topic_configs={"max.message.bytes": "100000"})],
                        wait_for_metadata=True)  # fmt: skip
    admin.close()
    outbox = Outbox(settings.data / "outbox.sqlite")
    keys = NodeKeys(settings.data / "keys.sqlite")
    sends = [table(n, n, narrative={"n": "x" * 200_000} if n == 3 else {"n": "x" * n * 5000}) for n in range(1, 9)]
    outbox.put(sends, keys.of([UNIT], Registers(OPERATOR.public, 0)))
    narrow = settings.model_copy(update={"prefix": f"{settings.prefix}small."})
    with Publisher(narrow, outbox) as publisher:
        publisher.finish()
    assert publisher.acked == 7
    assert [str(problem)[:52] for problem in publisher.problems] == [
        "the broker refuses covid-doses/03430/ubnd/2021-12-13",
    ]
    assert outbox.counts() == {State.REFUSED: 1, State.SENT: 7}
    outbox.close()
    keys.close()


def test_report_of_exactly_the_limit_gets_in(settings: Settings) -> None:
    give(settings, table(1, narrative={"n": "x" * 1_000_000}))
    (record,) = log(settings)
    spare = 1_048_576 - len(record.value or b"")
    give(settings, table(1, 1, narrative={"n": "x" * (1_000_000 + spare)}))
    assert len(log(settings)[1].value or b"") == 1_048_576
    assert all(isinstance(one, Admitted) for one in decide(settings))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_cluster_that_is_gone_is_said_in_one_line_and_the_sends_wait(settings: Settings) -> None:
    outbox = Outbox(settings.data / "outbox.sqlite")
    keys = NodeKeys(settings.data / "keys.sqlite")
    outbox.put([table(1)], keys.of([UNIT], Registers(OPERATOR.public, 0)))
    nowhere = settings.model_copy(update={"bootstrap": "127.0.0.1:27399"})
    with (
        Publisher(nowhere, outbox, timeout_s=1, rounds=2) as publisher,
        pytest.raises(PublishError, match=r"did not take 1 of the sends .* they wait in the outbox") as caught,
    ):
        publisher.finish()
    assert "\n" not in str(caught.value)
    assert outbox.counts() == {State.WAITING: 1}
    outbox.close()
    keys.close()
    # kafka-python leaves its sockets open when a producer can't connect: collected here, not during another test.
    del caught, publisher
    gc.collect()


def test_host_without_operator_key_says_whose_key_is_missing(settings: Settings) -> None:
    with pytest.raises(KeysError, match="unit 03430 has no registered key"):
        deliver(settings, None, CATALOGUE, [table(1)])
    give(settings, table(1))
    assert deliver(settings, None, CATALOGUE, [table(2, 1)]).new == 1


def test_thousand_keys_are_registered_in_one_go(settings: Settings) -> None:
    units = [UnitCode(f"x{n:04}") for n in range(1000)]
    give(settings, *[table(1, unit=unit) for unit in units])
    acts = ActReader(settings, Registers(OPERATOR.public, 0))
    registers = acts.refresh()
    acts.close()
    assert all(registers.key(KeyId(f"kid-{unit}-1")) for unit in units)
    assert len(log(settings, ACTS)) == 1000


def test_week_of_tam_duong_replays_with_the_file_uploaded_twice_as_one_revision(settings: Settings) -> None:
    path = DEMO / "vaccination-daily.csv"
    first = replay(settings, OPERATOR, CATALOGUE, path, [form("vaccination-daily")])
    assert (first.problems, first.new) == ([], first.sends)
    assert replay(settings, OPERATOR, CATALOGUE, path, [form("vaccination-daily")]).new == 0
    decided = decide(settings)
    assert all(isinstance(one, Admitted) for one in decided)
    then_sin = [one.report.header for one in decided if isinstance(one, Admitted) and one.unit.code == "03394"]
    monday = [header.revision for header in then_sin if header.period == "2021-12-13"]
    assert monday == [1, 1]


def test_unknown_unit_of_a_history_ends_in_rejected(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    path.write_text(
        "published_at,unit,period,kind,dose1,dose2,dose3,dose4\n"
        "2021-12-13T15:00:00,99999,2021-12-13,report,1,0,0,0\n2021-12-13T15:00:00,03390,2021-12-13,report,x,0,0,0\n"
        "2021-12-13T15:00:00,03394,2021-12-13,report,1,0,0,0\n"
    )
    summary = replay(settings, OPERATOR, CATALOGUE, path, [form("covid-doses")])
    assert [problem.where for problem in summary.problems] == ["line 2", "line 3"]
    reasons = {one.reason for one in decide(settings) if isinstance(one, Rejection)}
    assert (summary.acked, reasons) == (2, {Reason.UNKNOWN_UNIT})


def test_simulated_day_is_admitted_whole_and_repeating_it_changes_nothing(settings: Settings) -> None:
    accidents = Accidents(late=0.2, corrected=0.2, withdrawn=0.2, duplicated=0.2, offline=0.1)
    day = date(2021, 12, 13)
    first = simulate(settings, OPERATOR, CATALOGUE, DISTRICT, day, accidents=accidents)
    assert (first.summary.new, first.summary.problems) == (len(first.sent), [])
    assert all(isinstance(one, Admitted) for one in decide(settings))
    assert simulate(settings, OPERATOR, CATALOGUE, DISTRICT, day, accidents=accidents).summary.new == 0
    assert len(log(settings)) == len(first.sent)


def test_errors_are_one_line() -> None:
    assert str(ProducerError("a\n  b")) == "a b"


# The gateway's courier on a disk without space


@contextmanager
def no_space(file: Path) -> Iterator[None]:
    """No file of this process grows beyond what `file` has now: the kernel refuses, as it does over a quota."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def told(answer: Future[list[Told]]) -> Told:
    try:
        (found,) = answer.result(20)
    except Refusal as refusal:
        return refusal
    return found


def test_courier_without_space_says_so_tells_nobody_202_and_goes_on_when_there_is_some(settings: Settings) -> None:
    file = settings.data / GATEWAY_FILE
    with closing(GatewayStore(file)) as store:
        store.mark_in_force(store.next_key(ALL_UNITS, registers()).kid)
    courier = Courier(settings)
    courier.start()
    try:
        assert isinstance(told(courier.submit(job(item(1), key="before"))), Sent)
        with no_space(file.with_name(f"{file.name}-wal")):
            many = [item(number, period=f"2021-11-{number:02}") for number in range(1, 31)]
            with pytest.raises(Refusal):
                courier.submit(job(*many, key="many")).result(20)
            eventually(lambda: courier.disk_full, 10)
            # It tries the disk again and again meanwhile, and the receipts' place can't be written either.
            assert isinstance(told(courier.submit(job(item(2), key="in between"))), Refusal)
            assert courier.failure is None
        eventually(lambda: not courier.disk_full, 10)
        found = courier.submit(job(*many, key="many")).result(20)
        assert [isinstance(one, Sent) for one in found] == [True] * len(many)
    finally:
        courier.stop()
    assert len(log(settings)) == 1 + len(many)
