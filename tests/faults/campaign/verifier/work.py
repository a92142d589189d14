"""The verifier's working database: history and log side by side, so that memory stays bounded however long a segment.

Half a million reports are a few hundred megabytes on disk and some tens in memory: what is compared is read in the
order in which it is needed, page by page or partition by partition, and let go.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from datetime import date
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from schemas.catalogue import Catalogue
from schemas.form import Form, FormId, Measure
from schemas.period import parse_period
from schemas.topics import partition_of
from schemas.unit import LineName, UnitCode
from tests.faults.campaign.history import Acked, Ended, Event, Outage, Seen, SeenReceipt, Sent
from tests.faults.campaign.verifier.anomaly import Verdict

_AT_ONCE = 2000
_SCHEMA = """
CREATE TABLE sent (send INTEGER PRIMARY KEY, event TEXT, digest TEXT, form TEXT, form_version INTEGER, page TEXT,
    unit TEXT, entered_by TEXT, kind TEXT, revision INTEGER, rows TEXT, refused TEXT);
CREATE TABLE acked (send INTEGER, partition INTEGER, offset INTEGER);
CREATE TABLE seen (id INTEGER PRIMARY KEY, observer TEXT, moment INTEGER, page TEXT, unit TEXT, home INTEGER,
    epoch INTEGER, version INTEGER, reported INTEGER, measures TEXT, rows TEXT);
CREATE TABLE seen_receipt (id INTEGER PRIMARY KEY, observer TEXT, partition INTEGER, offset INTEGER, outcome TEXT,
    counted INTEGER);
CREATE TABLE ended (observer TEXT, moment INTEGER);
CREATE TABLE report (partition INTEGER, offset INTEGER, fate TEXT, reasons TEXT, event TEXT, digest TEXT, page TEXT,
    unit TEXT, entered_by TEXT, kind TEXT, revision INTEGER, accepted_at INTEGER, tbl TEXT, outcome TEXT,
    PRIMARY KEY (partition, offset)) WITHOUT ROWID;
CREATE TABLE contribution (partition INTEGER, offset INTEGER, at_partition INTEGER, at_offset INTEGER, content BLOB);
CREATE TABLE total (id INTEGER PRIMARY KEY, page TEXT, unit TEXT, home INTEGER, epoch INTEGER, version INTEGER,
    at_partition INTEGER, at_offset INTEGER);
CREATE TABLE receipt (partition INTEGER, offset INTEGER, figures_offset INTEGER, outcome TEXT, reason TEXT,
    revision INTEGER, digest TEXT, page TEXT, unit TEXT, entered_by TEXT);
CREATE TABLE rejection (partition INTEGER, offset INTEGER, reason TEXT, intact INTEGER);
CREATE TABLE model (page TEXT, unit TEXT, own INTEGER, reported INTEGER, version TEXT, measures TEXT, rows TEXT);
"""
_INDEXES = """
CREATE INDEX sent_identity ON sent (event, digest);
CREATE INDEX sent_page ON sent (page);
CREATE INDEX acked_send ON acked (send);
CREATE INDEX seen_version ON seen (home, version);
CREATE INDEX report_identity ON report (event, digest);
CREATE INDEX report_page ON report (page, unit, entered_by, partition, offset);
CREATE INDEX contribution_source ON contribution (partition, offset);
CREATE INDEX total_version ON total (home, version);
CREATE INDEX total_page ON total (page, unit, epoch, version);
CREATE INDEX receipt_source ON receipt (partition, offset);
CREATE INDEX rejection_source ON rejection (partition, offset);
CREATE INDEX model_page ON model (page);
"""


class Page(NamedTuple):
    """What one total is of: the contract's page."""

    form: str
    line: str
    scope: str
    period: str

    @property
    def text(self) -> str:
        """As one column."""
        return "\t".join(self)

    @classmethod
    def of(cls, text: str) -> Page:
        """Inverse of `text`."""
        return cls(*text.split("\t"))

    @property
    def last_day(self) -> date:
        """The day whose tree counts."""
        return parse_period(self.period).last_day

    def __str__(self) -> str:
        scope = "" if self.scope == "own" else f" {self.scope}"
        return f"{self.form} {self.period} {self.line}{scope}"


