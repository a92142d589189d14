"""Files as offices have them, and as attackers make them: each is read, or is one clear error, within bounds."""

from __future__ import annotations

import io
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from typing import Any

import openpyxl
import pytest
from openpyxl.styles import Font

from producers.sheets.flaw import SheetError, Trouble
from producers.sheets.letters import Letters, encoded
from producers.sheets.opening import open_book
from producers.sheets.reading import State, read_workbook
from tests.support.sheets import DAY, TESTING_HEAD, TESTING_LINE, TESTING_ROW, asked, saved, xls, xlsx

LINES: list[list[Any]] = [TESTING_HEAD, TESTING_LINE]
FOREIGN = asked("testing-daily", DAY)


def csv_text(separator: str) -> str:
    return "\r\n".join(separator.join(map(str, line)) for line in LINES) + "\r\n"


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize(
    "encode",
    [
        lambda text: text.encode(), lambda text: text.encode("utf-8-sig"), lambda text: text.encode("utf-16"),
        lambda text: text.encode("utf-16-le"), lambda text: text.encode("utf-16-be"),
        lambda text: encoded(text, Letters.TCVN3).encode("latin-1"),
        lambda text: encoded(text, Letters.VNI).encode("latin-1"),
    ],
    ids=["utf-8", "utf-8 with mark", "utf-16 with mark", "utf-16-le", "utf-16-be", "tcvn3", "vni"],
)  # fmt: skip
def test_csv_is_read_in_every_encoding_and_separator(separator: str, encode: Callable[[str], bytes]) -> None:
    (page,) = read_workbook(encode(csv_text(separator)), FOREIGN).pages
    assert (page.state, page.rows, page.flaws) == (State.TABLE, (TESTING_ROW,), ())


def test_csv_in_windows_1258_is_read() -> None:
    # What Windows writes: the base letter, then its tone as a letter of its own.
    text = csv_text(";").replace("Số", "Sô\u0301").replace("ống", "ô\u0301ng")
    content = "".join(c for c in text if _in_1258(c)).encode("cp1258")
    book = open_book(content)
    assert book.converted == "Windows-1258"
    assert "Số ống" in str(book.pages[0].cells[1, 4].value)


def _in_1258(letter: str) -> bool:
    try:
        letter.encode("cp1258")
    except UnicodeEncodeError:
        return False
    return True


def test_separator_line_of_excel_is_heeded() -> None:
    (page,) = read_workbook(f"sep=|\r\n{csv_text('|')}".encode(), FOREIGN).pages
    assert page.rows == (TESTING_ROW,)


def test_xls_is_read_with_fonts_of_old_letters() -> None:
    for letters, font in ((Letters.UNICODE, "Arial"), (Letters.TCVN3, ".VnTime"), (Letters.VNI, "VNI-Times")):
        lines = [[encoded(text, letters) if isinstance(text, str) else text for text in line] for line in LINES]
        reading = read_workbook(xls(lines, font), FOREIGN)
        assert reading.kind == "xls"
        assert reading.converted == ("" if letters is Letters.UNICODE else letters.value)
        assert reading.pages[0].rows == (TESTING_ROW,)


def test_capitals_of_a_tcvn3_font_become_capitals() -> None:
    book = openpyxl.Workbook()
    book.active["A1"] = encoded("báo cáo ngày", Letters.TCVN3)
    book.active["A1"].font = Font(name=".VnTimeH")
    assert open_book(saved(book)).pages[0].cells[1, 1].value == "BÁO CÁO NGÀY"


