"""The agent without a gateway: what it takes, how it chooses what goes first, and what each answer does to a row."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest

from producers.agent import status
from producers.agent.config import AgentConfig, ConfigError, load, save
from producers.agent.door import AgentDoor
from producers.agent.folder import Folder, Found
from producers.agent.forwarder import SEND_AGAIN_AFTER_MS, Forwarder
from producers.agent.held_catalogue import HeldCatalogue
from producers.agent.intake import FromRequest, take
from producers.agent.lanes import FRESH_AT_ONCE, Lanes
from producers.agent.process import BusyError, run
from producers.agent.status import LOCK, look
from producers.agent.store import FILE, AgentStore
from producers.agent.transport import Away, Held, Placed, RefusedForGood, Transport, Verdict
from producers.agent.watch import Watch
from producers.gateway.draft import Draft
from producers.outbox import State, Waiting
from schemas.folder_lock import FolderLock, holder_of
from schemas.report import Millis, Offset, Revision, Series, Source
from schemas.unit import UnitCode
from tests.support.gateway import NOW, report
from tests.support.signed import CATALOGUE

OUTBOX_FORM = "testing-small"


class Office:
    """An agent's parts around one folder, with a clock that a test moves."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = AgentStore(folder / FILE)
        self.now = NOW
        self.store.make_key(UnitCode("c1"))
        self.catalogue = HeldCatalogue(folder, self.store.signing_key())
        self.catalogue.replace(CATALOGUE.bundle)
        self.watch = Watch(Folder(folder, steady_s=0), self.store, self.catalogue, lambda: self.now, lambda s, d: {})

    def drop(self, name: str, content: Any) -> None:
        text = content if isinstance(content, str) else json.dumps(content)
        (self.folder / "in" / name).write_text(text, encoding="utf-8")

    def look(self) -> None:
        self.watch.look(time.monotonic())

    def names(self, place: str) -> list[str]:
        return sorted(path.name for path in (self.folder / place).iterdir())

    def put(self, *contents: dict[str, Any]) -> None:
        judge = self.catalogue.judge()
        assert judge is not None
        drafts: list[Draft] = []
        for content in contents:
            (found,) = judge.reports(content, date(2021, 12, 13))
            assert isinstance(found, Draft), found
            drafts.append(found)
        take(self.store, drafts, self.now, FromRequest(None, b""), {})

    def states(self) -> list[State]:
        return [row.state for row in self.store.outbox.rows()]


class Scripted:
    """The other side as a plan of answers: what is under test is what they do to rows."""

    reports_per_s = 1000.0

    def __init__(self, answer: Callable[[Waiting], Verdict]) -> None:
        self.answer = answer
        self.sent: list[list[int]] = []
        self.bundle: bytes | None = None

    def catalogue(self, held: str) -> bytes | None:
        return self.bundle

    def deliver(self, store: AgentStore, rows: Sequence[Waiting]) -> list[Verdict]:
        self.sent.append([row.id for row in rows])
        return [self.answer(row) for row in rows]

    def settle(self, store: AgentStore, now: Millis) -> int:
        return 0

    def highest(self, series: Sequence[Series]) -> dict[Series, Revision]:
        return {}

    def clock_ahead_s(self) -> float | None:
        return 0.0

    def close(self) -> None:
        pass


def placed(row: Waiting) -> Verdict:
    return Placed(Source(0, Offset(row.id)))


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path)
    yield made
    made.store.close()


def forwarder(office: Office, transport: Transport) -> Forwarder:
    return Forwarder(office.store, transport, office.catalogue, lambda: office.now)


def test_file_goes_to_kept_then_to_done_when_the_broker_has_all_of_it(office: Office) -> None:
    office.drop("a.json", {"reports": [report(), report(period="2021-12-12")]})
    office.look()
    assert (office.names("in"), office.names("kept")) == ([], ["a.json"])
    forwarder(office, Scripted(placed)).round()
    office.look()
    assert (office.names("kept"), office.names("done")) == ([], ["a.json"])
    assert office.states() == [State.SENT, State.SENT]


