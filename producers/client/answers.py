"""What the gateway answers, as values. Read strictly: an answer that lacks what it must have is no gateway's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

PENDING = "pending"
ACCEPTED = "accepted"


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A report that the broker has. `id` is None in the rare case that it did not tell where it put it."""

    id: str | None
    unit: str
    form: str
    period: str
    line: str
    entered_by: str | None
    revision: int

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> Acknowledged:
        """From the JSON object."""
        return cls(
            raw["id"], raw["unit"], raw["form"], raw["period"], raw["line"], raw["entered_by"], int(raw["revision"])
        )


@dataclass(frozen=True, slots=True)
class Link:
    """One unit above, and whether its total holds the report yet."""

    unit: str
    name: str
    level: str
    counted: bool


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a report (thông báo tiếp nhận). Fields that only a decided report has are empty while pending."""

    id: str
    outcome: str
    said: str
    unit: str
    form: str
    period: str
    line: str
    entered_by: str | None
    revision: int
    highest_revision: int
    reason: str | None
    field: str | None
    detail: str | None
    kid: str
    digest: str
    accepted_at: datetime | None
    counted: Sequence[Link]

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> Receipt:
        """From the JSON object."""
        at = raw.get("accepted_at")
        return cls(
            id=raw["id"], outcome=raw["outcome"], said=raw["said"], unit=raw["unit"], form=raw["form"],
            period=raw["period"], line=raw["line"], entered_by=raw.get("entered_by"), revision=int(raw["revision"]),
            highest_revision=int(raw.get("highest_revision", raw["revision"])), reason=raw.get("reason"),
            field=raw.get("field"), detail=raw.get("detail"), kid=raw.get("kid", ""), digest=raw.get("digest", ""),
            accepted_at=None if at is None else datetime.fromisoformat(at),
            counted=tuple(Link(one["unit"], one["name"], one["level"], one["counted"]) for one in raw["counted"]),
        )  # fmt: skip

    @property
    def settled(self) -> bool:
        """Whether it is decided, and, if it was accepted, counted up to the top."""
        if self.outcome != ACCEPTED:
            return self.outcome != PENDING
        return all(link.counted for link in self.counted)


@dataclass(frozen=True, slots=True)
class Series:
    """The highest revision of a series: known to the gateway, and accepted (None before the first)."""

    unit: str
    form: str
    period: str
    highest_revision: int
    accepted_revision: int | None
    accepted_digest: str | None

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> Series:
        """From the JSON object."""
        accepted = raw["accepted"]
        return cls(
            raw["unit"], raw["form"], raw["period"], int(raw["highest_revision"]),
            None if accepted is None else int(accepted["revision"]), None if accepted is None else accepted["digest"],
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Service:
    """What a gateway says of itself: how much it takes at once, and how fast."""

    reports_per_batch: int
    reports_per_s: float
    burst: int

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> Service:
        """From the JSON object."""
        return cls(int(raw["reports_per_batch"]), float(raw["reports_per_s"]), int(raw["burst"]))
