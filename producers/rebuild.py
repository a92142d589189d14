"""A lost outbox rebuilt from the units' own records in `reports`: revisions, issue times, digests, sequences.

Before its first report of a series a node must know the highest revision it ever sent (design decision 18). What is in
`reports` under its signature is that, so the first use of a unit that this outbox does not know reads the partitions in
which the unit may have written, once for all such units. Only signed records count: anybody may write garbage.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from producers.outbox import Outbox
from producers.outbox_file import transaction
from producers.send import Send
from schemas.admission import KeyRing
from schemas.catalogue import Catalogue
from schemas.codec import NotDecodable, decode_report, fingerprint_in
from schemas.log import Record, TopicReader
from schemas.report import REPORT_TYPE, Report
from schemas.settings import Settings
from schemas.signature import SIGNED_HEADERS, PublicKey, signed_message, verifies
from schemas.topics import REPORTS, partition_of
from schemas.unit import UnitCode, Units

_ROWS_AT_ONCE = 5000

Place = tuple[UnitCode, int]
"""A unit and a partition of `reports` in which it may have written."""


@dataclass(frozen=True, slots=True)
class Found:
    """One of a unit's own records in `reports`."""

    report: Report
    digest: bytes
    kid: str
    record: Record


def places_of(sends: Iterable[Send], units: Units, partitions: int) -> set[Place]:
    """Where the senders may have written: their own partition, those of the units sent for and of the units below."""
    places: set[Place] = set()
    senders: set[UnitCode] = set()
    for send in sends:
        places.add((send.sender, partition_of(send.unit.encode(), partitions)))
        senders.add(send.sender)
    for sender in senders:
        below = (entry.code for line in units.lines for entry in units.children_of(line, sender))
        places.update((sender, partition_of(code.encode(), partitions)) for code in (sender, *below))
    return places


def rebuild(outbox: Outbox, settings: Settings, places: Iterable[Place], catalogue: Catalogue, keys: KeyRing) -> int:
    """Make the outbox know all that these units sent from these partitions; how many of their sends were found.

    Nothing to do, and no connection, for places that it knows. Raises OutboxError and LogUnreachable.
    """
    known = {(UnitCode(unit), int(p)) for unit, p in outbox.database.execute('SELECT unit, "partition" FROM scanned')}
    unknown = set(places) - known
    if not unknown:
        return 0
    partitions = sorted({partition for _, partition in unknown})
    count = 0
    with TopicReader(settings.bootstrap, settings.topic(REPORTS), partitions=partitions) as reader:
        ends = reader.ends()
        found: list[Found] = []
        for one in own_records(reader.to_end(ends), unknown, catalogue, keys):
            found.append(one)
            if len(found) >= _ROWS_AT_ONCE:
                count += _keep(outbox, found)
                found.clear()
        count += _keep(outbox, found)
    with transaction(outbox.database, outbox.path):
        outbox.database.executemany(
            "INSERT OR REPLACE INTO scanned VALUES (?, ?, ?)",
            [(unit, partition, ends[partition]) for unit, partition in sorted(unknown)],
        )
        if count:
            # What was found has its receipts further back than where this outbox reads on.
            outbox.database.execute("DELETE FROM receipts_read")
    return count


def recall(outbox: Outbox, settings: Settings, places: Iterable[Place], catalogue: Catalogue, keys: KeyRing) -> int:
    """Learn what these units sent after the newest send that the outbox remembers; how many of these were found.

    Nothing, unless the file is older than its own past: put back from a backup, or without the end that a crash took.
    Such an outbox would give a revision to a second content, and the newer one would lose the conflict.
    """
    known = dict(
        outbox.database.execute(
            """SELECT r."partition", coalesce(
                 (SELECT max("offset") + 1 FROM sends s WHERE s."partition" = r."partition"), min(r.up_to))
               FROM scanned r GROUP BY r."partition" """
        ).fetchall()
    )
    within = set(places)
    start = {partition: known[partition] for _, partition in within if partition in known}
    if not start:
        return 0
    with TopicReader(settings.bootstrap, settings.topic(REPORTS), start, sorted(start)) as reader:
        found = [*own_records(reader.to_end(), within, catalogue, keys)]
    count = _keep(outbox, found)
    if count:
        with transaction(outbox.database, outbox.path):
            outbox.database.execute("DELETE FROM receipts_read")
    return count


def own_records(records: Iterable[Record], places: set[Place], catalogue: Catalogue, keys: KeyRing) -> Iterator[Found]:
    """Those records that a unit signed with a key of its own, in one of its places."""
    for record in records:
        named = dict(record.headers)
        kid = named.get("kid", b"").decode("utf-8", "replace")
        entry = keys.key(kid)
        if entry is None or record.value is None or (entry.unit, record.partition) not in places:
            continue
        if named.get("ce_type") != REPORT_TYPE.encode() or not _signed(record, named, entry.public_key):
            continue
        found = _decoded(record.value, catalogue)
        if found is not None and (found[0].header.entered_by or found[0].header.unit) == entry.unit:
            yield Found(found[0], found[1], kid, record)


def _signed(record: Record, named: Mapping[str, bytes], public_key: PublicKey) -> bool:
    if record.value is None or any(name not in named for name in (*SIGNED_HEADERS, "sig")):
        return False
    message = signed_message(record.key, record.value, [named[name] for name in SIGNED_HEADERS])
    return verifies(public_key, named["sig"], message)


def _decoded(value: bytes, catalogue: Catalogue) -> tuple[Report, bytes] | None:
    try:
        form = catalogue.form(fingerprint_in(value))
        if form is None:
            return None
        report = decode_report(form, value)
    except NotDecodable:
        return None
    return report, report.digest([dimension.name for dimension in form.dimensions])


def _keep(outbox: Outbox, found: list[Found]) -> int:
    """Write rows without bytes: they are in the log already, so they are never sent again."""
    count = 0
    database = outbox.database
    with transaction(database, outbox.path):
        for one in found:
            h, series = one.report.header, one.report.series
            identity = (series.unit, series.form, series.period, series.line, series.scope.value,
                        series.entered_by or "")  # fmt: skip
            # A record sent twice has two sources; the first in the log is the one that counts.
            (series_id,) = database.execute(
                """INSERT INTO series VALUES (NULL, ?, ?, ?, ?, ?, ?, ?7, ?8, ?9)
                   ON CONFLICT (unit, form, period, line, scope, entered_by) DO UPDATE SET
                     issued_at = max(issued_at, ?7),
                     digest = CASE WHEN revision < ?8 THEN ?9 ELSE digest END,
                     revision = max(revision, ?8)
                   RETURNING id""",
                (*identity, h.issued_at, h.revision, one.digest),
            ).fetchone()
            count += database.execute(
                """INSERT OR IGNORE INTO sends (series, issued_at, revision, kid, sequence, digest, state, "partition",
                     "offset", sent_at) VALUES (?, ?, ?, ?, ?, ?, 'sent', ?, ?, ?)""",
                (series_id, h.issued_at, h.revision, one.kid, h.sequence, one.digest, one.record.partition,
                 one.record.offset, one.record.time),
            ).rowcount  # fmt: skip
            database.execute(
                """INSERT INTO sequences VALUES (?, ?)
                   ON CONFLICT (kid) DO UPDATE SET sequence = max(sequence, excluded.sequence)""",
                (one.kid, h.sequence),
            )
    return count
