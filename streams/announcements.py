"""Which catalogue is in force at an offset of `reports`: the control records of a partition, remembered.

Ingest must decide a record by the catalogue announced before it, also when it starts in the middle of a partition. The
control records seen so far are kept in a file beside the checkpoints; what the file does not cover is scanned. Deleting
the file changes the start time only.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from schemas.catalogue import Announcement
from schemas.control import highest


@dataclass(slots=True)
class Announcements:
    """Control records of one partition below `seen_to`, oldest first."""

    topic_id: str
    seen_to: int = 0
    controls: list[tuple[int, Announcement]] = field(default_factory=list)

    def in_force_at(self, offset: int) -> Announcement | None:
        """The announcement that decides the record at `offset`; None before the first."""
        if len(self.controls) == 1:  # asked for each record, and most logs have just one
            at, only = self.controls[0]
            return only if at < offset else None
        return highest(announcement for at, announcement in self.controls if at < offset)

    def add(self, offset: int, announcement: Announcement) -> None:
        """A control record was met."""
        if all(at != offset for at, _ in self.controls):
            self.controls.append((offset, announcement))

    def passed(self, next_offset: int) -> bool:
        """Everything below has been looked at. Returns whether that is news."""
        news = next_offset > self.seen_to
        self.seen_to = max(self.seen_to, next_offset)
        return news

    def save(self, path: Path) -> None:
        """Replace the file in one step."""
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(
            {
                "topic_id": self.topic_id,
                "seen_to": self.seen_to,
                "controls": [[at, a.epoch, a.serial, a.digest.hex()] for at, a in self.controls],
            }
        )
        temporary = path.with_suffix(".new")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path, topic_id: str) -> Announcements:
        """What the file says, or nothing where it is missing or belongs to another topic."""
        if not path.exists():
            return cls(topic_id)
        raw = json.loads(path.read_text(encoding="utf-8"))
        if raw["topic_id"] != topic_id:
            return cls(topic_id)
        controls = [
            (at, Announcement(epoch, serial, bytes.fromhex(digest))) for at, epoch, serial, digest in raw["controls"]
        ]
        return cls(topic_id, raw["seen_to"], controls)
