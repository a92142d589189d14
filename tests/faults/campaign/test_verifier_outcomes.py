"""The verifier bites: what nobody sent, what went astray, and what became of a report that must not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from schemas.precedence import Outcome
from schemas.report import Digest, Offset, Source
from schemas.topics import RECEIPTS, REJECTED, REPORTS
from tests.faults.campaign.history import Seen
from tests.faults.campaign.lab import Lab
from tests.faults.campaign.planting import (
    NOWHERE,
    D,
    accepted,
    digest_of,
    eventful,
    found,
    judged,
    report_of,
    small,
)
from tests.faults.campaign.verifier.anomaly import Name

# Who nobody sent, and where nothing belongs


def test_report_that_nobody_sent_is_a_phantom(tmp_path: Path) -> None:
    lab = small()
    lab.send(report_of("e1"), sent=False)
    lab.emit_all()
    kinds = found(lab, tmp_path)
    assert kinds.pop(Name.PHANTOM) == 1
    assert kinds == {Name.LOST_WRITE: 3}  # the folds of what was acknowledged and of the log differ at three levels


def test_contribution_of_no_report_is_a_phantom(tmp_path: Path) -> None:
    lab = small()
    lab.contribute(report_of("e1"), NOWHERE, Digest(bytes(32)))
    lab.emit_all()
    verdict = judged(lab, tmp_path, stored=False)
    assert verdict.found[Name.PHANTOM] == 1
    assert any("999" in anomaly.evidence for anomaly in verdict.anomalies)


def test_total_of_which_nothing_was_reported_is_a_phantom(tmp_path: Path) -> None:
    lab = small()
    period = "2021-12-12"
    lab.contribute(report_of("c1", period=period), NOWHERE, Digest(bytes(32)))
    lab.emit_all()
    assert found(lab, tmp_path, observed=False, stored=False) == {Name.PHANTOM: 1 + 3, Name.BROKEN_SUM: 1}


def test_figure_seen_of_a_period_for_which_nobody_sent_is_a_phantom(tmp_path: Path) -> None:
    lab = small()
    lab.observe()
    seen = next(event for event in lab.events if isinstance(event, Seen))
    lab.events.append(replace(seen, period="2021-12-01"))
    assert found(lab, tmp_path, observed=False)[Name.PHANTOM] == 1


def test_receipt_and_rejection_of_no_report_are_phantoms(tmp_path: Path) -> None:
    lab = small()
    lab.receive(report_of("c1"), NOWHERE, Outcome.ACCEPTED, Offset(0), Digest(bytes(32)))
    lab.reject(replace(lab.records[REPORTS][-1], offset=NOWHERE.offset), "bad_signature")
    lab.tell(NOWHERE, "accepted")
    assert found(lab, tmp_path)[Name.PHANTOM] == 4  # a receipt goes with the rejection


def test_contribution_to_a_wrong_superior_is_misdirected(tmp_path: Path) -> None:
    lab = Lab()
    draft = report_of("c1")
    source = lab.send(draft, contributed=False, receipt=False)
    digest = digest_of(draft)
    lab.receive(draft, source, Outcome.ACCEPTED, lab.contribute(draft, source, digest, to="L"), digest)
    kinds = found(lab, tmp_path, observed=False, stored=False)
    assert kinds[Name.MISDIRECTED] == 1
    assert kinds[Name.LOST_UPDATE] == 3


def test_total_of_a_wrong_superior_is_misdirected(tmp_path: Path) -> None:
    lab = small()
    lab.emit(D, to="L")
    assert found(lab, tmp_path) == {Name.MISDIRECTED: 1}


def test_report_that_counts_though_it_must_be_refused_is_a_dirty_read(tmp_path: Path) -> None:
    lab = small()
    lab.send(replace(report_of("e1"), flip_signature=True))
    lab.emit_all()
    kinds = found(lab, tmp_path, stored=False)
    assert kinds[Name.DIRTY] == 2  # its contribution and its receipt
    assert kinds[Name.LOST_WRITE] >= 1  # and the generator thought it right


# Outcomes


def test_missing_receipt_is_no_outcome(tmp_path: Path) -> None:
    lab = small()
    del lab.records[RECEIPTS][0]
    for partition in range(4):
        mine = [record for record in lab.records[RECEIPTS] if record.partition == partition]
        for offset, record in enumerate(mine):
            lab.records[RECEIPTS][lab.records[RECEIPTS].index(record)] = replace(record, offset=Offset(offset))
    assert found(lab, tmp_path) == {Name.NO_OUTCOME: 1}


def test_receipt_and_rejection_of_one_report_are_two_outcomes(tmp_path: Path) -> None:
    lab = small()
    lab.reject(next(record for record in lab.records[REPORTS] if record.key == b"c1"), "bad_signature")
    assert found(lab, tmp_path) == {Name.TWO_OUTCOMES: 1}


def test_refused_report_that_is_not_kept_has_no_outcome(tmp_path: Path) -> None:
    lab = eventful()
    lab.records[REJECTED].clear()
    assert found(lab, tmp_path) == {Name.NO_OUTCOME: 2}


def test_refused_report_without_a_receipt_has_no_outcome(tmp_path: Path) -> None:
    lab = small()
    lab.send(replace(report_of("e1"), flip_signature=True), refused="bad_signature")
    lab.records[RECEIPTS].pop()
    assert found(lab, tmp_path) == {Name.NO_OUTCOME: 1}


def test_control_record_with_a_receipt_has_two_outcomes(tmp_path: Path) -> None:
    lab = small()
    lab.receive(report_of("c1"), Source(0, Offset(0)), Outcome.ACCEPTED, Offset(0), Digest(bytes(32)))
    assert found(lab, tmp_path) == {Name.TWO_OUTCOMES: 1}


@pytest.mark.parametrize("outcome", [Outcome.SUPERSEDED, Outcome.DUPLICATE, Outcome.CONFLICT])
def test_receipt_that_the_fold_does_not_bear_out_is_a_contradiction(outcome: Outcome, tmp_path: Path) -> None:
    lab = small()
    draft = report_of("e1")
    source = lab.send(draft, receipt=False)
    digest = digest_of(draft)
    offset = Offset(lab.newest[D])
    lab.receive(draft, source, outcome, offset, digest)
    lab.emit_all()
    assert found(lab, tmp_path) == {Name.CONTRADICTION: 1}


def test_receipt_under_another_figures_offset_is_a_contradiction(tmp_path: Path) -> None:
    lab = small()
    draft = report_of("e1")
    source = lab.send(draft, receipt=False)
    digest = digest_of(draft)
    lab.receive(draft, source, Outcome.ACCEPTED, Offset(0), digest)
    lab.emit_all()
    assert found(lab, tmp_path) == {Name.CONTRADICTION: 1}


def test_receipt_that_speaks_of_another_report_is_a_contradiction(tmp_path: Path) -> None:
    lab = small()
    draft = report_of("e1")
    source = lab.send(draft, receipt=False)
    lab.receive(draft, source, Outcome.ACCEPTED, Offset(lab.newest[D]), Digest(bytes(32)))
    lab.emit_all()
    assert found(lab, tmp_path) == {Name.CONTRADICTION: 1}


def test_later_receipt_of_a_redelivery_changes_nothing(tmp_path: Path) -> None:
    lab = small()
    draft = report_of("c1", 151)
    digest = digest_of(draft)
    lab.receive(draft, accepted(lab), Outcome.SUPERSEDED, Offset(90), digest)
    assert not found(lab, tmp_path)


def test_rejection_for_a_reason_that_does_not_hold_is_a_contradiction(tmp_path: Path) -> None:
    lab = small()
    lab.send(replace(report_of("e1"), flip_signature=True), refused="unknown_unit")
    assert found(lab, tmp_path) == {Name.CONTRADICTION: 1}


def test_rejected_bytes_that_were_changed_are_a_contradiction(tmp_path: Path) -> None:
    lab = small()
    lab.send(replace(report_of("e1"), flip_signature=True), refused="bad_signature")
    kept = lab.records[REJECTED][-1]
    lab.records[REJECTED][-1] = replace(kept, value=(kept.value or b"") + b"x")
    assert found(lab, tmp_path) == {Name.CONTRADICTION: 1}
