"""The verifier bites: each thing that can be wrong is planted once, and found under its name."""

from __future__ import annotations

from pathlib import Path

from schemas.report import Kind
from tests.faults.campaign.lab import Lab
from tests.support.signed import DOSES, STOCK_ROW, TESTING, Draft

DAY = "2021-12-13"
LATER = "2021-12-14"


def eventful() -> Lab:
    """A little of everything: entered, corrected, withdrawn, nil, late, twice, refused, an own report of a superior."""
    lab = Lab()
    lab.send(Draft("c1", entered_by="D", rows=[dict(TESTING)]))
    lab.emit_all()
    lab.send(Draft("c1", rows=[{**TESTING, "persons": 155}]))
    lab.send(Draft("c2"))
    lab.emit_all()
    lab.send(Draft("c2", revision=2, rows=[{**TESTING, "tubes": 31}, {**TESTING, "sample": "single", "persons": 7}]))
    lab.send(Draft("c2", revision=1, rows=[{**TESTING, "tubes": 99}]))
    lab.send(Draft("c3", kind=Kind.NIL, rows=[]))
    lab.send(Draft("D", rows=[{**TESTING, "persons": 1000}]))
    lab.emit_all()
    lab.send(Draft("e1"))
    lab.send(Draft("e1", revision=2, kind=Kind.WITHDRAWAL, rows=[]))
    lab.send(Draft("L", rows=[{**TESTING, "persons": 20}]))
    lab.send(Draft("L", rows=[{**TESTING, "persons": 20}]))
    lab.send(Draft("L", rows=[{**TESTING, "persons": 21}]))
    lab.send(Draft("c1", form="stock-count", rows=[dict(STOCK_ROW)]))
    lab.send(Draft("c1", form="stock-two", period=LATER, rows=[dict(STOCK_ROW)]))
    lab.send(Draft("c3", form="stock-two", period=LATER, version=2, rows=[{**STOCK_ROW, "doses_spoilt": 3}]))
    lab.send(Draft("c1", form="covid-doses", rows=[dict(DOSES)]))
    lab.send(Draft("c2", form="covid-doses", kind=Kind.WITHDRAWAL, rows=[]))
    lab.send(Draft("c1", revision=7, flip_signature=True), refused="bad_signature")
    lab.send(Draft("c1", revision=8), value=b"garbage", refused="not_decodable")
    lab.emit_all()
    return lab


def test_a_segment_in_which_nothing_is_wrong_is_exact(tmp_path: Path) -> None:
    lab = eventful()
    lab.observe()
    verdict = lab.verdict(tmp_path)
    assert not verdict.anomalies
    assert verdict.word == "EXACT"
