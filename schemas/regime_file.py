"""The layout of a regime's file, and of the ladders beside it: what keys there are and what they may hold.

Strict: an unknown key, a missing part or a value of another type is an error that names file and line, because a regime
that is half understood asks the wrong people at the wrong time. What a key means is in `schemas/regime.py`; whether the
whole makes sense is judged in `schemas/regime_reader.py`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from schemas.period import PeriodType
from schemas.regime import WEEKDAYS, DayOff, IssuerLevel, RegimeKind
from schemas.toml_lines import KeyPath, line_of, lines_of_keys

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
Clock = Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
CutOff = Annotated[str, StringConstraints(pattern=r"^(([01]\d|2[0-3]):[0-5]\d|24:00)$")]
Count = Annotated[int, Field(ge=1, le=366, strict=True)]
_AT_LINE = re.compile(r" \(at line (\d+), column \d+\)| \(at end of document\)")
_Model = TypeVar("_Model")


class RegimeError(ValueError):
    """A regime that can't be used; one line that names file and line."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BasisPart(_Part):
    """`[basis]`."""

    document: Text
    article: str = ""
    issuer: Text
    issuer_level: IssuerLevel
    issued_on: date | None = None
    confirmed: bool = False


class ReportersPart(_Part):
    """`[reporters]`."""

    lowest: bool = False
    levels: list[Name] = []
    kinds: list[Name] = []
    units: list[Text] = []
    below: list[Text] = []


class DeadlinePart(_Part):
    """`[[deadline]]`."""

    level: str = ""
    time: Clock | None = None
    days_after: Annotated[int, Field(ge=0, le=366, strict=True)] | None = None
    working_days: Count | None = None
    hours_after_event: Annotated[int, Field(ge=1, le=24 * 366, strict=True)] | None = None
    day_off: DayOff | None = None


class OccasionPart(_Part):
    """`[[occasion]]`."""

    period: Text
    event: datetime | None = None
    units: list[Text] = []


class LadderFile(_Part):
    """One table of `ladders.toml`."""

    label_vi: Text
    cut_off: CutOff
    deadline: Annotated[list[DeadlinePart], Field(min_length=1)]


class RegimeFile(_Part):
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
    frequency: PeriodType | None = None
    on: list[Annotated[str, StringConstraints(pattern=f"^({'|'.join(WEEKDAYS)})$")]] = []
    cut_off: CutOff | None = None
    deadline: list[DeadlinePart] = []
    ladder: str = ""
    occasion: list[OccasionPart] = []


class TomlFile:
    """A TOML text of the catalogue with the lines of its keys."""

    def __init__(self, name: str, content: bytes) -> None:
        self.name = name
        try:
            self._text = content.decode()
            self._values = tomllib.loads(self._text)
        except UnicodeDecodeError as error:
            raise RegimeError(f"{name}: not UTF-8 ({error.reason} at byte {error.start})") from error
        except tomllib.TOMLDecodeError as error:
            found = _AT_LINE.search(str(error))
            line = found[1] if found and found[1] else str(self._text.count("\n") + 1)
            raise RegimeError(f"{name} line {line}: not TOML: {_AT_LINE.sub('', str(error))}") from error
        self._lines: Mapping[KeyPath, int] = lines_of_keys(self._text)

    def error(self, message: str, *path: str | int) -> RegimeError:
        """An error at the line of a key."""
        return RegimeError(f"{self.name} line {line_of(self._lines, path)}: {message}")

    def read(self, of: type[_Model]) -> _Model:
        """The file as the model says. Raises RegimeError for the first thing that does not fit."""
        try:
            return TypeAdapter(of).validate_python(self._values)
        except ValidationError as error:
            # A key that is misspelt is missing too; the misspelling says more.
            first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
            path = [part for part in first["loc"] if isinstance(part, str | int)]
            named = ".".join(str(part) for part in path)
            if first["type"] == "extra_forbidden":
                raise self.error(f"unknown key {named}", *path) from error
            if first["type"] == "missing":
                raise self.error(f"{named} is missing", *path) from error
            raise self.error(f"{named}: {first['msg']}, not {first['input']!r}", *path) from error
