"""Small disks: a tmpfs mounted where a fault is to fill it. Without the right to mount there is none; it is said so."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FILLER = ".filler"
_CHUNK = 64 * 1024


class SmallDisk:
    """A file system of its own at `folder`. Its content is gone when it is unmounted."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "chungsuc-campaign", str(folder)],
            capture_output=True,
            text=True,
            check=False,
        )
        self.why_not = done.stderr.strip()
        self.mounted = done.returncode == 0

    @contextmanager
    def full(self) -> Iterator[None]:
        """Not a byte is free for the length of the block."""
        filler = self.folder / _FILLER
        handle = os.open(filler, os.O_WRONLY | os.O_CREAT)
        try:
            _fill(handle)
            yield
        finally:
            os.close(handle)
            filler.unlink()

    def unmount(self) -> None:
        """Give it back, also while somebody still has a file open there."""
        if self.mounted:
            subprocess.run(["umount", "--lazy", str(self.folder)], check=True)
            self.mounted = False


def _fill(handle: int) -> None:
    size = _CHUNK
    while size:
        try:
            os.write(handle, bytes(size))
        except OSError:
            size //= 2
