from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from consumers.plain_fold import About, Made
from consumers.read_model.database import open_writer
from consumers.verify import (
    NotVerifiable,
    ReportFold,
    Verification,
    compare_outcomes,
    compare_own,
    compare_totals,
    stored_totals,
)
from schemas.unit import UnitCode
from tests.support.read_model import CATALOGUE, DAYS, OPERATOR, PARTITIONS
from tests.support.reports import ReportLog, eventful, registers


def compared(folded: ReportFold, database: sqlite3.Connection) -> Verification:
    result = Verification()
    compare_totals("read model", folded.fold.totals(), stored_totals(database, CATALOGUE), result)
    compare_own(database, folded.fold, result)
    compare_outcomes(database, folded.ends_in, result)
    return result


@pytest.fixture
def log() -> ReportLog:
    return eventful()


@pytest.fixture
def database(log: ReportLog, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    log.store(tmp_path / "db.sqlite")
    with closing(open_writer(tmp_path / "db.sqlite")) as connection:
        yield connection


def test_figures_that_follow_from_the_reports_do_not_differ(log: ReportLog, database: sqlite3.Connection) -> None:
    result = compared(log.folded(), database)
    assert result.differences == []
    assert result.differing == 0
    assert result.compared_by == {"total in read model": 7, "own report": 6, "outcome of report": 11}


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        ("UPDATE totals SET reported = reported + 1 WHERE unit = 'A'", "reported 2 instead of 1"),
        ("UPDATE totals SET newest_accepted = 7 WHERE unit = 'B'", "newest_accepted 7 instead of"),
        ('UPDATE totals SET "values" = zeroblob(32) WHERE unit = \'A\'', "instead of (135, 0, 0, 0)"),
        ("DELETE FROM totals WHERE unit = 'b2'", "is missing, 1 reports make it"),
        ("UPDATE totals SET unit = 'b1' WHERE unit = 'b2'",
         "nothing was reported that it could hold"),
        ("DELETE FROM own WHERE unit = 'b1'", "is missing, nil"),
        ("UPDATE own SET state = 1 WHERE unit = 'b1'", ""),
        ("UPDATE own SET state = 0 WHERE unit = 'b1'", "report 2:3 revision 1 {} instead of nil"),
        ("DELETE FROM receipts WHERE outcome = 'accepted' AND source_partition = 0", "is counted and has no receipt"),
        ("DELETE FROM rejections", "must be in `rejected` as not_decodable"),
        ("UPDATE rejections SET reason = 'unknown_form'", "is rejected as unknown_form, must be as not_decodable"),
        ("UPDATE receipts SET outcome = 'rejected'", "is counted, and rejected as"),
        ("UPDATE rejections SET source_offset = 99", "there is no such report"),
        ("INSERT INTO rejections VALUES (0, 0, '', 'x', '', '', '', 1)", "is a control record, and something became"),
    ],
)  # fmt: skip
def test_each_kind_of_difference_is_found_and_said(
    log: ReportLog, database: sqlite3.Connection, tamper: str, said: str
) -> None:
    database.execute(tamper)
    result = compared(log.folded(), database)
    assert bool(result.differing) == bool(said)
    assert any(said in line for line in result.differences) or not said, result.differences


def test_a_quarantined_report_stays_out(log: ReportLog) -> None:
    source = next(record.source for record in log.records if record.key == b"B")
    folded = log.folded(frozenset({source}))
    assert folded.ends_in[source] == "internal_error"
    page = ("covid-doses", "ubnd", DAYS[1].isoformat(), "own")
    unit = CATALOGUE.units.unit(UnitCode("B"), DAYS[1])
    assert unit is not None
    assert folded.fold.totals()[About(*page, "B", unit.valid_from)].table == {}


def test_a_report_before_any_announcement_can_not_be_judged(log: ReportLog) -> None:
    fold = ReportFold(OPERATOR.public, registers(), PARTITIONS, set())
    report = next(record for record in log.records if record.key is not None)
    with pytest.raises(NotVerifiable, match="before the first announcement"):
        fold.apply(report)


def test_differences_of_a_total_are_named_by_row() -> None:
    mine, other = Made({("x",): (1,)}, 1), Made({("x",): (2,)}, 2)
    assert mine.differs_from(other) == "reported 1 instead of 2; row x (1,) instead of (2,)"