def test_csv_is_named_by_its_form_and_taken_whole_or_not_at_all(office: Office) -> None:
    columns = "published_at,unit,period,kind,method,sample,persons,tubes,positive_tubes,positive_persons\n"
    line = "2021-12-13T15:00:00+07:00,c1,2021-12-13,report,antigen,single,16,16,0,0\n"
    office.drop("testing-small.evening.csv", columns + line)
    office.drop("testing-small.cut.csv", columns + line.rstrip("\n"))
    office.drop("testing-small.half.csv", columns + line + line.replace(",16,", ",x,"))
    office.drop("nobody-knows.csv", columns + line)
    office.look()
    assert office.names("kept") == ["testing-small.evening.csv"]
    refused = [name for name in office.names("refused") if not name.endswith(".txt")]
    assert refused == ["nobody-knows.csv", "testing-small.cut.csv", "testing-small.half.csv"]
    assert office.states() == [State.WAITING]


def test_file_that_is_still_written_is_left_alone(office: Office) -> None:
    folder = Folder(office.folder, steady_s=2)
    office.drop("a.json", "{")
    office.drop("b.json.part", "{")
    assert folder.whole(100.0) == []
    assert folder.whole(101.9) == []
    office.drop("a.json", "{}")
    assert folder.whole(102.5) == []
    assert [path.name for path in folder.whole(105.0)] == ["a.json"]


def test_file_seen_again_after_a_power_cut_is_moved_and_not_read_again(office: Office) -> None:
    office.drop("a.json", report())
    (found,) = Folder(office.folder, 0).whole(0)
    content, inode = found.read_bytes(), found.stat().st_ino
    office.look()
    (office.folder / "kept" / "a.json").rename(office.folder / "in" / "a.json")
    office.store.database.execute("UPDATE agent_files SET state = 'stored'")
    assert (office.folder / "in" / "a.json").stat().st_ino == inode
    office.look()
    assert (office.names("kept"), len(office.states()), content[:1]) == (["a.json"], 1, b"{")


def test_same_table_under_the_same_name_after_another_is_a_new_correction(office: Office) -> None:
    first, second = report(), report(rows=[{**report()["rows"][0], "persons": 149}])
    for content in (first, second, first):
        office.drop("a.json", content)
        office.look()
        office.now = Millis(office.now + 1000)
    assert [row.revision for row in office.store.outbox.rows()] == [1, 2, 3]


def test_refusal_that_comes_later_brings_the_file_back_with_the_reason(office: Office) -> None:
    office.drop("a.json", report())
    office.look()
    forwarder(office, Scripted(placed)).round()
    office.look()
    assert office.names("done") == ["a.json"]
    office.store.database.execute("UPDATE sends SET state = 'rejected', detail = 'key revoked'")
    office.look()
    assert office.names("refused") == ["a.json", "a.json.txt"]
    assert "c1 testing-small 2021-12-13: key revoked" in (office.folder / "refused" / "a.json.txt").read_text("utf-8")


def test_answers_hold_refuse_or_leave_a_row(office: Office) -> None:
    answers: list[Verdict] = [Held("key not registered"), RefusedForGood("wrong", 7), None, Placed(None)]
    office.put(*(report(period=f"2021-12-{10 + n}") for n in range(4)))
    other = Scripted(lambda row: answers[row.id - 1])
    forwarder(office, other).round()
    assert office.states() == [State.WAITING, State.REFUSED, State.WAITING, State.SENT]
    assert office.store.held_said(1) == ["key not registered"]
    office.now = Millis(office.now + 1000)
    forwarder(office, other).round()
    assert other.sent[-1] == [3]
    office.now = Millis(office.now + 60_000)
    forwarder(office, other).round()
    assert other.sent[-1] == [1, 3]
    office.put(report(period="2021-12-11"))
    assert office.store.outbox.rows()[-1].revision == 8


