"""What one cell says: a whole number, a code, a day. Excel's habits are understood, guesses are refused.

Nothing ambiguous is let through: 1,5 is no count, a decimal 1.234 is none either, and a date is never a number.
Statistical signs count as they do in Vietnamese tables: "-" is none (0), "…" is not collected (missing).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from producers.sheets.book import Found
from producers.sheets.flaw import Words, Wrong
from producers.sheets.letters import folded
from schemas.catalogue import Catalogue
from schemas.code_list import CodeEntry
from schemas.form import LARGEST, Dimension, Measure

_GROUPED = re.compile(r"[+-]?\d{1,3}(?:(?:\.\d{3})+|(?:,\d{3})+|(?: \d{3})+|(?:'\d{3})+)", re.ASCII)
_PLAIN = re.compile(r"([+-]?\d{1,20})(?:[.,]0{1,2})?", re.ASCII)
_DECIMAL = re.compile(r"[+-]?(?:\d{1,30}|\d{1,3}(?:[., ]\d{3})+)[.,]\d{1,30}", re.ASCII)
_NONE = frozenset("-–—")
_NOT_COLLECTED = frozenset({"…", "...", "..", "x", "X"})
_SPACES = {ord(c): " " for c in "\u00a0\u2007\u2009\u202f\t\n"}
_DAY = re.compile(r"(\d{1,2})[/.\-](\d{1,2})[/.\-](\d{4})|(\d{4})-(\d{1,2})-(\d{1,2})", re.ASCII)
_DAY_IN_WORDS = re.compile(r"ngay (\d{1,2}) thang (\d{1,2}) nam (\d{4})", re.ASCII)
_EXACT_FLOAT = 2**53


@dataclass(frozen=True, slots=True)
class Bad:
    """Why a cell's content is not taken."""

    wrong: Wrong
    words: Words


def read_number(found: Found | None, measure: Measure) -> int | Bad | None:
    """The whole number of a cell; None for a blank one where the measure is optional."""
    number = _whole(found)
    if isinstance(number, Bad):
        return number
    if number is None:
        if measure.optional:
            return None
        words = "Ô trống: ghi số, không có thì ghi 0.", "Empty: give a number, 0 where there is none."
        return Bad(Wrong.VALUE_MISSING, words)
    smallest = -LARGEST if measure.minimum is None else measure.minimum
    if not smallest <= number <= LARGEST:
        return Bad(
            Wrong.VALUE_RANGE,
            (f"{number} nằm ngoài khoảng cho phép, từ {smallest} đến {LARGEST}.",
             f"{number} is out of range, from {smallest} to {LARGEST}."),
        )  # fmt: skip
    return number


def _whole(found: Found | None) -> int | Bad | None:
    if found is None:
        return None
    value = found.value
    if found.error:
        return Bad(Wrong.AN_ERROR, (f"Công thức báo lỗi {value}.", f"The formula fails: {value}."))
    if found.formula:
        return Bad(
            Wrong.NO_RESULT,
            ("Công thức chưa có kết quả: mở bằng Excel, lưu lại rồi gửi.",
             "The formula has no result: open the file with Excel, save it, and send it again."),
        )  # fmt: skip
    if isinstance(value, datetime | date | time | timedelta):
        return Bad(
            Wrong.A_DATE,
            ("Excel đã đổi ô này thành ngày giờ: định dạng ô là Số (Number) rồi gõ lại.",
             "Excel made a date or time of this: format the cell as a number and type it again."),
        )  # fmt: skip
    if isinstance(value, bool):
        return _no_number(str(value))
    if isinstance(value, str):
        return _of_text(value)
    if found.percent:
        return _percent()
    if isinstance(value, float):
        if not value.is_integer():  # inf and nan are none
            return _decimal(f"{value:g}")
        if abs(value) > _EXACT_FLOAT:
            return _no_number(f"{value:g}")
    return int(value)


def _of_text(text: str) -> int | Bad | None:
    plain = text.translate(_SPACES).strip().lstrip("'").strip()
    if not plain or plain in _NOT_COLLECTED:
        return None
    if plain in _NONE:
        return 0
    plain = plain.replace("−", "-")
    if plain.endswith("%"):
        return _percent()
    if _GROUPED.fullmatch(plain):
        return int(re.sub(r"[., ']", "", plain))
    if match := _PLAIN.fullmatch(plain):
        return int(match[1])
    if _DAY.fullmatch(plain):
        return Bad(Wrong.A_DATE, ("Ô này là ngày, không phải số.", "This is a day, not a number."))
    return _decimal(plain) if _DECIMAL.fullmatch(plain) else _no_number(plain)


