"""Parameters of a question, read in one way everywhere, and refused in words where they can't be."""

from __future__ import annotations

from datetime import date

from producers.gateway.refusal import Refusal, Slug, refused
from schemas.catalogue import Catalogue
from schemas.period import PeriodError, PeriodText, parse_period
from schemas.unit import UBND, LineName

_LIMIT, _MOST = 100, 500


def bad(name: str, vietnamese: str, english: str) -> Refusal:
    """A parameter that can't be understood."""
    return refused(Slug.BAD_REQUEST, f"Tham số {name}: {vietnamese}.", f"Parameter {name}: {english}.")


def needed(found: str | None, name: str) -> str:
    """A parameter that must be there. Raises Refusal."""
    if not found:
        raise bad(name, "còn thiếu", "it is missing")
    return found


def asked_line(text: str | None, catalogue: Catalogue) -> LineName:
    """A line of the catalogue, `ubnd` as if left out. Raises Refusal."""
    if text is not None and text not in catalogue.units.lines:
        known = ", ".join(sorted(catalogue.units.lines))
        raise bad("line", f"một trong {known}", f"one of {known}")
    return LineName(text or UBND)


def asked_limit(text: str | None) -> int:
    """How many are wanted. Raises Refusal."""
    if text is None:
        return _LIMIT
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= _MOST):
        raise bad("limit", f"từ 1 đến {_MOST}", f"from 1 to {_MOST}")
    return int(text)


def asked_day(text: str | None, default: date, name: str = "day") -> date:
    """A day, or the default. Raises Refusal."""
    if text is None:
        return default
    try:
        if len(text) == 10:
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise bad(name, "một ngày như 2021-12-13", "a day such as 2021-12-13")


def asked_period(text: str) -> PeriodText:
    """A period. Raises Refusal."""
    try:
        return parse_period(text).text
    except PeriodError as error:
        raise bad("period", "một kỳ như 2021-12-13", "a period such as 2021-12-13") from error
