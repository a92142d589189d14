from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from consumers.export import Layout, as_text, figure_lines, receipt_lines
from consumers.read_model import filling
from consumers.read_model.arrivals import decisions, returns
from consumers.read_model.database import FILE_NAME, DatabaseRefused, open_writer
from consumers.read_model.store import Overtaken, Store
from schemas import failpoint
from schemas.act import Decided, ObligationDecided, ReportReturned
from schemas.catalogue import Catalogue
from schemas.codec import NotDecodable, encode_receipts
from schemas.figure import Slot, State
from schemas.form import FormId
from schemas.log import Record
from schemas.period import PeriodText
from schemas.precedence import Outcome
from schemas.read_model import FigureQuery, FigureRow, NotReady, RowKind, UnknownForm, UnknownUnit
from schemas.receipt import Receipt
from schemas.register import Registers
from schemas.report import Cell, Digest, KeyId, Millis, Offset, Revision, Source
from schemas.signature import Ed25519Key
from schemas.topics import ACTS, FIGURES, RECEIPTS, REJECTED
from schemas.unit import UnitCode
from tests.support import tam_duong
from tests.support.figures import Sent
from tests.support.read_model import (
    ALL_PARTITIONS,
    CLUSTER,
    DAYS,
    OPERATOR,
    TOPIC_IDS,
    FigureLog,
    catalogue_act,
    doses,
    reading,
    store_at,
)
from tests.support.signed import act_record

DAY = DAYS[0]
PERIOD = PeriodText(DAY.isoformat())
DOSES = FormId("covid-doses")


def rows_of(path: Path, query: FigureQuery) -> list[tuple[str, str, tuple[int | None, ...], int, str]]:
    with reading(path) as model:
        return [(r.unit, r.kind.value, r.measures, r.units_reported, r.version) for r in model.figures(query).rows]


def stored(path: Path, *reports: Sent) -> FigureLog:
    log = FigureLog()
    for sent in reports:
        log.report(sent)
    store_at(path).apply(log.batch())
    return log


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "read-model.sqlite"


def receipt(source: Source, outcome: Outcome, figures_offset: int, unit: str = "a1") -> Receipt:
    accepted_at = Millis(1_639_376_000_000 + source.offset)
    return Receipt(unit, "ubnd", "covid-doses", PERIOD, "", Revision(1), "kid-a1-1", Digest(bytes(32)), source, outcome,
                   "", "", "", Revision(1), accepted_at, Offset(figures_offset))  # fmt: skip


def record(topic: str, offset: int, value: bytes, headers: tuple[tuple[str, bytes], ...] = (),
           key: bytes | None = None) -> Record:  # fmt: skip
    return Record(topic, 0, Offset(offset), Millis(5), key, value, headers)


# What `figures` prints


def test_a_superiors_figure_carries_its_version_and_a_leafs_none(path: Path) -> None:
    log = stored(path, doses("a1", DAY, 3), doses("a2", DAY, 4, source=(0, 1)))
    version = f"1:{log.newest['A', 'covid-doses', DAY]}"
    assert rows_of(path, FigureQuery(UnitCode("A"), DOSES)) == [("A", "total", (7, 0, 0, 0), 2, version)]
    assert rows_of(path, FigureQuery(UnitCode("a1"), DOSES)) == [("a1", "total", (3, 0, 0, 0), 1, "")]


def test_nil_is_one_line_of_zeros(path: Path) -> None:
    stored(path, doses("a1", DAY, 0, state=State.NIL))
    assert rows_of(path, FigureQuery(UnitCode("a1"), DOSES)) == [("a1", "total", (0, 0, 0, 0), 1, "")]
    with reading(path) as model:
        assert model.coverage(UnitCode("A"), DOSES, PERIOD).nil == 1


