"""Wrong input by the thousand, to the gateway and into the topic: each a clear answer, none lost, none stalls."""

from __future__ import annotations

import time
from contextlib import closing
from random import Random

import httpx
import pytest
from kafka import KafkaProducer

from deploy.operator_key import operator_key
from deploy.reading import open_read_model
from producers.keys import NodeKeys
from producers.registration import registered_keys
from producers.send import Send
from schemas.admission import iso_time
from schemas.codec import encode_report
from schemas.form import FormId
from schemas.log import ActReader, TopicReader
from schemas.period import PeriodText, parse_period
from schemas.register import Registers
from schemas.rejection import Reason
from schemas.report import REPORT_TYPE, Kind, Millis, Offset, Revision, Source
from schemas.signature import SignedRecord, sign
from schemas.topics import REJECTED, REPORTS, partition_of
from schemas.unit import UnitCode
from tests.support.mutations import mutated_json, mutated_record
from tests.support.site import CLERK, FORM, ROW, Site, new_day, report

SEED = 20211213
EXPECTED = {202, 400, 403, 409, 412, 413, 415, 422}


# Every refusal is in the audit log before it is told, and the log on the disk: some thirty a second.
@pytest.mark.parametrize("count", [100, pytest.param(10_000, marks=[pytest.mark.long, pytest.mark.timeout(1500)])])
def test_gateway_answers_every_wrong_request_with_what_is_wrong(site: Site, count: int) -> None:
    random, right = Random(SEED), report(period=new_day())
    statuses: dict[int, int] = {}
    headers = {**site.headers(CLERK), "Content-Type": "application/json"}
    for number in range(count):
        body = mutated_json(random, right)
        headers["Idempotency-Key"] = f'"mutation-{count}-{number}"'
        answer = _asked(site, body, headers)
        statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
        assert answer.status_code in EXPECTED, (body, answer.text)
        if answer.status_code != 202:
            said = answer.json()
            assert said["detail"], (body, said)
            assert said["type"].startswith("urn:chungsuc:problem:")
    assert statuses[422] > count // 4, statuses
    assert site.post(report(period=new_day())).status_code == 202


@pytest.mark.parametrize("count", [200, pytest.param(10_000, marks=pytest.mark.long)])
def test_every_wrong_record_in_the_topic_has_its_reason_and_the_next_right_one_is_counted(
    site: Site, count: int
) -> None:
    random, right = Random(SEED + 1), _signed(site, new_day())
    sources = _produced(site, [mutated_record(random, right) for _ in range(count)])
    day = new_day()
    assert site.post(report(23, period=day)).status_code == 202
    began = time.monotonic()
    site.drained()
    assert time.monotonic() - began < 60
    assert site.persons(day) == [23]
    rejected = _rejected(site)
    with open_read_model(site.settings) as model:
        untold = [one for one in sources if one not in rejected and model.receipt(one) is None]
    assert untold == []
    assert {rejected[one] for one in sources if one in rejected} <= {reason.value for reason in Reason}
    assert Reason.INTERNAL_ERROR.value not in {rejected[one] for one in sources if one in rejected}


def _asked(site: Site, body: bytes, headers: dict[str, str]) -> httpx.Response:
    """The answer, after the waits that the account's rate asks for."""
    while True:
        answer = site.client.post("/v1/reports", content=body, headers=headers)
        if answer.status_code != 429:
            return answer
        time.sleep(int(answer.headers["retry-after"]))


def _signed(site: Site, day: str) -> SignedRecord:
    form = site.catalogue.form_in_force(FormId(FORM), parse_period(day).last_day)
    assert form is not None
    send = Send(form, UnitCode("03394"), PeriodText(day), Kind.REPORT, Millis(1_641_000_000_000), (ROW,))
    operator = operator_key(site.settings.data)
    with (
        closing(NodeKeys(site.settings.data / "keys.sqlite")) as keys,
        closing(ActReader(site.settings, Registers(operator.public, 0))) as acts,
    ):
        key = registered_keys(site.settings, acts, operator, keys, [send.sender])[send.sender]
    made = send.report(Revision(1), 10_000)
    return sign(key, key=send.unit.encode(), value=encode_report(form, made), event_type=REPORT_TYPE,
                event_id=made.event_id, time=iso_time(send.issued_at))  # fmt: skip


def _produced(site: Site, records: list[SignedRecord]) -> list[Source]:
    producer = KafkaProducer(bootstrap_servers=site.settings.bootstrap, acks="all", linger_ms=20)
    try:
        topic = site.settings.topic(REPORTS)
        sent = [
            producer.send(topic, one.value, one.key, list(one.headers),
                          partition_of(one.key or b"", site.settings.partitions))
            for one in records
        ]  # fmt: skip
        found = [future.get(60) for future in sent]
    finally:
        producer.close()
    return [Source(at.partition, Offset(at.offset)) for at in found]


def _rejected(site: Site) -> dict[Source, str]:
    """The reason of each rejected record, by its place."""
    found: dict[Source, str] = {}
    with TopicReader(site.settings.bootstrap, site.settings.topic(REJECTED)) as reader:
        for record in reader.to_end():
            named = dict(record.headers)
            partition, offset = named["source"].decode().split(":")
            found[Source(int(partition), Offset(int(offset)))] = named["reason"].decode()
    return found
