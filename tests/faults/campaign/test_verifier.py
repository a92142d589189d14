"""The verifier bites: each thing that can be wrong with a number is planted once, and found under its name.

Where one wrong thing makes others wrong (a total that counts a report twice was also never true), all names are told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from schemas.form import FormId
from schemas.precedence import Outcome
from schemas.report import Millis, Offset
from schemas.topics import FIGURES, REPORTS
from tests.faults.campaign.history import Acked, Seen, Sent
from tests.faults.campaign.lab import Lab, Made, add
from tests.faults.campaign.planting import (
    A,
    D,
    R,
    digest_of,
    eventful,
    found,
    judged,
    report_of,
    small,
)
from tests.faults.campaign.verifier.anomaly import Name
from tests.faults.campaign.verifier.tables import seen
from tests.faults.campaign.verifier.verify import verify_segment
from tests.support.released import released_catalogue


@pytest.mark.parametrize("made", [eventful, small])
def test_a_segment_in_which_nothing_is_wrong_is_exact(made: Callable[[], Lab], tmp_path: Path) -> None:
    lab = made()
    lab.observe()
    verdict = judged(lab, tmp_path)
    assert not verdict.anomalies
    assert verdict.word == "EXACT"
    assert verdict.sent == verdict.acknowledged == verdict.reports
    assert (verdict.lost, verdict.double, verdict.wrong) == (0, 0, 0)


def test_a_segment_without_a_report_is_empty_and_not_exact(tmp_path: Path) -> None:
    assert judged(Lab(), tmp_path).word == "EMPTY"


def test_a_segment_can_be_judged_again(tmp_path: Path) -> None:
    lab = small()
    lab.observe()
    first = judged(lab, tmp_path)
    assert verify_segment(tmp_path) == first


# Lost


def test_acknowledged_report_that_is_not_in_the_log_is_a_lost_write(tmp_path: Path) -> None:
    lab = small()
    sent = next(event for event in lab.events if isinstance(event, Sent))
    lost = replace(sent, send=900, event=sent.event.replace("c1", "e1"), unit="e1")
    lab.events += [lost, Acked(900, 0, 77, Millis(0))]
    verdict = judged(lab, tmp_path)
    assert verdict.found[Name.LOST_WRITE] == 1 + 3  # the report, and the fold of what was acknowledged at three levels
    assert verdict.word == "LOST"


def test_acknowledgement_without_an_offset_is_looked_for_everywhere(tmp_path: Path) -> None:
    lab = small()
    lab.events = [replace(event, offset=-1) if isinstance(event, Acked) else event for event in lab.events]
    assert not found(lab, tmp_path)


def test_another_report_at_the_acknowledged_offset_is_a_lost_write(tmp_path: Path) -> None:
    lab = small()
    first, second, _ = [event for event in lab.events if isinstance(event, Acked)]
    lab.events[lab.events.index(first)] = replace(first, partition=second.partition, offset=second.offset)
    assert found(lab, tmp_path) == {Name.LOST_WRITE: 1}


def test_send_that_was_never_acknowledged_and_is_nowhere_is_no_anomaly(tmp_path: Path) -> None:
    lab = small()
    sent = next(event for event in lab.events if isinstance(event, Sent))
    lab.events.append(replace(sent, send=900, event=sent.event.replace("c1", "e1"), unit="e1"))
    lab.send(report_of("e1", 9), acked=False)
    lab.emit_all()
    lab.observe()
    verdict = judged(lab, tmp_path)
    assert verdict.word == "EXACT"
    assert (verdict.recovered, verdict.withheld, verdict.acknowledged) == (1, 1, 3)


def test_right_report_that_is_rejected_is_a_lost_write(tmp_path: Path) -> None:
    lab = small()
    lab.send(report_of("e1"), contributed=False, receipt=False)
    lab.reject(lab.records[REPORTS][-1], "internal_error")
    kinds = found(lab, tmp_path)
    assert kinds[Name.LOST_WRITE] == 1
    assert kinds[Name.LOST_UPDATE] == 4  # it is not in `figures`, and missing at three levels


def test_dropped_contribution_is_a_lost_update_at_each_level(tmp_path: Path) -> None:
    lab = small()
    lab.send(report_of("e1"), contributed=False)
    kinds = found(lab, tmp_path)
    assert kinds.pop(Name.LOST_UPDATE) == 4
    # The read model shows what is published, not the report, and its level no longer adds up to the nation.
    assert kinds == {Name.WRONG_VALUE: 3, Name.STALE: 1, Name.BROKEN_SUM: 1}


def test_total_that_is_never_published_is_a_lost_update(tmp_path: Path) -> None:
    lab = Lab()
    lab.send(report_of("L"))
    assert found(lab, tmp_path, observed=False)[Name.LOST_UPDATE] == 1


# Counted twice, or wrong


def without(unit: str, lab: Lab) -> Callable[[Made], None]:
    """A total that forgets one contribution."""

    def tamper(made: Made) -> None:
        (one,) = lab.accounts[D][unit].values()
        made.reported -= 1
        made.accepted.remove(one.made.accepted[0])
        for about, row in one.made.rows.items():
            made.rows[about] = [(a - c, b - d) for (a, b), (c, d) in zip(made.rows[about], row, strict=True)]

    return tamper


def twice(unit: str, lab: Lab) -> Callable[[Made], None]:
    """A total that counts one contribution twice."""
    return lambda made: add(made, next(iter(lab.accounts[D][unit].values())).made)


def off_by_one(made: Made) -> None:
    """One cell one too high."""
    row = next(iter(made.rows.values()))
    row[0] = (row[0][0] + 1, row[0][1])


def tampered(make: Callable[[Lab], Callable[[Made], None]]) -> Lab:
    """The district's total is wrong, and carried up as it is."""
    lab = Lab()
    for unit, persons in (("c1", 151), ("c2", 152), ("c3", 153)):
        lab.send(report_of(unit, persons))
    lab.emit(D, make(lab))
    lab.emit_all()
    return lab


