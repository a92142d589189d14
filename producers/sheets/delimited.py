"""CSV and the like: encoding and separator are recognised, since nothing in such a file tells them.

UTF-8 and UTF-16 with or without mark, Windows-1258, and the old 8-bit letters TCVN3 and VNI; comma, semicolon, tab or
bar, also as Excel's own line `sep=;` says.
"""

from __future__ import annotations

import csv
import io
import unicodedata

from producers.sheets.book import Book, Found, Page
from producers.sheets.bounds import MAX_COLUMNS, MAX_ROWS, not_a_sheet, too_many_cells
from producers.sheets.letters import Letters, decoded, letters_of, possible_share

_SEPARATORS = ",;\t|"
_LOOKED_AT = 60


def read_delimited(content: bytes) -> Book:
    """The one page of a text file. Raises SheetError for what is no text."""
    text, converted = _decoded(content)
    odd = sum(unicodedata.category(letter) == "Cc" and letter not in "\r\n\t" for letter in text[:4096])
    if odd:
        raise not_a_sheet()
    cells: dict[tuple[int, int], Found] = {}
    separator, text = _separator(text)
    for row, line in enumerate(csv.reader(io.StringIO(text, newline=""), delimiter=separator), 1):
        if row > MAX_ROWS or len(line) > MAX_COLUMNS:
            raise too_many_cells()
        cells.update({(row, at): Found(field) for at, field in enumerate(line, 1) if field.strip()})
    return Book("csv", (Page("CSV", hidden=False, cells=cells),), converted)


def _decoded(content: bytes) -> tuple[str, str]:
    """The text, and the old encoding that it was in, or nothing."""
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if content.startswith(mark):
            return content.decode(encoding), ""
    zeros = (content[0:4096:2].count(0), content[1:4096:2].count(0))
    if max(zeros) > len(content[:4096]) // 5:
        return content.decode("utf-16-le" if zeros[1] > zeros[0] else "utf-16-be"), ""
    try:
        return content.decode("utf-8"), ""
    except UnicodeDecodeError:
        return _of_one_byte(content)


def _of_one_byte(content: bytes) -> tuple[str, str]:
    """Windows-1258, TCVN3 or VNI: whichever makes the most words possible in Vietnamese."""
    plain = content.decode("latin-1")
    letters = letters_of([plain])
    found = decoded(plain, letters)
    in_1258 = unicodedata.normalize("NFC", content.decode("cp1258", "replace"))
    if possible_share(in_1258) >= possible_share(found):
        return in_1258, "Windows-1258"
    return found, letters.value if letters is not Letters.UNICODE else ""


def _separator(text: str) -> tuple[str, str]:
    """What separates cells: the mark that cuts the most of the first lines into as many cells each, more than one."""
    first, _, rest = text.partition("\n")
    if first.strip().lower().startswith("sep=") and len(first.strip()) == 5:
        return first.strip()[4], rest
    best, most = ",", 0
    for separator in _SEPARATORS:
        lines = csv.reader(io.StringIO("\n".join(text.splitlines()[:_LOOKED_AT]), newline=""), delimiter=separator)
        widths = [len(line) for line in lines if len(line) > 1]
        commonest = max((widths.count(width) * (width - 1) for width in set(widths)), default=0)
        if commonest > most:
            best, most = separator, commonest
    return best, text
