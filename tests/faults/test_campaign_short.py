"""A short cut of the campaign: the nastiest faults, one after the other, on three brokers, and the same verdict."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.campaign.results import PROVED
from tests.faults.campaign.schedule import Planned
from tests.faults.campaign.segment import Segment

BASE = 22800
NASTIEST = (
    "kill.rollup.after_produce",
    "broker.leader.hard",
    "kill.ingest.after_produce",
    "outbox.log-lost",
    "read-model.deleted",
)


@pytest.mark.timeout(600)
def test_nastiest_faults_leave_every_figure_exact(tmp_path: Path) -> None:
    plan = [Planned(fault, f"short/{fault}") for fault in NASTIEST]
    segment = Segment(1, 10, tmp_path / "segment", BASE, brokers=3, plan=plan, tell=print)
    result = segment.run()
    assert not result.anomalies
    assert [fault.fault for fault in result.faults] == list(NASTIEST)
    assert (result.verdict, result.word) == (PROVED, "EXACT")
    assert result.counts["lost"] == result.counts["double"] == result.counts["wrong"] == 0
    assert result.counts["acknowledged"] > 0