@pytest.mark.parametrize(
    ("make", "name", "word"),
    [
        (lambda lab: without("c2", lab), Name.LOST_UPDATE, "LOST"),
        (lambda lab: twice("c2", lab), Name.DUPLICATE, "DOUBLE"),
        (lambda lab: off_by_one, Name.WRONG_VALUE, "UNTRUE"),
    ],
)
def test_wrong_total_is_found_at_each_level_under_its_name(
    make: Callable[[Lab], Callable[[Made], None]], name: Name, word: str, tmp_path: Path
) -> None:
    verdict = judged(tampered(make), tmp_path, stored=False)
    assert verdict.found[name] == 3
    assert verdict.found[Name.NEVER_TRUE] == 1
    assert verdict.found[Name.BROKEN_SUM] > 0
    assert verdict.word == word


def test_the_report_that_is_missing_or_in_it_twice_is_named(tmp_path: Path) -> None:
    verdict = judged(tampered(lambda lab: twice("c2", lab)), tmp_path, stored=False)
    duplicates = [anomaly for anomaly in verdict.anomalies if anomaly.name is Name.DUPLICATE]
    assert all("of c2 is in it twice" in anomaly.evidence for anomaly in duplicates)


def test_correction_that_never_got_into_the_total_is_a_lost_update(tmp_path: Path) -> None:
    lab = small()
    lab.send(report_of("c2", 200, revision=2))
    old = Made({("rt-pcr", "pooled"): [(48, 0)]})

    def stale(made: Made) -> None:
        row = made.rows["rt-pcr", "pooled"]
        made.rows["rt-pcr", "pooled"] = [(row[0][0] - old.rows["rt-pcr", "pooled"][0][0], row[0][1]), *row[1:]]

    lab.emit(D, stale)
    lab.emit_all()
    verdict = judged(lab, tmp_path, stored=False)
    assert verdict.found[Name.LOST_UPDATE] == 3
    assert any("which was replaced" in anomaly.evidence for anomaly in verdict.anomalies)


