"""Sessions of the pages: who is logged in, in one SQLite file that only its owner can read.

A cookie names a session by 256 random bits, of which only the SHA-256 is kept, so that a stolen file opens nothing. A
session belongs to one token of one account and ends with it: a token taken back, or an account without a unit, is out
at the next click. Invariant: a session never outlives its hours, however busy it is.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from producers.errors import ProducerError
from schemas.principal import PrincipalName
from schemas.report import Millis

FILE = "entry.sqlite"
_SECRET_BYTES = 32
_HOUR_MS = 3_600_000
_TABLES = """
CREATE TABLE IF NOT EXISTS sessions (
  mark BLOB PRIMARY KEY, principal TEXT NOT NULL, token INTEGER NOT NULL, csrf TEXT NOT NULL, made_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID
"""


class EntryError(ProducerError):
    """The file of the pages can't be used."""


@dataclass(frozen=True, slots=True)
class Session:
    """One login. `csrf` stands in each form of its pages."""

    mark: bytes
    principal: PrincipalName
    token: int
    csrf: str

    def owns(self, csrf: str) -> bool:
        """Whether a form came from a page of this session."""
        return hmac.compare_digest(self.csrf.encode(), csrf.encode("utf-8", "replace"))


class EntryFile:
    """The file that sessions, and what waits on the server, are kept in. Usable from several threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        if path.stat().st_mode & 0o077:
            raise EntryError(f"{path} is readable by others: `chmod 600 {path}`")
        self._lock = threading.Lock()
        try:
            self._database = sqlite3.connect(path, isolation_level=None, timeout=60, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode=WAL")
        except sqlite3.DatabaseError as error:
            raise EntryError(f"{path}: {error}") from error

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    @contextmanager
    def using(self) -> Iterator[sqlite3.Connection]:
        """The file, for one at a time. Raises EntryError."""
        with self._lock:
            try:
                yield self._database
            except sqlite3.DatabaseError as error:
                raise EntryError(f"{self._path}: {error}") from error


class Sessions:
    """Opens, finds and ends sessions."""

    def __init__(self, file: EntryFile, hours: float) -> None:
        self._file = file
        self._lasts_ms = int(hours * _HOUR_MS)
        with file.using() as database:
            database.execute(_TABLES)

    @property
    def lasts_s(self) -> int:
        """How long a session lasts."""
        return self._lasts_ms // 1000

    def open(self, principal: PrincipalName, token: int, now: Millis) -> str:
        """A new session; its secret, for the cookie. Forgets those that are over."""
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        with self._file.using() as database:
            database.execute("DELETE FROM sessions WHERE made_at <= ?", (now - self._lasts_ms,))
            database.execute(
                "INSERT INTO sessions VALUES (?, ?, ?, ?, ?)",
                (_mark(secret), principal, token, secrets.token_urlsafe(_SECRET_BYTES), now),
            )
        return secret

    def find(self, secret: str, now: Millis) -> Session | None:
        """The session that a cookie names, None where it is over or was never there."""
        with self._file.using() as database:
            row = database.execute(
                "SELECT mark, principal, token, csrf FROM sessions WHERE mark = ? AND made_at > ?",
                (_mark(secret), now - self._lasts_ms),
            ).fetchone()
        return None if row is None else Session(row[0], PrincipalName(row[1]), row[2], row[3])

    def close(self, session: Session) -> None:
        """End it."""
        with self._file.using() as database:
            database.execute("DELETE FROM sessions WHERE mark = ?", (session.mark,))


def _mark(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()
