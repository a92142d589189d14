"""Nodes' private keys: one per unit, made on first use, kept in one SQLite file that only its owner can read.

Invariant: a key is on the disk before anything is signed with it, and a key id never changes its key. A unit whose
key file was lost gets the next number (`kid-03390-2`), because what was registered under the first can't be replaced.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from nacl.bindings import crypto_sign, crypto_sign_BYTES, crypto_sign_seed_keypair

from producers.errors import KeysError
from producers.private_file import made_private
from schemas.admission import KeyRing
from schemas.report import KeyId
from schemas.signature import Ed25519Key, PublicKey
from schemas.unit import UnitCode

FILE = "keys.sqlite"
_TABLE = """
CREATE TABLE IF NOT EXISTS keys (
  kid TEXT PRIMARY KEY, unit TEXT NOT NULL, number INTEGER NOT NULL, seed BLOB NOT NULL, public BLOB NOT NULL,
  in_force INTEGER NOT NULL DEFAULT 0, UNIQUE (unit, number)
) STRICT
"""
_SELECTABLE = 500
"""Units per query, below SQLite's limit of parameters."""


@dataclass(frozen=True, slots=True)
class NodeKey:
    """A unit's key. Holds the expanded secret: deriving it from the seed costs as much as a signature."""

    kid: KeyId
    unit: UnitCode
    number: int
    public: PublicKey
    secret: bytes = field(repr=False)

    @classmethod
    def from_seed(cls, unit: UnitCode, number: int, seed: bytes, kid: KeyId | None = None) -> NodeKey:
        """The key that grows from 32 secret bytes."""
        public, secret = crypto_sign_seed_keypair(seed)
        return cls(kid or kid_of(unit, number), unit, number, PublicKey(public), secret)

    def sign(self, message: bytes) -> bytes:
        """64 raw bytes over `message`."""
        return crypto_sign(message, self.secret)[:crypto_sign_BYTES]


def kid_of(unit: UnitCode, number: int) -> KeyId:
    """Name of a unit's first, second, … key."""
    return KeyId(f"kid-{unit}-{number}")


class NodeKeys:
    """All keys of this host's units."""

    def __init__(self, path: Path) -> None:
        self._path = path
        if not made_private(path):
            raise KeysError(f"{path} is readable by others: `chmod 600 {path}`, and consider its keys known")
        try:
            self._database = sqlite3.connect(path, isolation_level=None, timeout=60)
            self._database.execute("PRAGMA synchronous=FULL")
            self._database.execute(_TABLE)
        except sqlite3.DatabaseError as error:
            raise KeysError(f"{path}: {error}") from error

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def of(self, units: Iterable[UnitCode], registered: KeyRing) -> dict[UnitCode, NodeKey]:
        """The newest key of each unit, made where there is none that can be used.

        `registered` tells which key ids are taken: under one that holds another public key nothing can be signed.
        """
        wanted = list(dict.fromkeys(units))
        try:
            with closing(self._database.cursor()) as cursor:
                cursor.execute("BEGIN IMMEDIATE")
                try:
                    found = self._stored(cursor, wanted)
                    made = [self._make(unit, found.get(unit), registered) for unit in wanted]
                    cursor.executemany(
                        "INSERT INTO keys (kid, unit, number, seed, public) VALUES (?, ?, ?, ?, ?)",
                        [(key.kid, key.unit, key.number, seed, key.public) for key, seed in made if seed is not None],
                    )
                    cursor.execute("COMMIT")
                except BaseException:
                    if self._database.in_transaction:
                        cursor.execute("ROLLBACK")
                    raise
        except sqlite3.DatabaseError as error:
            raise KeysError(f"{self._path}: {error}; nothing was sent") from error
        return {key.unit: key for key, _ in made}

    def make_next(self, unit: UnitCode, registered: KeyRing) -> NodeKey:
        """One more key of a unit, which is its newest from now on."""
        with closing(self._database.cursor()) as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            (number,) = cursor.execute(
                "SELECT coalesce(max(number), 0) + 1 FROM keys WHERE unit = ?", (unit,)
            ).fetchone()
            while registered.key(kid_of(unit, number)) is not None:
                number += 1
            seed = Ed25519Key.generate(kid_of(unit, number)).seed
            key = NodeKey.from_seed(unit, number, seed)
            cursor.execute(
                "INSERT INTO keys (kid, unit, number, seed, public) VALUES (?, ?, ?, ?, ?)",
                (key.kid, unit, number, seed, key.public),
            )
            cursor.execute("COMMIT")
        return key

    def held(self) -> set[KeyId]:
        """Key ids whose private half is here."""
        return {KeyId(kid) for (kid,) in self._database.execute("SELECT kid FROM keys")}

    def in_force(self, kids: Iterable[KeyId]) -> set[KeyId]:
        """Those of `kids` that this host has once waited for until they were in force."""
        known = {KeyId(kid) for (kid,) in self._database.execute("SELECT kid FROM keys WHERE in_force")}
        return known & set(kids)

    def mark_in_force(self, kids: Iterable[KeyId]) -> None:
        """Note that nobody has to wait for these again."""
        self._database.execute("BEGIN IMMEDIATE")
        self._database.executemany("UPDATE keys SET in_force = 1 WHERE kid = ?", [(kid,) for kid in kids])
        self._database.execute("COMMIT")

    @staticmethod
    def _stored(cursor: sqlite3.Cursor, units: list[UnitCode]) -> Mapping[UnitCode, NodeKey]:
        found: dict[UnitCode, NodeKey] = {}
        for start in range(0, len(units), _SELECTABLE):
            some = units[start : start + _SELECTABLE]
            marks = ",".join("?" * len(some))
            query = f"SELECT unit, number, seed FROM keys WHERE unit IN ({marks}) ORDER BY number"
            for unit, number, seed in cursor.execute(query, some):
                found[UnitCode(unit)] = NodeKey.from_seed(UnitCode(unit), number, seed)
        return found

    @staticmethod
    def _make(unit: UnitCode, stored: NodeKey | None, registered: KeyRing) -> tuple[NodeKey, bytes | None]:
        """The stored key, or a new one with its seed."""
        if stored is not None:
            entry = registered.key(stored.kid)
            if entry is None or (entry.public_key == stored.public and not entry.revoked):
                return stored, None
        number = stored.number + 1 if stored else 1
        while registered.key(kid_of(unit, number)) is not None:
            number += 1
        seed = Ed25519Key.generate(kid_of(unit, number)).seed
        return NodeKey.from_seed(unit, number, seed), seed
