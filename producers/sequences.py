"""Sequences: what each key has signed, counted from 1 without a gap, so that a lost report and a doubled node are seen.

A gap: numbers that no record of `reports` bears though higher ones do, so something signed never arrived. A fork: one
number on two contents, so two hosts sign under one key, or a node was set back to an old copy of itself. Both are
findings: they refuse nothing. Only records whose signature holds count, since anybody may write garbage. What was read
is kept in a file, so that looking again costs only what is new; the file may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from producers.errors import OutboxError
from schemas.admission import KeyRing
from schemas.catalogue import Catalogue
from schemas.codec import NotDecodable, decode_report, fingerprint_in
from schemas.log import Record, TopicReader
from schemas.report import REPORT_TYPE
from schemas.signature import SIGNED_HEADERS, PublicKey, signed_message, verifies

FILE = "sequences.sqlite"
_RECORDS_AT_ONCE = 5000
_TABLES = """
CREATE TABLE IF NOT EXISTS read_to ("partition" INTEGER PRIMARY KEY, next INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS signed (
  kid TEXT NOT NULL, sequence INTEGER NOT NULL, digest BLOB NOT NULL, "partition" INTEGER NOT NULL,
  "offset" INTEGER NOT NULL, PRIMARY KEY (kid, sequence, digest)
) STRICT, WITHOUT ROWID
"""
_GAPS = """SELECT before + 1, sequence - 1 FROM (
  SELECT sequence, lag(sequence, 1, 0) OVER (ORDER BY sequence) AS before
  FROM (SELECT DISTINCT sequence FROM signed WHERE kid = ?)
) WHERE sequence > before + 1 ORDER BY before"""
_FORKS = """SELECT sequence, group_concat("partition" || ':' || "offset", ' ') FROM signed WHERE kid = ?
GROUP BY sequence HAVING count(*) > 1 ORDER BY sequence"""


@dataclass(frozen=True, slots=True)
class Signed:
    """What a key has signed. `gaps`: first and last missing number; `forks`: number and the places of its contents."""

    kid: str
    highest: int
    reports: int
    gaps: Sequence[tuple[int, int]]
    forks: Sequence[tuple[int, str]]


@dataclass(frozen=True, slots=True)
class Followed:
    """How many records were read, and the keys that signed them."""

    records: int
    kids: set[str]


class Sequences:
    """The sequences of all keys, as far as they were read."""

    def __init__(self, path: Path) -> None:
        try:
            self._database = sqlite3.connect(path, isolation_level=None, timeout=60)
            self._database.execute("PRAGMA journal_mode=WAL")
            for statement in _TABLES.split(";"):
                self._database.execute(statement)
        except sqlite3.DatabaseError as error:
            raise OutboxError(f"{path} can't be used ({error}): delete it, it is made anew from the log") from error

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def positions(self) -> dict[int, int]:
        """Offset of the next record of `reports` to be read, by partition; those that were never read are left out."""
        return dict(self._database.execute('SELECT "partition", next FROM read_to').fetchall())

    def follow(self, reader: TopicReader, catalogue: Catalogue, keys: KeyRing, most: int | None = None) -> Followed:
        """Read on from where `reader` stands to the end of `reports` as of now, or `most` records of each partition.

        `reader` was begun at `positions`. Raises LogUnreachable.
        """
        ends, count, kids = reader.ends(), 0, set[str]()
        if most is not None:
            ends = {partition: min(ends[partition], at + most) for partition, at in reader.positions().items()}
        batch: list[Record] = []
        for record in reader.to_end(ends):
            batch.append(record)
            count += 1
            if len(batch) >= _RECORDS_AT_ONCE:
                kids |= self.take(batch, catalogue, keys)
                batch.clear()
        return Followed(count, kids | self.take(batch, catalogue, keys))

    def take(self, records: Iterable[Record], catalogue: Catalogue, keys: KeyRing) -> set[str]:
        """Fold records, each partition's in order; the same records again change nothing. The keys that signed them."""
        kids: set[str] = set()
        self._database.execute("BEGIN IMMEDIATE")
        try:
            for record in records:
                if (found := signed_sequence(record, catalogue, keys)) is not None:
                    kids.add(found[0])
                    self._database.execute(
                        "INSERT OR IGNORE INTO signed VALUES (?, ?, ?, ?, ?)",
                        (*found, record.partition, record.offset),
                    )
                self._database.execute(
                    "INSERT OR REPLACE INTO read_to VALUES (?, ?)", (record.partition, record.offset + 1)
                )
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")
        return kids

    def kids(self) -> list[str]:
        """Every key that has signed anything, as far as it was read."""
        return [kid for (kid,) in self._database.execute("SELECT DISTINCT kid FROM signed")]

    def of(self, kid: str) -> Signed:
        """What a key has signed, as far as it was read."""
        (highest, reports) = self._database.execute(
            "SELECT coalesce(max(sequence), 0), count(*) FROM signed WHERE kid = ?", (kid,)
        ).fetchone()
        gaps = [(first, last) for first, last in self._database.execute(_GAPS, (kid,))]
        forks = [(sequence, places) for sequence, places in self._database.execute(_FORKS, (kid,))]
        return Signed(kid, highest, reports, gaps, forks)


def last_looked_at(path: Path, kids: Iterable[str]) -> dict[str, Signed]:
    """What keys had signed when somebody looked last, empty where nobody did."""
    if not path.exists():
        return {}
    with closing(Sequences(path)) as sequences:
        return {kid: sequences.of(kid) for kid in kids}


def signed_sequence(record: Record, catalogue: Catalogue, keys: KeyRing) -> tuple[str, int, bytes] | None:
    """Key, number and digest of a report whose signature holds; None for anything else."""
    named = dict(record.headers)
    entry = keys.key(named.get("kid", b"").decode("utf-8", "replace"))
    if entry is None or record.value is None or not _signed(record, record.value, named, entry.public_key):
        return None
    try:
        form = catalogue.form(fingerprint_in(record.value))
        if form is None:
            return None
        report = decode_report(form, record.value)
    except NotDecodable:
        return None
    return entry.kid, report.header.sequence, hashlib.sha256(record.value).digest()


def _signed(record: Record, value: bytes, named: Mapping[str, bytes], public_key: bytes) -> bool:
    if named.get("ce_type") != REPORT_TYPE.encode() or any(name not in named for name in (*SIGNED_HEADERS, "sig")):
        return False
    message = signed_message(record.key, value, [named[name] for name in SIGNED_HEADERS])
    return verifies(PublicKey(public_key), named["sig"], message)