def part(name: str, change: Callable[[bytes], bytes]) -> bytes:
    """A workbook with one of its parts changed."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(xlsx(LINES))) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.infolist():
            content = old.read(member)
            new.writestr(member.filename, change(content) if member.filename == name else content)
        if name not in old.namelist():
            new.writestr(name, change(b""))
    return out.getvalue()


SHEET = "xl/worksheets/sheet1.xml"


def with_entities(content: bytes) -> bytes:
    laughs = b"".join(b'<!ENTITY l%d "%s">' % (n, b"&l%d;" % (n - 1) * 10) for n in range(1, 10))
    head = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY l0 "lol">' + laughs + b"]>"
    return head + content[content.index(b"<worksheet") :].replace(b"<sheetData>", b"<sheetData>&l9;", 1)


def in_utf_16(content: bytes) -> bytes:
    text = with_entities(content).decode().replace('version="1.0"', 'version="1.0" encoding="utf-16"')
    return text.encode("utf-16")


def encrypted_xls() -> bytes:
    """An .xls whose INTERFACEHDR record says FILEPASS instead."""
    content = xls(LINES)
    at = content.index(b"\xe1\x00\x02\x00\xb0\x04")
    return content[:at] + b"\x2f\x00" + content[at + 2 :]


def _odt() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("content.xml", "<x/>")
    return out.getvalue()


def lying(content: bytes) -> bytes:
    """A workbook with a part that is said to unpack to 10 bytes."""
    file = part("xl/media/a.xml", lambda _: content)
    size = len(content).to_bytes(4, "little")
    return file.replace(size, (10).to_bytes(4, "little"))


END = b"</sheetData>"
FAR = b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
EMPTY_ROWS = b"".join(b'<row r="%d"/>' % number for number in range(3, 1_048_577))
HOSTILE: dict[str, tuple[Callable[[], bytes], Trouble]] = {
    "a bomb": (lambda: part("xl/media/a.xml", lambda _: b"<x>" + b" " * 90_000_000), Trouble.TOO_MANY_CELLS),
    "a bomb that lies about its size": (lambda: lying(b"<x>" + b" " * 42_000_000), Trouble.DAMAGED),
    "entities": (lambda: part(SHEET, with_entities), Trouble.ENTITIES),
    "entities in UTF-16": (lambda: part(SHEET, in_utf_16), Trouble.ENTITIES),
    "a million empty rows": (
        lambda: part(SHEET, lambda c: c.replace(END, EMPTY_ROWS + END)), Trouble.TOO_MANY_CELLS),
    "a merged area as large as a sheet": (
        lambda: part(SHEET, lambda c: c.replace(END, END + b'<mergeCells count="1"><mergeCell '
                                                b'ref="A1:XFD1048576"/></mergeCells>')), Trouble.TOO_MANY_CELLS),
    "a link as large as a sheet": (
        lambda: part(SHEET, lambda c: c.replace(END, END + b'<hyperlinks><hyperlink '
                                                b'ref="A1:XFD1048576"/></hyperlinks>')), Trouble.TOO_MANY_CELLS),
    "macros": (lambda: part("xl/vbaProject.bin", lambda _: b"x"), Trouble.MACROS),
    "a password": (lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le") * 9,
                   Trouble.PROTECTED),
    "a password on .xls": (encrypted_xls, Trouble.PROTECTED),
    "a web page": (lambda: b"\xef\xbb\xbf\n<html><table><tr><td>1</td></tr></table>", Trouble.WEB_PAGE),
    "a mail": (lambda: b"MIME-Version: 1.0\r\n", Trouble.WEB_PAGE),
    "a PDF": (lambda: b"%PDF-1.7\n", Trouble.NOT_A_SHEET),
    "nothing": (lambda: b"", Trouble.NOT_A_SHEET),
    "bytes": (lambda: bytes(range(256)) * 9, Trouble.NOT_A_SHEET),
    "another archive": (_odt, Trouble.NOT_A_SHEET),
    "a broken archive": (lambda: xlsx(LINES)[:-600], Trouble.DAMAGED),
    "a broken sheet": (lambda: part(SHEET, lambda c: c[: len(c) // 2]), Trouble.DAMAGED),
    "a broken .xls": (lambda: xls(LINES)[:1500], Trouble.DAMAGED),
    "no form at all": (lambda: b"a,b\n1,2\n", Trouble.NO_FORM),
    "too many bytes": (lambda: b"a" * (17 * 1024 * 1024), Trouble.TOO_LARGE),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_file_is_one_clear_error_within_bounds(name: str) -> None:
    make, trouble = HOSTILE[name]
    content = make()
    tracemalloc.start()
    begun = time.process_time()
    with pytest.raises(SheetError) as caught:
        read_workbook(content, asked())
    taken_s, (_, peak_bytes) = time.process_time() - begun, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert caught.value.trouble is trouble
    assert all(words and "\n" not in words for words in caught.value.words)
    assert taken_s < 5
    assert peak_bytes < 150_000_000


def test_cell_at_the_far_end_costs_nothing() -> None:
    begun = time.process_time()
    (page,) = read_workbook(part(SHEET, lambda c: c.replace(END, FAR + END)), FOREIGN).pages
    assert page.rows == (TESTING_ROW,)
    assert time.process_time() - begun < 5


def test_every_trouble_is_tried() -> None:
    assert {trouble for _, trouble in HOSTILE.values()} == set(Trouble)
