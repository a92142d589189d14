"""Receipts into the outbox: which sends are settled, which were rejected (contract 6).

Rows change and the place in `receipts` moves on in one transaction, so no receipt is lost or counted for another send
after a crash. For a source the receipt with the lowest `figures` offset stands, so a state never falls back.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from producers.outbox import Outbox, State
from producers.outbox_file import transaction
from schemas.codec import decode_receipts
from schemas.log import Record, TopicReader
from schemas.precedence import Outcome
from schemas.receipt import Receipt
from schemas.report import Millis
from schemas.settings import Settings
from schemas.topics import RECEIPTS

_RECORDS_AT_ONCE = 200

_STATES: Mapping[Outcome, State] = {
    Outcome.ACCEPTED: State.SETTLED,
    Outcome.DUPLICATE: State.SETTLED,
    Outcome.SUPERSEDED: State.SETTLED,
    Outcome.CONFLICT: State.CONFLICT,
    Outcome.REJECTED: State.REJECTED,
}


def read_receipts(outbox: Outbox, settings: Settings, now: Millis) -> int:
    """Read `receipts` from where this outbox stopped to its end as of now; how many rows they named."""
    start = dict(outbox.database.execute('SELECT "partition", next FROM receipts_read').fetchall())
    topic = settings.topic(RECEIPTS)
    with TopicReader(settings.bootstrap, topic) as reader:
        beginnings = reader.beginnings()
        ends = reader.ends()
    # Receipts are kept for 90 days: an outbox that was away for longer goes on with what there is.
    start = {partition: max(start.get(partition, 0), first) for partition, first in beginnings.items()}
    if start == ends:
        return 0
    named = 0
    with TopicReader(settings.bootstrap, topic, start) as reader:
        batch: list[Record] = []
        for record in reader.to_end(ends):
            batch.append(record)
            if len(batch) >= _RECORDS_AT_ONCE:
                named += _settle(outbox, batch, now)
                batch.clear()
        return named + _settle(outbox, batch, now)


def settle(database: sqlite3.Connection, receipt: Receipt, now: Millis) -> int:
    """Let one receipt take effect, within the caller's transaction; how many rows it named."""
    named = _settle_source(database, receipt, now)
    if receipt.outcome is Outcome.ACCEPTED:
        named += _settle_content(database, receipt, now)
    if named and receipt.outcome is not Outcome.REJECTED:
        _learn_revision(database, receipt)
    return named


def _settle(outbox: Outbox, records: list[Record], now: Millis) -> int:
    if not records:
        return 0
    ours: dict[str, bool] = {}  # `receipts` names the units of the whole country; most hosts send for a few
    with transaction(outbox.database, outbox.path):
        named = sum(
            settle(outbox.database, receipt, now)
            for record in records
            if record.value is not None
            for receipt in decode_receipts(record.value)
            if _sends_for(outbox.database, receipt.unit, ours)
        )
        outbox.database.executemany(
            "INSERT OR REPLACE INTO receipts_read VALUES (?, ?)",
            [(record.partition, record.offset + 1) for record in records],
        )
    return named


def _sends_for(database: sqlite3.Connection, unit: str, known: dict[str, bool]) -> bool:
    """Whether this outbox holds anything of a unit."""
    if unit not in known:
        known[unit] = database.execute("SELECT 1 FROM series WHERE unit = ? LIMIT 1", (unit,)).fetchone() is not None
    return known[unit]


def _settle_source(database: sqlite3.Connection, receipt: Receipt, now: Millis) -> int:
    """The row that the broker put exactly there. A duplicate was won by the accepted row of the same content."""
    source = receipt.source
    said = "; ".join(part for part in (receipt.reason, receipt.field, receipt.detail) if part)
    named = database.execute(
        """UPDATE sends SET state = ?1, outcome = ?2, detail = ?3, figures_offset = ?4, settled_at = ?5
           WHERE "partition" = ?6 AND "offset" = ?7 AND state != 'waiting' AND coalesce(figures_offset, ?4) >= ?4""",
        (_STATES[receipt.outcome].value, receipt.outcome.value, said, receipt.figures_offset, now, source.partition,
         source.offset),
    ).rowcount  # fmt: skip
    if receipt.outcome is Outcome.DUPLICATE:
        database.execute(
            """UPDATE sends SET (won_partition, won_offset) = (
                 SELECT o.won_partition, o.won_offset FROM sends o WHERE o.series = sends.series
                 AND o.revision = sends.revision AND o.digest = sends.digest AND o.won_offset IS NOT NULL LIMIT 1)
               WHERE "partition" = ? AND "offset" = ? AND won_offset IS NULL""",
            (source.partition, source.offset),
        )
    return named


def _settle_content(database: sqlite3.Connection, receipt: Receipt, now: Millis) -> int:
    """Every row of the accepted content learns who won.

    Besides the row at that source these are repeats of it, and a row whose acknowledgement was lost: if the broker told
    no offset it is settled now, and if the process died before it could mark the row, when that is marked.
    """
    source = receipt.source
    database.execute(
        """UPDATE sends SET won_partition = ?, won_offset = ? WHERE series IN (
             SELECT id FROM series WHERE unit = ? AND form = ? AND period = ? AND line = ? AND entered_by = ?)
           AND revision = ? AND digest = ? AND won_offset IS NULL""",
        (source.partition, source.offset, receipt.unit, receipt.form, receipt.period, receipt.line, receipt.entered_by,
         receipt.revision, receipt.digest),
    )  # fmt: skip
    return database.execute(
        """UPDATE sends SET state = 'settled', outcome = 'accepted', "partition" = ?1, "offset" = ?2, settled_at = ?3,
             figures_offset = ?4
           WHERE won_partition = ?1 AND won_offset = ?2 AND state = 'sent' AND "offset" IS NULL""",
        (source.partition, source.offset, now, receipt.figures_offset),
    ).rowcount


def _learn_revision(database: sqlite3.Connection, receipt: Receipt) -> None:
    """Somebody else holds a revision as high as ours, or higher: new content must go above it.

    The digest is forgotten with it, so that the content which lost a conflict gets a revision of its own next time.
    """
    lost = receipt.outcome is Outcome.CONFLICT and receipt.highest_revision == receipt.revision
    if receipt.highest_revision <= receipt.revision and not lost:
        return
    database.execute(
        """UPDATE series SET revision = ?1, digest = x'' WHERE id IN (
             SELECT series FROM sends WHERE "partition" = ?2 AND "offset" = ?3)
           AND (revision < ?1 OR (revision = ?1 AND ?4))""",
        (receipt.highest_revision, receipt.source.partition, receipt.source.offset, lost),
    )