def test_held_row_is_not_held_longer_where_the_clock_was_set_back(office: Office) -> None:
    office.put(report())
    other = Scripted(lambda row: Held("wait"))
    forwarder(office, other).round()
    office.now = Millis(office.now - 86_400_000 * 365)
    forwarder(office, other).round()
    assert other.sent == [[1], [1]]


def test_what_got_no_receipt_for_ten_minutes_is_sent_again_also_after_the_clock_went_back(office: Office) -> None:
    office.put(report())
    other = Scripted(placed)
    forwarder(office, other).round()
    office.now = Millis(office.now - 86_400_000)
    forwarder(office, other).round()
    office.now = Millis(office.now + SEND_AGAIN_AFTER_MS + 1)
    again = forwarder(office, other)
    again.round()
    again.round()
    assert other.sent == [[1], [1]]


def test_later_content_is_issued_later_whatever_the_clock_says(office: Office) -> None:
    office.put(report())
    office.now = Millis(office.now - 86_400_000)
    office.put(report(kind="nil", rows=[]))
    first, second = office.store.outbox.rows()
    assert (second.issued_at, second.revision) == (first.issued_at + 1, 2)


def test_pauses_grow_while_nothing_is_taken_and_what_waits_stays(office: Office) -> None:
    def away(row: Waiting) -> Verdict:
        raise Away("no line")

    office.put(report())
    one = forwarder(office, Scripted(away))
    pauses = [one.round() for _ in range(8)]
    assert pauses[0] <= 0.5
    assert 15 <= pauses[-1] <= 30
    assert (office.states(), office.store.noted("last_error")) == ([State.WAITING], "no line")


def test_new_report_goes_before_a_backlog_that_goes_on_beside_it() -> None:
    lanes = Lanes()
    assert not lanes.crowded(FRESH_AT_ONCE, 100)
    assert lanes.crowded(FRESH_AT_ONCE + 1, 100_000)
    assert lanes.mark == 100_000
    lanes.took(200, 10.0, per_s=100)
    assert not lanes.backlog_may(12.4)
    assert lanes.backlog_may(12.5)
    assert lanes.pause_s(12.4, 1.0) == pytest.approx(0.1)


def test_fresh_report_is_alone_in_its_batch_while_thousands_wait(office: Office) -> None:
    days = [f"2021-{month:02}-{day:02}" for month in (9, 10, 11, 12) for day in range(1, 31)]
    office.put(*(report(period=day) for day in days))
    other = Scripted(placed)
    one = forwarder(office, other)
    one.round()
    office.put(report())
    one.round()
    assert [len(batch) for batch in other.sent] == [120, 1]


