"""The rows of one form on one page: every cell read, every flaw told with its place, totals compared, the rest noted.

Invariant: rows without a flaw are rows that admission takes, by the same codes, ranges and checks.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from openpyxl.utils import get_column_letter

from producers.sheets.book import Found, Page
from producers.sheets.cells import Bad, Codes, read_number
from producers.sheets.columns import Headings
from producers.sheets.computed import computed_columns, computing_formula
from producers.sheets.flaw import Flaw, Words, Wrong
from producers.sheets.letters import folded
from schemas.catalogue import Catalogue
from schemas.form import AcrossUnits, CheckLevel, Form
from schemas.period import Period
from schemas.report import Cell
from schemas.row_checks import broken_check

_MOST_FLAWS = 500
_TOTALS = frozenset({"tong so", "tong", "cong", "total", "sum", "cong chung", "toan xa", "toan huyen", "toan tinh"})
_CUMULATED = ("luy ke", "cong don", "cumulative")
TableRow = dict[str, Cell]


@dataclass
class TableRead:
    """What a table says. `places`: the page's row of each row, the first of those added together."""

    rows: list[TableRow] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    notes: list[Words] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    flaws: list[Flaw] = field(default_factory=list)


class TableReader:
    """Reads the rows below a heading."""

    def __init__(self, page: Page, form: Form, headings: Headings, period: Period, catalogue: Catalogue) -> None:
        self._page = page
        self._form = form
        self._headings = headings
        self._codes = {d.name: Codes(d, catalogue, period.last_day) for d in form.dimensions}
        self._computed = computed_columns(form)
        self._read = TableRead()
        self._by_row: dict[int, list[int]] = {}
        for row, column in page.cells:
            self._by_row.setdefault(row, []).append(column)
        self._spread = {
            (row, area.left): (area.top, area.left)
            for area in page.merged
            if area.left == area.right and area.top > headings.last
            for row in range(area.top + 1, area.bottom + 1)
        }

    def read(self) -> TableRead:
        """The rows, with all that is wrong in them."""
        totals: list[tuple[int, int]] = []
        begun_anew = False  # behind an empty row or a total stands the signature as well as more of the table
        previous = self._headings.last
        for row in sorted(row for row in self._by_row if row > self._headings.last):
            begun_anew = begun_anew or row > previous + 1
            previous = row
            if row == self._headings.last + 1 and self._numbers_columns(row):
                continue
            if self._is_total(row):
                totals.append((row, len(self._read.rows)))
                begun_anew = True
            elif self._is_empty(row):
                continue
            elif begun_anew and self._is_footer(row):
                shown = " ".join(self._page.text(row, column) for column in sorted(self._by_row[row]))[:80]
                self._note(f"Dòng {row} không thuộc bảng: “{shown}”.", f"Row {row} is not of the table: “{shown}”.")
            else:
                self._row(row)
        found = self._read
        flawed = {flaw.row for flaw in found.flaws}
        whole = not flawed
        self._add_places(flawed)
        self._check(flawed)
        if whole:
            self._compare(totals)
        if len(found.rows) > self._form.max_rows:
            most = self._form.max_rows
            self._flaw(0, "", Wrong.TOO_MANY_ROWS, (f"Có {len(found.rows)} dòng; nhiều nhất {most} dòng.",
                                                    f"{len(found.rows)} rows; at most {most}."))  # fmt: skip
        del found.flaws[_MOST_FLAWS:]
        return found

    def _row(self, row: int) -> None:
        cells: TableRow = {}
        for dimension in self._form.dimensions:
            code = self._codes[dimension.name].read(self._at(row, dimension.name, spread=True))
            if isinstance(code, Bad):
                self._flaw(row, dimension.name, code.wrong, code.words)
            else:
                cells[dimension.name] = code
        late: list[str] = []
        for measure in self._form.measures:
            found = self._at(row, measure.name)
            if self._is_ours(found, row, measure.name):
                late.append(measure.name)
                continue
            number = read_number(found, measure)
            if isinstance(number, Bad):
                self._flaw(row, measure.name, number.wrong, number.words)
            else:
                cells[measure.name] = number
        for name in late:
            parts = {part: cells.get(part) for part in self._computed[name].names}
            if None not in parts.values():
                cells[name] = int(self._computed[name]({part: int(value or 0) for part, value in parts.items()}))
        if remark := self._page.text(row, self._headings.note) if self._headings.note else "":
            self._read.remarks.append(remark)
        self._read.rows.append({name: cells.get(name) for name in self._form.columns})
        self._read.places.append(row)

    def _is_ours(self, found: Found | None, row: int, name: str) -> bool:
        """Whether a formula without a result is the one that our own workbooks have there."""
        if found is None or not found.formula or name not in self._computed:
            return False
        ours = computing_formula(self._computed[name], lambda part: self._cell(row, part))
        return str(found.value).replace("$", "") == ours

    def _cell(self, row: int, name: str) -> str:
        column = self._headings.columns.get(name)
        return f"{get_column_letter(column)}{row}" if column else "?"

    def _at(self, row: int, name: str, *, spread: bool = False) -> Found | None:
        column = self._headings.columns.get(name)
        if column is None:
            return None
        found = self._page.cells.get((row, column))
        if found is None and spread and (row, column) in self._spread:
            return self._page.cells.get(self._spread[row, column])
        return found

    def _is_empty(self, row: int) -> bool:
        """Whether none of the form's columns has anything typed in; formulas of ours wait in empty rows."""
        for name in self._form.columns:
            found = self._at(row, name)
            if found is None:
                continue
            waiting = name in self._computed and (found.formula or found.value == "")
            if not waiting:
                return False
        return True

    def _is_total(self, row: int) -> bool:
        first = next((c for c in sorted(self._by_row[row]) if isinstance(self._page.cells[row, c].value, str)), 0)
        text = folded(self._page.text(row, first)) if first else ""
        if not text or self._is_code(row, first):
            return False
        if text.startswith(_CUMULATED):
            self._note(f"Dòng {row} “{self._page.text(row, first)}” là lũy kế, không nhập.",
                       f"Row {row} is cumulative, not read.")  # fmt: skip
        return text in _TOTALS or text.startswith(("tong cong", *_CUMULATED))

    def _is_code(self, row: int, column: int) -> bool:
        names = [name for name, at in self._headings.columns.items() if at == column and name in self._codes]
        return any(not isinstance(self._codes[name].read(self._page.cells[row, column]), Bad) for name in names)

    def _is_footer(self, row: int) -> bool:
        """Whether nothing in a row is what its columns want: a signature, a place and date."""
        codes = (self._codes[d.name].read(self._at(row, d.name)) for d in self._form.dimensions)
        numbers = (
            found is not None and not isinstance(read_number(found, measure), Bad)
            for measure in self._form.measures
            if (found := self._at(row, measure.name)) is not None
        )
        return all(isinstance(code, Bad) for code in codes) and not any(numbers)

    def _numbers_columns(self, row: int) -> bool:
        """Whether the row below the heading only numbers the columns: (1) (2) (3), or A B 1 2 3."""
        texts = [self._page.text(row, column).strip("()[] ") for column in sorted(self._by_row[row])]
        numbers = [int(text) for text in texts if text.isascii() and text.isdigit() and len(text) < 4]
        letters = [text for text in texts if len(text) == 1 and text.isalpha()]
        counted = bool(numbers) and numbers == list(range(numbers[0], numbers[0] + len(numbers))) and numbers[0] < 3
        others = len(texts) - len(numbers) - len(letters)
        no_codes = not self._form.dimensions or all(
            isinstance(self._codes[d.name].read(self._at(row, d.name)), Bad) for d in self._form.dimensions
        )
        marked = all(self._page.text(row, column).startswith("(") for column in self._by_row[row])
        return len(texts) >= 3 and counted and others == 0 and (marked or (no_codes and bool(self._form.dimensions)))

    def _compare(self, totals: Sequence[tuple[int, int]]) -> None:
        """Each total against the rows before it, those since the total before, or all."""
        rows, since = self._read.rows, 0
        for row, before in totals:
            text = folded(" ".join(self._page.text(row, column) for column in sorted(self._by_row[row])))
            for measure in self._form.measures:
                found = self._at(row, measure.name)
                number = None if found is None or found.formula else read_number(found, measure)
                if not isinstance(number, int) or text.startswith(_CUMULATED):
                    continue
                spans = (rows[:before], rows[since:before], rows) if before else (rows,)
                sums = [sum(int(one[measure.name] or 0) for one in span) for span in spans]
                if number not in sums:
                    wanted = sums[0]
                    self._flaw(row, measure.name, Wrong.TOTAL_DIFFERS,
                               (f"Dòng tổng ghi {number}, cộng các dòng được {wanted}.",
                                f"The total says {number}, the rows add up to {wanted}."))  # fmt: skip
            since = before

    def _add_places(self, flawed: Collection[int]) -> None:
        """Rows about the same that name several places are one row of the report, added; else they are a mistake."""
        found = self._read
        names = [dimension.name for dimension in self._form.dimensions]
        groups: dict[tuple[Cell, ...], list[int]] = {}
        for at, one in enumerate(found.rows):
            if found.places[at] not in flawed:
                groups.setdefault(tuple(one[name] for name in names), []).append(at)
        merged: list[int] = []
        for about, members in groups.items():
            if len(members) == 1:
                continue
            rows = ", ".join(str(found.places[at]) for at in members)
            if self._addable(members):
                for measure in self._form.measures:
                    values = [v for at in members if (v := found.rows[at][measure.name]) is not None]
                    found.rows[members[0]][measure.name] = sum(map(int, values)) if values else None
                merged += members[1:]
                self._note(
                    f"Các dòng {rows} của nhiều nơi được cộng thành một.", f"Rows {rows} of several places added."
                )
                continue
            label = "/".join(map(str, about))
            for at in members[1:]:
                self._flaw(found.places[at], names[0] if names else "", Wrong.DUPLICATE_ROW,
                           (f"Các dòng {rows} trùng nhau ({label}): gộp thành một dòng.",
                            f"Rows {rows} are about the same ({label}): make one row of them."))  # fmt: skip
        for at in sorted(merged, reverse=True):
            del found.rows[at], found.places[at]

    def _addable(self, members: Sequence[int]) -> bool:
        places = [folded(self._page.text(self._read.places[at], self._headings.place)) for at in members]
        sums = all(measure.across_units is AcrossUnits.SUM for measure in self._form.measures)
        several = self._headings.place > 0 and all(places) and len(set(places)) == len(places)
        return several and sums and not self._form.overlapping

    def _check(self, flawed: Collection[int]) -> None:
        """The form's own checks of whole rows, with the row that breaks each; a warning is a note."""
        found = self._read
        single = [(place, [row]) for place, row in zip(found.places, found.rows, strict=True) if place not in flawed]
        for check in self._form.checks:
            for row, rows in [(0, [] if flawed else found.rows)] if check.over_table else single:
                broken = broken_check(check, self._form, rows) if rows else None
                if broken is None:
                    continue
                if check.level is CheckLevel.REJECT:
                    first = next((n for n in self._form.columns if n in check.rule.names), "")
                    self._flaw(row, first, Wrong.CHECK_FAILED, (f"{broken[0]}.", f"{broken[1]}."))
                else:
                    at = (f" dòng {row}", f" at row {row}") if row else ("", "")
                    self._note(f"Nên xem lại{at[0]}: {broken[0]}.", f"Look again{at[1]}: {broken[1]}.")

    def _flaw(self, row: int, name: str, wrong: Wrong, words: Words) -> None:
        column = self._headings.columns.get(name, 0)
        heading = self._headings.texts.get(column, "")
        self._read.flaws.append(Flaw(self._page.name, row, column, heading, wrong, words))

    def _note(self, vietnamese: str, english: str) -> None:
        if len(self._read.notes) < _MOST_FLAWS:
            self._read.notes.append((vietnamese, english))