def test_a_nil_of_a_form_with_dimensions_leaves_them_empty(path: Path) -> None:
    stored(path, Sent("a1", "stock-count", DAY, 1, (0, 0), State.NIL))
    with reading(path) as model:
        rows = model.figures(FigureQuery(UnitCode("a1"), FormId("stock-count"))).rows
    assert [(row.dims, row.measures) for row in rows] == [(("",), (0, 0, 0))]


def test_after_a_withdrawal_there_is_one_empty_line_with_nobody_reported(path: Path) -> None:
    stored(path, doses("a1", DAY, 3), doses("a1", DAY, 0, revision=2, source=(0, 1), state=State.WITHDRAWAL))
    nothing = (None, None, None, None)
    assert [row[2:4] for row in rows_of(path, FigureQuery(UnitCode("a1"), DOSES))] == [(nothing, 0)]
    assert [row[2:4] for row in rows_of(path, FigureQuery(UnitCode("A"), DOSES))] == [(nothing, 0)]


def test_what_was_never_reported_has_no_line(path: Path) -> None:
    stored(path, doses("a1", DAY, 3))
    assert rows_of(path, FigureQuery(UnitCode("b1"), DOSES)) == []
    assert rows_of(path, FigureQuery(UnitCode("A"), DOSES, first=DAYS[1])) == []


def test_a_sum_counts_series_and_names_its_days(path: Path) -> None:
    reports = [doses(unit, day, 2, source=(0, 3 * number + index))
               for number, day in enumerate(DAYS) for index, unit in enumerate(("a1", "b1"))]  # fmt: skip
    stored(path, *reports)
    with reading(path) as model:
        rows = model.figures(FigureQuery(UnitCode("R"), DOSES, DAYS[0], DAYS[2], sum=True)).rows
    expected = FigureRow(UnitCode("R"), DOSES, f"{DAYS[0]}/{DAYS[2]}", RowKind.TOTAL, (), (12, 0, 0, 0), 6, "")
    assert list(rows) == [expected]


def test_children_come_as_counted_and_the_units_own_report_as_own(path: Path) -> None:
    stored(path, doses("a1", DAY, 3), doses("B", DAY, 5, source=(0, 1)), doses("b1", DAY, 1, source=(0, 2)))
    found = rows_of(path, FigureQuery(UnitCode("B"), DOSES, children=True))
    assert [(unit, kind, cells[0]) for unit, kind, cells, _, _ in found] == [("b1", "total", 1), ("B", "own", 5)]
    below = rows_of(path, FigureQuery(UnitCode("R"), DOSES, children=True))
    assert [(unit, kind, cells[0], count) for unit, kind, cells, count, _ in below] == [
        ("A", "total", 3, 1),
        ("B", "total", 6, 2),
    ]


def test_an_entered_report_yields_to_the_own_one_and_counts_again_when_that_is_withdrawn(path: Path) -> None:
    entered = doses("a1", DAY, 130, entered_by="A", at=1000)
    own = doses("a1", DAY, 135, source=(0, 1), at=2000)
    gone = doses("a1", DAY, 0, revision=2, source=(0, 2), at=3000, state=State.WITHDRAWAL)
    stored(path, own, entered, gone)
    query = FigureQuery(UnitCode("A"), DOSES)
    seen = [rows_of(path, replace(query, as_of=Millis(at)))[0][2][0] for at in (1000, 2000, 3000)]
    assert seen == [130, 135, 130]
    with reading(path) as model:
        assert model.coverage(UnitCode("A"), DOSES, PERIOD).entered == 1
        history = model.history(UnitCode("a1"), DOSES, PERIOD)
    assert [(one.slot, one.revision, one.standing) for one in history] == [
        (Slot.ENTERED, 1, True),
        (Slot.OWN, 1, False),
        (Slot.OWN, 2, False),
    ]


