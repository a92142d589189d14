"""A page of the ledger: what one form, scope, line and period is about; the numbers are in its form's book.

It knows which slots, rows of dimensions and receivers it has and under which numbers the book keeps them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from schemas.figure import FigureKind
from schemas.form import Form
from schemas.unit import Unit
from streams.arrays import Int32s, grown
from streams.columns import dims_bytes, read_dims

_REPEATED_DIMS = 100_000


class PageError(Exception):
    """A contribution that the ledger can't hold; rollup stops rather than truncates."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """A unit whose total is kept, and where that total goes."""

    unit: Unit
    key: bytes
    kind: FigureKind
    identity: bytes
    """What its total bears as a figure from slot to kid."""


class Page:
    """One page. `rows`: the distinct tuples of dimensions seen so far; `slots`: how many slots may have a child."""

    def __init__(
        self, run: bytes, form: Form, scope: int, line: str, period: str, last_day: date, slots: int = 0
    ) -> None:
        self.run = run
        self.number = -1
        """Its place in the book."""
        self.form = form
        self.scope = scope
        self.line = line
        self.period = period
        self.last_day = last_day
        self.child_of_slot: Int32s = np.full(max(16, slots), -1, np.int32)
        """The book's number of the child in each slot, -1 where the page has none yet."""
        self.children: Int32s = np.zeros(0, np.int32)
        """The book's numbers of this page's children, ascending."""
        self.accounts: Int32s = np.zeros(0, np.int32)
        """The book's numbers of this page's totals, ascending."""
        self.account_of_code: Int32s = np.full(16, -1, np.int32)
        """Account by the ledger's number of a unit's code, -1 where it has none here yet."""
        self.room = 1
        """Rows that each of its totals has room for in the book."""
        self.rows: list[tuple[str, ...]] = []
        self._row_index: dict[tuple[str, ...], int] = {}
        self._rows_of_dims: dict[bytes, tuple[int, ...]] = {}
        self._row_order: Int32s | None = None
        self._dims_of_rows: dict[bytes, bytes] = {}
        self.changed = False
        """Whether a checkpoint has to write it again."""
        if not form.dimensions:
            self.row(())

    def known_children(self, slot_ids: Int32s) -> Int32s:
        """The book's number of the child in each slot, -1 where the page has none yet."""
        if len(slot_ids) and (top := int(slot_ids.max())) >= len(self.child_of_slot):
            self.child_of_slot = grown(self.child_of_slot, top + 1, -1)
        return self.child_of_slot[slot_ids]

    def rows_of(self, run: bytes) -> tuple[int, ...]:
        """The rows of a table, by the encoded dimensions of its record."""
        known = self._rows_of_dims.get(run)
        if known is None:
            dims = read_dims(run)
            width = len(self.form.dimensions)
            known = tuple(self.row(tuple(dims[at : at + width])) for at in range(0, len(dims), width))
            if len(self._rows_of_dims) >= _REPEATED_DIMS:
                self._rows_of_dims.clear()
            self._rows_of_dims[run] = known
        return known

    def row(self, about: tuple[str, ...]) -> int:
        """The number of a row, new or known. Raises PageError beyond the form's bound."""
        number = self._row_index.get(about)
        if number is None:
            number = self._row_index[about] = len(self.rows)
            if number >= self.form.max_total_rows:
                raise PageError(f"{self.form.id} {self.period}: more than {self.form.max_total_rows} rows in a total")
            self.rows.append(about)
            self._row_order = None
        return number

    def row_order(self) -> Int32s:
        """Row numbers in the order of their dimensions."""
        if self._row_order is None:
            self._row_order = np.array(sorted(range(len(self.rows)), key=self.rows.__getitem__), np.int32)
            self._dims_of_rows.clear()
        return self._row_order

    def encoded_dims(self, rows: Int32s) -> bytes:
        """The dimensions of these rows as a figure carries them."""
        mark = rows.tobytes()
        dims = self._dims_of_rows.get(mark)
        if dims is None:
            dims = self._dims_of_rows[mark] = dims_bytes([name for row in rows for name in self.rows[row]])
        return dims