def test_level_that_does_not_add_up_to_the_nation_is_a_broken_sum(tmp_path: Path) -> None:
    lab = Lab()
    lab.send(report_of("c1"))
    lab.emit(D)
    lab.emit(A)
    lab.emit(R, off_by_one)
    kinds = found(lab, tmp_path, observed=False, stored=False)
    assert kinds == {Name.BROKEN_SUM: 3, Name.WRONG_VALUE: 1, Name.NEVER_TRUE: 1}


def test_contribution_with_another_content_than_its_report_is_wrong(tmp_path: Path) -> None:
    lab = Lab()
    draft = report_of("c1")
    source = lab.send(draft, contributed=False, receipt=False)
    digest = digest_of(draft)
    offset = lab.contribute(report_of("c1", 151), source, digest)
    lab.receive(draft, source, Outcome.ACCEPTED, offset, digest)
    lab.emit_all()
    assert found(lab, tmp_path, observed=False, stored=False)[Name.WRONG_VALUE] == 1 + 3


# Never true


def test_total_that_was_wrong_for_a_moment_was_never_true(tmp_path: Path) -> None:
    lab = Lab()
    lab.send(report_of("c1"))
    lab.emit(D, off_by_one)
    lab.send(report_of("c2"))
    lab.emit(D)
    lab.emit_all()
    assert found(lab, tmp_path) == {Name.NEVER_TRUE: 1}


def test_total_under_a_version_at_which_nothing_came_was_never_true(tmp_path: Path) -> None:
    lab = small()
    lab.newest[D] += 40
    lab.emit(D)
    lab.emit_all()
    assert found(lab, tmp_path, observed=False, stored=False) == {Name.NEVER_TRUE: 1}


def test_state_that_only_an_observer_saw_was_never_true_and_its_time_is_measured(tmp_path: Path) -> None:
    lab = small()
    lab.observe()
    seen = next(event for event in lab.events if isinstance(event, Seen) and event.observer == "page")
    wrong = replace(seen, reported=seen.reported + 1)
    at = lab.events.index(seen)
    lab.events[at : at + 1] = [wrong, replace(seen, moment=Millis(seen.moment + 1500))]
    verdict = judged(lab, tmp_path)
    assert dict(verdict.found) == {Name.NEVER_TRUE: 1}
    assert (verdict.wrong_seen, verdict.wrong_for_ms) == (1, 1500)
    assert verdict.word == "UNTRUE"


def test_older_total_that_a_lagging_worker_repeats_is_no_anomaly(tmp_path: Path) -> None:
    lab = Lab()
    lab.send(report_of("c1"))
    lab.emit(D)
    repeated = lab.records[FIGURES][-1]
    lab.send(report_of("c2"))
    lab.emit(D)
    ends = [record for record in lab.records[FIGURES] if record.partition == repeated.partition]
    lab.records[FIGURES].append(replace(repeated, offset=Offset(len(ends))))
    lab.newest[A] = len(ends)
    lab.emit_all()
    lab.observe()
    verdict = judged(lab, tmp_path)
    assert verdict.word == "EXACT"
    assert verdict.repeated == 1


def test_column_that_the_periods_own_version_of_the_form_lacks_is_shown_empty() -> None:
    catalogue = released_catalogue()
    first, second = (catalogue.form_in_force(FormId("vaccination-daily"), day)
                     for day in (date(2021, 12, 13), date(2022, 2, 1)))  # fmt: skip
    assert first is not None
    assert second is not None
    numbers = dict.fromkeys((measure.name for measure in first.measures), 1)
    ((_, cells),) = seen(first, {("dot-1", "comirnaty"): tuple(numbers.values())}, second.measures, total=True)
    assert dict(zip((measure.name for measure in second.measures), cells, strict=True)) == {
        **numbers, "dose_additional": None, "dose_booster": None,
    }  # fmt: skip