def test_each_period_is_counted_in_the_tree_of_its_last_day(path: Path) -> None:
    stored(path, doses("a2", DAYS[0], 1), doses("a2", DAYS[1], 2, source=(0, 1)))
    for as_of in (None, Millis(5000)):
        assert rows_of(path, FigureQuery(UnitCode("A"), DOSES, as_of=as_of))[0][2][0] == 1
        assert rows_of(path, FigureQuery(UnitCode("B"), DOSES, as_of=as_of))[0][2][0] == 2


def test_what_must_not_be_added_stays_empty_above_and_stands_below(path: Path) -> None:
    row = (("vaccine", "comirnaty"), ("doses_in_stock", 5), ("fridges_checked", None), ("distinct_persons", 9))
    stored(path, Sent("a1", "stock-count", DAY, 1, (0, 0), rows=(row,)))
    query = FigureQuery(UnitCode("A"), FormId("stock-count"))
    assert rows_of(path, query)[0][2] == (5, None, None)
    assert rows_of(path, replace(query, unit=UnitCode("a1")))[0][2] == (5, None, 9)


def test_unknown_units_and_forms_are_said_to_be_unknown(path: Path) -> None:
    stored(path, doses("a1", DAY, 3))
    with reading(path) as model:
        with pytest.raises(UnknownUnit, match="no unit zz"):
            model.figures(FigureQuery(UnitCode("zz"), DOSES))
        with pytest.raises(UnknownForm, match="there are: covid-doses, stock-count"):
            model.figures(FigureQuery(UnitCode("A"), FormId("nothing")))
        with pytest.raises(UnknownUnit, match="on 2021-12-13"):
            model.coverage(UnitCode("c1"), DOSES, PERIOD)


# Coverage, links, receipts


def test_the_missing_are_named_and_a_withdrawn_report_is_missing(path: Path) -> None:
    stored(path, doses("a1", DAY, 3), doses("a2", DAY, 1, source=(0, 1)),
           doses("a2", DAY, 0, revision=2, source=(0, 2), state=State.WITHDRAWAL))  # fmt: skip
    with reading(path) as model:
        coverage = model.coverage(UnitCode("R"), DOSES, PERIOD)
        assert (coverage.reported, [unit.name for unit in coverage.missing]) == (1, ["Xã a2", "Xã b1", "Huyện b2"])
        assert len(coverage.expected) == 4
        never = model.coverage(UnitCode("R"), DOSES, PeriodText(DAYS[2].isoformat()))
    assert (never.reported, never.newest_accepted) == (0, None)
    assert [unit.code for unit in never.missing] == ["a1", "a2", "b1", "c1"]


def test_a_report_is_counted_link_by_link_and_never_falls_back(path: Path) -> None:
    log = FigureLog()
    store = store_at(path)
    log.report(doses("c1", DAYS[1], 3, source=(0, 0)))
    store.apply(log.batch())
    with reading(path) as model:
        assert [(link.unit, link.counted) for link in model.counted_up_to(Source(0, Offset(0)))] == [
            ("b2", True),
            ("B", True),
            ("R", True),
        ]
        ends = [len(records) for records in log.partitions]
        log.report(doses("c1", DAYS[1], 4, revision=2, source=(0, 1)), totals=False)
        log.totals("b2", "covid-doses", DAYS[1])
        # Only the correction and b2's new total arrive; B's and R's are still on their way.
        for partition, records in enumerate(log.partitions):
            fresh = [r for r in records[ends[partition] :] if r.key in (b"b2", b"B")]
            kept = [r for at, r in enumerate(fresh) if r.offset == ends[partition] + at]
            store.apply({(FIGURES, partition): kept})
        assert all(link.counted for link in model.counted_up_to(Source(0, Offset(0))))
        assert [link.counted for link in model.counted_up_to(Source(0, Offset(1)))][-1] is False
        assert model.standing_check().differing == 0


