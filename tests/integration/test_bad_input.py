"""Bad input on the real broker: each record ends in `rejected` with its reason, and the next one is not held up."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from aiokafka import AIOKafkaProducer
from kafka import KafkaProducer
from kafka.errors import MessageSizeTooLargeError

from deploy.kafka import BrokerSettings, Cluster
from schemas.catalogue import Announcement, Catalogue
from schemas.log import Record
from schemas.precedence import Outcome
from schemas.receipt import Receipt
from schemas.rejection import Reason
from schemas.report import Kind, Offset, Source
from schemas.signature import Ed25519Key, SignedRecord
from schemas.topics import MAX_REPORT_BYTES, MIB, REPORTS, partition_of
from tests.support.pipeline import Pipeline, pipeline, source_of
from tests.support.signed import CATALOGUE, DOSES, KEYS, PARTITIONS, TESTING, Draft, control_record, padded_to
from tests.support.waiting import eventually

PORT = 27600
HERE = partition_of(b"c1", PARTITIONS)
ELSEWHERE = next(unit for unit in ("c2", "c3", "e1", "L", "D", "A") if partition_of(unit.encode(), PARTITIONS) != HERE)


def bare(value: bytes, key: bytes = b"c1", headers: tuple[tuple[str, bytes], ...] = ()) -> SignedRecord:
    return SignedRecord(key, value, headers)


class NotUtf8(str):
    """A header's name that goes out as two bytes that are no UTF-8, and is read as what it looks like."""

    __slots__ = ()

    def encode(self, *_: str) -> bytes:
        return b"\xff\xfe"


def garbage(size: int) -> bytes:
    return b"\0" + random.Random(size).randbytes(size - 1)


BAD: dict[str, tuple[Reason, SignedRecord]] = {
    "garbage": (Reason.NOT_DECODABLE, bare(garbage(300))),
    "empty value": (Reason.NOT_DECODABLE, bare(b"")),
    "garbage of exactly the size limit": (Reason.NOT_DECODABLE, bare(garbage(MAX_REPORT_BYTES))),
    "one byte above the size limit": (Reason.TOO_LARGE, padded_to(Draft(), MAX_REPORT_BYTES + 1).record()),
    "all that the broker takes": (Reason.TOO_LARGE, bare(garbage(MAX_REPORT_BYTES + 65_000))),
    "unknown fingerprint": (Reason.UNKNOWN_FORM, Draft(fingerprint=b"8 bytes!").record()),
    "truncated Avro": (Reason.NOT_DECODABLE, Draft(cut=3).record()),
    "trailing bytes": (Reason.NOT_DECODABLE, Draft(suffix=b"\0").record()),
    "wrong signature": (Reason.BAD_SIGNATURE, Draft(flip_signature=True).record()),
    "unknown key": (Reason.UNKNOWN_KEY, Draft(kid="kid-c1-9").record()),
    "foreign unit": (Reason.NOT_AUTHORISED, Draft(signer="c2").record()),
    "key that is not the unit": (Reason.WRONG_KEY, Draft(key=b"c2").record()),
    "wrong partition": (Reason.WRONG_PARTITION, Draft(unit=ELSEWHERE).record()),
    "period in the future": (Reason.PERIOD_FUTURE, Draft(period="2999-12-31").record()),
    "value above the limit": (
        Reason.VALUE_RANGE,
        Draft(form="covid-doses", rows=[{**DOSES, "dose1": 10**12 + 1}]).record(),
    ),
    "rows in a nil": (Reason.KIND_ROWS, Draft(kind=Kind.NIL).record()),
    "key of a megabyte": (Reason.NOT_DECODABLE, bare(b"x", key=b"k" * MAX_REPORT_BYTES)),
    "period of a megabyte": (Reason.HEADER_INVALID, Draft(period="9" * 900_000, event_id="e").record()),
    "unit of a megabyte": (
        Reason.HEADER_INVALID,
        Draft(unit="u" * 900_000, key=b"c1", signer="c1", event_id="e").record(),
    ),
    "no header at all": (Reason.HEADER_INVALID, replace(Draft().record(), headers=())),
    "header name that is not UTF-8": (
        Reason.HEADER_INVALID,
        replace(Draft().record(), headers=((NotUtf8(r"\xff\xfe"), b"1"), *Draft().record().headers)),
    ),
    "reason of its own": (
        Reason.BAD_SIGNATURE,
        replace(Draft().record(), headers=(("reason", b"accepted"), *Draft(flip_signature=True).record().headers)),
    ),
    "control record of somebody else": (
        Reason.UNKNOWN_FORM,
        control_record(Announcement(9, 9, b"d" * 32), Ed25519Key(KEYS["R"].kid, KEYS["R"].seed)),
    ),
}


@pytest.fixture(scope="module")
def ingest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """Topics on a real broker and one ingest that has counted a first report."""
    with Cluster(BrokerSettings(data_dir=tmp_path_factory.mktemp("kafka"), port=PORT)) as cluster:
        cluster.start()
        with pipeline(cluster.bootstrap, tmp_path_factory.mktemp("data"), "bad.") as made:
            process = made.start("ingest")
            good_counted_s(made, Good())
            yield made
            assert process.poll() is None
            process.terminate()
            assert process.wait(20) == 0


class Good:
    """Good records of c1, each told from the others by its revision."""

    revision = 0

    def __init__(self) -> None:
        Good.revision += 1
        self.number = Good.revision
        self.record = Draft(revision=self.number).record()


