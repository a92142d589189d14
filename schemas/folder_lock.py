"""The exclusive right to work on a folder, held by a lock on a file in it that also names the process.

The kernel gives the lock back when its holder ends, however it ends, so a file left behind means nothing.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class FolderTaken(Exception):
    """Another process holds it; `process` is its number, empty in the moment before it wrote that."""

    def __init__(self, process: str) -> None:
        super().__init__(f"held by process {process or '?'}")
        self.process = process


class FolderLock:
    """Held from here until `release` or the end of this process."""

    def __init__(self, file: Path) -> None:
        """Take it. Raises FolderTaken."""
        self._handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            process = os.pread(self._handle, 32, 0).decode().strip()
            os.close(self._handle)
            raise FolderTaken(process) from None
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let the next one in."""
        os.close(self._handle)


def holder_of(file: Path) -> int | None:
    """The process that holds it, 0 where it has not said so yet, None when none does."""
    try:
        handle = os.open(file, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return int(os.pread(handle, 32, 0).decode().strip() or 0)
    else:
        return None
    finally:
        os.close(handle)
