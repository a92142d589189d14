"""Whatever is written is read back, and whatever is in a file ends in rows, in flaws or in the one named error."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Any

import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE, MergedCell

from producers.filling import filler
from producers.sheets.book import Book, Found
from producers.sheets.flaw import SheetError
from producers.sheets.form_sheet import Wanted
from producers.sheets.letters import VIETNAMESE, Letters, decoded, encoded, letters_of
from producers.sheets.marking import marked
from producers.sheets.opening import open_book
from producers.sheets.reading import State, read_book, read_workbook
from producers.sheets.sending import Sender, judged
from schemas.form import Form
from schemas.period import PeriodText, PeriodType, period_holding
from schemas.report import Millis
from tests.support.released import released_catalogue
from tests.support.sheets import (
    DAY,
    TESTING_HEAD,
    TESTING_LINE,
    TESTING_ROW,
    UNIT,
    asked,
    form_of,
    saved,
    template,
    typed,
    xls,
    xlsx,
)

FORMS = sorted(released_catalogue().forms, key=lambda form: (form.id, form.version))
NOW = Millis(int(datetime(2022, 3, 1, tzinfo=UTC).timestamp() * 1000))


def period_of(form: Form) -> PeriodText:
    """A period on whose last day this version is in force."""
    first = form.periods[0]
    if first in (PeriodType.ROUND, PeriodType.TOPICAL):
        return PeriodText(first.example)
    return period_holding(first, max(form.valid_from, date(2021, 12, 13))).text


SOME = ["vaccination-daily", "testing-daily", "monthly-report", "vaccine-stock", "frontline-allowance", "covid-doses"]
"""Of every kind: an official layout, computed columns, stocks, no dimensions, texts that are required."""


@pytest.mark.parametrize("name", SOME)
def test_form_filled_in_reads_back_as_its_rows_and_admission_takes_it(name: str) -> None:
    filled_in_and_read_back(form_of(name))


@pytest.mark.long
@pytest.mark.parametrize("form", FORMS, ids=lambda form: f"{form.id}-{form.version}")
def test_every_form_filled_in_reads_back_as_its_rows(form: Form) -> None:
    filled_in_and_read_back(form)


def filled_in_and_read_back(form: Form) -> None:
    random, period = Random(form.id), period_of(form)
    filling = filler(form, released_catalogue(), max(form.valid_from, date(2021, 12, 13)))
    assert filling is not None
    rows, texts = filling.table(random, 1.0), filling.narrative(random)
    assert rows is not None
    content = typed(template(Wanted(form, period)), form, rows, texts)
    reading = judged(read_workbook(content, asked()), Sender(UNIT, NOW), released_catalogue())
    assert reading.flaws == ()
    (report,) = reading.reports()
    assert (report.form, report.period, report.narrative) == (form, period, texts)
    assert [dict(row) for row in report.rows] == [{name: row[name] for name in form.columns} for row in rows]


@pytest.mark.parametrize("name", ["vaccination-daily", "testing-daily", "monthly-report", "vaccine-stock"])
def test_what_was_reported_before_comes_back_unchanged(name: str) -> None:
    form = form_of(name)
    filling = filler(form, released_catalogue(), date(2021, 12, 13))
    assert filling is not None
    rows, texts = filling.table(Random(7), 1.0), filling.narrative(Random(7))
    assert rows is not None
    (report,) = read_workbook(template(Wanted(form, DAY, None, rows, texts, 3)), asked()).reports()
    assert ([dict(row) for row in report.rows], report.narrative) == (list(rows), texts)


@pytest.mark.parametrize("letters", [Letters.TCVN3, Letters.VNI])
def test_every_vietnamese_letter_survives_the_old_encodings(letters: Letters) -> None:
    for letter in VIETNAMESE:
        back = decoded(encoded(letter, letters), letters)
        if letters is Letters.TCVN3 and letter.isupper() and letter not in "ĂÂÊÔƠƯĐ":
            # TCVN3 has no code for it: fonts whose names end with H show the small one as a capital.
            back = decoded(encoded(letter, letters), letters, capitals=True)
        assert back == letter


LABELS = sorted({measure.label_vi for form in FORMS for measure in form.measures})


@given(st.lists(st.sampled_from(LABELS), min_size=2), st.sampled_from(list(Letters)))
def test_old_letters_are_recognised_without_a_font(labels: list[str], letters: Letters) -> None:
    text = "; ".join(labels)
    written = encoded(text, letters)
    assert decoded(written, letters_of([written])) == text


HOSTILE = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=40), st.dates(), st.times(),
    st.datetimes(), st.timedeltas(),
    st.sampled_from(["=1+1", "+1", "-1", "@x", "\x00", "\ud800", "9" * 5000, "1" + "." * 300, "Tổng cộng", "lũy kế",
                     "(1)", "antigen", "%", "1,5", "#REF!", "Mã biểu", "Kỳ báo cáo: 2021-13-45", "Mã đơn vị",
                     "x" * 70000]),
).filter(lambda value: value is not None)  # fmt: skip
MARKS = st.tuples(st.booleans(), st.booleans(), st.booleans())
FILE = typed(
    template(Wanted(form_of("testing-daily"), DAY)), form_of("testing-daily"), [TESTING_ROW],
)  # fmt: skip
BOOK = open_book(FILE)
PLACES = [(at, place) for at, page in enumerate(BOOK.pages) for place in page.cells] + [
    (at, (row, column)) for at in range(3) for row in (1, 7, 9, 12, 40, 1_048_576) for column in (1, 3, 8, 16_384)
]
CHANGES = st.lists(st.tuples(st.sampled_from(PLACES), HOSTILE, MARKS), min_size=1, max_size=4)


def changed(changes: list[Any]) -> Book:
    """The book with some of its cells replaced."""
    pages = list(BOOK.pages)
    for (at, place), value, (percent, formula, error) in changes:
        found = Found(str(value) if formula or error else value, percent=percent, formula=formula, error=error)
        pages[at] = replace(pages[at], cells={**pages[at].cells, place: found})
    return replace(BOOK, pages=tuple(pages))


def outcome(read: Callable[[], Any]) -> str:
    """What became of hostile input: read, or the one error. Anything else raises."""
    try:
        reading = judged(read(), Sender(UNIT, NOW), released_catalogue())
    except SheetError:
        return "error"
    for page in reading.pages:
        assert (page.state is State.FLAWED) == bool(page.flaws)
        for flaw in page.flaws:
            assert all(flaw.words)
            assert flaw.page
    return "read"


def mutated_book(changes: list[Any]) -> None:
    outcome(lambda: read_book(changed(changes), asked()))


def mutated_bytes(content: bytes, cuts: list[tuple[int, bytes]]) -> None:
    damaged = bytearray(content)
    for at, new in cuts:
        damaged[at % len(damaged) : at % len(damaged) + len(new)] = new
    outcome(lambda: read_workbook(bytes(damaged), asked("testing-daily", DAY)))


CUTS = st.lists(st.tuples(st.integers(0, 10**6), st.binary(min_size=1, max_size=8)), min_size=1, max_size=5)
CSV = ("Phương pháp;Loại mẫu;Số người được xét nghiệm;Số ống mẫu;Số ống dương tính;Số người dương tính (F0)\n"
       "antigen;single;16;16;0;0\nrt-pcr;pooled;1.234;30;2;1\n").encode()  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(CHANGES)
def test_book_with_hostile_cells_is_read_or_refused(changes: list[Any]) -> None:
    mutated_book(changes)


@pytest.mark.long
@settings(max_examples=6000, deadline=None, suppress_health_check=list(HealthCheck))
@given(CHANGES)
def test_thousands_of_books_with_hostile_cells(changes: list[Any]) -> None:
    mutated_book(changes)


@pytest.mark.long
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(CHANGES)
def test_workbooks_with_hostile_cells_on_disk_are_read_marked_and_read_again(changes: list[Any]) -> None:
    book = openpyxl.load_workbook(io.BytesIO(FILE))
    for (at, (row, column)), value, _ in changes:
        cell = book.worksheets[at].cell(min(row, 300), min(column, 60))
        if not isinstance(cell, MergedCell) and not isinstance(value, str | float | time | timedelta):
            cell.value = value
        elif not isinstance(cell, MergedCell) and isinstance(value, str):
            cell.value = ILLEGAL_CHARACTERS_RE.sub("", value.replace("\ud800", ""))[:32_000]
    content = saved(book)
    outcome(lambda: read_workbook(content, asked()))
    copy = marked(content, read_workbook(content, asked()).flaws, 0)
    outcome(lambda: read_workbook(copy, asked()))


@pytest.mark.long
@settings(max_examples=1600, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from([FILE, xls([TESTING_HEAD, TESTING_LINE]), xlsx([TESTING_HEAD, TESTING_LINE])]), CUTS)
def test_workbooks_of_damaged_bytes_are_read_or_refused(content: bytes, cuts: list[tuple[int, bytes]]) -> None:
    mutated_bytes(content, cuts)


@pytest.mark.long
@settings(max_examples=2000, deadline=None, suppress_health_check=list(HealthCheck))
@given(CUTS)
def test_thousands_of_csv_of_damaged_bytes(cuts: list[tuple[int, bytes]]) -> None:
    mutated_bytes(CSV, cuts)


@settings(max_examples=100, deadline=None)
@given(CUTS)
def test_csv_of_damaged_bytes_is_read_or_refused(cuts: list[tuple[int, bytes]]) -> None:
    mutated_bytes(CSV, cuts)
