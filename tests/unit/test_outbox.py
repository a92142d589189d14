"""The outbox without a broker: what is a send, what is a revision, and what receipts do to rows."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from producers.errors import KeysError, OutboxError
from producers.keys import NodeKey, NodeKeys
from producers.outbox import Outbox, State
from producers.outbox_batch import Known
from producers.outbox_file import pack_headers, transaction, unpack_headers
from producers.send import Send
from producers.settlement import settle
from schemas.codec import decode_report
from schemas.form import FormId
from schemas.period import PeriodText
from schemas.precedence import Outcome
from schemas.receipt import Receipt
from schemas.register import KeyEntry
from schemas.report import Cell, Digest, Kind, Millis, Offset, Revision, Source
from schemas.signature import SIGNED_HEADERS, PublicKey, signed_message, verifies
from schemas.topics import DAY_MS, MAX_REPORT_BYTES
from schemas.unit import UnitCode
from tests.support.released import released_catalogue

CATALOGUE = released_catalogue()
TESTING = CATALOGUE.form_in_force(FormId("testing-daily"), date(2021, 12, 13))
assert TESTING is not None
UNIT, DISTRICT = UnitCode("03430"), UnitCode("106")
NOON = Millis(1_639_371_600_000)
MINUTE = 60_000


class Registered(dict[str, KeyEntry]):
    def key(self, kid: object) -> KeyEntry | None:
        return self.get(str(kid))


def table(persons: int, **more: object) -> Send:
    assert TESTING is not None
    row: dict[str, Cell] = {"method": "antigen", "sample": "single", "persons": persons}
    row |= {"tubes": 1, "positive_tubes": 0, "positive_persons": 0}
    base = Send(TESTING, UNIT, PeriodText("2021-12-13"), Kind.REPORT, NOON, (row,), where="line 2")
    return replace(base, **more)  # type: ignore[arg-type]


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[NodeKeys]:
    keys = NodeKeys(tmp_path / "keys.sqlite")
    yield keys
    keys.close()


@pytest.fixture
def signers(keys: NodeKeys) -> dict[UnitCode, NodeKey]:
    return keys.of([UNIT, DISTRICT], Registered())


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    outbox = Outbox(tmp_path / "outbox.sqlite")
    yield outbox
    outbox.close()


def revisions(outbox: Outbox) -> list[tuple[int, int]]:
    return [(row.revision, row.sequence) for row in outbox.rows()]


def sent(outbox: Outbox, offset: int, now: Millis = NOON) -> Source:
    (row,) = outbox.waiting(10)
    source = Source(1, Offset(offset))
    outbox.mark_sent([(row.id, source)], now)
    return source


def receipt(outbox: Outbox, source: Source, outcome: Outcome, **more: object) -> Receipt:
    ((digest, revision),) = outbox.database.execute("SELECT digest, revision FROM sends ORDER BY id LIMIT 1")
    base = Receipt(UNIT, "ubnd", "testing-daily", "2021-12-13", "", revision, "kid-03430-1", Digest(digest), source,
                   outcome, "", "", "", revision, NOON, Offset(7))  # fmt: skip
    return replace(base, **more)  # type: ignore[arg-type]


def take(outbox: Outbox, *receipts: Receipt, now: Millis = NOON) -> None:
    with transaction(outbox.database, outbox.path):
        for one in receipts:
            settle(outbox.database, one, now)


def test_new_content_raises_the_revision(outbox: Outbox, signers: dict[UnitCode, NodeKey]) -> None:
    outbox.put([table(1), table(2, issued_at=NOON + MINUTE)], signers)
    assert revisions(outbox) == [(1, 1), (2, 2)]


def test_same_issue_time_and_content_is_the_same_send(outbox: Outbox, signers: dict[UnitCode, NodeKey]) -> None:
    sends = [table(1), table(2, issued_at=NOON + MINUTE)]
    outbox.put(sends, signers)
    again = outbox.put(sends, signers)
    assert [(put.known, put.revision) for put in again] == [(Known.KNOWN, 1), (Known.KNOWN, 2)]
    assert revisions(outbox) == [(1, 1), (2, 2)]


def test_same_send_twice_in_one_batch_is_one(outbox: Outbox, signers: dict[UnitCode, NodeKey]) -> None:
    assert [put.known for put in outbox.put([table(1), table(1)], signers)] == [Known.NEW, Known.KNOWN]


def test_known_issue_time_with_other_content_is_refused(outbox: Outbox, signers: dict[UnitCode, NodeKey]) -> None:
    outbox.put([table(1)], signers)
    (put,) = outbox.put([table(2)], signers)
    assert put.known is Known.REFUSED
    assert str(put.problem).startswith("line 2: testing-daily of 03430 for 2021-12-13 not sent")
    assert "known with other content" in str(put.problem)
    assert revisions(outbox) == [(1, 1)]


def test_new_content_issued_before_the_newest_is_refused(outbox: Outbox, signers: dict[UnitCode, NodeKey]) -> None:
    outbox.put([table(1)], signers)
    (put,) = outbox.put([table(2, issued_at=NOON - MINUTE)], signers)
    assert "before the newest sent" in str(put.problem)


AHEAD = Millis(NOON + 70 * 365 * DAY_MS)


def test_correction_after_a_clock_that_was_ahead_is_issued_just_after_it_and_known_again(
    outbox: Outbox, signers: dict[UnitCode, NodeKey]
) -> None:
    outbox.put([table(1, issued_at=AHEAD)], signers, AHEAD)
    corrections = [table(2), table(3, issued_at=NOON + MINUTE)]
    moved = outbox.put(corrections, signers, Millis(NOON + MINUTE))
    assert [(put.known, put.revision, put.issued_at, put.moved) for put in moved] == [
        (Known.NEW, 2, AHEAD + 1, True), (Known.NEW, 3, AHEAD + 2, True),
    ]  # fmt: skip
    again = outbox.put(corrections, signers, Millis(NOON + 2 * MINUTE))
    assert [(put.known, put.revision) for put in again] == [(Known.KNOWN, 2), (Known.KNOWN, 3)]
    assert revisions(outbox) == [(1, 1), (2, 2), (3, 3)]


@pytest.mark.parametrize(
    ("content", "issued_at", "now"),
    [
        pytest.param(2, NOON, NOON + DAY_MS + 1, id="an old file"),
        pytest.param(2, NOON + 1, NOON, id="its own clock is ahead"),
        pytest.param(1, NOON, NOON, id="content that was said before: an import repeated with a lost outbox"),
        pytest.param(2, NOON, None, id="no clock"),
    ],
)
def test_what_is_not_issued_now_is_not_moved_past_a_clock_that_was_ahead(
    outbox: Outbox, signers: dict[UnitCode, NodeKey], content: int, issued_at: int, now: int | None
) -> None:
    outbox.put([table(1, issued_at=AHEAD - 1), table(9, issued_at=AHEAD)], signers)
    (put,) = outbox.put([table(content, issued_at=issued_at)], signers, None if now is None else Millis(now))
    assert "before the newest sent" in str(put.problem)


def test_nothing_is_moved_past_a_newest_that_is_not_ahead(outbox: Outbox, signers: dict[UnitCode, NodeKey]) -> None:
    outbox.put([table(1)], signers)
    (put,) = outbox.put([table(2, issued_at=NOON - MINUTE)], signers, NOON)
    assert "before the newest sent" in str(put.problem)


def test_content_of_the_newest_revision_is_that_revision_again(
    outbox: Outbox, signers: dict[UnitCode, NodeKey]
) -> None:
    (first, second) = outbox.put([table(1), table(1, issued_at=NOON + MINUTE)], signers)
    assert (first.revision, second.revision, second.known) == (1, 1, Known.NEW)
    assert revisions(outbox) == [(1, 1), (1, 2)]


def test_content_that_returns_after_another_is_a_new_revision(outbox: Outbox, signers: dict[UnitCode, NodeKey]) -> None:
    outbox.put([table(n, issued_at=NOON + i * MINUTE) for i, n in enumerate([1, 2, 1])], signers)
    assert revisions(outbox) == [(1, 1), (2, 2), (3, 3)]


def test_entered_report_counts_in_its_own_series_and_with_its_senders_key(
    outbox: Outbox, signers: dict[UnitCode, NodeKey]
) -> None:
    outbox.put([table(1), table(5, entered_by=DISTRICT), table(2, issued_at=NOON + MINUTE)], signers)
    assert [(row.kid, row.revision, row.sequence) for row in outbox.rows()] == [
        ("kid-03430-1", 1, 1),
        ("kid-106-1", 1, 1),
        ("kid-03430-1", 2, 2),
    ]
    assert {row.record.key for row in outbox.waiting(10)} == {b"03430"}


def test_row_holds_the_signed_bytes(outbox: Outbox, signers: dict[UnitCode, NodeKey]) -> None:
    assert TESTING is not None
    outbox.put([table(4)], signers)
    record = outbox.waiting(1)[0].record
    named = dict(record.headers)
    message = signed_message(record.key, record.value, [named[name] for name in SIGNED_HEADERS])
    assert verifies(signers[UNIT].public, named["sig"], message)
    assert decode_report(TESTING, record.value).rows == list(table(4).rows)
    assert named["ce_id"] == b"testing-daily/03430/ubnd/2021-12-13/-/1"


def test_headers_survive_packing() -> None:
    headers = [("kid", b"k"), ("sig", bytes(range(64))), ("empty", b""), ("Tả Lèng", "Bản Bo".encode())]
    assert unpack_headers(pack_headers(headers)) == headers


def test_report_above_the_limit_is_refused_and_the_rest_goes_on(
    outbox: Outbox, signers: dict[UnitCode, NodeKey]
) -> None:
    huge = table(1, narrative={"difficulties": "x" * 10_000_000})
    refused, taken = outbox.put([huge, table(2)], signers)
    assert "at most 1,048,576 are taken" in str(refused.problem)
    assert "\n" not in str(refused.problem)
    assert taken.revision == 1


def test_report_of_exactly_the_limit_is_taken(outbox: Outbox, signers: dict[UnitCode, NodeKey]) -> None:
    outbox.put([table(1, narrative={"n": "x" * 1_000_000})], signers)
    spare = MAX_REPORT_BYTES - len(outbox.waiting(1)[0].record.value)
    fits = table(1, issued_at=NOON + MINUTE, narrative={"n": "x" * (1_000_000 + spare)})
    outbox.put([fits], signers)
    assert len(outbox.waiting(10)[1].record.value) == MAX_REPORT_BYTES
    over = table(1, issued_at=NOON + 2 * MINUTE, narrative={"n": "x" * (1_000_001 + spare)})
    assert outbox.put([over], signers)[0].known is Known.REFUSED


def test_full_disk_writes_nothing_and_says_so(outbox: Outbox, signers: dict[UnitCode, NodeKey]) -> None:
    outbox.put([table(1)], signers)
    (pages,) = outbox.database.execute("PRAGMA page_count").fetchone()
    outbox.database.execute(f"PRAGMA max_page_count = {pages + 2}")
    many = [table(2, issued_at=NOON + MINUTE), table(3, issued_at=NOON + 2 * MINUTE, narrative={"n": "x" * 100_000})]
    with pytest.raises(OutboxError, match=r"no space left for the outbox .* nothing of this batch was written"):
        outbox.put(many, signers)
    assert revisions(outbox) == [(1, 1)]
    outbox.database.execute("PRAGMA max_page_count = 100000")
    outbox.put(many, signers)
    assert revisions(outbox) == [(1, 1), (2, 2), (3, 3)]


def test_file_that_is_no_outbox_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "outbox.sqlite").write_bytes(b"not a database" * 1000)
    with pytest.raises(OutboxError, match=r"is damaged .* delete it"):
        Outbox(tmp_path / "outbox.sqlite")


@pytest.mark.parametrize("outcome", [Outcome.ACCEPTED, Outcome.DUPLICATE, Outcome.SUPERSEDED])
def test_receipt_settles_the_row_it_names(outbox: Outbox, signers: dict[UnitCode, NodeKey], outcome: Outcome) -> None:
    outbox.put([table(1)], signers)
    take(outbox, receipt(outbox, sent(outbox, 5), outcome))
    (row,) = outbox.rows()
    assert (row.state, row.outcome) == (State.SETTLED, outcome.value)
    assert outbox.unsettled(Millis(NOON + DAY_MS)) == []


def test_receipt_is_settled_without_reading_all_rows(outbox: Outbox, signers: dict[UnitCode, NodeKey]) -> None:
    """Each receipt of a long history once read every row: settling 72,868 of them took minutes."""
    outbox.put([table(3)], signers)
    source = sent(outbox, 7)
    said: list[str] = []
    outbox.database.set_trace_callback(said.append)
    take(outbox, receipt(outbox, source, Outcome.ACCEPTED))
    outbox.database.set_trace_callback(None)
    updates = [statement for statement in said if statement.startswith("UPDATE")]
    assert len(updates) >= 3
    for statement in updates:
        plan = [row[3] for row in outbox.database.execute(f"EXPLAIN QUERY PLAN {statement}")]
        assert not [step for step in plan if step.startswith("SCAN")], (statement, plan)


@pytest.mark.parametrize(("outcome", "state"), [(Outcome.REJECTED, State.REJECTED), (Outcome.CONFLICT, State.CONFLICT)])
def test_rejected_and_conflicting_rows_are_kept_and_shown(
    outbox: Outbox, signers: dict[UnitCode, NodeKey], outcome: Outcome, state: State
) -> None:
    outbox.put([table(1)], signers)
    take(outbox, receipt(outbox, sent(outbox, 5), outcome, detail="Số liệu sai"), now=NOON)
    assert outbox.prune(Millis(NOON + 400 * DAY_MS)) == 0
    assert [(row.state, row.detail) for row in outbox.rows([state])] == [(state, "Số liệu sai")]


def test_duplicate_row_learns_the_source_that_won(outbox: Outbox, signers: dict[UnitCode, NodeKey]) -> None:
    outbox.put([table(1)], signers)
    first = sent(outbox, 5)
    outbox.put([table(1, issued_at=NOON + MINUTE)], signers)
    second = sent(outbox, 6)
    take(outbox, receipt(outbox, first, Outcome.ACCEPTED), receipt(outbox, second, Outcome.DUPLICATE))
    assert [(row.outcome, row.won) for row in outbox.rows()] == [("accepted", first), ("duplicate", first)]


def test_row_marked_after_its_receipt_is_settled_at_once(outbox: Outbox, signers: dict[UnitCode, NodeKey]) -> None:
    outbox.put([table(1)], signers)
    take(outbox, receipt(outbox, Source(1, Offset(5)), Outcome.ACCEPTED))
    sent(outbox, 5)
    assert outbox.counts() == {State.SETTLED: 1}


def test_acknowledgement_without_an_offset_is_settled_by_content(
    outbox: Outbox, signers: dict[UnitCode, NodeKey]
) -> None:
    outbox.put([table(1)], signers)
    sent(outbox, -1)
    take(outbox, receipt(outbox, Source(1, Offset(5)), Outcome.ACCEPTED))
    assert [(row.state, row.source) for row in outbox.rows()] == [(State.SETTLED, Source(1, Offset(5)))]


def test_state_never_falls_back(outbox: Outbox, signers: dict[UnitCode, NodeKey]) -> None:
    outbox.put([table(1)], signers)
    source = sent(outbox, 5)
    take(outbox, receipt(outbox, source, Outcome.ACCEPTED))
    take(outbox, receipt(outbox, source, Outcome.SUPERSEDED, figures_offset=Offset(9)))
    assert [row.outcome for row in outbox.rows()] == ["accepted"]


def test_conflict_lets_the_same_content_be_sent_above_the_highest_revision(
    outbox: Outbox, signers: dict[UnitCode, NodeKey]
) -> None:
    outbox.put([table(1)], signers)
    take(outbox, receipt(outbox, sent(outbox, 5), Outcome.CONFLICT, highest_revision=Revision(4)))
    (put,) = outbox.put([table(1, issued_at=NOON + MINUTE)], signers)
    assert put.revision == 5


def test_conflict_at_the_same_revision_gives_the_content_a_new_one(
    outbox: Outbox, signers: dict[UnitCode, NodeKey]
) -> None:
    outbox.put([table(1)], signers)
    take(outbox, receipt(outbox, sent(outbox, 5), Outcome.CONFLICT))
    (put,) = outbox.put([table(1, issued_at=NOON + MINUTE)], signers)
    assert put.revision == 2


def test_send_without_a_receipt_is_sent_again_byte_for_byte(outbox: Outbox, signers: dict[UnitCode, NodeKey]) -> None:
    outbox.put([table(1)], signers)
    before = outbox.waiting(10)
    sent(outbox, 5)
    assert outbox.unsettled(NOON) == []
    overdue = outbox.unsettled(Millis(NOON + 1))
    outbox.send_again(overdue)
    assert outbox.waiting(10) == before


def test_settled_rows_keep_their_bytes_for_thirty_days_and_are_known_for_ever(
    outbox: Outbox, signers: dict[UnitCode, NodeKey]
) -> None:
    outbox.put([table(1)], signers)
    take(outbox, receipt(outbox, sent(outbox, 5), Outcome.ACCEPTED))
    assert outbox.prune(Millis(NOON + 30 * DAY_MS), days=1) == 0
    assert outbox.prune(Millis(NOON + 30 * DAY_MS + 1)) == 1
    assert outbox.put([table(1)], signers)[0].known is Known.KNOWN


def test_keys_are_for_their_owner_only(keys: NodeKeys, tmp_path: Path) -> None:
    keys.of([UNIT], Registered())
    assert stat.S_IMODE((tmp_path / "keys.sqlite").stat().st_mode) == 0o600
    (tmp_path / "keys.sqlite").chmod(0o644)
    with pytest.raises(KeysError, match="readable by others"):
        NodeKeys(tmp_path / "keys.sqlite")


def test_key_is_made_once(keys: NodeKeys, tmp_path: Path) -> None:
    first = keys.of([UNIT], Registered())[UNIT]
    other = NodeKeys(tmp_path / "keys.sqlite")
    assert other.of([UNIT, DISTRICT], Registered())[UNIT] == first
    other.close()


def test_key_id_taken_by_a_lost_key_is_passed_over(keys: NodeKeys) -> None:
    lost = KeyEntry(keys.of([DISTRICT], Registered())[DISTRICT].kid, DISTRICT, PublicKey(bytes(32)), NOON)
    assert keys.of([DISTRICT], Registered({lost.kid: lost}))[DISTRICT].kid == "kid-106-2"


def test_thousands_of_keys_are_made_in_one_go(keys: NodeKeys) -> None:
    units = [UnitCode(f"{n:05}") for n in range(3000)]
    made = keys.of(units, Registered())
    assert len({key.public for key in made.values()}) == 3000
    assert keys.of(units, Registered()) == made