def test_for_a_source_the_receipt_with_the_lowest_figures_offset_stands(path: Path) -> None:
    first, second = Source(0, Offset(1)), Source(0, Offset(2))
    values = [
        encode_receipts([receipt(first, Outcome.DUPLICATE, 9), receipt(second, Outcome.ACCEPTED, 4)]),
        encode_receipts([receipt(first, Outcome.ACCEPTED, 7), receipt(second, Outcome.REJECTED, -1)]),
        encode_receipts([receipt(first, Outcome.SUPERSEDED, 8)]),
    ]
    store_at(path).apply({(RECEIPTS, 0): [record(RECEIPTS, at, value) for at, value in enumerate(values)]})
    with reading(path) as model:
        assert [(r.source, r.outcome) for r in model.receipts()] == [
            (second, Outcome.REJECTED),
            (first, Outcome.ACCEPTED),
        ]
        assert model.receipts(UnitCode("b1")) == []
        assert len(model.receipts(UnitCode("a1"), limit=1)) == 1


def test_a_rejection_is_listed_once_without_its_bytes(path: Path) -> None:
    said = (("reason", b"value_range"), ("field", b"dose1"), ("source", b"2:17"), ("accepted_at", b"123"),
            ("detail_vi", "Số liệu ngoài khoảng".encode()), ("detail_en", b"out of range"))  # fmt: skip
    records = [record(REJECTED, offset, b"secret", said, b"a1") for offset in range(2)]
    store_at(path).apply({(REJECTED, 0): records})
    with reading(path) as model:
        (found,) = model.rejections(UnitCode("a1"))
    assert (str(found.source), found.reason, found.detail_vi) == ("2:17", "value_range", "Số liệu ngoài khoảng")
    assert b"secret" not in path.read_bytes()


def test_figures_of_a_higher_epoch_replace_lower_ones_and_no_source_counts_twice(path: Path) -> None:
    log = FigureLog()
    log.report(doses("a1", DAY, 3))
    log.catalogue = log.catalogue.released_as(2, 2)
    log.report(doses("a1", DAY, 3))
    log.catalogue = log.catalogue.released_as(1, 1)
    log.report(doses("a1", DAY, 3))  # a straggler of the old epoch, with a higher offset
    store_at(path).apply(log.batch())
    (row,) = rows_of(path, FigureQuery(UnitCode("A"), DOSES))
    assert (row[2][0], row[3], row[4][:2]) == (3, 1, "2:")
    with reading(path) as model:
        assert len(model.history(UnitCode("a1"), DOSES, PERIOD)) == 1


# Writing


def test_of_two_writers_only_one_applies_a_stretch_of_the_log(path: Path) -> None:
    log = FigureLog()
    log.report(doses("a1", DAY, 3))
    one, other = store_at(path), store_at(path)
    one.apply(log.batch())
    with pytest.raises(Overtaken):
        other.apply(log.batch())
    before = other.positions()
    log.report(doses("a2", DAY, 4, source=(0, 1)))
    other.apply({(FIGURES, at): records[before[FIGURES, at].next :] for at, records in enumerate(log.partitions)})
    assert rows_of(path, FigureQuery(UnitCode("A"), DOSES))[0][2:4] == ((7, 0, 0, 0), 2)


def test_a_failure_before_the_commit_leaves_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = FigureLog()
    log.report(doses("a1", DAY, 3))
    store = store_at(path)
    before = store.positions()
    monkeypatch.setattr(failpoint, "_passed", {})
    monkeypatch.setenv(failpoint.VARIABLE, "read_model.before_commit:1:raise")
    with pytest.raises(failpoint.Failpoint):
        store.apply(log.batch())
    assert store.positions() == before
    store.apply(log.batch())
    assert rows_of(path, FigureQuery(UnitCode("A"), DOSES))[0][2][0] == 3


_APPLY = """
import sys
from pathlib import Path
from tests.support.read_model import DAYS, FigureLog, doses, store_at
log = FigureLog()
log.report(doses("a1", DAYS[0], 3))
store_at(Path(sys.argv[1])).apply(log.batch())
"""


