"""What a verdict rests on, in one folder: the history, the whole log, a copy of the read model.

Taken once when everything has settled, so that the stack can go, and a segment that failed can be judged again: on
another machine, or by a verifier that has learnt another check.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from consumers.read_model import filling
from consumers.read_model.database import FILE_NAME
from schemas.log import Record, TopicReader
from schemas.report import Millis, Offset
from schemas.settings import Settings
from schemas.topics import ACTS, FIGURES, RECEIPTS, REJECTED, REPORTS
from tests.faults.campaign.history import FILE

LOG = "log.sqlite"
READ_MODEL = "read-model.sqlite"
_TOPICS = (ACTS, REPORTS, FIGURES, RECEIPTS, REJECTED)
_WRITTEN_AT_ONCE = 5000
_COLUMNS = "partition, offset, time, key, value, headers"


@dataclass(frozen=True, slots=True)
class About:
    """What one has to know to read a log: the operator's public key (hex), the delay of acts, partitions."""

    operator_key: str
    act_delay_ms: int
    partitions: int


class LogFile:
    """All records of all topics in one SQLite file, by topic (without prefix), partition and offset."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS record (topic TEXT, partition INTEGER, offset INTEGER, time INTEGER, key BLOB, "
            "value BLOB, headers TEXT, PRIMARY KEY (topic, partition, offset)) WITHOUT ROWID"
        )
        self._database.execute("CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value)")

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def write_about(self, about: About) -> None:
        """Keep what the log must be read with."""
        named = {name: getattr(about, name) for name in About.__slots__}
        self._database.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", named.items())

    @property
    def about(self) -> About:
        """What the log must be read with."""
        named: Mapping[str, str | int] = dict(self._database.execute("SELECT name, value FROM about"))
        return About(str(named["operator_key"]), int(named["act_delay_ms"]), int(named["partitions"]))

    def write(self, topic: str, records: Iterable[Record]) -> None:
        """Add records of a topic."""
        rows = ((topic, r.partition, r.offset, r.time, r.key, r.value, _packed(r)) for r in records)
        while batch := list(islice(rows, _WRITTEN_AT_ONCE)):
            self._database.execute("BEGIN")
            self._database.executemany("INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?)", batch)
            self._database.execute("COMMIT")

    def replace(self, record: Record) -> None:
        """Put another record in the place of one: how a test plants what a broker would never do."""
        self._database.execute(
            "DELETE FROM record WHERE topic = ? AND partition = ? AND offset = ?",
            (record.topic, record.partition, record.offset),
        )
        self.write(record.topic, [record])

    def read(self, topic: str, partition: int | None = None) -> Iterator[Record]:
        """The records of a topic, or of one partition of it, in order."""
        where = "" if partition is None else "AND partition = ?"
        found = self._database.execute(
            f"SELECT {_COLUMNS} FROM record WHERE topic = ? {where} ORDER BY partition, offset",
            (topic,) if partition is None else (topic, partition),
        )
        for row in found:
            yield _record(topic, row)

    def record(self, topic: str, partition: int, offset: int) -> Record | None:
        """One record, None where there is none."""
        found = self._database.execute(
            f"SELECT {_COLUMNS} FROM record WHERE topic = ? AND partition = ? AND offset = ?",
            (topic, partition, offset),
        ).fetchone()
        return None if found is None else _record(topic, found)


def capture(settings: Settings, folder: Path) -> None:
    """Take the log and the read model of a stack that has settled into `folder`, beside the history.

    Raises LogUnreachable or KafkaError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with closing(LogFile(folder / LOG)) as log:
        log.write_about(About(settings.operator_key, settings.act_delay_ms, settings.partitions))
        for topic in _TOPICS:
            with TopicReader(settings.bootstrap, settings.topic(topic)) as reader:
                reader.to_beginnings()
                log.write(topic, reader.to_end())
    stored = settings.data / FILE_NAME
    with (
        closing(sqlite3.connect(f"file:{stored}?mode=ro", uri=True)) as source,
        closing(sqlite3.connect(folder / READ_MODEL)) as copy,
    ):
        source.backup(copy)
        # A copy has no log, and lacks nothing.
        filling.close_after_writing(copy)
        copy.commit()


def forget(folder: Path) -> None:
    """Delete the evidence of a segment that needs no second look; the history stays."""
    for name in (LOG, READ_MODEL):
        (folder / name).unlink(missing_ok=True)


def history_of(folder: Path) -> Path:
    """Where the history of a segment lies."""
    return folder / FILE


def _packed(record: Record) -> str:
    return json.dumps([[name, (value or b"").decode("latin-1")] for name, value in record.headers])


def _record(topic: str, row: tuple[Any, ...]) -> Record:
    partition, offset, time, key, value, headers = row
    named = tuple((name, text.encode("latin-1")) for name, text in json.loads(headers))
    return Record(topic, partition, Offset(offset), Millis(time), key, value, named)