class Tree:
    """Units and forms of the newest catalogue, as the verifier asks for them."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.superior = lru_cache(200_000)(self._superior)
        self.has_children = lru_cache(200_000)(self._has_children)
        self.form = lru_cache(20_000)(self._form)
        self.columns = lru_cache(1000)(self._columns)

    def receiver(self, unit: str, page: Page) -> str:
        """Who a unit's own report goes to: its superior, or itself where units are below it or nobody is above."""
        above = self.superior(unit, page.line, page.last_day)
        if page.scope != "own" or above is None or self.has_children(unit, page.line, page.last_day):
            return unit
        return above

    def above(self, unit: str, page: Page) -> list[str]:
        """Everybody who counts a unit's own report, lowest first."""
        found: list[str] = []
        here: str | None = self.receiver(unit, page)
        while here is not None:
            found.append(here)
            here = self.superior(here, page.line, page.last_day)
        return found

    def _superior(self, unit: str, line: str, day: date) -> str | None:
        return self.catalogue.units.superior(UnitCode(unit), day, LineName(line))

    def _has_children(self, unit: str, line: str, day: date) -> bool:
        return self.catalogue.units.has_children(UnitCode(unit), day, LineName(line))

    def _form(self, form: str, day: date) -> Form:
        found = self.catalogue.form_in_force(FormId(form), day)
        if found is None:
            raise LookupError(f"form {form} is not in force on {day}, and something was counted in it")
        return found

    def _columns(self, form: str, names: str) -> tuple[Measure, ...]:
        """The measures of these names (with a space between), each as the newest version that has it says."""
        versions = sorted((f for f in self.catalogue.forms if f.id == form), key=lambda f: (f.valid_from, f.version))
        known = {measure.name: measure for version in versions for measure in version.measures}
        return tuple(known[name] for name in names.split())


class Work:
    """One database for one verification."""

    def __init__(self, path: Path, partitions: int) -> None:
        path.unlink(missing_ok=True)
        self.database = sqlite3.connect(path, isolation_level=None)
        self.database.execute("PRAGMA journal_mode = OFF")
        self.database.execute("PRAGMA synchronous = OFF")
        self.database.execute("PRAGMA temp_store = FILE")
        self.database.executescript(_SCHEMA)
        self.partitions = partitions
        self.has_stored = False
        """Whether there is a read model to compare."""
        self._path = path

    def close(self) -> None:
        """Delete it."""
        self.database.close()
        self._path.unlink(missing_ok=True)

    def index(self) -> None:
        """Call it when everything is read."""
        self.database.executescript(_INDEXES)

    def rows(self, query: str, *values: object) -> Iterator[tuple[Any, ...]]:
        """The rows of a query, read as they are needed."""
        return self.database.execute(query, values)

    def number(self, query: str, *values: object) -> int:
        """The one number that a query gives, 0 where it gives none."""
        found = self.database.execute(query, values).fetchone()
        return int(found[0] or 0) if found else 0

    def insert(self, table: str, rows: Iterable[tuple[object, ...]]) -> None:
        """Add rows, a bounded number at once."""
        more = iter(rows)
        while batch := list(islice(more, _AT_ONCE)):
            marks = ", ".join("?" * len(batch[0]))
            self.database.execute("BEGIN")
            self.database.executemany(f"INSERT INTO {table} VALUES ({marks})", batch)
            self.database.execute("COMMIT")

    def note_outcomes(self, outcomes: Iterable[tuple[str, int, int]]) -> None:
        """What reports become: outcome, partition, offset."""
        self.database.execute("BEGIN")
        self.database.executemany("UPDATE report SET outcome = ? WHERE partition = ? AND offset = ?", outcomes)
        self.database.execute("COMMIT")

    def home(self, unit: str) -> int:
        """The partition of `figures` in which all contributions to a unit meet."""
        return partition_of(unit.encode(), self.partitions)

    def read_history(self, events: Iterable[Event], verdict: Verdict) -> None:
        """All of the history."""
        more = iter(events)
        while batch := list(islice(more, _AT_ONCE)):
            self.insert("sent", (_sent(event) for event in batch if isinstance(event, Sent)))
            self.insert("acked", ((e.send, e.partition, e.offset) for e in batch if isinstance(e, Acked)))
            self.insert("seen", (self._seen(event) for event in batch if isinstance(event, Seen)))
            self.insert("seen_receipt", (_told(event) for event in batch if isinstance(event, SeenReceipt)))
            self.insert("ended", ((e.observer, e.moment) for e in batch if isinstance(e, Ended)))
            for outage in batch:
                if isinstance(outage, Outage):
                    verdict.outages += 1
                    verdict.outage_ms += max(0, outage.ended - outage.moment)

    def _seen(self, event: Seen) -> tuple[object, ...]:
        page = Page(event.form, event.line, "own", event.period)
        rows = json.dumps(event.rows, ensure_ascii=False)
        return (None, event.observer, event.moment, page.text, event.unit, self.home(event.unit), event.epoch,
                event.version, event.reported, " ".join(event.measures), rows)  # fmt: skip


def _sent(event: Sent) -> tuple[object, ...]:
    page = Page(event.form, event.line, event.scope, event.period)
    return (event.send, event.event, event.digest, event.form, event.form_version, page.text, event.unit,
            event.entered_by, event.kind, event.revision, json.dumps(event.rows, ensure_ascii=False),
            event.refused)  # fmt: skip


def _told(event: SeenReceipt) -> tuple[object, ...]:
    return (None, event.observer, event.partition, event.offset, event.outcome, event.counted)
