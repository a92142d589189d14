"""Accounts' secrets: API tokens as scrypt hashes in one SQLite file that only its owner can read.

What an account may do is in the log (`PrincipalBound`); here is only how it proves who it is, and what people are told
about it. A token is shown once, when it is made: nothing here gives it back. Invariant: no token is ever written.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from producers.errors import ProducerError
from producers.private_file import made_private
from schemas.principal import PrincipalName, is_name
from schemas.report import Millis

FILE = "principals.sqlite"
TOKEN_PREFIX = "cs"
_SECRET_BYTES = 24
_COST, _BLOCK, _LANES = 2**14, 8, 1
"""scrypt: about 16 MB and 40 ms per look, so that a stolen file gives no token away."""
_TABLES = """
CREATE TABLE IF NOT EXISTS tokens (
  id INTEGER PRIMARY KEY, principal TEXT NOT NULL, salt BLOB NOT NULL, hash BLOB NOT NULL,
  made_at INTEGER NOT NULL, first_used_at INTEGER, revoked_at INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS tokens_by_principal ON tokens (principal);
CREATE TABLE IF NOT EXISTS people (principal TEXT PRIMARY KEY, name TEXT NOT NULL, contact TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS subjects (subject TEXT PRIMARY KEY, principal TEXT NOT NULL UNIQUE) STRICT
"""


class AccountsError(ProducerError):
    """The file of accounts can't be used."""


@dataclass(frozen=True, slots=True)
class TokenState:
    """One token of an account, without what would prove it."""

    id: int
    made_at: Millis
    first_used_at: Millis | None
    revoked_at: Millis | None


@dataclass(frozen=True, slots=True)
class Person:
    """Who answers for an account: kept here, where it can be corrected, never in the log."""

    name: str = ""
    contact: str = ""


class Accounts:
    """The tokens of one data folder. Usable from several threads and processes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        if not made_private(path):
            raise AccountsError(f"{path} is readable by others: `chmod 600 {path}`, and let all tokens be made anew")
        self._lock = threading.Lock()
        try:
            self._database = sqlite3.connect(path, isolation_level=None, timeout=60, check_same_thread=False)
            self._database.execute("PRAGMA synchronous=FULL")
            for statement in _TABLES.split(";"):
                self._database.execute(statement)
        except sqlite3.DatabaseError as error:
            raise AccountsError(f"{path}: {error}") from error

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def new_token(self, principal: PrincipalName, now: Millis) -> str:
        """A further token for an account; the only time that it is seen."""
        if not is_name(principal):
            raise AccountsError(f"{principal!r} is no name of an account: lower-case letters, digits, dots and hyphens")
        secret, salt = secrets.token_hex(_SECRET_BYTES), secrets.token_bytes(16)
        with self._using() as database:
            database.execute(
                "INSERT INTO tokens (principal, salt, hash, made_at) VALUES (?, ?, ?, ?)",
                (principal, salt, _hashed(secret, salt), now),
            )
        return f"{TOKEN_PREFIX}_{principal}_{secret}"

    def proven_by(self, token: str, now: Millis) -> tuple[PrincipalName, int] | None:
        """The account and the id of the token, None where it is none of ours. Slow on purpose."""
        name, secret = named_in(token)
        if not name:
            return None
        with self._using() as database:
            rows = database.execute(
                "SELECT id, salt, hash, first_used_at FROM tokens WHERE principal = ? AND revoked_at IS NULL", (name,)
            ).fetchall()
        # An unknown account costs as much as a known one, so that the time tells nothing.
        for token_id, salt, stored, used in rows or [(0, b"", b"", None)]:
            if hmac.compare_digest(_hashed(secret, salt), stored):
                if used is None:
                    with self._using() as database:
                        database.execute("UPDATE tokens SET first_used_at = ? WHERE id = ?", (now, token_id))
                return PrincipalName(name), token_id
        return None

    def stands(self, token_id: int) -> bool:
        """Whether a token that was proven is still in force."""
        with self._using() as database:
            found = database.execute("SELECT 1 FROM tokens WHERE id = ? AND revoked_at IS NULL", (token_id,)).fetchone()
        return found is not None

    def revoke(self, principal: PrincipalName, now: Millis) -> int:
        """Take back all tokens of an account; how many stood."""
        with self._using() as database:
            return database.execute(
                "UPDATE tokens SET revoked_at = ? WHERE principal = ? AND revoked_at IS NULL", (now, principal)
            ).rowcount

    def account_of(self, subject: str) -> PrincipalName | None:
        """The account that somebody whom the identity provider knows by `subject` acts as."""
        with self._using() as database:
            row = database.execute("SELECT principal FROM subjects WHERE subject = ?", (subject,)).fetchone()
        return PrincipalName(row[0]) if row else None

    def subject_of(self, principal: PrincipalName) -> str:
        """By which `sub` the identity provider knows an account; empty where it does not."""
        with self._using() as database:
            row = database.execute("SELECT subject FROM subjects WHERE principal = ?", (principal,)).fetchone()
        return str(row[0]) if row else ""

    def set_subject(self, principal: PrincipalName, subject: str) -> None:
        """Link an account to a `sub`, or to none by an empty text. A `sub` that was another account's is this one's."""
        with self._using() as database:
            database.execute("DELETE FROM subjects WHERE principal = ? OR subject = ?", (principal, subject))
            if subject:
                database.execute("INSERT INTO subjects VALUES (?, ?)", (subject, principal))

    def tokens(self, principal: PrincipalName) -> list[TokenState]:
        """All tokens ever made for an account, oldest first."""
        with self._using() as database:
            rows = database.execute(
                "SELECT id, made_at, first_used_at, revoked_at FROM tokens WHERE principal = ? ORDER BY id",
                (principal,),
            ).fetchall()
        return [TokenState(*row) for row in rows]

    def person(self, principal: PrincipalName) -> Person:
        """Who answers for it."""
        with self._using() as database:
            row = database.execute("SELECT name, contact FROM people WHERE principal = ?", (principal,)).fetchone()
        return Person(*row) if row else Person()

    def set_person(self, principal: PrincipalName, person: Person) -> None:
        """Note who answers for it."""
        with self._using() as database:
            database.execute("INSERT OR REPLACE INTO people VALUES (?, ?, ?)", (principal, person.name, person.contact))

    @contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._database
            except sqlite3.DatabaseError as error:
                raise AccountsError(f"{self._path}: {error}") from error


def named_in(token: str) -> tuple[str, str]:
    """The account that a token names, and its secret; two empty texts where it has not the form of a token."""
    prefix, _, rest = token.partition("_")
    name, _, secret = rest.partition("_")
    return (name, secret) if prefix == TOKEN_PREFIX and is_name(name) and secret.isalnum() else ("", "")


def _hashed(secret: str, salt: bytes) -> bytes:
    return hashlib.scrypt(secret.encode("utf-8", "replace"), salt=salt, n=_COST, r=_BLOCK, p=_LANES, dklen=32)
