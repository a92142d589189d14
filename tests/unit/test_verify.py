from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from consumers.plain_fold import About, Made
from consumers.read_model.database import open_writer
from consumers.verify import (
    CONTROL,
    ReportFold,
    Verification,
    compare_outcomes,
    compare_own,
    compare_totals,
    stored_totals,
)
from schemas.catalogue import ANNOUNCEMENT_TYPE
from schemas.codec import encode_announcement
from schemas.rejection import Reason
from schemas.report import Offset
from schemas.signature import sign
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


def test_a_report_before_any_announcement_ends_as_unknown_form(log: ReportLog) -> None:
    fold = ReportFold(OPERATOR.public, registers(), PARTITIONS, set())
    report = next(record for record in log.records if record.key is not None)
    fold.apply(report)
    assert fold.ends_in[report.source] == Reason.UNKNOWN_FORM.value


def test_an_older_announcement_written_once_more_rolls_nothing_back(log: ReportLog) -> None:
    fold = ReportFold(OPERATOR.public, registers(), PARTITIONS, set())
    control = next(record for record in log.records if record.key is None)
    fold.apply(control)
    before = dict(fold._announced)
    value = encode_announcement(0, 1, bytes(32))
    signed = sign(
        OPERATOR, key=None, value=value, event_type=ANNOUNCEMENT_TYPE, event_id="old", time="2021-12-13T00:00:00Z"
    )
    older = replace(control, offset=Offset(control.offset + 1), value=value, headers=signed.headers)
    fold.apply(older)
    assert fold.ends_in[older.source] == CONTROL
    assert fold._announced == before


def test_differences_of_a_total_are_named_by_row() -> None:
    mine, other = Made({("x",): (1,)}, 1), Made({("x",): (2,)}, 2)
    assert mine.differs_from(other) == "reported 1 instead of 2; row x (1,) instead of (2,)"
