"""The catalogue that the agent judges by: the last one that it was given, kept on disk for days without a line."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

from producers.agent.judge import Judge
from producers.keys import NodeKey
from schemas.catalogue import Catalogue

FILE = "catalogue.tar"


class HeldCatalogue:
    """Shared by the threads of one agent. Set `wanted` to have the other side asked for a newer one soon.

    `read` makes a catalogue of a bundle; who runs many agents in one process reads it once.
    """

    def __init__(self, folder: Path, key: NodeKey, read: Callable[[bytes], Catalogue] | None = None) -> None:
        self._read = read or _read
        self._path = folder / FILE
        self._key = key
        self._judge: Judge | None = None
        self.digest = ""
        self.wanted = threading.Event()
        if self._path.exists():
            self._use(self._path.read_bytes())

    def judge(self) -> Judge | None:
        """What reports are judged by; None before the first catalogue came."""
        return self._judge

    def replace(self, bundle: bytes) -> None:
        """Judge by this one from now on, also after a restart. Raises CatalogueError for one that is not understood."""
        self._use(bundle)
        fresh = self._path.with_suffix(".new")
        with fresh.open("wb") as file:
            file.write(bundle)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)

    def _use(self, bundle: bytes) -> None:
        self._judge = Judge(self._read(bundle), self._key)
        self.digest = hashlib.sha256(bundle).hexdigest()


def _read(bundle: bytes) -> Catalogue:
    # Epoch and serial are the log's; reports are judged by the files alone.
    return Catalogue.from_bundle(bundle, 1, 1)
