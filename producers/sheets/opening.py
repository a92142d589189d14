"""Opens a file as a book of pages: tells what it really is by its bytes, never by its name, and reads it with bounds.

Invariant: whatever the bytes are, this ends in a `Book` or in one `SheetError`, in bounded time and memory. Files are
read one at a time, so that several uploads at once cost no more memory than one.
"""

from __future__ import annotations

import threading
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from producers.sheets.book import Book, Found, Page
from producers.sheets.bounds import (
    MAX_CELLS,
    MAX_FILE_BYTES,
    MAX_TEXT,
    MAX_XLS_BYTES,
    damaged,
    not_a_sheet,
    protected,
    too_large,
    too_many_cells,
)
from producers.sheets.delimited import read_delimited
from producers.sheets.flaw import SheetError, Trouble
from producers.sheets.letters import Letters, could_be_old, decoded, letters_of
from producers.sheets.xls import read_xls
from producers.sheets.xlsx import read_xlsx

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_one_at_a_time = threading.Lock()


@contextmanager
def alone() -> Iterator[None]:
    """While a workbook is in memory: several at once would cost as much memory as they are."""
    with _one_at_a_time:
        yield


def open_book(content: bytes) -> Book:
    """The pages of an XLSX, XLS or CSV file. Raises SheetError."""
    _refuse_what_is_none(content)
    read = _reader(content)
    with alone():
        try:
            book = read(content)
        except SheetError:
            raise
        except Exception as error:
            # Parsers of hostile bytes raise whatever they stumble over: struct.error, KeyError, zlib.error, …
            raise damaged(error) from error
    if sum(len(page.cells) for page in book.pages) > MAX_CELLS:
        raise too_many_cells()
    return _in_unicode(book)


def _reader(content: bytes) -> Callable[[bytes], Book]:
    if content.startswith(b"PK\x03\x04"):
        return read_xlsx
    if content.startswith(_OLE):
        if _ENCRYPTED in content:
            raise protected()
        if len(content) > MAX_XLS_BYTES:
            raise too_large(MAX_XLS_BYTES)
        return read_xls
    return read_delimited


def _refuse_what_is_none(content: bytes) -> None:
    if len(content) > MAX_FILE_BYTES:
        raise too_large(MAX_FILE_BYTES)
    start = content[:2048].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not start:
        raise SheetError(Trouble.NOT_A_SHEET, "Tệp trống.", "The file is empty.")
    if start.startswith((b"<", b"mime-version:")) or b"<html" in start or b"<table" in start:
        raise SheetError(
            Trouble.WEB_PAGE,
            "Tệp này là trang web mang đuôi bảng tính: mở bằng Excel, chọn Lưu thành (Save As), kiểu .xlsx, rồi gửi "
            "tệp mới.",
            "This is a web page named as a spreadsheet: open it with Excel, save it as .xlsx, and send that.",
        )
    if start.startswith((b"%pdf", b"{\\rtf", b"\x89png", b"\xff\xd8\xff", b"gif8", b"\x7felf", b"mz", b"rar!", b"7z")):
        raise not_a_sheet()


def _in_unicode(book: Book) -> Book:
    """The same with texts that stand in old letters converted, page by page; each text in NFC and no longer than ever.

    A font that tells is heeded where the file is read; here is what no font tells.
    """
    converted = book.converted
    pages: list[Page] = []
    for page in book.pages:
        texts = [found.value for found in page.cells.values() if isinstance(found.value, str)]
        letters = letters_of(text for text in (page.name, *texts) if could_be_old(text))
        if letters is not Letters.UNICODE:
            converted = letters.value
        cells = {place: _cleaned(found, letters) for place, found in page.cells.items()}
        pages.append(replace(page, cells={place: found for place, found in cells.items() if found.value != ""}))
    return Book(book.kind, tuple(pages), converted)


def _cleaned(found: Found, letters: Letters) -> Found:
    if not isinstance(found.value, str) or found.formula:
        return found
    old = letters is not Letters.UNICODE and could_be_old(found.value)
    text = decoded(found.value, letters) if old else unicodedata.normalize("NFC", found.value)
    # Lone surrogates and control characters can't be written as UTF-8 or XML again.
    text = "".join(c for c in text[:MAX_TEXT] if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs"))
    return replace(found, value=text.strip())