def test_less_space_than_promised_keeps_files_where_they_are(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    office.drop("a.json", report())
    monkeypatch.setattr(status, "LEAST_FREE_BYTES", 2**62)
    office.look()
    assert office.names("in") == ["a.json"]
    assert "no space" in office.watch.failing
    assert "no space" in look(office.store, office.folder, office.now).refusing
    monkeypatch.undo()
    office.look()
    assert office.names("kept") == ["a.json"]


def test_disk_that_fills_up_while_writing_leaves_the_file_and_nothing_half_written(office: Office) -> None:
    office.drop("a.json", {"reports": [report(period=f"2021-12-{day:02}") for day in range(1, 14)]})
    (pages,) = office.store.database.execute("PRAGMA page_count").fetchone()
    office.store.database.execute(f"PRAGMA max_page_count = {pages + 1}")
    office.look()
    assert "no space left" in office.watch.failing
    assert (office.names("in"), office.states()) == (["a.json"], [])
    office.store.database.execute("PRAGMA max_page_count = 100000")
    office.look()
    assert (office.names("kept"), len(office.states()), office.watch.failing) == (["a.json"], 13, "")


def test_file_that_cannot_be_read_does_not_keep_the_others_waiting(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(folder: Folder, path: Path, most: int) -> Found | None:
        if path.name == "a.json":
            raise PermissionError(13, "denied")
        return original(folder, path, most)

    original = Folder.read
    monkeypatch.setattr(Folder, "read", read)
    office.drop("a.json", report())
    office.drop("b.json", report())
    office.look()
    assert (office.names("in"), office.names("kept")) == (["a.json"], ["b.json"])
    assert "a.json" in office.watch.failing


def test_catalogue_that_is_not_understood_leaves_the_one_that_is_held(office: Office) -> None:
    other = Scripted(placed)
    other.bundle = CATALOGUE.bundle.replace(b'"max_rows"', b'"most_rows')
    held = office.catalogue.digest
    office.put(report())
    forwarder(office, other).round()
    assert (office.catalogue.digest, office.states()) == (held, [State.SENT])


async def test_local_request_is_answered_when_it_is_on_the_disk(office: Office) -> None:
    door = AgentDoor(lambda: AgentStore(office.folder / FILE), office.catalogue, "secret", lambda: office.now,
                     lambda s, d: {}, lambda: None, lambda store: look(store, office.folder, office.now))  # fmt: skip
    transport = httpx.ASGITransport(door.application())
    headers = {"Authorization": "Bearer secret", "Idempotency-Key": '"k"', "Accept-Language": "en"}
    async with httpx.AsyncClient(transport=transport, base_url="http://agent", headers=headers) as client:
        answer = await client.post("/v1/reports", json=report())
        assert (answer.status_code, answer.json()["revision"]) == (202, 1)
        with sqlite3.connect(office.folder / FILE) as other:
            assert other.execute("SELECT state FROM sends").fetchall() == [("waiting",)]
        other.close()
        assert (await client.post("/v1/reports", json=report())).json() == answer.json()
        reused = await client.post("/v1/reports", json=report(kind="nil", rows=[]))
        assert (reused.status_code, reused.json()["type"].rpartition(":")[2]) == (422, "idempotency-key-reused")
        mixed = await client.post("/v1/reports", json={"reports": [report(period="2021-12-01"), report(unit="c2")]},
                                  headers={"Idempotency-Key": '"l"'})  # fmt: skip
        assert [one["status"] for one in mixed.json()["results"]] == [202, 403]
        clash = await client.post("/v1/reports", json=report(after_revision=4), headers={"Idempotency-Key": '"m"'})
        assert (clash.status_code, clash.json()["highest_revision"]) == (412, 1)
        assert (await client.post("/v1/reports", json=report(), headers={"Authorization": "no"})).status_code == 401
        assert (await client.post("/v1/reports", content=b"{")).status_code in (400, 415)
        health = await client.get("/healthz")
        assert (health.status_code, health.json()["waiting"]) == (200, 2)
        assert "chungsuc_agent_waiting_reports 2.0" in (await client.get("/metrics")).text
    door.close()


def test_folder_is_one_agents_and_its_setup_says_what_is_wrong(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path / LOCK)
    assert holder_of(tmp_path / LOCK) == os.getpid()
    with pytest.raises(BusyError, match=f"already runs on .* .process {os.getpid()}"):
        run(tmp_path, AgentConfig(unit="c1", gateway="http://g", token_file="t"))
    lock.release()
    assert holder_of(tmp_path / LOCK) is None
    with pytest.raises(ConfigError, match="agent init"):
        load(tmp_path)
    save(tmp_path, AgentConfig(unit="c1", gateway="http://g", token_file="t"))
    assert load(tmp_path).unit == "c1"
    (tmp_path / "agent.json").write_text('{"unit": "c1", "gateway": "x", "bootstrap": "y"}')
    with pytest.raises(ConfigError, match="either a gateway or a Kafka cluster"):
        load(tmp_path)