def good_counted_s(made: Pipeline, good: Good, *before: SignedRecord) -> tuple[float, list[int]]:
    """Seconds from the sending of a good record, right behind others, to its contribution; the others' offsets."""
    waiting = [made.queue(record, HERE) for record in before]
    made.producer.flush(20)  # else the client might put both into one batch, too large for the broker
    began = time.monotonic()
    waiting.append(made.queue(good.record, HERE))
    made.await_figure(lambda figure: figure.unit == "c1" and figure.revision == good.number)
    return time.monotonic() - began, [answer() for answer in waiting[:-1]]


@pytest.fixture(scope="module")
def usual_s(ingest: Pipeline) -> float:
    """How long a good record takes with nothing bad before it."""
    return min(good_counted_s(ingest, Good())[0] for _ in range(5))


def rejected_record(made: Pipeline, source: Source) -> Record:
    def look() -> list[Record]:
        made.rejected.read()
        return [r for r in made.rejected.records if dict(r.headers)["source"] == str(source).encode()]

    (record,) = eventually(look)
    return record


def receipt_of(made: Pipeline, source: Source) -> Receipt:
    (receipt,) = eventually(lambda: [receipt for receipt in made.all_receipts() if receipt.source == source])
    return receipt


@pytest.mark.parametrize("name", BAD)
def test_bad_record_is_rejected_whole_and_the_next_one_is_counted_at_once(
    ingest: Pipeline, usual_s: float, name: str
) -> None:
    reason, sent = BAD[name]
    took_s, (offset,) = good_counted_s(ingest, Good(), sent)
    assert took_s < usual_s + 1
    source = Source(HERE, Offset(offset))
    found = rejected_record(ingest, source)
    assert (found.key, found.value) == (sent.key, sent.value)
    assert found.partition == HERE
    assert found.headers[: len(sent.headers)] == sent.headers
    added = dict(found.headers[len(sent.headers) :])
    assert added["reason"] == reason.value.encode()
    assert added["source"] == str(source).encode()
    assert added["field"]
    receipt = receipt_of(ingest, source)
    assert (receipt.outcome, receipt.reason, receipt.field) == (Outcome.REJECTED, reason, added["field"].decode())
    assert receipt.detail == added["detail_vi"].decode()
    assert receipt.figures_offset == -1


def test_many_bad_records_do_not_hold_up_the_good_one_behind_them(ingest: Pipeline, usual_s: float) -> None:
    sent = [record for name, (_, record) in BAD.items() if len(record.value) < 10_000 and "megabyte" not in name]
    took_s, offsets = good_counted_s(ingest, Good(), *sent * 5)
    assert took_s < usual_s + 1
    for offset in offsets:
        rejected_record(ingest, Source(HERE, Offset(offset)))


def test_legal_report_of_exactly_the_limit_is_counted(ingest: Pipeline) -> None:
    Good.revision += 1
    draft = padded_to(Draft(revision=Good.revision, rows=[{**TESTING, "persons": 4711}]), MAX_REPORT_BYTES)
    offset = ingest.send(draft.record(), HERE)
    figure = ingest.await_figure(lambda figure: source_of(figure) == Source(HERE, Offset(offset)))
    assert int.from_bytes(figure.values[:8], "little") == 4711


async def test_null_in_place_of_a_headers_value_is_rejected_too(ingest: Pipeline) -> None:
    record = Draft().record()
    headers = [(name, None if name in ("kid", "sig") else value) for name, value in record.headers]
    async with AIOKafkaProducer(bootstrap_servers=ingest.settings.bootstrap) as producer:  # kafka-python sends none
        sent = await producer.send_and_wait(
            ingest.settings.topic(REPORTS), record.value, record.key, partition=HERE, headers=headers
        )
    source = Source(HERE, Offset(sent.offset))
    found = rejected_record(ingest, source)
    assert list(found.headers[: len(headers)]) == headers
    assert dict(found.headers)["reason"] == b"header_invalid"
    assert receipt_of(ingest, source).kid == ""


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_report_of_ten_megabytes_is_refused_by_the_broker_however_it_is_packed(
    ingest: Pipeline, compression: str | None
) -> None:
    producer = KafkaProducer(
        bootstrap_servers=ingest.settings.bootstrap, max_request_size=17 * MIB, compression_type=compression
    )
    try:
        with pytest.raises(MessageSizeTooLargeError):
            producer.send(ingest.settings.topic(REPORTS), bytes(10 * MIB), b"c1", partition=HERE).get(20)
    finally:
        producer.close(timeout=5)
    good_counted_s(ingest, Good())


def test_control_record_of_the_operator_is_obeyed_from_its_offset_on(ingest: Pipeline) -> None:
    partition = partition_of(ELSEWHERE.encode(), PARTITIONS)
    second = Catalogue({**CATALOGUE.files, "codes/unused.csv": CATALOGUE.files["codes/vaccine.csv"]}, 1, 2)
    ingest.release(second)
    before = ingest.send(Draft(unit=ELSEWHERE, revision=1).record(), partition)
    ingest.send(control_record(second.announcement), partition)
    after = ingest.send(Draft(unit=ELSEWHERE, revision=2).record(), partition)
    serials = {}
    for offset in (before, after):
        figure = ingest.await_figure(lambda figure, at=offset: source_of(figure) == Source(partition, Offset(at)))  # type: ignore[misc]
        serials[offset] = figure.catalogue
    assert serials == {before: 1, after: 2}
