"""Outbox rules under any history of sends: compared with a plain account of what was said when."""

from __future__ import annotations

import tempfile
from datetime import date
from itertools import pairwise
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from producers.keys import NodeKey
from producers.outbox import Outbox
from producers.outbox_batch import Known
from producers.send import Send
from schemas.form import FormId
from schemas.period import PeriodText
from schemas.report import Kind, Millis
from schemas.unit import UnitCode
from tests.support.released import released_catalogue

FORM = released_catalogue().form_in_force(FormId("covid-doses"), date(2021, 12, 13))
UNITS = [UnitCode("03390"), UnitCode("03394")]
SIGNERS = {unit: NodeKey.from_seed(unit, 1, unit.encode().ljust(32)) for unit in UNITS}

SENDS = st.lists(
    st.tuples(st.sampled_from(UNITS), st.integers(0, 6), st.sampled_from(["report", "nil", "withdrawal"]),
              st.integers(0, 2)),
    max_size=25,
)  # fmt: skip


def send_of(unit: UnitCode, minute: int, kind: str, value: int) -> Send:
    assert FORM is not None
    rows = ({"dose1": value, "dose2": 0, "dose3": 0, "dose4": 0},) if kind == "report" else ()
    return Send(FORM, unit, PeriodText("2021-12-13"), Kind(kind), Millis(1_639_371_600_000 + minute), rows)


def expected(sends: list[Send]) -> list[tuple[Known, int]]:
    """The rules of contract 6, written down as a walk over all that was said."""
    told: dict[UnitCode, dict[int, tuple[object, int]]] = {unit: {} for unit in UNITS}
    newest: dict[UnitCode, tuple[object, int]] = {}
    result: list[tuple[Known, int]] = []
    for send in sends:
        content = (send.kind, tuple(row["dose1"] for row in send.rows))
        before = told[send.unit]
        if send.issued_at in before:
            same = before[send.issued_at][0] == content
            result.append((Known.KNOWN, before[send.issued_at][1]) if same else (Known.REFUSED, 0))
            continue
        last_content, last_revision = newest.get(send.unit, (None, 0))
        if last_content != content and before and send.issued_at < max(before):
            result.append((Known.REFUSED, 0))
            continue
        revision = last_revision if last_content == content else last_revision + 1
        before[send.issued_at] = newest[send.unit] = (content, revision)
        result.append((Known.NEW, revision))
    return result


@settings(max_examples=60, deadline=None)
@given(said=SENDS, cuts=st.lists(st.integers(0, 25), max_size=3))
def test_any_history_in_any_batches_gives_the_revisions_of_the_rules(
    said: list[tuple[UnitCode, int, str, int]], cuts: list[int]
) -> None:
    sends = [send_of(*one) for one in said]
    bounds = [0, *sorted(min(cut, len(sends)) for cut in cuts), len(sends)]
    with tempfile.TemporaryDirectory() as folder:
        outbox = Outbox(Path(folder) / "outbox.sqlite")
        puts = [put for first, last in pairwise(bounds) for put in outbox.put(sends[first:last], SIGNERS)]
        assert [(put.known, int(put.revision)) for put in puts] == expected(sends)
        rows = outbox.rows()
        for unit in UNITS:
            own = [row for row in rows if row.series.unit == unit]
            assert [row.sequence for row in own] == list(range(1, len(own) + 1))
        contents = outbox.database.execute("SELECT count(DISTINCT digest) FROM sends GROUP BY series, revision")
        assert {count for (count,) in contents} <= {1}
        again = outbox.put(sends, SIGNERS)
        for before, after in zip(puts, again, strict=True):
            if before.known is not Known.REFUSED:
                assert (after.known, after.revision) == (Known.KNOWN, before.revision)
        outbox.close()
