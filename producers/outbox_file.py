"""The outbox's SQLite file: tables, transactions, and one clear line for everything that can go wrong with a file.

WAL and synchronous=FULL: what a transaction has written survives a power cut, what it has not is wholly absent.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from producers.errors import NotNowError, OutboxError
from schemas.signature import Header

_VERSION = 1
_TABLES = """
CREATE TABLE series (
  id INTEGER PRIMARY KEY, unit TEXT NOT NULL, form TEXT NOT NULL, period TEXT NOT NULL, line TEXT NOT NULL,
  scope TEXT NOT NULL, entered_by TEXT NOT NULL,
  issued_at INTEGER NOT NULL, revision INTEGER NOT NULL, digest BLOB NOT NULL,
  UNIQUE (unit, form, period, line, scope, entered_by)
) STRICT;
CREATE TABLE sends (
  id INTEGER PRIMARY KEY, series INTEGER NOT NULL, issued_at INTEGER NOT NULL, revision INTEGER NOT NULL,
  kid TEXT NOT NULL, sequence INTEGER NOT NULL, digest BLOB NOT NULL, state TEXT NOT NULL,
  key BLOB, value BLOB, headers BLOB,
  "partition" INTEGER, "offset" INTEGER, sent_at INTEGER,
  outcome TEXT, detail TEXT, figures_offset INTEGER, settled_at INTEGER, won_partition INTEGER, won_offset INTEGER,
  UNIQUE (series, issued_at)
) STRICT;
CREATE INDEX sends_waiting ON sends (id) WHERE state = 'waiting';
CREATE INDEX sends_by_source ON sends ("partition", "offset") WHERE "offset" IS NOT NULL;
CREATE TABLE sequences (kid TEXT PRIMARY KEY, sequence INTEGER NOT NULL) STRICT;
CREATE TABLE scanned (
  unit TEXT NOT NULL, "partition" INTEGER NOT NULL, up_to INTEGER NOT NULL, PRIMARY KEY (unit, "partition")
) STRICT;
CREATE TABLE receipts_read ("partition" INTEGER PRIMARY KEY, next INTEGER NOT NULL) STRICT;
PRAGMA user_version = 1;
"""
_WON_ELSEWHERE = """CREATE INDEX IF NOT EXISTS sends_won_elsewhere ON sends (won_partition, won_offset)
WHERE state = 'sent' AND "offset" IS NULL"""
"""Rows whose acknowledgement was lost are asked for with every accepted receipt; without it each reads all rows.
Made at every opening, for outboxes that are older than it."""
_MOVED = """CREATE TABLE IF NOT EXISTS moved (
  series INTEGER NOT NULL, said INTEGER NOT NULL, issued_at INTEGER NOT NULL, PRIMARY KEY (series, said)
) STRICT, WITHOUT ROWID"""
"""Sends that were given a later time of issue than they came with (`said`), so that the same send is known again."""
_COUNT = struct.Struct("<H")
_NO_SPACE = (
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_TRUNCATE, sqlite3.SQLITE_IOERR_SHMSIZE,
    sqlite3.SQLITE_IOERR_SHMMAP,
)  # fmt: skip
"""What SQLite says of a full disk: writes past the end of a quota, and its shared index, fail by other names."""
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def open_file(path: Path) -> sqlite3.Connection:
    """The database, its tables made if it is new. Raises OutboxError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        database = sqlite3.connect(path, isolation_level=None, timeout=60)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        with transaction(database, path):
            (version,) = database.execute("PRAGMA user_version").fetchone()
            if version == 0:
                for statement in _TABLES.split(";\n"):
                    database.execute(statement)
            elif version != _VERSION:
                raise OutboxError(f"{path} is an outbox of version {version}; this program knows version {_VERSION}")
            database.execute(_WON_ELSEWHERE)
            database.execute(_MOVED)
    except sqlite3.DatabaseError as error:
        raise unusable(path, error) from error
    return database


@contextmanager
def transaction(database: sqlite3.Connection, path: Path) -> Iterator[None]:
    """All or nothing. A full disk, a damaged or a locked file becomes an OutboxError, and nothing is half-written."""
    try:
        database.execute("BEGIN IMMEDIATE")
        yield
        database.execute("COMMIT")
    except BaseException as error:
        # SQLite itself has rolled back already after some errors, a full disk among them.
        if database.in_transaction:
            database.execute("ROLLBACK")
        if isinstance(error, sqlite3.DatabaseError):
            raise unusable(path, error) from error
        raise


@contextmanager
def told_of(path: Path) -> Iterator[None]:
    """Whatever is done with an outbox here, a file that can't be read is told as one line."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise unusable(path, error) from error


def unusable(path: Path, error: sqlite3.DatabaseError) -> OutboxError:
    """What to tell people about it."""
    if error.sqlite_errorcode in _NO_SPACE:
        return NotNowError(f"no space left for the outbox {path}: nothing of this batch was written; free some, repeat")
    if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
        return NotNowError(f"the outbox {path} is held by another program: nothing of this batch was written; repeat")
    if error.sqlite_errorcode in _DAMAGED:
        return OutboxError(
            f"the outbox {path} is damaged ({error}): delete it and send again; what it had sent is read from `reports`"
        )
    return OutboxError(f"the outbox {path} can't be used ({error}): nothing of this batch was written")


def pack_headers(headers: Sequence[Header]) -> bytes:
    """Headers as one blob, in order, so that a record that is sent again is the same bytes."""
    parts = [part for name, value in headers for part in (_encoded(name), value)]
    return _lengths(len(parts)).pack(len(parts), *map(len, parts)) + b"".join(parts)


def unpack_headers(blob: bytes) -> list[Header]:
    """What `pack_headers` packed."""
    (count,) = _COUNT.unpack_from(blob)
    lengths = _lengths(count)
    at = lengths.size
    pairs = iter(lengths.unpack_from(blob)[1:])
    headers: list[Header] = []
    for name_length, length in zip(pairs, pairs, strict=True):
        value_at = at + name_length
        name, at = blob[at:value_at], value_at + length
        headers.append((_decoded(name), blob[value_at:at]))
    return headers


@lru_cache(maxsize=64)
def _lengths(count: int) -> struct.Struct:
    """How many parts, and the length of each."""
    return struct.Struct(f"<H{count}I")


@lru_cache(maxsize=256)
def _encoded(name: str) -> bytes:
    return name.encode()


@lru_cache(maxsize=256)
def _decoded(name: bytes) -> str:
    return name.decode()