@pytest.mark.parametrize(("point", "stored_rows"), [("before", 0), ("after", 1)])
def test_a_kill_beside_the_commit_stores_all_or_nothing(path: Path, point: str, stored_rows: int) -> None:
    root = Path(__file__).parents[2]
    environment = {**os.environ, failpoint.VARIABLE: f"read_model.{point}_commit", "PYTHONPATH": str(root)}
    ended = subprocess.run([sys.executable, "-c", _APPLY, str(path)], env=environment, cwd=root, check=False)
    assert ended.returncode == -signal.SIGKILL
    connection = open_writer(path)
    assert connection.execute("SELECT count(*) FROM own").fetchone()[0] == stored_rows
    moved = connection.execute("SELECT count(*) FROM positions WHERE topic = 'figures' AND next > 0").fetchone()[0]
    assert bool(moved) == bool(stored_rows)
    connection.close()


def test_a_figure_that_is_none_stores_nothing_of_its_batch(path: Path) -> None:
    log = FigureLog()
    log.report(doses("a1", DAY, 3))
    (partition,) = [at for at, records in enumerate(log.partitions) if records and records[0].key == b"A"]
    value = log.partitions[partition][0].value
    assert value is not None
    store = store_at(path)
    for broken in (b"", b"garbage", value[:-1], value + b"\0", b"\xc3\x01" + bytes(8) + value[10:]):
        bad = Record(FIGURES, partition, Offset(0), Millis(1), b"A", broken, ())
        with pytest.raises(NotDecodable):
            store.apply({(ACTS, 0): [catalogue_act()], (FIGURES, partition): [bad]})
    assert store.positions()[ACTS, 0].next == 0


def test_a_database_of_another_cluster_or_topic_is_refused_and_names_the_way_out(path: Path) -> None:
    store = store_at(path)
    with pytest.raises(DatabaseRefused, match=r"cluster cluster-1.*chungsuc rebuild"):
        store.adopt("cluster-2", TOPIC_IDS, ALL_PARTITIONS)
    with pytest.raises(DatabaseRefused, match=r"another topic figures.*chungsuc rebuild"):
        store.adopt("cluster-1", {**TOPIC_IDS, FIGURES: "new"}, ALL_PARTITIONS)


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_bytes(b"not a database at all, " * 100)
    with pytest.raises(DatabaseRefused, match="chungsuc rebuild"):
        open_writer(path)


def test_a_catalogue_counts_only_when_the_operator_signed_it(path: Path) -> None:
    stranger = Ed25519Key.generate(KeyId("stranger"))
    store = store_at(path)
    store.apply({(ACTS, 0): [catalogue_act(signer=stranger)]})
    with reading(path) as model, pytest.raises(NotReady):
        model.catalogue()
    store.apply({(ACTS, 0): [catalogue_act(offset=1)]})
    with reading(path) as model:
        assert model.catalogue().units.unit(UnitCode("a2"), date(2021, 12, 14)) is not None


def test_without_a_database_the_reader_is_not_ready(path: Path) -> None:
    with pytest.raises(NotReady), reading(path):
        pass


def test_a_reader_follows_a_database_that_is_made_anew(path: Path) -> None:
    stored(path, doses("a1", DAY, 3))
    query = FigureQuery(UnitCode("a1"), DOSES)
    with reading(path) as model:
        assert model.figures(query).rows[0].measures[0] == 3
        for file in path.parent.glob(f"{path.name}*"):
            file.unlink()
        with pytest.raises(NotReady):
            model.figures(query)
        stored(path, doses("a1", DAY, 4))
        assert model.figures(query).rows[0].measures[0] == 4


# Export


