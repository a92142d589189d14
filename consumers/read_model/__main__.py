"""`python -m consumers.read_model`: the writer as a process.

One thread does everything in turn: poll, one transaction, metrics. SIGTERM ends it between two transactions. What it
can't mend by starting again (another log, a figure that is none) ends it with REFUSED: its supervisor leaves it then.
"""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import sys
import time
from contextlib import closing, suppress
from types import FrameType

from kafka.errors import KafkaError
from prometheus_client import Counter, Gauge, Histogram

from consumers.read_model import filling
from consumers.read_model.database import FILE_NAME, DatabaseGone, DatabaseRefused, OpenFile, is_damage
from consumers.read_model.store import Applied
from consumers.read_model.writer import Writer
from schemas.catalogue import Catalogue
from schemas.codec import NotDecodable
from schemas.exit import Exit
from schemas.log import LogUnreachable
from schemas.metrics import READY, serve_metrics
from schemas.period import parse_period
from schemas.settings import Settings, SettingsError, load_settings
from schemas.unit import UnitCode

logger = logging.getLogger("chungsuc.read_model")

APPLIED = Counter("chungsuc_read_model_applied_records_total", "Records stored, by topic.", ["topic"])
BATCH_RECORDS = Histogram("chungsuc_read_model_batch_records", "Records in one transaction.",
                          buckets=(1, 10, 50, 100, 500, 1000, 2000, 5000, 10000))  # fmt: skip
BATCH_SECONDS = Histogram("chungsuc_read_model_batch_seconds", "From the first statement to the end of the commit.",
                          buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10))  # fmt: skip
STORED = Gauge("chungsuc_read_model_next_offset", "First offset not yet stored.", ["topic", "partition"])
END_TO_END = Histogram(
    "chungsuc_end_to_end_seconds",
    "From the acceptance of a total's newest contribution to its commit in the read model, by level of its unit.",
    ["level"], buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300),
)  # fmt: skip


class _Ready:
    """Says that the writer is ready: once everything is stored that was there at its start.

    A database that is made anew is so only when that was counted anew too, and answers from then on.
    """

    def __init__(self, settings: Settings, writer: Writer, connection: sqlite3.Connection) -> None:
        self.is_ready = False
        self._writer = writer
        self._connection = connection
        self._counted = filling.Counted(settings) if filling.is_filling(connection) else None
        self._ends = writer.ends()

    def close(self) -> None:
        """Give the connection back."""
        if self._counted is not None:
            self._counted.close()
            self._counted = None

    def look(self) -> None:
        """Look whether it is."""
        if self.is_ready or not self._writer.caught_up(self._ends):
            return
        if self._counted is not None:
            if self._counted.done():
                self.close()
                self._ends = self._writer.ends()
            return
        filling.end(self._connection)
        self.is_ready = True
        READY.set(1)
        logger.info("ready: everything stored that was there at the start")


class Process:
    """The writer, its metrics, and the wish to stop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stopping = False
        self._catalogue: Catalogue | None = None

    def stop(self, number: int, frame: FrameType | None) -> None:
        """Asked by SIGTERM or Ctrl-C: finish the transaction in hand, then end."""
        self._stopping = True

    def run(self) -> None:
        """Store until asked to stop. Raises DatabaseRefused, NotDecodable, LogUnreachable, KafkaError."""
        path = self._settings.data / FILE_NAME
        connection = filling.open_for_writing(path)
        try:
            writer = Writer(self._settings, connection)
            try:
                with closing(_Ready(self._settings, writer, connection)) as ready:
                    self._store(writer, OpenFile(path), ready)
            except sqlite3.DatabaseError as error:
                if is_damage(error):
                    raise DatabaseRefused(f"{path} is damaged ({error}): run `chungsuc rebuild`") from error
                raise
            except DatabaseGone as gone:
                # Not closed: SQLite would delete by its name what by now may be the new file's write-ahead log.
                logger.error("%s", gone)
                logging.shutdown()
                os._exit(Exit.FAILED)
            finally:
                writer.close()
        finally:
            # A full disk, a damaged file: what is not closed well is made anew by the next.
            with suppress(sqlite3.DatabaseError):
                filling.close_after_writing(connection)
            connection.close()

    def _store(self, writer: Writer, file: OpenFile, ready: _Ready) -> None:
        self._recall_catalogue(writer)
        while not self._stopping:
            applied = writer.step()
            file.check()
            if applied.records:
                self._observe(writer, applied, ready=ready.is_ready)
            ready.look()

    def _recall_catalogue(self, writer: Writer) -> None:
        self._catalogue = writer.store.catalogue()
        for (topic, partition), position in writer.store.positions().items():
            STORED.labels(topic, str(partition)).set(position.next)

    def _observe(self, writer: Writer, applied: Applied, *, ready: bool) -> None:
        now = time.time()
        for topic, count in applied.records.items():
            APPLIED.labels(topic).inc(count)
        BATCH_RECORDS.observe(sum(applied.records.values()))
        BATCH_SECONDS.observe(applied.seconds)
        for (topic, partition), following in applied.stored.items():
            STORED.labels(topic, str(partition)).set(following)
        if applied.released:
            self._catalogue = writer.store.catalogue()
        if ready:  # what lay in the log before the start says nothing about how fast figures travel
            for total in applied.fresh:
                END_TO_END.labels(self._level(total.unit, total.period)).observe(
                    max(0.0, now - total.newest_accepted / 1000)
                )

    def _level(self, unit: str, period: str) -> str:
        found = self._catalogue and self._catalogue.units.unit(UnitCode(unit), parse_period(period).last_day)
        return found.level if found else "unknown"


def main() -> int:
    """Run until SIGTERM. Returns the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("kafka").setLevel(logging.WARNING)
    try:
        settings = load_settings()
        process = Process(settings)
        for wanted in (signal.SIGTERM, signal.SIGINT):
            signal.signal(wanted, process.stop)
        serve_metrics(settings.metrics_port)
        process.run()
    except (DatabaseRefused, NotDecodable, SettingsError) as error:
        logger.error("stopped for good: %s", error)
        return Exit.REFUSED
    except (LogUnreachable, KafkaError) as error:
        logger.error("the log can't be reached: %s", error)
        return Exit.UNREACHABLE
    except Exception:
        logger.exception("a bug")
        return Exit.BUG
    return Exit.FINE


if __name__ == "__main__":
    sys.exit(main())
