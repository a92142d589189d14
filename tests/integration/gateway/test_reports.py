"""The gateway on a whole stack: nothing acknowledged is lost, nothing counts twice, nobody speaks for another."""

from __future__ import annotations

import base64
import os
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import openpyxl
import pytest
from kafka import KafkaProducer

from consumers.verify import verify
from deploy.cli.main import run
from deploy.operator_key import operator_key
from deploy.ports import Ports
from deploy.reading import open_read_model
from producers.accounts import Accounts
from producers.audit import AuditLog, broken_at, read
from producers.client.answers import Acknowledged
from producers.client.errors import Clash, NotAllowed
from producers.client.gateway import GatewayClient
from producers.errors import KeysError
from producers.gateway.store import GatewayStore
from producers.key_changes import KeyChanges
from producers.keys import NodeKeys
from producers.outbox_batch import Batch
from producers.principals import Principals
from producers.registration import registered_keys
from producers.send import Send
from producers.sequences import Sequences
from producers.sheets.reading import Asked, read_workbook
from schemas.admission import iso_time
from schemas.codec import decode_report, encode_report, fingerprint_in
from schemas.exit import Exit
from schemas.form import FormId
from schemas.log import ActReader, TopicReader
from schemas.period import PeriodText, parse_period
from schemas.precedence import Outcome
from schemas.principal import PrincipalName
from schemas.register import Registers
from schemas.report import REPORT_TYPE, KeyId, Kind, Millis, Revision, Source
from schemas.signature import sign
from schemas.topics import REPORTS
from schemas.unit import UnitCode
from tests.faults.harness import metric
from tests.support.sheets import typed
from tests.support.site import BASE, CLERK, FORM, OTHER, ROW, SUPERIOR, TRACE, Site, new_day, report
from tests.support.waiting import eventually

# `up --detach` is meant to outlive whoever started it.
pytestmark = pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")


def test_report_is_acknowledged_when_the_broker_has_it_and_then_counted_up_to_the_nation(site: Site) -> None:
    day = new_day()
    answer = site.post(report(period=day), traceparent=TRACE, X_Request_Id="r-1", If_None_Match="*")
    assert answer.status_code == 202, answer.text
    said = answer.json()
    assert (said["revision"], answer.headers["etag"], answer.headers["x-request-id"]) == (1, '"1"', "r-1")
    partition, _, offset = said["id"].partition("-")
    (record,) = [one for one in site.records() if one.source == Source(int(partition), type(one.offset)(int(offset)))]
    named = dict(record.headers)
    assert (named["traceparent"], named["request-id"]) == (TRACE.encode(), b"r-1")
    value = record.value or b""
    form = site.catalogue.form(fingerprint_in(value))
    assert form is not None
    assert decode_report(form, value).header.principal == CLERK
    site.drained()
    receipt = eventually(lambda: (r := site.get(said["receipt"]))["outcome"] == "accepted" and r)
    assert isinstance(receipt, dict)
    assert [(link["unit"], link["counted"]) for link in receipt["counted"]] == [
        ("106", True), ("12", True), ("VN", True),
    ]  # fmt: skip
    assert site.persons(day) == [16]
    assert site.get("/v1/receipts?unit=03390&since=2021-01-01T00:00:00Z")["receipts"][-1]["id"] == said["id"]


def test_commune_sees_what_it_owes_and_not_what_others_do(site: Site) -> None:
    asked = "/v1/obligations?unit=03390&from=2021-12-13&to=2021-12-14"
    owed = {one["regime"]: one for one in site.get(asked)["obligations"]}
    assert owed["testing-daily"]["status"] in ("missing", "late")
    assert {one["unit"] for one in owed.values()} == {"03390"}
    district = site.get("/v1/obligations?unit=106&from=2021-12-13&to=2021-12-14", SUPERIOR)["obligations"]
    assert {"03390", "03394"} <= {one["unit"] for one in district}


