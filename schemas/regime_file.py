"""The layout of a regime's file, and of the ladders beside it: what keys there are and what they may hold.

Strict: an unknown key, a missing part or a value of another type is an error that names file and line, because a regime
that is half understood asks the wrong people at the wrong time. What a key means is in `schemas/regime.py`; whether the
whole makes sense is judged in `schemas/regime_reader.py`.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated

from pydantic import Field, StringConstraints

from schemas.period import PeriodType
from schemas.regime import WEEKDAYS, DayOff, IssuerLevel, RegimeKind
from schemas.toml_file import Name, Part, Text

Clock = Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
CutOff = Annotated[str, StringConstraints(pattern=r"^(([01]\d|2[0-3]):[0-5]\d|24:00)$")]
Count = Annotated[int, Field(ge=1, le=366, strict=True)]


class BasisPart(Part):
    """`[basis]`."""

    document: Text
    article: str = ""
    issuer: Text
    issuer_level: IssuerLevel
    issued_on: date | None = None
    confirmed: bool = False


class ReportersPart(Part):
    """`[reporters]`."""

    lowest: bool = False
    levels: list[Name] = Field(default_factory=list)
    kinds: list[Name] = Field(default_factory=list)
    units: list[Text] = Field(default_factory=list)
    below: list[Text] = Field(default_factory=list)


class DeadlinePart(Part):
    """`[[deadline]]`."""

    level: str = ""
    time: Clock | None = None
    days_after: Annotated[int, Field(ge=0, le=366, strict=True)] | None = None
    working_days: Count | None = None
    hours_after_event: Annotated[int, Field(ge=1, le=24 * 366, strict=True)] | None = None
    day_off: DayOff | None = None


class OccasionPart(Part):
    """`[[occasion]]`."""

    period: Text
    event: datetime | None = None
    units: list[Text] = Field(default_factory=list)


class LadderFile(Part):
    """One table of `ladders.toml`."""

    label_vi: Text
    cut_off: CutOff
    deadline: Annotated[list[DeadlinePart], Field(min_length=1)]


class RegimeFile(Part):
    """`regimes/*.toml`."""

    id: Name
    kind: RegimeKind
    valid_from: date
    valid_to: date | None = None
    name_vi: Text
    name_en: Text
    basis: BasisPart
    content_vi: Text
    outline_vi: Annotated[list[Text], Field(min_length=1)]
    recipients_vi: Annotated[list[Text], Field(min_length=1)]
    way_vi: Text
    reporters: ReportersPart = ReportersPart()
    form: Name
    line: Name = "ubnd"
    approval: bool = False
    frequency: PeriodType | None = None
    on: list[Annotated[str, StringConstraints(pattern=f"^({'|'.join(WEEKDAYS)})$")]] = Field(default_factory=list)
    cut_off: CutOff | None = None
    deadline: list[DeadlinePart] = Field(default_factory=list)
    ladder: str = ""
    occasion: list[OccasionPart] = Field(default_factory=list)
