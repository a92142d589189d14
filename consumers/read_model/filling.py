"""A read model that is made anew answers nothing until it holds what was counted when it was begun.

Else a page would show figures that fall: after a deletion those of long ago, after a rebuild those of the first reports
that are counted again. The mark stands in the database, so that it outlives the process that fills it. The way of the
data is waited for in its order: ingest is past the end of `reports` as of the beginning, rollup is past the end of
`figures` once for each level, and what came of it is stored.

One that lost its write-ahead log is not to be trusted: it is older than what it answered, and where a checkpoint was
under way, newer in some pages than in others. The file says that it is being written, and no log lies beside it: it
answers nothing, and its next writer makes it anew.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import KafkaError

from consumers.read_model.database import open_writer
from schemas.kafka_client import client_options
from schemas.settings import Settings
from schemas.topics import FIGURES, INGEST_GROUP, REPORTS, ROLLUP_GROUP

logger = logging.getLogger("chungsuc.read_model")

LEVELS = 5
"""As many links as any tree has: from one commit of rollup to the next, totals come at least one link further up."""

_ASK_EVERY_S = 0.1
_NAME = "filling"
_WRITTEN = "written"
"""Stands in the file itself from its first writer on, and is taken away when the last one closes it."""

Offsets = Mapping[TopicPartition, int]


def begin(connection: sqlite3.Connection) -> None:
    """Mark a database that holds nothing yet."""
    connection.execute(
        "INSERT INTO identity SELECT ?, '1' WHERE NOT EXISTS (SELECT 1 FROM positions) ON CONFLICT DO NOTHING", (_NAME,)
    )


def has_log(path: Path) -> bool:
    """Whether a write-ahead log lies beside the file; asked before the file is opened, which makes an empty one."""
    log = path.with_name(f"{path.name}-wal")
    try:
        return log.stat().st_size > 0
    except FileNotFoundError:
        return False


def is_behind_itself(connection: sqlite3.Connection, *, log: bool) -> bool:
    """Whether the file had a log when somebody wrote it last, and has none now."""
    found = connection.execute("SELECT 1 FROM identity WHERE name = ?", (_WRITTEN,)).fetchone()
    return found is not None and not log


def open_for_writing(path: Path) -> sqlite3.Connection:
    """The database for writing, made where it is missing, made anew where it lost its log. Raises DatabaseRefused."""
    log = has_log(path)
    connection = open_writer(path)
    try:
        if is_behind_itself(connection, log=log):
            logger.warning("the write-ahead log of the read model is lost: it is made anew")
            connection.close()
            for end in ("", "-wal", "-shm"):
                path.with_name(path.name + end).unlink(missing_ok=True)
            connection = open_writer(path)
        begin(connection)
        connection.execute("INSERT INTO identity VALUES (?, '1') ON CONFLICT DO NOTHING", (_WRITTEN,))
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def close_after_writing(connection: sqlite3.Connection) -> None:
    """Take the mark away: SQLite itself takes the log away when nobody has the file open any more."""
    connection.execute("DELETE FROM identity WHERE name = ?", (_WRITTEN,))


def is_filling(connection: sqlite3.Connection) -> bool:
    """Whether it was begun and has not come so far."""
    return connection.execute("SELECT 1 FROM identity WHERE name = ?", (_NAME,)).fetchone() is not None


def end(connection: sqlite3.Connection) -> None:
    """Let it answer."""
    connection.execute("DELETE FROM identity WHERE name = ?", (_NAME,))


class Counted:
    """Asks the cluster how far the figures are that were begun anew. Close it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._admin: Any = KafkaAdminClient(**client_options(settings.bootstrap, "chungsuc-read-model"))
        described = self._admin.describe_topics([settings.topic(topic) for topic in (REPORTS, FIGURES)])
        self._partitions = {
            str(topic["name"]): [int(partition["partition_index"]) for partition in topic["partitions"]]
            for topic in described
        }
        self._reports = self._ends(REPORTS)
        self._figures: Offsets | None = None
        self._rounds = 0
        self._next_look = 0.0
        self._moved_at = time.monotonic()
        self._reached = -1

    def close(self) -> None:
        """Give the connection back."""
        self._admin.close()

    def done(self) -> bool:
        """Whether everything that was in `reports` at the beginning is counted at every level.

        Also where nothing moves for as long as a worker may stand still: then what there is is all that will come.
        """
        now = time.monotonic()
        if now < self._next_look:
            return False
        self._next_look = now + _ASK_EVERY_S
        if now - self._moved_at > 2 * self._settings.stalled_after_s:
            logger.warning("ingest and rollup do not move: answering with what they have counted so far")
            return True
        try:
            return self._counted()
        except KafkaError as error:
            if not error.retriable:  # a coordinator that is only loading is asked again
                raise
            return False

    def _counted(self) -> bool:
        if self._figures is None:
            if not self._past(INGEST_GROUP, self._reports):
                return False
            self._figures = self._ends(FIGURES)
        if not self._past(ROLLUP_GROUP, self._figures):
            return False
        self._rounds += 1
        before, self._figures = self._figures, self._ends(FIGURES)
        return self._rounds >= LEVELS or before == self._figures

    def _past(self, group: str, ends: Offsets) -> bool:
        name = self._settings.topic(group)
        committed = self._admin.list_group_offsets({name: None}).get(name, {})
        taken = {partition: entry.offset for partition, entry in committed.items()}
        if (reached := sum(taken.values())) != self._reached:
            self._reached, self._moved_at = reached, time.monotonic()
        return all(taken.get(partition, 0) >= at for partition, at in ends.items())

    def _ends(self, topic: str) -> Offsets:
        name = self._settings.topic(topic)
        wanted = [TopicPartition(name, partition) for partition in self._partitions[name]]
        found = self._admin.list_partition_offsets(dict.fromkeys(wanted, OffsetSpec.LATEST))
        return {partition: found[partition].offset for partition in wanted}
