"""An outbox that tells the history what it was given and what the broker acknowledged.

The order makes the history complete: a send is in it before anything of its batch is published (`deliver` publishes
after the put), whatever kills the process; after a restart the same sends are put again and noted then.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from producers.keys import NodeKey
from producers.outbox import Outbox
from producers.outbox_batch import Known, Put
from producers.send import Send
from schemas.report import Millis, Revision, Source
from schemas.unit import UnitCode
from tests.faults.campaign.history import Acked, History, Sent, read_history

_SENDS_PER_NODE = 10**9
_true_ns = time.time_ns
"""Of the machine, also where a fault turns this process's clock."""


def true_ms() -> Millis:
    """The moment by the machine's clock."""
    return Millis(_true_ns() // 1_000_000)


def mend(path: Path) -> None:
    """Take off a last line that was cut off when its writer was killed."""
    if path.exists():
        content = path.read_bytes()
        if not content.endswith(b"\n"):
            path.write_bytes(content[: content.rfind(b"\n") + 1])


class Journal:
    """What one node tells the history. `number` is the node's own: its sends are numbered from there."""

    def __init__(self, path: Path, number: int) -> None:
        mend(path)
        self._sends: dict[tuple[str, str], int] = {}
        self._next = number * _SENDS_PER_NODE + 1
        if path.exists():
            for event in read_history(path):
                if isinstance(event, Sent):
                    self._sends[event.event, event.digest] = event.send
                    self._next = max(self._next, event.send + 1)
        self._history = History(path)

    def close(self) -> None:
        """Close the file."""
        self._history.close()

    def sent(self, send: Send, revision: Revision) -> None:
        """Note a send, unless it is noted: the same content under the same revision is one send, however often."""
        said = Sent.of(self._next, send.form, send.report(revision, 0), true_ms())
        if (said.event, said.digest) not in self._sends:
            self._history.append(said)
            self._sends[said.event, said.digest] = said.send
            self._next += 1

    def acked(self, event: str, digest: str, source: Source) -> None:
        """Note an acknowledgement."""
        self._history.append(Acked(self._sends[event, digest], source.partition, source.offset, true_ms()))


class JournalOutbox(Outbox):
    """The product's outbox, with a journal beside it."""

    def __init__(self, path: Path, journal: Journal) -> None:
        super().__init__(path)
        self._journal = journal

    def put(self, sends: Sequence[Send], signers: Mapping[UnitCode, NodeKey], now: Millis | None = None) -> list[Put]:
        """Put, then note."""
        result = super().put(sends, signers, now)
        for send, put in zip(sends, result, strict=True):
            if put.known is not Known.REFUSED:
                self._journal.sent(send, put.revision)
        return result

    def mark_sent(self, acknowledged: Iterable[tuple[int, Source]], now: Millis) -> None:
        """Mark, then note."""
        rows = list(acknowledged)
        super().mark_sent(rows, now)
        for row_id, source in rows:
            form, unit, line, period, entered_by, revision, digest = self.database.execute(
                """SELECT form, unit, line, period, entered_by, s.revision, s.digest
                   FROM sends s JOIN series r ON s.series = r.id WHERE s.id = ?""",
                (row_id,),
            ).fetchone()
            event = f"{form}/{unit}/{line}/{period}/{entered_by or '-'}/{revision}"
            self._journal.acked(event, digest.hex(), source)
