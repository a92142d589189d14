"""What the verifier's tests plant things in: segments that are right, and the names of what is found in them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from schemas.report import Digest, Kind, Offset, Source
from tests.faults.campaign.history import Acked
from tests.faults.campaign.lab import Account, Lab
from tests.faults.campaign.verifier.anomaly import Name, Verdict
from tests.support.signed import CATALOGUE, DOSES, STOCK_ROW, TESTING, Draft

DAY = "2021-12-13"
LATER = "2021-12-14"
D: Account = ("D", "testing-small", DAY)
A: Account = ("A", "testing-small", DAY)
R: Account = ("R", "testing-small", DAY)
NOWHERE = Source(0, Offset(999))


def report_of(unit: str, persons: int = 150, **more: object) -> Draft:
    """A report of one row."""
    return replace(Draft(unit, rows=[{**TESTING, "persons": persons}]), **more)  # type: ignore[arg-type]


def eventful() -> Lab:
    """A little of everything: entered, corrected, withdrawn, nil, late, twice, refused, an own report of a superior."""
    lab = Lab()
    lab.send(report_of("c1", entered_by="D"))
    lab.emit_all()
    lab.send(report_of("c1", 155))
    lab.send(report_of("c2"))
    lab.emit_all()
    lab.send(Draft("c2", revision=2, rows=[{**TESTING, "tubes": 31}, {**TESTING, "sample": "single", "persons": 7}]))
    lab.send(report_of("c2", 99))
    lab.send(Draft("c3", kind=Kind.NIL, rows=[]))
    lab.send(report_of("D", 1000))
    lab.emit_all()
    lab.send(report_of("e1"))
    lab.send(Draft("e1", revision=2, kind=Kind.WITHDRAWAL, rows=[]))
    lab.send(report_of("L", 20))
    lab.send(report_of("L", 20))
    lab.send(report_of("L", 21))
    lab.send(Draft("c1", form="stock-count", rows=[dict(STOCK_ROW)]))
    lab.send(Draft("c1", form="stock-two", period=LATER, rows=[dict(STOCK_ROW)]))
    lab.send(Draft("c3", form="stock-two", period=LATER, version=2, rows=[{**STOCK_ROW, "doses_spoilt": 3}]))
    lab.send(Draft("c1", form="covid-doses", rows=[dict(DOSES)]))
    lab.send(Draft("c2", form="covid-doses", kind=Kind.WITHDRAWAL, rows=[]))
    lab.send(Draft("c1", revision=7, flip_signature=True), refused="bad_signature")
    lab.send(Draft("c1", revision=8), value=b"garbage", refused="not_decodable")
    lab.emit_all()
    return lab


def small() -> Lab:
    """Three communes below one district, one report each; totals of the district, the province and the nation."""
    lab = Lab()
    for unit, persons in (("c1", 151), ("c2", 152), ("c3", 153)):
        lab.send(report_of(unit, persons))
    lab.emit_all()
    return lab


def found(lab: Lab, folder: Path, *, observed: bool = True, stored: bool = True) -> dict[Name, int]:
    """What the verifier finds, by name; the observers have looked a last time."""
    if observed:
        lab.observe()
    return dict(judged(lab, folder, stored=stored).found)


def judged(lab: Lab, folder: Path, *, stored: bool = True) -> Verdict:
    return lab.verdict(folder, stored=stored)


def accepted(lab: Lab) -> Source:
    """The source of the first report."""
    return next(Source(e.partition, Offset(e.offset)) for e in lab.events if isinstance(e, Acked))


def digest_of(draft: Draft) -> Digest:
    """What a report's content is known by."""
    return draft.report().digest([dimension.name for dimension in draft.form_version(CATALOGUE).dimensions])
