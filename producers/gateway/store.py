"""The gateway's file: its outbox, its own signing key, and what each Idempotency-Key stood for.

One file on purpose. The key and the sequence that counts under it are lost together, so a lost file makes a new key
that begins at 1, never a fork; and a client's key is remembered in the same transaction as the reports it brought, so a
`kill -9` leaves both or neither.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from producers.errors import KeysError
from producers.keys import NodeKey
from producers.outbox_file import transaction
from producers.store_file import StoreFile
from schemas.admission import KeyRing
from schemas.report import KeyId, Millis, Offset, Revision, Scope, Series, Source
from schemas.signature import Ed25519Key
from schemas.topics import DAY_MS
from schemas.unit import UnitCode

FILE = "gateway.sqlite"
IDEMPOTENCY_DAYS = 7
"""How long a key of a client is remembered; published in the documentation and in the OpenAPI description."""
_TABLES = """
CREATE TABLE IF NOT EXISTS gateway_keys (
  number INTEGER PRIMARY KEY, kid TEXT NOT NULL UNIQUE, unit TEXT NOT NULL, seed BLOB NOT NULL,
  in_force INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE IF NOT EXISTS idempotency (
  principal TEXT NOT NULL, key TEXT NOT NULL, fingerprint BLOB NOT NULL, made_at INTEGER NOT NULL, items TEXT NOT NULL,
  PRIMARY KEY (principal, key)
) STRICT, WITHOUT ROWID
"""


@dataclass(frozen=True, slots=True)
class Remembered:
    """What a key of a client stood for: its request's fingerprint, and what became of each report."""

    fingerprint: bytes
    items: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a row of the outbox is. `source` is None where the broker acknowledged without telling."""

    state: str
    source: Source | None


class GatewayStore(StoreFile):
    """One data folder's gateway file. For one thread."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, _TABLES, "rotate the gateway's key")

    def key(self) -> NodeKey | None:
        """The newest key that was in force once; None before the first."""
        row = self.database.execute(
            "SELECT kid, unit, number, seed FROM gateway_keys WHERE in_force ORDER BY number DESC LIMIT 1"
        ).fetchone()
        return None if row is None else _node_key(*row)

    def signing_key(self) -> NodeKey:
        """What is signed with now. Raises KeysError."""
        key = self.key()
        if key is None:
            raise KeysError(
                "the gateway has no key in force: run `chungsuc down` and `chungsuc up`, which registers one"
            )
        return key

    def next_key(self, unit: UnitCode, registered: KeyRing, *, anew: bool = False) -> NodeKey:
        """The key to be registered: the newest, or a new one where there is none, it is taken or revoked, or `anew`."""
        row = self.database.execute(
            "SELECT kid, unit, number, seed FROM gateway_keys ORDER BY number DESC LIMIT 1"
        ).fetchone()
        newest = None if row is None else _node_key(*row)
        if newest is not None and not anew and newest.unit == unit:
            entry = registered.key(newest.kid)
            if entry is None or (entry.public_key == newest.public and not entry.revoked):
                return newest
        number = newest.number + 1 if newest else 1
        while registered.key(kid_of(number)) is not None:
            number += 1
        seed = Ed25519Key.generate(kid_of(number)).seed
        with transaction(self.database, self.outbox.path):
            self.database.execute(
                "INSERT INTO gateway_keys (number, kid, unit, seed) VALUES (?, ?, ?, ?)",
                (number, kid_of(number), unit, seed),
            )
        return _node_key(kid_of(number), unit, number, seed)

    def mark_in_force(self, kid: KeyId) -> None:
        """From now on the gateway may sign with it."""
        with transaction(self.database, self.outbox.path):
            self.database.execute("UPDATE gateway_keys SET in_force = 1 WHERE kid = ?", (kid,))

    def receipts_begin_at(self, ends: Mapping[int, int]) -> None:
        """No receipt before these offsets is about anything that this file waits for."""
        with transaction(self.database, self.outbox.path):
            self.database.executemany("INSERT OR REPLACE INTO receipts_read VALUES (?, ?)", list(ends.items()))

    def try_to_write(self) -> None:
        """Return when the file takes writes. Raises OutboxError."""
        (version,) = self.database.execute("PRAGMA user_version").fetchone()
        with transaction(self.database, self.outbox.path):
            self.database.execute(f"PRAGMA user_version = {int(version)}")

    def remembered(self, principal: str, key: str) -> Remembered | None:
        """What a key of a client stands for."""
        row = self.database.execute(
            "SELECT fingerprint, items FROM idempotency WHERE principal = ? AND key = ?", (principal, key)
        ).fetchone()
        return None if row is None else Remembered(row[0], json.loads(row[1]))

    def remember(self, principal: str, key: str, remembered: Remembered, now: Millis) -> None:
        """Within the caller's transaction."""
        items = json.dumps(list(remembered.items), ensure_ascii=False)
        self.database.execute(
            "INSERT INTO idempotency VALUES (?, ?, ?, ?, ?)", (principal, key, remembered.fingerprint, now, items)
        )

    def forget(self, now: Millis) -> None:
        """Let go of keys of clients older than a week."""
        with transaction(self.database, self.outbox.path):
            self.database.execute("DELETE FROM idempotency WHERE made_at < ?", (now - IDEMPOTENCY_DAYS * DAY_MS,))

    def row_of(self, series: int, issued_at: Millis) -> int:
        """The id of a row that was put."""
        (row,) = self.database.execute(
            "SELECT id FROM sends WHERE series = ? AND issued_at = ?", (series, issued_at)
        ).fetchone()
        return int(row)

    def placed(self, row: int) -> Placed:
        """Where a row is now."""
        state, partition, offset = self.database.execute(
            'SELECT state, "partition", "offset" FROM sends WHERE id = ?', (row,)
        ).fetchone()
        return Placed(state, None if offset is None else Source(partition, Offset(offset)))

    def held(self) -> set[KeyId]:
        """Key ids whose private half is here."""
        return {KeyId(kid) for (kid,) in self.database.execute("SELECT kid FROM gateway_keys")}

    def waiting_under(self, kid: KeyId) -> int:
        """How many reports signed with a key wait for the broker."""
        query = "SELECT count(*) FROM sends WHERE state = 'waiting' AND kid = ?"
        (count,) = self.database.execute(query, (kid,)).fetchone()
        return int(count)

    def has_unsettled(self) -> bool:
        """Whether anything that was sent, or waits to be, has no receipt yet."""
        query = "SELECT EXISTS (SELECT 1 FROM sends WHERE state IN ('sent', 'waiting'))"
        return bool(self.database.execute(query).fetchone()[0])

    def waiting(self) -> int:
        """How many reports wait for the broker."""
        (count,) = self.database.execute("SELECT count(*) FROM sends WHERE state = 'waiting'").fetchone()
        return int(count)


def kid_of(number: int) -> KeyId:
    """Name of the gateway's first, second, … key on this cluster."""
    return KeyId(f"kid-gateway-{number}")


def _node_key(kid: str, unit: str, number: int, seed: bytes) -> NodeKey:
    return NodeKey.from_seed(UnitCode(unit), number, seed, KeyId(kid))


@dataclass(frozen=True, slots=True)
class Held:
    """One row of the gateway's outbox, as the sender is told of it."""

    series: Series
    revision: Revision
    kid: str
    state: str


class Lookup:
    """Questions to the gateway's file from any thread, beside the courier that writes it."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._database = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=60, check_same_thread=False
        )

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def at(self, source: Source) -> Held | None:
        """What this gateway sent to a place of `reports`."""
        with self._lock:
            row = self._database.execute(
                """SELECT r.line, r.unit, r.form, r.period, r.entered_by, r.scope, s.revision, s.kid, s.state
                   FROM sends s JOIN series r ON s.series = r.id WHERE s."partition" = ? AND s."offset" = ?""",
                (source.partition, source.offset),
            ).fetchone()
        if row is None:
            return None
        line, unit, form, period, entered_by, scope, revision, kid, state = row
        series = Series(line, unit, form, period, entered_by or None, Scope(scope))
        return Held(series, Revision(revision), kid, state)

    def highest(self, series: Series) -> Revision:
        """The highest revision that this gateway knows of a series, 0 where it knows none."""
        with self._lock:
            row = self._database.execute(
                "SELECT revision FROM series WHERE unit = ? AND form = ? AND period = ? AND line = ? AND scope = ? "
                "AND entered_by = ?",
                _identity(series),
            ).fetchone()
        return Revision(0 if row is None else row[0])

    def place_of(self, series: Series, revision: Revision) -> Source | None:
        """Where this gateway sent a revision of a series; None where it did not, or does not know yet."""
        query = """SELECT s."partition", s."offset" FROM sends s JOIN series r ON s.series = r.id
            WHERE r.unit = ? AND r.form = ? AND r.period = ? AND r.line = ? AND r.scope = ? AND r.entered_by = ?
            AND s.revision = ? AND s."offset" IS NOT NULL ORDER BY s.id LIMIT 1"""
        with self._lock:
            row = self._database.execute(query, (*_identity(series), revision)).fetchone()
        return None if row is None else Source(row[0], Offset(row[1]))


def _identity(series: Series) -> tuple[str, str, str, str, str, str]:
    """As the outbox keeps a series."""
    return (series.unit, series.form, series.period, series.line, series.scope.value, series.entered_by or "")
