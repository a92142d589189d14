"""A private file around an outbox: what is written in one transaction with reports lies in tables beside theirs."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from producers.errors import KeysError
from producers.outbox import Outbox
from producers.outbox_file import transaction
from producers.private_file import made_private


class StoreFile:
    """One file with an outbox and `tables` (statements with a semicolon between). For one thread.

    Raises KeysError where others can read it: `remedy` says what to do beside taking their right away.
    """

    def __init__(self, path: Path, tables: str, remedy: str) -> None:
        if not made_private(path):
            raise KeysError(f"{path} is readable by others: `chmod 600 {path}`, and {remedy}")
        self.outbox = Outbox(path)
        with transaction(self.database, path):
            for statement in tables.split(";"):
                self.database.execute(statement)

    @property
    def database(self) -> sqlite3.Connection:
        """The connection that the outbox uses, so that all is in one transaction."""
        return self.outbox.database

    @property
    def path(self) -> Path:
        """The file."""
        return self.outbox.path

    def close(self) -> None:
        """Close the file."""
        self.outbox.close()
