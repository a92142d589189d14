"""From what a workbook says to sends, judged beforehand by the same admission that ingest asks.

Revision, sequence and signature are given when it is sent; no rule of content asks for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from producers.send import Send
from producers.sheets.flaw import Flaw, Wrong
from producers.sheets.reading import PageRead, Reading, SheetReport, State
from schemas.admission import Admission, Received, iso_time
from schemas.catalogue import Catalogue
from schemas.codec import encode_report
from schemas.register import KeyEntry, PrincipalEntry
from schemas.rejection import Rejection
from schemas.report import REPORT_TYPE, KeyId, Millis, Offset, Revision, Source
from schemas.sentences import sentence_en, sentence_vi
from schemas.signature import PublicKey, sign
from schemas.topics import partition_of
from schemas.unit import UBND, LineName, UnitCode

_PARTITIONS = 1


@dataclass(frozen=True, slots=True)
class Sender:
    """For whom and as whom the reports of a workbook are sent. `entered_by`: the superior that enters for the unit."""

    unit: UnitCode
    issued_at: Millis
    line: LineName = UBND
    entered_by: UnitCode | None = None

    def send(self, report: SheetReport) -> Send:
        """One report to be sent."""
        return Send(
            report.form, self.unit, report.period, report.kind, self.issued_at, report.rows, self.entered_by,
            self.line, narrative=dict(report.narrative) or None, where=f"sheet {report.page}",
        )  # fmt: skip


def judged(reading: Reading, sender: Sender, catalogue: Catalogue) -> Reading:
    """The reading with a flaw on each page that admission would reject."""
    refused = {report.page: _rejection(sender.send(report), catalogue) for report in reading.reports()}
    return replace(reading, pages=tuple(_with(page, refused.get(page.page)) for page in reading.pages))


def sends(reading: Reading, sender: Sender) -> Sequence[Send]:
    """What is sent of a reading: its whole reports."""
    return [sender.send(report) for report in reading.reports()]


def _with(page: PageRead, rejection: Rejection | None) -> PageRead:
    if rejection is None:
        return page
    words = sentence_vi(rejection), sentence_en(rejection)
    flaw = Flaw(page.page, 0, 0, "", Wrong.NOT_TAKEN, words)
    return replace(page, state=State.FLAWED, flaws=(*page.flaws, flaw))


class _Itself:
    """Authorities for what the unit is going to sign itself; and the signer, whose signature nobody looks at."""

    kid = KeyId("kid-of-the-unit")

    def __init__(self, sender: UnitCode) -> None:
        self._entry = KeyEntry(self.kid, sender, PublicKey(b""), Millis(-1))

    def key(self, kid: object) -> KeyEntry:
        """The unit's own."""
        return self._entry

    def principal(self, name: str) -> PrincipalEntry | None:
        """Nobody's account speaks."""
        return None

    def sign(self, message: bytes) -> bytes:
        """64 bytes."""
        return bytes(64)


def _rejection(send: Send, catalogue: Catalogue) -> Rejection | None:
    report, itself = send.report(Revision(1), 1), _Itself(send.sender)
    record = sign(
        itself, key=send.unit.encode(), value=encode_report(send.form, report), event_type=REPORT_TYPE,
        event_id=report.event_id, time=iso_time(send.issued_at),
    )  # fmt: skip
    source = Source(partition_of(record.key or b"", _PARTITIONS), Offset(0))
    received = Received(record.key, record.value, record.headers, source, send.issued_at, _PARTITIONS)
    decided = Admission(catalogue, itself, check_signatures=False).decide(received)
    return decided if isinstance(decided, Rejection) else None
