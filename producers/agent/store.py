"""The agent's file: its outbox, its signing key, which file brought what, and what local requests stood for.

One file on purpose. A report, the file or key that it came under, and the sequence that it was signed with are written
in one transaction, so a power cut leaves all or nothing; and key and sequence are lost together, so a lost file means
a new key that begins at 1, never a fork.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from producers.errors import KeysError, OutboxError
from producers.keys import NodeKey
from producers.outbox import Waiting
from producers.outbox_file import transaction, unpack_headers
from producers.store_file import StoreFile
from schemas.report import KeyId, Millis, Offset, Scope, Series, Source
from schemas.signature import Ed25519Key, SignedRecord
from schemas.unit import UnitCode

FILE = "agent.sqlite"
_TABLES = """
CREATE TABLE IF NOT EXISTS agent_key (kid TEXT PRIMARY KEY, unit TEXT NOT NULL, seed BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS agent_files (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, inode INTEGER NOT NULL, digest BLOB NOT NULL, state TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS agent_files_open ON agent_files (state) WHERE state IN ('stored', 'kept');
CREATE TABLE IF NOT EXISTS agent_rows (
  row INTEGER NOT NULL, file INTEGER NOT NULL, put_at INTEGER NOT NULL, PRIMARY KEY (row, file)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS agent_rows_by_file ON agent_rows (file);
CREATE TABLE IF NOT EXISTS agent_held (row INTEGER PRIMARY KEY, until INTEGER NOT NULL, said TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS agent_requests (
  key TEXT PRIMARY KEY, fingerprint BLOB NOT NULL, made_at INTEGER NOT NULL, answer TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS agent_notes (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS sends_sent ON sends (id) WHERE state = 'sent';
CREATE INDEX IF NOT EXISTS sends_wrong ON sends (id) WHERE state IN ('rejected', 'conflict', 'refused')
"""
HELD_MS = 60_000
"""How long a report rests that somebody else has to make way for."""
NO_FILE = 0
"""Stands for a local request where a file would stand."""
_NOWHERE = Source(-1, Offset(-1))
"""Of a report that the broker acknowledged without telling the place."""


class FileState(StrEnum):
    """Where a file is: read and perhaps not moved yet, in `kept`, in `done`, in `refused`."""

    STORED = "stored"
    KEPT = "kept"
    DONE = "done"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A file that was read. Known by inode and content: a rename changes neither, a second file shares not both."""

    id: int
    name: str
    inode: int
    digest: bytes
    state: FileState


@dataclass(frozen=True, slots=True)
class Counts:
    """How many reports are where; `oldest_put_at` of those that wait."""

    waiting: int
    held: int
    unsettled: int
    wrong: int
    oldest_put_at: Millis | None


class AgentStore(StoreFile):
    """One agent folder's file. For one thread; several may be open on one file."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, _TABLES, "consider its key known")

    def make_key(self, unit: UnitCode) -> NodeKey:
        """The key of this agent, made at the first call. Its name holds chance: two agents of a unit never share one.

        Raises KeysError where the file is another unit's.
        """
        found = self.key()
        if found is None:
            kid = KeyId(f"kid-{unit}-agent-{secrets.token_hex(4)}")
            with transaction(self.database, self.path):
                self.database.execute(
                    "INSERT INTO agent_key VALUES (?, ?, ?)", (kid, unit, Ed25519Key.generate(kid).seed)
                )
            found = self.key()
        if found is None or found.unit != unit:
            raise KeysError(f"{self.path} is the agent of unit {found.unit if found else '?'}, not of {unit}")
        return found

    def key(self) -> NodeKey | None:
        """The key, None before it was made."""
        row = self.database.execute("SELECT kid, unit, seed FROM agent_key").fetchone()
        return None if row is None else NodeKey.from_seed(UnitCode(row[1]), 1, row[2], KeyId(row[0]))

    def signing_key(self) -> NodeKey:
        """The key. Raises KeysError where none was made."""
        key = self.key()
        if key is None:
            raise KeysError(f"{self.path} holds no key: make one with `chungsuc agent init`")
        return key

    def newest_row(self) -> int:
        """The highest id there is."""
        (found,) = self.database.execute("SELECT coalesce(max(id), 0) FROM sends").fetchone()
        return int(found)

    def due(self, now: Millis, limit: int, after: int = 0, up_to: int | None = None) -> list[Waiting]:
        """Rows to be sent with `after` < id ≤ `up_to`, oldest first, without those that are held back until later.

        Nothing is held for longer than `HELD_MS`, also where this host's clock was set back meanwhile.
        """
        found = self.database.execute(
            """SELECT id, key, value, headers FROM sends s WHERE state = 'waiting' AND id > ?1 AND id <= ?2
               AND NOT EXISTS (SELECT 1 FROM agent_held h WHERE h.row = s.id AND h.until > ?3 AND h.until <= ?5)
               ORDER BY id LIMIT ?4""",
            (after, 2**62 if up_to is None else up_to, now, limit, now + HELD_MS),
        )
        return [Waiting(i, SignedRecord(key, value, tuple(unpack_headers(packed)))) for i, key, value, packed in found]

    def mark_sent(self, acknowledged: Sequence[tuple[int, Source | None]], now: Millis) -> None:
        """Note where the broker has these rows."""
        self.outbox.mark_sent([(row, at or _NOWHERE) for row, at in acknowledged], now)

    def hold(self, rows: Iterable[tuple[int, str]], now: Millis) -> None:
        """Let these rows wait for a while, and say why."""
        with transaction(self.database, self.path):
            self.database.executemany(
                "INSERT OR REPLACE INTO agent_held VALUES (?, ?, ?)", [(row, now + HELD_MS, said) for row, said in rows]
            )

    def let_go(self) -> None:
        """Forget what was held and is not waiting any more."""
        with transaction(self.database, self.path):
            self.database.execute(
                "DELETE FROM agent_held WHERE row NOT IN (SELECT id FROM sends WHERE state='waiting')"
            )

    def learn_revision(self, row: int, revision: int) -> None:
        """Somebody holds this revision of the row's series: new content goes above it."""
        with transaction(self.database, self.path):
            self.database.execute(
                "UPDATE series SET revision = ?1, digest = x'' WHERE revision <= ?1 "
                "AND id = (SELECT series FROM sends WHERE id = ?2)",
                (revision, row),
            )

    def mind_the_clock(self, now: Millis) -> None:
        """What was sent at a time that has not come yet was sent by a clock that was wrong: it counts as sent now."""
        with transaction(self.database, self.path):
            self.database.execute("UPDATE sends SET sent_at = ?1 WHERE state = 'sent' AND sent_at > ?1", (now,))

    def unsettled_units(self) -> list[UnitCode]:
        """Units about which something was sent that no receipt has named."""
        found = self.database.execute(
            "SELECT DISTINCT r.unit FROM sends s JOIN series r ON s.series = r.id WHERE s.state = 'sent'"
        )
        return [UnitCode(unit) for (unit,) in found]

    def unsettled_sources(self, older_than: Millis, limit: int) -> list[Source]:
        """Places of rows acknowledged before then that no receipt has named, oldest first."""
        found = self.database.execute(
            """SELECT "partition", "offset" FROM sends WHERE state = 'sent' AND sent_at < ? AND "offset" IS NOT NULL
               ORDER BY id LIMIT ?""",
            (older_than, limit),
        )
        return [Source(partition, Offset(offset)) for partition, offset in found]

    def knows(self, series: Series) -> bool:
        """Whether this outbox has ever held anything of a series."""
        identity = (series.unit, series.form, series.period, series.line, series.scope.value, series.entered_by or "")
        return (
            self.database.execute(
                "SELECT 1 FROM series WHERE unit = ? AND form = ? AND period = ? AND line = ? AND scope = ? "
                "AND entered_by = ?",
                identity,
            ).fetchone()
            is not None
        )

    def counts(self) -> Counts:
        """How many reports are where."""

        def one(query: str) -> int:
            (found,) = self.database.execute(query).fetchone()
            return int(found or 0)

        waiting = one("SELECT count(*) FROM sends WHERE state = 'waiting'")
        oldest = one(
            "SELECT min(put_at) FROM agent_rows WHERE row = (SELECT min(id) FROM sends WHERE state = 'waiting')"
        )
        return Counts(
            waiting,
            one("SELECT count(*) FROM agent_held h JOIN sends s ON s.id = h.row WHERE s.state = 'waiting'"),
            one("SELECT count(*) FROM sends WHERE state = 'sent'"),
            one("SELECT count(*) FROM sends WHERE state IN ('rejected', 'conflict', 'refused')"),
            Millis(oldest) if waiting and oldest else None,
        )

    def file_of(self, inode: int, digest: bytes) -> KnownFile | None:
        """A file that was read and perhaps not moved yet."""
        row = self.database.execute(
            "SELECT id, name, inode, digest, state FROM agent_files "
            "WHERE state = 'stored' AND inode = ? AND digest = ?",
            (inode, digest),
        ).fetchone()
        return None if row is None else _file(row)

    def files(self, state: FileState) -> list[KnownFile]:
        """The files in a state."""
        found = self.database.execute(
            "SELECT id, name, inode, digest, state FROM agent_files WHERE state = ? ORDER BY id", (state.value,)
        )
        return [_file(row) for row in found]

    def put_file(self, name: str, inode: int, digest: bytes) -> int:
        """A file that is being read, within the caller's transaction; its id."""
        return int(
            self.database.execute(
                "INSERT INTO agent_files (name, inode, digest, state) VALUES (?, ?, ?, 'stored') RETURNING id",
                (name, inode, digest),
            ).fetchone()[0]
        )

    def file_is(self, file: int, state: FileState, name: str) -> None:
        """Note where a file is now, and under which name."""
        with transaction(self.database, self.path):
            self.database.execute("UPDATE agent_files SET state = ?, name = ? WHERE id = ?", (state.value, name, file))

    def all_sent(self, file: int) -> bool:
        """Whether nothing of a file waits."""
        return not self.database.execute(
            "SELECT EXISTS (SELECT 1 FROM agent_rows r JOIN sends s ON s.id = r.row "
            "WHERE r.file = ? AND s.state = 'waiting')",
            (file,),
        ).fetchone()[0]

    def wrong_files(self) -> list[KnownFile]:
        """Files in `kept` or `done` of which something was refused, rejected or lost a conflict."""
        found = self.database.execute(
            """SELECT DISTINCT f.id, f.name, f.inode, f.digest, f.state FROM sends s
               JOIN agent_rows r ON r.row = s.id JOIN agent_files f ON f.id = r.file
               WHERE s.state IN ('rejected', 'conflict', 'refused') AND f.state IN ('kept', 'done') ORDER BY f.id"""
        )
        return [_file(row) for row in found]

    def wrong_in(self, file: int) -> list[tuple[Series, str]]:
        """What of a file was refused, and why."""
        found = self.database.execute(
            """SELECT r.line, r.unit, r.form, r.period, r.entered_by, r.scope, s.detail FROM agent_rows a
               JOIN sends s ON s.id = a.row JOIN series r ON r.id = s.series
               WHERE a.file = ? AND s.state IN ('rejected', 'conflict', 'refused') ORDER BY s.id""",
            (file,),
        )
        return [
            (Series(line, unit, form, period, entered_by or None, Scope(scope)), detail or "")
            for line, unit, form, period, entered_by, scope, detail in found
        ]

    def note(self, name: str, value: str) -> None:
        """Remember something of the agent's own by name."""
        with transaction(self.database, self.path):
            self.database.execute("INSERT OR REPLACE INTO agent_notes VALUES (?, ?)", (name, value))

    def noted(self, name: str, default: str = "") -> str:
        """What was noted."""
        row = self.database.execute("SELECT value FROM agent_notes WHERE name = ?", (name,)).fetchone()
        return default if row is None else str(row[0])

    def held_said(self, limit: int) -> list[str]:
        """Why rows are held back, the most frequent reasons first."""
        found = self.database.execute(
            "SELECT said FROM agent_held h JOIN sends s ON s.id = h.row WHERE s.state = 'waiting' "
            "GROUP BY said ORDER BY count(*) DESC LIMIT ?",
            (limit,),
        )
        return [said for (said,) in found]


def is_full(error: OutboxError) -> bool:
    """Whether an outbox could not write for want of space."""
    cause = error.__cause__
    return isinstance(cause, sqlite3.DatabaseError) and cause.sqlite_errorcode == sqlite3.SQLITE_FULL


def _file(row: tuple[int, str, int, bytes, str]) -> KnownFile:
    return KnownFile(row[0], row[1], row[2], row[3], FileState(row[4]))
