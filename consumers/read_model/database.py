"""The read model's database: its tables, and how a writer and its readers open it.

SQLite in WAL mode: readers never wait for the writer. `synchronous=FULL`, because the stored offsets say what need not
be read again: a commit that a power loss takes back would be gone for good. What the tables hold is a fold of the log
and nothing else, so the whole file can be deleted and comes back.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas.read_model import NotReady

FILE_NAME = "read-model.sqlite"
LAYOUT = 5
"""Raised with every change of the tables; another layout is refused, `rebuild` makes it anew."""

_TABLES = """
CREATE TABLE positions (
    topic TEXT NOT NULL, partition INTEGER NOT NULL, topic_id TEXT NOT NULL, next INTEGER NOT NULL,
    time INTEGER, digest BLOB, PRIMARY KEY (topic, partition)) WITHOUT ROWID;
CREATE TABLE identity (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE catalogue (
    one INTEGER PRIMARY KEY CHECK (one = 1), epoch INTEGER NOT NULL, serial INTEGER NOT NULL, digest BLOB NOT NULL,
    bundle BLOB NOT NULL);
CREATE TABLE pages (
    page INTEGER PRIMARY KEY, form TEXT NOT NULL, scope INTEGER NOT NULL, line TEXT NOT NULL, period TEXT NOT NULL,
    first_day INTEGER NOT NULL, last_day INTEGER NOT NULL, UNIQUE (form, scope, line, period));
CREATE TABLE own (
    page INTEGER NOT NULL, unit TEXT NOT NULL, valid_from INTEGER NOT NULL, slot INTEGER NOT NULL, rank BLOB NOT NULL,
    accepted_at INTEGER NOT NULL, issued_at INTEGER NOT NULL, state INTEGER NOT NULL, revision INTEGER NOT NULL,
    source_partition INTEGER NOT NULL, source_offset INTEGER NOT NULL, epoch INTEGER NOT NULL,
    figures_offset INTEGER NOT NULL, digest BLOB NOT NULL, form_version BLOB NOT NULL, entered_by TEXT NOT NULL,
    kid TEXT NOT NULL, "values" BLOB NOT NULL, given BLOB NOT NULL, dims TEXT NOT NULL,
    PRIMARY KEY (page, unit, valid_from, slot, rank)) WITHOUT ROWID;
CREATE INDEX own_by_source ON own (source_partition, source_offset);
CREATE TABLE totals (
    page INTEGER NOT NULL, unit TEXT NOT NULL, valid_from INTEGER NOT NULL, epoch INTEGER NOT NULL,
    version INTEGER NOT NULL, figures_offset INTEGER NOT NULL, state INTEGER NOT NULL, form_version BLOB NOT NULL,
    "values" BLOB NOT NULL, given BLOB NOT NULL, dims TEXT NOT NULL, reported INTEGER NOT NULL, nil INTEGER NOT NULL,
    entered INTEGER NOT NULL, first_accepted INTEGER NOT NULL, newest_accepted INTEGER NOT NULL,
    PRIMARY KEY (page, unit, valid_from)) WITHOUT ROWID;
CREATE TABLE emissions (
    page INTEGER NOT NULL, unit TEXT NOT NULL, valid_from INTEGER NOT NULL, epoch INTEGER NOT NULL,
    version INTEGER NOT NULL, figures_offset INTEGER NOT NULL,
    PRIMARY KEY (page, unit, valid_from, epoch, version)) WITHOUT ROWID;
CREATE TABLE receipts (
    source_partition INTEGER NOT NULL, source_offset INTEGER NOT NULL, unit TEXT NOT NULL, line TEXT NOT NULL,
    form TEXT NOT NULL, period TEXT NOT NULL, entered_by TEXT NOT NULL, revision INTEGER NOT NULL, kid TEXT NOT NULL,
    digest BLOB NOT NULL, outcome TEXT NOT NULL, reason TEXT NOT NULL, field TEXT NOT NULL, detail TEXT NOT NULL,
    highest_revision INTEGER NOT NULL, accepted_at INTEGER NOT NULL, figures_offset INTEGER NOT NULL,
    PRIMARY KEY (source_partition, source_offset)) WITHOUT ROWID;
CREATE INDEX receipts_by_unit ON receipts (unit, accepted_at);
CREATE TABLE rejections (
    source_partition INTEGER NOT NULL, source_offset INTEGER NOT NULL, key TEXT NOT NULL, reason TEXT NOT NULL,
    field TEXT NOT NULL, detail_vi TEXT NOT NULL, detail_en TEXT NOT NULL, accepted_at INTEGER NOT NULL,
    PRIMARY KEY (source_partition, source_offset)) WITHOUT ROWID;
CREATE TABLE decisions (
    acts_partition INTEGER NOT NULL, acts_offset INTEGER NOT NULL, recorded_at INTEGER NOT NULL,
    issued_at INTEGER NOT NULL, regime TEXT NOT NULL, unit TEXT NOT NULL, period TEXT NOT NULL, decided TEXT NOT NULL,
    until INTEGER, by_unit TEXT NOT NULL, reason TEXT NOT NULL,
    PRIMARY KEY (recorded_at, acts_partition, acts_offset)) WITHOUT ROWID;
CREATE TABLE returns (
    acts_partition INTEGER NOT NULL, acts_offset INTEGER NOT NULL, recorded_at INTEGER NOT NULL,
    issued_at INTEGER NOT NULL, source_partition INTEGER NOT NULL, source_offset INTEGER NOT NULL, unit TEXT NOT NULL,
    until INTEGER, by_unit TEXT NOT NULL, reason TEXT NOT NULL,
    PRIMARY KEY (recorded_at, acts_partition, acts_offset)) WITHOUT ROWID;
CREATE TABLE approvals (
    acts_partition INTEGER NOT NULL, acts_offset INTEGER NOT NULL, recorded_at INTEGER NOT NULL,
    issued_at INTEGER NOT NULL, source_partition INTEGER NOT NULL, source_offset INTEGER NOT NULL, unit TEXT NOT NULL,
    approved INTEGER NOT NULL, by_unit TEXT NOT NULL, reason TEXT NOT NULL,
    PRIMARY KEY (unit, recorded_at, acts_partition, acts_offset)) WITHOUT ROWID;
CREATE TABLE locks (
    acts_partition INTEGER NOT NULL, acts_offset INTEGER NOT NULL, recorded_at INTEGER NOT NULL,
    issued_at INTEGER NOT NULL, form TEXT NOT NULL, line TEXT NOT NULL, unit TEXT NOT NULL, period TEXT NOT NULL,
    locked INTEGER NOT NULL, reason TEXT NOT NULL,
    PRIMARY KEY (form, line, period, recorded_at, acts_partition, acts_offset)) WITHOUT ROWID;
CREATE INDEX rejections_by_key ON rejections (key, accepted_at);
"""


class DatabaseRefused(Exception):
    """A database that does not belong to this log or this version; one line that names the way out."""


class DatabaseGone(Exception):
    """The file was deleted or replaced under a process that has it open: what is written there reaches nobody."""


class OpenFile:
    """The database file as it was when it was opened, to be asked whether it is still the one that others open."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._identity = self._look()
        self.check()

    def check(self) -> None:
        """Raises DatabaseGone."""
        if self._identity is None or self._look() != self._identity:
            raise DatabaseGone(f"{self._path} was deleted or replaced: it is made anew from the log")

    def _look(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino


def open_writer(path: Path) -> sqlite3.Connection:
    """The database for writing, made where it is missing. Raises DatabaseRefused for another layout.

    Transactions are explicit (`isolation_level` None). Two writers may hold it: each waits for the other's commit.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=60, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA cache_size = -65536")
        connection.execute("BEGIN IMMEDIATE")
        layout = connection.execute("PRAGMA user_version").fetchone()[0]
        if layout == 0:
            for statement in _TABLES.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {LAYOUT}")
        connection.execute("COMMIT")
        if layout not in (0, LAYOUT):
            raise DatabaseRefused(f"{path} has layout {layout}, this version {LAYOUT}: run `chungsuc rebuild`")
    except sqlite3.DatabaseError as error:
        connection.close()
        if isinstance(error, sqlite3.OperationalError):
            raise
        raise DatabaseRefused(f"{path} is not a usable database ({error}): run `chungsuc rebuild`") from error
    except BaseException:
        connection.close()
        raise
    return connection


def files_of(path: Path) -> tuple[int, ...]:
    """Which files a database lies in: itself, its log, the log's index. Raises NotReady without the first."""
    first, *others = (_inode(path.with_name(path.name + end)) for end in ("", "-wal", "-shm"))
    if not first:
        raise NotReady(f"there is no read model at {path} yet")
    return (first, *others)


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether the file itself is wrong. Errors that Python's module raises by itself bear no code."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


@contextmanager
def damage_as_not_ready(path: Path) -> Iterator[None]:
    """A file that is damaged answers nothing, and says the way out; whoever asks goes on when it is made anew."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        raise NotReady(f"the read model at {path} is damaged ({error}): run `chungsuc rebuild`") from error


def open_reader(path: Path) -> sqlite3.Connection:
    """The database for reading only. Raises NotReady while there is none, DatabaseRefused for another layout.

    The connection may go from thread to thread, one at a time: web frameworks answer from a pool.
    """
    if not path.exists():
        raise NotReady(f"there is no read model at {path} yet")
    with damage_as_not_ready(path):
        return _opened(path)


def _opened(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=60, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA query_only = ON")
    connection.execute("PRAGMA cache_size = -32768")
    # Never mapped: a file that is cut short under a mapping ends the process (SIGBUS) instead of the question.
    connection.execute("PRAGMA mmap_size = 0")
    layout = connection.execute("PRAGMA user_version").fetchone()[0]
    if layout != LAYOUT:
        connection.close()
        if layout == 0:
            raise NotReady(f"the read model at {path} is only being made")
        raise DatabaseRefused(f"{path} has layout {layout}, this version {LAYOUT}: run `chungsuc rebuild`")
    return connection