def _decimal(text: str) -> Bad:
    return Bad(
        Wrong.DECIMAL,
        (f"{text} có phần lẻ; cột này chỉ nhận số nguyên. Hàng nghìn gõ liền, như 1234.",
         f"{text} has decimals; whole numbers only. Type thousands without a mark, such as 1234."),
    )  # fmt: skip


def _percent() -> Bad:
    return Bad(
        Wrong.PERCENT,
        ("Ô này là phần trăm; cần con số, không cần tỷ lệ.", "This is a percentage; the count is wanted, not a share."),
    )


def _no_number(text: str) -> Bad:
    shown = text if len(text) <= 40 else f"{text[:40]}…"
    return Bad(Wrong.NOT_A_NUMBER, (f"“{shown}” không phải số nguyên.", f"“{shown}” is not a whole number."))


class Codes:
    """The codes of one dimension on one day, by code and by label, as people write them."""

    def __init__(self, dimension: Dimension, catalogue: Catalogue, day: date) -> None:
        self._dimension = dimension
        accepted = catalogue.counted_codes(dimension.code_list, day)
        entries = [entry for code, entry in catalogue.codes[dimension.code_list].items() if code in accepted]
        self.entries: list[CodeEntry] = [entry for entry in entries if entry.in_force(day)]
        self._exact = {entry.code: entry.code for entry in entries}
        self._labels: dict[str, set[str]] = {}
        for entry in entries:
            for written in (entry.code, entry.label_vi, entry.label_en, shown_code(entry)):
                self._labels.setdefault(folded(written), set()).add(entry.code)
        self._without_zeros: dict[str, set[str]] = {}
        for code in self._exact:
            if code.isdigit():
                self._without_zeros.setdefault(code.lstrip("0") or "0", set()).add(code)

    def read(self, found: Found | None) -> str | Bad:
        """The code of a cell. A number is a code that lost its leading zeros."""
        if found is None:
            name = self._dimension
            return Bad(
                Wrong.VALUE_MISSING,
                (
                    f"Ô trống: chọn “{name.label_vi}” trong danh sách.",
                    f"Empty: choose “{name.label_en}” from the list.",
                ),
            )
        if isinstance(whole := _whole(found), Bad) and whole.wrong in (Wrong.A_DATE, Wrong.AN_ERROR, Wrong.NO_RESULT):
            return whole if not isinstance(found.value, str) or found.error or found.formula else self._of(found.value)
        value = found.value
        if isinstance(value, int | float) and not isinstance(value, bool):
            return self._of(f"{value:.0f}" if float(value).is_integer() else f"{value:g}")
        return self._of(str(value))

    def _of(self, text: str) -> str | Bad:
        plain = " ".join(text.split()).lstrip("'")
        if plain in self._exact:
            return plain
        for known in (self._labels.get(folded(plain), set()), self._without_zeros.get(plain.lstrip("0") or "0", set())):
            if len(known) == 1:
                return next(iter(known))
        some = ", ".join(entry.label_vi for entry in self.entries[:4])
        shown = plain if len(plain) <= 60 else f"{plain[:60]}…"
        return Bad(
            Wrong.UNKNOWN_CODE,
            (f"“{shown}” không có trong danh mục “{self._dimension.label_vi}” (như: {some}).",
             f"“{shown}” is not in the list “{self._dimension.label_en}” (such as: {some})."),
        )  # fmt: skip


def shown_code(entry: CodeEntry) -> str:
    """A code as a drop-down shows it: its label. Both ways back are unambiguous where labels differ."""
    return entry.label_vi


def read_day(found: Found | None) -> date | None:
    """A day: a real date of Excel's, or a text such as 13/12/2021, 2021-12-13, Ngày 13 tháng 12 năm 2021."""
    if found is None:
        return None
    value = found.value
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    return day_in(str(value))


def day_in(text: str) -> date | None:
    """The first day that a text names."""
    numbers: tuple[str, str, str] | None = None
    if match := _DAY.search(text):
        numbers = (match[3], match[2], match[1]) if match[1] else (match[4], match[5], match[6])
    elif match := _DAY_IN_WORDS.search(folded(text)):
        numbers = match[3], match[2], match[1]
    try:
        return None if numbers is None else date(*map(int, numbers))
    except ValueError:
        return None


def unit_code(text: str, known: Mapping[str, object] | frozenset[str]) -> str | None:
    """A unit's code as it stands in `known`, also where Excel made 3390 of 03390; None where it is none, or several."""
    plain = text.strip().removesuffix(".0").lstrip("'")
    if plain in known:
        return plain
    bare = plain.lstrip("0")
    longer = [code for zeros in range(1, 6) if (code := "0" * zeros + bare) in known] if bare.isdigit() else []
    return longer[0] if len(longer) == 1 else None
