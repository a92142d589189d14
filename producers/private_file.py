"""SQLite files that only their owner may read: made so before SQLite opens them, and never opened beside it.

Closing any handle of a file drops all locks that this process has on it, those of SQLite's other connections among
them: another process that opens and closes the file then takes the write-ahead log away under a running one, and the
database is malformed. So an existing file is not touched.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def made_private(path: Path) -> bool:
    """Make the file where there is none; whether nobody but its owner may read it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    return not path.stat().st_mode & 0o077