def test_repeated_request_is_one_report_and_other_content_under_its_key_is_refused(site: Site) -> None:
    day = new_day()
    before = len(site.records())
    first = site.post(report(period=day), key="once")
    again = site.post(report(period=day), key="once")
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json() == again.json()
    assert len(site.records()) == before + 1
    assert site.post(report(17, period=day), key="once").status_code == 422
    assert site.post(report(period=day, unit="03394"), OTHER, key="once").status_code == 202


def test_correction_of_what_somebody_else_corrected_meanwhile_is_refused(site: Site) -> None:
    day = new_day()
    series = f"/v1/series?unit=03390&form={FORM}&period={day}"
    assert site.post(report(period=day), If_None_Match="*").status_code == 202
    assert site.post(report(20, period=day), If_Match='"1"').headers["etag"] == '"2"'
    clash = site.post(report(21, period=day), If_Match='"1"')
    assert (clash.status_code, clash.json()["highest_revision"]) == (412, 2)
    assert site.get(series)["highest_revision"] == 2
    site.drained()
    assert eventually(lambda: site.get(series)["accepted"])["revision"] == 2
    assert site.persons(day) == [20]


def test_batch_has_a_result_each_and_a_thousand_are_taken_at_once(site: Site) -> None:
    days = [f"2021-{month:02}-{day:02}" for month in range(1, 12) for day in range(1, 29)]
    good = [report(n, period=days[n % len(days)]) for n in range(1, 999)]
    bad = [report(unit="03394"), report(period="2021-13-01")]
    answer = site.post({"reports": [*good[:500], *bad, *good[500:]]})
    assert answer.status_code == 207
    found = answer.json()
    assert (found["acknowledged"], found["refused"]) == (998, 2)
    assert [result["status"] for result in found["results"][499:503]] == [202, 403, 422, 202]
    assert [result["report"]["revision"] for result in found["results"][-1:]] == [(998 - 1) // len(days) + 1]


def test_superior_enters_for_a_commune_and_the_communes_own_report_stands_before_it(site: Site) -> None:
    day = new_day()
    assert site.post(report(5, period=day, entered_by="106"), SUPERIOR).status_code == 202
    site.drained()
    assert site.persons(day) == [5]
    assert site.post(report(7, period=day)).status_code == 202
    site.drained()
    assert site.persons(day) == [7]


def test_workbook_is_taken_filled_in_sent_once_and_comes_back_with_what_was_reported(site: Site) -> None:
    day, form = new_day(), site.catalogue.form_in_force(FormId(FORM), date(2022, 1, 1))
    assert form is not None
    path = f"/v1/sheets/03390?form={FORM}&period={day}"
    blank = site.client.get(path, headers=site.headers(CLERK)).content
    filled = typed(blank, form, [{**ROW, "persons": 21}], {"notes": "=1+1"})
    headers = site.headers(CLERK, "workbook")
    first, again = (site.client.post("/v1/sheets?unit=03390", headers=headers, content=filled) for _ in range(2))
    assert (first.status_code, again.status_code) == (202, 202), first.text
    (sheet,) = [one for one in first.json()["sheets"] if one["form"] == FORM]
    assert sheet["report"]["revision"] == 1
    assert first.json() == again.json()
    site.drained()
    assert site.persons(day) == [21]
    assert eventually(lambda: site.get(sheet["report"]["receipt"])["outcome"]) == "accepted"
    corrected = site.client.get(f"{path}&filled=1", headers=site.headers(CLERK)).content
    (read,) = read_workbook(corrected, Asked(UnitCode("03390"), site.catalogue, date(2022, 3, 1))).reports()
    assert (read.rows[0]["persons"], read.narrative) == (21, {"notes": "=1+1"})


def test_command_writes_a_workbook_and_sends_it_through_the_units_own_outbox(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, marked, data = tmp_path / "set.xlsx", tmp_path / "marked.xlsx", ["--data", str(site.settings.data)]
    unit = ["--unit", "03400", *data]
    form = site.catalogue.form_in_force(FormId(FORM), date(2021, 12, 13))
    assert form is not None
    assert run(["sheets", "out", str(file), *unit, "--on", "2021-12-13", "--form", FORM]) == Exit.FINE
    blank = file.read_bytes()
    file.write_bytes(typed(blank, form, [{**ROW, "sample": "nước bọt"}]))
    assert run(["sheets", "in", str(file), *unit, "--marked", str(marked)]) == Exit.FAILED
    said = capsys.readouterr()
    assert "B8" in said.out
    assert "nước bọt" in said.out
    assert "nothing was sent" in said.err
    assert openpyxl.load_workbook(marked).sheetnames[0] == "Lỗi"
    file.write_bytes(typed(blank, form, [{**ROW, "persons": 23}]))
    assert run(["sheets", "in", str(file), *unit, "--preview"]) == Exit.FINE
    assert "sends" not in capsys.readouterr().out
    assert run(["sheets", "in", str(file), *unit]) == Exit.FINE
    assert "sends 1  new 1" in capsys.readouterr().out
    site.drained()
    assert site.persons("2021-12-13", "03400") == [23]
    assert run(["sheets", "out", str(file), *unit, "--on", "2021-12-13", "--filled"]) == Exit.FINE
    reports = read_workbook(file.read_bytes(), Asked(UnitCode("03400"), site.catalogue, date(2022, 3, 1))).reports()
    assert [(one.form.id, one.rows[0]["persons"]) for one in reports] == [(FORM, 23)]
    assert run(["sheets", "map", "Cách làm=method", *unit, "--form", FORM]) == Exit.FINE
    assert "cach lam" in capsys.readouterr().out


@pytest.mark.parametrize(
    "point",
    [
        pytest.param("gateway.after_write", marks=pytest.mark.long),
        pytest.param("publisher.after_ack", marks=pytest.mark.long),
        "gateway.before_answer",
    ],
)
def test_gateway_killed_at_any_stage_loses_nothing_and_counts_nothing_twice(site: Site, point: str) -> None:
    day, restarts = new_day(), site.restarts()
    (site.failpoints / point).write_text("1")
    with pytest.raises(httpx.HTTPError):
        site.post(report(30, period=day), key=f"killed {point}")
    site.gateway_back(restarts)
    answer = site.post(report(30, period=day), key=f"killed {point}")
    assert (answer.status_code, answer.json()["revision"]) == (202, 1)
    site.drained()
    assert site.persons(day) == [30]
    with open_read_model(site.settings) as model:
        outcomes = {r.outcome for r in model.receipts(UnitCode("03390")) if r.period == day}
    assert Outcome.ACCEPTED in outcomes
    assert outcomes <= {Outcome.ACCEPTED, Outcome.DUPLICATE}


@pytest.mark.long
def test_broker_that_stands_still_is_told_with_503_and_what_was_kept_goes_out_by_itself(site: Site) -> None:
    day = new_day()
    pid = site.stack.process("broker").pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        refused = site.post(report(40, period=day), key="away")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        assert refused.json()["kept"] is True
        assert site.post(report(41, period=day)).status_code == 503
    finally:
        os.kill(pid, signal.SIGCONT)
    answer = eventually(lambda: (a := site.post(report(40, period=day), key="away")).status_code == 202 and a, 60, 0.5)
    assert answer
    assert answer.json()["revision"] == 1
    site.drained()
    assert site.persons(day) == [40]


def node_record(site: Site, send: Send) -> Any:
    """A report as a node with a key of its own signs it, registered on this cluster."""
    operator = operator_key(site.settings.data)
    acts = ActReader(site.settings, Registers(operator.public, 0))
    with closing(acts), closing(NodeKeys(site.settings.data / "node" / "keys.sqlite")) as keys:
        key = registered_keys(site.settings, acts, operator, keys, [send.sender])[send.sender]
    made = send.report(Revision(1), 1)
    return sign(key, key=send.unit.encode(), value=encode_report(send.form, made), event_type=REPORT_TYPE,
                event_id=made.event_id, time=iso_time(send.issued_at))  # fmt: skip


def test_report_that_a_node_signed_goes_on_byte_for_byte(site: Site) -> None:
    day = new_day()
    form = site.catalogue.form_in_force(FormId(FORM), parse_period(day).last_day)
    assert form is not None
    send = Send(form, UnitCode("03394"), PeriodText(day), Kind.REPORT, Millis(1_641_000_000_000), (ROW,))
    record = node_record(site, send)
    named = {name: value for name, value in record.headers if name != "sig"}
    headers = {name.replace("ce_", "ce-"): value.decode() for name, value in named.items()}
    headers["sig"] = base64.b64encode(dict(record.headers)["sig"]).decode()
    headers["Authorization"] = f"Bearer {site.tokens[OTHER]}"

    def posted() -> httpx.Response:
        return site.client.post("/v1/reports", content=record.value, headers=headers)

    # The gateway learns of the node's key a moment after it is in force.
    answer = eventually(lambda: (a := posted()).status_code == 202 and a)
    assert answer
    assert answer.json()["id"] == posted().json()["id"]
    (kept,) = [one for one in site.records("03394") if one.value == record.value]
    assert kept.headers[: len(record.headers)] == record.headers
    site.drained()
    assert site.persons(day) == [16]


def test_stream_refuses_what_the_gateways_key_attests_for_an_account_that_may_not(site: Site) -> None:
    sent_with_the_gateways_key(site, 10**6)
    site.drained()
    with open_read_model(site.settings) as model:
        (rejected, *_) = model.rejections(UnitCode("03430"))
    assert (rejected.reason, rejected.field) == ("not_authorised", "principal")


def sent_with_the_gateways_key(site: Site, sequence: int) -> None:
    """Somebody who took the gateway's key writes to Kafka beside the gateway, for a unit that the account is not of."""
    day = new_day()
    form = site.catalogue.form_in_force(FormId(FORM), parse_period(day).last_day)
    assert form is not None
    send = Send(form, UnitCode("03430"), PeriodText(day), Kind.REPORT, Millis(1_641_000_000_000), (ROW,),
                principal=CLERK)  # fmt: skip
    with closing(GatewayStore(site.settings.data / "gateway.sqlite")) as store:
        batch = Batch(store.database, {UnitCode("03430"): store.signing_key()})
        assert batch.put(send).problem is None
        made = send.report(Revision(1), sequence)
        record = sign(store.signing_key(), key=b"03430", value=encode_report(form, made), event_type=REPORT_TYPE,
                      event_id=made.event_id, time=iso_time(send.issued_at))  # fmt: skip
    producer = KafkaProducer(bootstrap_servers=site.settings.bootstrap, acks="all")
    producer.send(site.settings.topic(REPORTS), record.value, record.key, list(record.headers)).get(20)
    producer.close(timeout=5)


@contextmanager
def key_changes(site: Site) -> Iterator[KeyChanges]:
    operator = operator_key(site.settings.data)
    with closing(ActReader(site.settings, Registers(operator.public, 0))) as acts:
        yield KeyChanges(site.settings, operator, acts, AuditLog(site.settings.data / "audit.log"))


def test_what_a_key_signed_and_never_arrived_is_found(site: Site) -> None:
    sent_with_the_gateways_key(site, 2 * 10**6)
    operator = operator_key(site.settings.data)
    registers = Registers(operator.public, 0)
    sequences = Sequences(site.settings.data / "sequences.sqlite")
    with closing(ActReader(site.settings, registers)) as acts, closing(sequences):
        with TopicReader(site.settings.bootstrap, site.settings.topic(REPORTS), sequences.positions()) as reports:
            sequences.follow(reports, site.catalogue, acts.refresh())
            assert sequences.follow(reports, site.catalogue, registers).records == 0
        found = sequences.of("kid-gateway-1")
    assert found.highest == 2 * 10**6
    assert found.gaps[-1][1] == 2 * 10**6 - 1
    assert found.forks == []
    port = Ports(BASE).gateway_metrics
    eventually(lambda: metric(port, "chungsuc_keys_with_gaps") == 1, 60)
    assert metric(port, "chungsuc_keys_with_forks") == 0


def test_key_of_the_gateway_is_rotated_without_a_gap_and_the_old_one_signs_no_more(site: Site) -> None:
    day = new_day()
    assert site.post(report(50, period=day)).status_code == 202
    with key_changes(site) as changing:
        assert changing.rotate(KeyId("kid-gateway-1"), site.catalogue, "yearly") == "kid-gateway-2"
        assert site.post(report(51, period=day)).status_code == 202
        shown = {str(key.entry.kid): (key.entry.revoked, key.here) for key in changing.listed()}
        assert (shown["kid-gateway-1"], shown["kid-gateway-2"]) == ((True, True), (False, True))
        with pytest.raises(KeysError, match="was revoked before"):
            changing.revoke(KeyId("kid-gateway-1"), "again")
    site.drained()
    assert site.persons(day) == [51]
    kids = [dict(one.headers)["kid"] for one in site.records() if day.encode() in dict(one.headers)["ce_id"]]
    assert kids == [b"kid-gateway-1", b"kid-gateway-2"]


def test_account_of_somebody_who_left_comes_in_no_more(site: Site) -> None:
    assert site.client.get("/v1/forms", headers=site.headers(SUPERIOR)).status_code == 200
    operator = operator_key(site.settings.data)
    acts = ActReader(site.settings, Registers(operator.public, 0))
    with closing(acts), closing(Accounts(site.settings.data / "principals.sqlite")) as held:
        changing = Principals(site.settings, operator, acts, held, AuditLog(site.settings.data / "audit.log"))
        assert changing.revoke(PrincipalName(SUPERIOR)) == 1
    assert site.client.get("/v1/forms", headers=site.headers(SUPERIOR)).status_code == 401


def test_figures_are_the_fold_of_what_was_sent_and_no_secret_is_in_any_file_but_its_own(site: Site) -> None:
    site.drained()
    assert verify(site.settings).differing == 0
    audit = site.settings.data / "audit.log"
    assert broken_at(audit) is None
    assert {"login", "submission", "refusal", "account_bound", "token_made"} <= {line["event"] for line in read(audit)}
    secrets = [token.rpartition("_")[2].encode() for token in site.tokens.values()]
    with closing(GatewayStore(site.settings.data / "gateway.sqlite")) as store:
        seeds = [seed.hex().encode() for (seed,) in store.database.execute("SELECT seed FROM gateway_keys")]
    files = [path for path in site.settings.data.rglob("*") if path.is_file() and "kafka" not in path.parts]
    assert any(path.name == "gateway.log" for path in files)
    told = [path.name for path in files for secret in (*secrets, *seeds) if secret in path.read_bytes()]
    assert told == []


def test_python_client_sends_one_a_batch_and_signed_and_waits_until_counted(site: Site) -> None:
    day, other, third = new_day(), new_day(), new_day()
    with GatewayClient(site.stack.gateway, site.tokens[CLERK]) as client:
        sent = client.send(report(period=day), key="client-1", after=0)
        assert client.send(report(period=day), key="client-1", after=0) == sent
        with pytest.raises(Clash) as clash:
            client.send(report(17, period=day), after=0)
        assert clash.value.highest_revision == 1
        assert client.send(report(17, period=day), after=1).revision == 2
        first, foreign = client.send_batch([report(period=other), report(period=other, unit="03394")])
        assert isinstance(first, Acknowledged)
        assert isinstance(foreign, NotAllowed)
        form = site.catalogue.form_in_force(FormId(FORM), parse_period(third).last_day)
        assert form is not None
        send = Send(form, UnitCode("03390"), PeriodText(third), Kind.NIL, Millis(1_641_000_000_000))
        record = node_record(site, send)
        # The gateway learns of the node's key a moment after it is in force.
        eventually(lambda: isinstance(client.send_signed_batch([record])[0], Acknowledged))
        (signed,) = client.send_signed_batch([record])
        assert isinstance(signed, Acknowledged)
        again = client.send_signed(record)
        assert signed == again
        found = client.settled(signed)
        assert (found.outcome, found.counted[-1].unit, found.settled) == ("accepted", "VN", True)
        assert client.series("03390", FORM, day).highest_revision == 2
        ids = [one.id for one in client.receipts("03390", limit=400)]
        assert {signed.id, first.id} <= set(ids)
        assert len(ids) == len(set(ids))
