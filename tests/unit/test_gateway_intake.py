"""Intake: revisions, keys of clients and the rows they brought, in one transaction, before anything is sent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from producers.errors import KeysError
from producers.gateway.draft import Item, Signed, from_json
from producers.gateway.intake import Job, Kept, Taken, remembered, take
from producers.gateway.refusal import Refusal, Slug
from producers.gateway.store import GatewayStore
from schemas.codec import decode_report
from schemas.principal import ALL_UNITS
from schemas.read_model import SeriesHead
from schemas.report import Digest, Millis, Offset, Revision, Source
from schemas.topics import DAY_MS
from tests.support.gateway import CLERK, NOW, report
from tests.support.signed import CATALOGUE, TESTING, registers
from tests.support.signed import Draft as SignedDraft


@pytest.fixture
def store(tmp_path: Path) -> Iterator[GatewayStore]:
    made = GatewayStore(tmp_path / "gateway.sqlite")
    made.mark_in_force(made.next_key(ALL_UNITS, registers()).kid)
    yield made
    made.close()


def item(persons: int = 150, **more: Any) -> Item:
    content = report(rows=[{**TESTING, "persons": persons}], **more)
    return from_json(content, CATALOGUE, date(2022, 1, 2))


def job(*items: Item | Refusal, key: str | None = None, fingerprint: bytes = b"f", **more: Any) -> Job:
    heads = more.pop("heads", [None] * len(items))
    return Job(CLERK, key, fingerprint, items, heads, "r", **more)


def taken(store: GatewayStore, *items: Item | Refusal, **more: Any) -> list[Taken]:
    (found,) = take(store, [job(*items, **more)], NOW)
    assert not isinstance(found, Refusal), found
    return found


def kept(store: GatewayStore, *items: Item | Refusal, **more: Any) -> Kept:
    (found,) = taken(store, *items, **more)
    assert isinstance(found, Kept), found
    return found


def refusal(store: GatewayStore, *items: Item | Refusal, **more: Any) -> Refusal:
    (found,) = taken(store, *items, **more)
    assert isinstance(found, Refusal), found
    return found


def test_content_gets_the_next_revision_and_the_same_content_the_same(store: GatewayStore) -> None:
    revisions = [kept(store, item(n)).revision for n in (1, 2, 2, 1)]
    assert revisions == [1, 2, 2, 3]


def test_reports_of_one_request_see_one_another(store: GatewayStore) -> None:
    found = taken(store, item(1, after_revision=0), item(2, after_revision=1), item(3, after_revision=1))
    assert [one.revision for one in found[:2] if isinstance(one, Kept)] == [1, 2]
    assert isinstance(found[2], Refusal)
    assert (found[2].slug, found[2].members) == (Slug.OTHER_REVISION, {"highest_revision": 2})


def test_revision_that_another_sender_had_accepted_is_not_given_again(store: GatewayStore) -> None:
    head = SeriesHead(Revision(7), Digest(bytes(32)), Source(0, Offset(1)))
    assert kept(store, item(1), heads=[head]).revision == 8
    assert refusal(store, item(2, after_revision=7), heads=[head]).slug is Slug.OTHER_REVISION


def test_same_content_as_the_accepted_one_of_another_sender_is_that_revision(store: GatewayStore) -> None:
    mine = item(1)
    digest = SignedDraft(rows=[{**TESTING, "persons": 1}]).report().digest(["method", "sample"])
    assert kept(store, mine, heads=[SeriesHead(Revision(7), digest, Source(0, Offset(1)))]).revision == 7


def test_key_of_a_client_stands_for_the_rows_it_brought(store: GatewayStore) -> None:
    first = kept(store, item(1), key="k")
    again = kept(store, item(1), key="k")
    assert again == replace(first, known=True)
    (other,) = take(store, [job(item(2), key="k", fingerprint=b"g")], NOW)
    assert isinstance(other, Refusal)
    assert other.slug is Slug.IDEMPOTENCY_KEY_REUSED
    assert store.waiting() == 1


def test_repeated_batch_tells_the_same_of_each(store: GatewayStore) -> None:
    bad = refusal(store, item(1, after_revision=5))
    first = taken(store, item(1), bad, key="k")
    again = taken(store, item(1), bad, key="k")
    assert [one.revision if isinstance(one, Kept) else one.problem for one in again] != []
    assert isinstance(again[1], Refusal)
    assert isinstance(first[1], Refusal)
    assert (again[1].slug, again[1].words, again[1].members) == (first[1].slug, first[1].words, first[1].members)


def test_request_refused_as_a_whole_is_not_remembered(store: GatewayStore) -> None:
    assert refusal(store, item(1, after_revision=5), key="k").slug is Slug.OTHER_REVISION
    assert kept(store, item(1, after_revision=0), key="k", fingerprint=b"g").revision == 1


def test_key_of_a_client_is_forgotten_after_a_week_and_not_before(store: GatewayStore) -> None:
    kept(store, item(1), key="k")
    store.forget(Millis(NOW + 7 * DAY_MS))
    assert remembered(store, job(item(1), key="k")) is not None
    store.forget(Millis(NOW + 7 * DAY_MS + 1))
    assert remembered(store, job(item(1), key="k")) is None


def test_without_an_issue_time_each_content_is_later_than_the_one_before(store: GatewayStore) -> None:
    for n in (1, 2, 3):
        kept(store, item(n))
    times = [row.issued_at for row in store.outbox.rows()]
    assert times == [NOW, NOW + 1, NOW + 2]


@pytest.mark.parametrize(
    ("issued_at", "slug"),
    [("2022-01-01T00:00:00Z", Slug.REVISION_TAKEN), ("2022-01-02T05:10:00Z", Slug.REPORT_INVALID)],
)
def test_issue_time_before_the_newest_or_in_the_future_is_refused(
    store: GatewayStore, issued_at: str, slug: Slug
) -> None:
    kept(store, item(1))
    assert refusal(store, item(2, issued_at=issued_at)).slug is slug


def test_what_is_kept_is_attested_for_the_account(store: GatewayStore) -> None:
    kept(store, item(1), traceparent="00-x")
    (waiting,) = store.outbox.waiting(10)
    form = next(form for form in CATALOGUE.forms if form.id == "testing-small")
    header = decode_report(form, waiting.record.value).header
    assert (header.principal, header.sequence, header.revision) == (CLERK, 1, 1)
    assert dict(waiting.record.headers)["kid"] == b"kid-gateway-1"
    assert (dict(waiting.record.headers)["request-id"], dict(waiting.record.headers)["traceparent"]) == (b"r", b"00-x")


def signed(revision: int, persons: int, issued_at: int = 1) -> Signed:
    draft = SignedDraft(revision=revision, rows=[{**TESTING, "persons": persons}], issued_at=issued_at)
    return Signed(draft.form_version(CATALOGUE), draft.report(), draft.record(), draft.report().header.unit)  # type: ignore[arg-type]


def test_signed_record_is_kept_byte_for_byte_and_raises_the_revision(store: GatewayStore) -> None:
    record = signed(5, 1).record
    assert kept(store, signed(5, 1)).revision == 5
    assert kept(store, signed(5, 1)).known
    (waiting,) = store.outbox.waiting(10)
    assert (waiting.record.value, waiting.record.headers) == (record.value, record.headers)
    assert kept(store, item(2)).revision == 6


def test_signed_revision_with_other_content_is_refused(store: GatewayStore) -> None:
    kept(store, signed(5, 1))
    assert refusal(store, signed(5, 2, issued_at=2)).slug is Slug.REVISION_TAKEN
    assert refusal(store, signed(6, 2)).slug is Slug.REVISION_TAKEN


def test_without_a_key_in_force_nothing_is_kept(tmp_path: Path) -> None:
    store = GatewayStore(tmp_path / "gateway.sqlite")
    with pytest.raises(KeysError, match="no key in force"):
        take(store, [job(item(1))], NOW)
    assert store.waiting() == 0
    store.close()


def test_next_key_of_the_gateway_is_another_once_the_first_is_taken_or_wanted_anew(store: GatewayStore) -> None:
    found = registers()
    assert store.next_key(ALL_UNITS, found).kid == "kid-gateway-1"
    assert store.next_key(ALL_UNITS, found, anew=True).kid == "kid-gateway-2"
    assert store.signing_key().kid == "kid-gateway-1"
    store.mark_in_force(store.next_key(ALL_UNITS, found).kid)
    assert store.signing_key().kid == "kid-gateway-2"


def test_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gateway.sqlite"
    path.touch(0o644)
    with pytest.raises(KeysError, match="readable by others"):
        GatewayStore(path)
