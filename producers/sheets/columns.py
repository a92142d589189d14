"""Which column of a page is which column of a form: by headings, whoever wrote them, and by what was learned.

A heading may stand in up to three rows with merged groups ("Số tiêm được" over "Mũi 1", "Mũi 2"). A column is
known by its name, its labels, the last part of its label where only one column has it, or a heading that somebody of
the unit has mapped before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from producers.sheets.book import Page
from producers.sheets.letters import folded
from schemas.form import Form

IGNORED = ""
"""What a heading is mapped to that is not to be read."""
_SEARCHED_ROWS = 60
_SEARCHED_COLUMNS = 80
_MOST_HEIGHT = 3
NUMBER_HEADINGS = frozenset({"tt", "stt", "so tt", "so thu tu", "no"})
NOTE_HEADINGS = frozenset({"ghi chu", "note", "notes", "chu thich"})
PLACE_HEADINGS = ("dia phuong", "co so y te", "don vi", "diem tiem", "thon", "ban", "to dan pho", "noi tiem")
Learned = Mapping[str, str]
"""Folded heading → column of a form, or IGNORED."""


@dataclass(frozen=True, slots=True)
class Headings:
    """Where a page's table begins and what its columns are. `last` is the last row of the heading.

    `columns`: form column → page column. `texts`: page column → heading as it is shown. `unused`: headings of no
    column of the form. `twice`: form columns that several headings claim. `place`, `note`: page columns, 0 for none.
    """

    first: int
    last: int
    columns: Mapping[str, int]
    texts: Mapping[int, str]
    unused: tuple[str, ...]
    twice: Mapping[str, tuple[int, ...]]
    place: int = 0
    note: int = 0

    def missing(self, form: Form) -> list[str]:
        """Columns that the form needs and the page lacks."""
        needed = [d.name for d in form.dimensions] + [m.name for m in form.measures if not m.optional]
        return [name for name in needed if name not in self.columns]


class Table:
    """A page as texts of possible headings, worked out once and asked for many forms."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._anchors = {
            (row, column): (area.top, area.left)
            for area in page.merged
            for row in range(area.top, min(area.bottom, _SEARCHED_ROWS + _MOST_HEIGHT) + 1)
            for column in range(area.left, min(area.right, _SEARCHED_COLUMNS) + 1)
        }
        self._rows = min(page.last_row, _SEARCHED_ROWS)
        self._columns = min(page.last_column, _SEARCHED_COLUMNS)
        self._candidates = [
            (top, top + height - 1, texts)
            for height in range(1, _MOST_HEIGHT + 1)
            for top in range(1, self._rows + 2 - height)
            if len(texts := self._texts(top, height)) > 0
        ]

    def headings(self, form: Form, learned: Learned) -> Headings | None:
        """The rows that name most of a form's columns; None where none names any."""
        keys = _keys(form)
        best: Headings | None = None
        for top, last, texts in self._candidates:
            found = _matched(top, last, texts, keys, learned)
            if found.columns and (best is None or len(found.columns) > len(best.columns)):
                best = found
        return best

    def likeliest(self) -> Headings | None:
        """Where no form's columns are found: the row with the most different texts, for people to map."""
        best = max(self._candidates, key=lambda one: (len({folded(t[-1]) for t in one[2].values()}), -one[0]),
                   default=None)  # fmt: skip
        return None if best is None else _matched(*best, {}, {})

    def _texts(self, top: int, height: int) -> dict[int, tuple[str, ...]]:
        """For each column with a text in these rows: the texts from top to bottom, groups spread over theirs."""
        found: dict[int, tuple[str, ...]] = {}
        above: dict[int, str] = {}
        for column in range(1, self._columns + 1):
            parts: list[str] = []
            bottom = self._shown(top + height - 1, column)
            for row in range(top, top + height):
                text = self._shown(row, column)
                if (
                    not text
                    and row < top + height - 1
                    and bottom
                    and row in above
                    and (row, column) not in self._anchors
                ):
                    text = above[row]  # a CSV has no merged cells: a group stands over its first column only
                if text and bottom:
                    above[row] = text
                elif row in above:
                    del above[row]
                if text and (not parts or parts[-1] != text):
                    parts.append(text)
            if parts and not all(part.replace(".", "").isdigit() for part in parts):
                found[column] = tuple(parts)
        return found

    def _shown(self, row: int, column: int) -> str:
        row, column = self._anchors.get((row, column), (row, column))
        found = self._page.cells.get((row, column))
        return self._page.text(row, column)[:200] if found is not None and isinstance(found.value, str) else ""


def _matched(
    top: int, last: int, texts: Mapping[int, tuple[str, ...]], keys: Mapping[str, str], learned: Learned
) -> Headings:
    claims: dict[str, list[int]] = {}
    unused: list[str] = []
    place = note = 0
    shown = {column: ": ".join(parts) for column, parts in texts.items()}
    for column, parts in texts.items():
        written = [folded(" ".join(parts)), folded(parts[-1])]
        known = next((learned[text] for text in written if text in learned), None)
        name = known if known is not None else next((keys[text] for text in written if text in keys), None)
        if name:
            claims.setdefault(name, []).append(column)
        elif name is None and written[0] in NOTE_HEADINGS:
            note = column
        elif name is None and written[0].startswith(PLACE_HEADINGS):
            place = place or column
        elif name is None and written[0] not in NUMBER_HEADINGS:
            unused.append(shown[column])
    return Headings(
        top,
        last,
        {name: columns[0] for name, columns in claims.items()},
        shown,
        tuple(unused),
        {name: tuple(columns) for name, columns in claims.items() if len(columns) > 1},
        place,
        note,
    )


def _keys(form: Form) -> Mapping[str, str]:
    """What a column may be called: exact names first; what two columns could be called by is no name of either."""
    sure: dict[str, str] = {}
    loose: list[tuple[str, str]] = []
    for name, label_vi, label_en in column_labels(form):
        for label in (name, label_vi, label_en):
            sure[folded(label)] = name
            loose.extend((folded(variant), name) for variant in _variants(label))
    names: dict[str, set[str]] = {}
    for text, name in loose:
        names.setdefault(text, set()).add(name)
    return {text: next(iter(found)) for text, found in names.items() if text and len(found) == 1} | sure


def column_labels(form: Form) -> Iterator[tuple[str, str, str]]:
    """Name, Vietnamese and English label of every column, in the form's order."""
    for dimension in form.dimensions:
        yield dimension.name, dimension.label_vi, dimension.label_en
    for measure in form.measures:
        yield measure.name, measure.label_vi, measure.label_en


def _variants(label: str) -> Iterator[str]:
    group, _, leaf = label.rpartition(": ")
    yield leaf
    bare = "".join(part.partition(")")[2] if at else part for at, part in enumerate(label.split("(")))
    yield bare
    if group:
        yield bare.rpartition(": ")[2]


def duplicates(form: Form) -> list[str]:
    """Labels that two columns of a form share, by which no heading could tell them apart."""
    counted = Counter(folded(label) for _, label, _ in column_labels(form))
    return [label for label, count in counted.items() if count > 1]
