"""Admission and ingest over spoilt records: whatever the bytes, a rejection or the very same report, and no error."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.admission import Admitted, Received
from schemas.rejection import Rejection
from schemas.report import Kind, Scope
from schemas.sentences import sentence_en, sentence_vi
from streams.columns import write_contribution
from streams.ingest import figure_of
from tests.support.signed import CATALOGUE, DOSES, PARTITIONS, STOCK_ROW, Draft, admission, as_received

ADMISSION = admission()
LEGAL = [
    Draft(),
    Draft(entered_by="D", narrative={"difficulties": "Thiếu que lấy mẫu"}),
    Draft(kind=Kind.NIL, rows=[]),
    Draft(kind=Kind.WITHDRAWAL, rows=[]),
    Draft(unit="c3", period="2021-12-14", unit_name="Xã Hồ Thầu Mới"),
    Draft(form="covid-doses", rows=[{**DOSES, "dose1": -54}], scope=Scope.SUBTREE),
    Draft(form="stock-two", version=1, period="2021-12-15", rows=[STOCK_ROW]),
]


@dataclass(frozen=True)
class Change:
    """One thing done to bytes: overwritten, cut out, or put in."""

    at: float
    cut: int
    put: bytes

    def apply(self, content: bytes) -> bytes:
        at = int(self.at * len(content))
        return content[:at] + self.put + content[at + self.cut :]


CHANGES = st.lists(
    st.builds(Change, st.floats(0, 1), st.integers(0, 9), st.binary(max_size=9)), min_size=1, max_size=4
)  # fmt: skip


def spoilt(content: bytes, changes: list[Change]) -> bytes:
    for change in changes:
        content = change.apply(content)
    return content


def outcome(received: Received) -> Admitted | Rejection:
    """The decision, once all that ingest makes of it has been made."""
    found = ADMISSION.decide(received)
    if isinstance(found, Admitted):
        assert write_contribution(figure_of(found, CATALOGUE, 1, received))
    else:
        assert sentence_vi(found)
        assert sentence_en(found)
    return found


@settings(deadline=None)
@given(st.sampled_from(LEGAL), CHANGES)
def test_spoilt_value_is_rejected_or_was_not_spoilt(draft: Draft, changes: list[Change]) -> None:
    received = draft.received()
    value = spoilt(received.value or b"", changes)
    found = outcome(replace(received, value=value))
    assert isinstance(found, Rejection) == (value != received.value)


@settings(deadline=None)
@given(st.sampled_from(LEGAL), st.data())
def test_spoilt_headers_key_and_partition_are_rejected_or_make_no_difference(draft: Draft, data: st.DataObject) -> None:
    received = draft.received()
    headers = data.draw(
        st.permutations(received.headers)
        | st.lists(st.sampled_from(received.headers), max_size=10)
        | st.lists(st.tuples(st.sampled_from([n for n, _ in received.headers]) | st.text(), st.binary()), max_size=3)
    )
    key = data.draw(st.just(received.key) | st.none() | st.binary(max_size=5))
    source = replace(received.source, partition=data.draw(st.integers(0, PARTITIONS - 1)))
    found = outcome(replace(received, headers=tuple(headers), key=key, source=source))
    if isinstance(found, Admitted):
        assert found == ADMISSION.decide(received)
        assert dict(headers) == dict(received.headers)


@settings(deadline=None)
@given(st.sampled_from(LEGAL), CHANGES)
def test_spoilt_value_that_its_owner_signed_is_decided_without_an_error(draft: Draft, changes: list[Change]) -> None:
    value = spoilt(draft.value(), changes)
    found = outcome(as_received(draft.record(value=value), draft.right_partition))
    if isinstance(found, Admitted):
        assert found.report.header.unit == draft.unit


@settings(deadline=None)
@given(st.binary(max_size=200), st.sampled_from([f.fingerprint for f in CATALOGUE.forms]), CHANGES)
def test_any_body_behind_a_known_fingerprint_is_decided_without_an_error(
    body: bytes, fingerprint: bytes, changes: list[Change]
) -> None:
    value = b"\xc3\x01" + fingerprint + body
    assert isinstance(outcome(as_received(Draft().record(value=value), Draft().right_partition)), Rejection)
    assert isinstance(outcome(as_received(Draft().record(value=spoilt(value, changes)), 0)), Rejection)
