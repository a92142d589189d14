"""What a page says about itself above its table: form, unit, period. Written so by our own workbooks and by people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from producers.sheets.book import Found, Page
from producers.sheets.cells import day_in, read_day
from producers.sheets.letters import folded
from schemas.period import PeriodError, parse_period

_TOP_ROWS = 15
_FORM = ("ma bieu", "form")
_UNIT = ("ma don vi", "unit")
_PERIOD = ("ky bao cao", "ngay bao cao", "period", "bao cao ngay", "so lieu ngay")


@dataclass(frozen=True, slots=True)
class PageAbout:
    """What was found; empty texts where nothing was. `period` is a period's text, or what stands in its place."""

    form: str = ""
    unit: str = ""
    period: str = ""


def about_page(page: Page) -> PageAbout:
    """What the first rows say."""
    form = unit = period = ""
    for label, rest, value in _labelled(page):
        if not form and label in _FORM:
            form = _text(rest, value)
        elif not unit and label in _UNIT:
            unit = _text(rest, value)
        elif not period and label in _PERIOD:
            period = _period(rest, value)
    return PageAbout(form, unit, period)


def _labelled(page: Page) -> Iterator[tuple[str, str, Found | None]]:
    """Each text of the first rows as a label, with what follows its colon, and the next filled cell of its row."""
    for (row, column), found in sorted(page.cells.items()):
        if row > _TOP_ROWS:
            return
        if not isinstance(found.value, str) or len(found.value) > 200:
            continue
        head, _, rest = found.value.partition(":")
        right = next((page.cells[row, c] for c in range(column + 1, column + 7) if (row, c) in page.cells), None)
        yield folded(head), rest.strip(), right


def _text(rest: str, value: Found | None) -> str:
    if rest or value is None:
        return rest
    found = value.value
    return f"{found:.0f}" if isinstance(found, float) and found.is_integer() else str(found).strip()


def _period(rest: str, value: Found | None) -> str:
    """The period's text; of a day as Excel or people write it, its ISO form; else as it stands, to be told."""
    if not rest and value is not None and (day := read_day(value)) is not None:
        try:
            return parse_period(str(value.value).strip()).text  # a period's own name may hold a day
        except PeriodError:
            return day.isoformat()
    text = _text(rest, value)
    for part in (text, text.partition(" ")[0]):
        try:
            return parse_period(part).text
        except PeriodError:
            continue
    day = day_in(text)
    return text if day is None else day.isoformat()
