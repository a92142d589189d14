"""How much of a file is read at most, and the sentences that several readers of files say."""

from __future__ import annotations

from producers.sheets.flaw import SheetError, Trouble
from schemas.topics import MIB

MAX_FILE_BYTES = 16 * MIB
MAX_XLS_BYTES = 4 * MIB
"""A cell of such a file takes as little as 6 bytes, and a hundred in memory."""
MAX_UNPACKED_BYTES = 40 * MIB
MAX_CELLS = 100_000
"""Of all pages together; the whole catalogue as one filled workbook has a tenth of that."""
MAX_ROWS = 20_000
"""Of one page, empty ones counted."""
MAX_COLUMNS = 500
MAX_TEXT = 40_000
"""Characters of one cell; Excel itself has 32,767."""


def too_large(limit: int) -> SheetError:
    """More bytes than are read."""
    return SheetError(
        Trouble.TOO_LARGE,
        f"Tệp quá lớn: nhiều nhất {limit // MIB} MB; bỏ ảnh và các trang không cần gửi.",
        f"The file is too large: at most {limit // MIB} MB; take out pictures and sheets that are not to be sent.",
    )


def too_many_cells() -> SheetError:
    """More in it than any set of forms has."""
    return SheetError(
        Trouble.TOO_MANY_CELLS,
        f"Tệp có quá nhiều ô hoặc dòng (nhiều nhất {MAX_CELLS:,} ô, mỗi trang {MAX_ROWS:,} dòng, {MAX_COLUMNS} cột): "
        "xóa các dòng trống ở cuối trang (bấm Ctrl+End để thấy), hoặc chép phần cần gửi sang tệp mới.",
        f"The file has too many cells or rows (at most {MAX_CELLS:,} cells, {MAX_ROWS:,} rows and {MAX_COLUMNS} "
        "columns a sheet): delete the empty rows at the end (Ctrl+End shows them), or copy what is to be sent into "
        "a new file.",
    )


def protected() -> SheetError:
    """Nobody can read it without its password."""
    return SheetError(
        Trouble.PROTECTED,
        "Tệp có mật khẩu mở: bỏ mật khẩu (Tệp → Thông tin → Bảo vệ sổ làm việc), lưu lại rồi gửi.",
        "The file is protected by a password: take it off (File → Info → Protect Workbook), save, and send again.",
    )


def not_a_sheet() -> SheetError:
    """Something else."""
    return SheetError(
        Trouble.NOT_A_SHEET,
        "Tệp này không phải bảng tính: gửi tệp .xlsx, .xls hoặc .csv.",
        "This is no spreadsheet: send a file .xlsx, .xls or .csv.",
    )


def damaged(error: Exception) -> SheetError:
    """Begun as a spreadsheet, and not to be read to its end."""
    said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return SheetError(
        Trouble.DAMAGED,
        f"Tệp hỏng hoặc không đúng định dạng: mở bằng Excel, lưu thành .xlsx mới rồi gửi lại ({said}).",
        f"The file is damaged or not what it seems: open it with Excel, save it as a new .xlsx, send that ({said}).",
    )