def test_csv_is_plain_and_a_table_groups_numbers_the_vietnamese_way(path: Path) -> None:
    stored(path, doses("a1", DAY, 1_234_567))
    with reading(path) as model:
        lines = figure_lines(model.figures(FigureQuery(UnitCode("a1"), DOSES)))
    assert as_text(lines, Layout.CSV) == (
        "unit,form,period,kind,dose1,dose2,dose3,dose4,units_reported,version\n"
        "a1,covid-doses,2021-12-13,total,1234567,0,0,0,1,\n"
    )
    assert "1.234.567" in as_text(lines, Layout.TABLE)
    assert '"dose1": 1234567' in as_text(lines, Layout.JSON)


def test_receipts_say_their_time_with_its_offset() -> None:
    lines = receipt_lines([receipt(Source(1, Offset(2)), Outcome.ACCEPTED, 3)])
    assert "2021-12-13T13:13:20.002+07:00" in as_text(lines, Layout.CSV)


@pytest.mark.parametrize("kept", [4096, 0], ids=["behind its first page", "from its first byte"])
def test_damaged_database_answers_nothing_and_names_the_way_out(path: Path, kept: int) -> None:
    stored(path, doses("a1", DAY, 5))
    with open_writer(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = path.read_bytes()
    path.write_bytes(content[:kept] + b"\xa5" * (len(content) - kept))
    with pytest.raises(NotReady, match=r"damaged .* `chungsuc rebuild`"):
        rows_of(path, FigureQuery(UnitCode("a1"), DOSES, DAY, DAY))


_LOSES_ITS_LOG = """
import sys
from pathlib import Path
from tests.support.read_model import DAYS, FigureLog, doses, store_at
path = Path(sys.argv[1])
for end in ("-wal", "-shm"):
    path.with_name(path.name + end).unlink()
log = FigureLog()
log.report(doses("a1", DAYS[0], 3))
log.report(doses("a1", DAYS[0], 5, revision=2, source=(0, 1)))
store_at(path).apply(log.batch())
"""


def test_file_that_is_cut_short_under_an_open_reader_ends_its_question_and_not_its_process(path: Path) -> None:
    """In a process of its own: where the file is mapped into memory, the kernel would end it."""
    stored(path, doses("a1", DAY, 1))
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    asked = subprocess.run([sys.executable, "-c", _CUT_SHORT, str(path)], capture_output=True, text=True, check=False)
    assert (asked.returncode, asked.stdout) == (0, "NotReady\n"), asked.stderr


_CUT_SHORT = """
import os, sys
from pathlib import Path
from consumers.read_model.database import damage_as_not_ready, open_reader
from schemas.read_model import NotReady
path = Path(sys.argv[1])
database = open_reader(path)
database.execute("SELECT count(*) FROM sqlite_master").fetchall()
os.truncate(path, 4096)
try:
    with damage_as_not_ready(path):
        for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            database.execute(f"SELECT * FROM {table}").fetchall()
except NotReady:
    print("NotReady")
"""


def test_readers_that_are_open_go_on_when_the_write_ahead_log_is_lost(path: Path) -> None:
    """SQLite itself would answer out of the deleted log for ever (read-model.log-lost)."""
    stored(path, doses("a1", DAY, 3))
    query = FigureQuery(UnitCode("a1"), DOSES, DAY, DAY)
    with reading(path) as first, reading(path) as second:
        assert [model.figures(query).rows[0].measures[0] for model in (first, second)] == [3, 3]
        subprocess.run([sys.executable, "-c", _LOSES_ITS_LOG, str(path)], check=True)
        assert [model.figures(query).rows[0].measures[0] for model in (first, second)] == [5, 5]


_KILLED = """
import os, sys
from pathlib import Path
from consumers.read_model import filling
from tests.support.read_model import DAYS, FigureLog, doses, store_at
path = Path(sys.argv[1])
connection = filling.open_for_writing(path)
filling.end(connection)
store = store_at(path)
log = FigureLog()
log.report(doses("a1", DAYS[0], 3))
store.apply(log.batch())
if sys.argv[2] == "closed":
    filling.close_after_writing(connection)
    connection.close()
    store._connection.close()
os._exit(0)
"""


@pytest.mark.parametrize("how", ["killed", "closed"])
def test_database_that_lost_its_log_is_made_anew_and_one_that_was_closed_answers_at_once(path: Path, how: str) -> None:
    query = FigureQuery(UnitCode("a1"), DOSES, DAY, DAY)
    subprocess.run([sys.executable, "-c", _KILLED, str(path), how], check=True)
    if how == "closed":
        assert not filling.has_log(path)
        assert rows_of(path, query)
        return
    assert rows_of(path, query)
    for end in ("-wal", "-shm"):
        path.with_name(path.name + end).unlink()
    with reading(path) as model, pytest.raises(NotReady):
        model.figures(query)
    with closing(filling.open_for_writing(path)) as connection:
        assert filling.is_filling(connection)
        assert connection.execute("SELECT count(*) FROM positions").fetchone() == (0,)
        with reading(path) as model, pytest.raises(NotReady, match="being made"):
            model.figures(query)


def test_a_sum_over_a_change_of_a_code_list_is_told_under_the_newer_codes(tmp_path: Path) -> None:
    files = dict(tam_duong.catalogue().files)
    vaccines = files["codes/vaccine.csv"].decode()
    line = next(line for line in vaccines.splitlines() if line.startswith("astrazeneca,"))
    assert line.endswith(",2021-01-01,")
    head, *lines = vaccines.replace(line, line + "2021-12-15").splitlines()
    counted_as = [f"{one},comirnaty" if one.startswith("astrazeneca,") else f"{one}," for one in lines]
    files["codes/vaccine.csv"] = "\n".join([f"{head},counted_as", *counted_as]).encode() + b"\n"
    made = tam_duong.TamDuong(tmp_path, FigureLog(Catalogue(files)))
    monday = next(one for one in tam_duong.sends("vaccination-daily") if one.rows)

    def under(code: str) -> tuple[tuple[tuple[str, Cell], ...], ...]:
        return (tuple((name, code if name == "vaccine" else cell) for name, cell in monday.rows[0]),)

    friday = replace(monday, day=date(2021, 12, 17), rows=under("comirnaty"))
    made.send([replace(monday, rows=under("astrazeneca")), friday])
    with reading(tmp_path / FILE_NAME) as model:
        unit, form = UnitCode(monday.unit), FormId("vaccination-daily")
        each = model.figures(FigureQuery(unit, form)).rows
        (summed,) = model.figures(FigureQuery(unit, form, sum=True)).rows
        at = [dimension.name for dimension in model.figures(FigureQuery(unit, form)).form.dimensions].index("vaccine")
    assert [row.dims[at] for row in each] == ["astrazeneca", "comirnaty"]
    assert summed.dims[at] == "comirnaty"
    assert summed.measures == tuple(2 * (cell or 0) for cell in each[0].measures)


def test_acts_at_one_offset_of_two_partitions_are_both_stored(path: Path) -> None:
    store = Store(open_writer(path), Registers(OPERATOR.public, 0))
    store.adopt(CLUSTER, TOPIC_IDS, [*ALL_PARTITIONS, (ACTS, 1)])
    until = Millis(9)
    acts = {
        (ACTS, partition): [
            Record(ACTS, partition, Offset(at), Millis(5), act.key, act.value, act.headers)
            for at, act in enumerate(
                act_record(body, f"{partition}/{body.reason}", OPERATOR)
                for body in (
                    ObligationDecided("day", unit, PERIOD, Decided.EXTENDED, until, UnitCode("A"), "mất điện"),
                    ReportReturned(Source(partition, Offset(0)), unit, until, UnitCode("A"), "sai số"),
                )
            )
        ]
        for partition, unit in enumerate((UnitCode("a1"), UnitCode("a2")))
    }
    store.apply(acts)
    with closing(open_writer(path)) as database:
        assert [one.about.unit for one in decisions(database)] == ["a1", "a2"]
        assert [one.about.unit for one in returns(database)] == ["a1", "a2"]
