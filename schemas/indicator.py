"""Indicators: ratios over figures and populations, and levels made of them, as data.

An indicator is a numerator over a denominator, each a term or a population, read against the catalogue like checks are.
It is computed from totals when it is asked for, never averaged from others and never stored (design decision 4).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Annotated

from pydantic import Field

from schemas.population import Populations
from schemas.term import Known, Term, TermPart, read_term
from schemas.toml_file import Name, Part, Text, TomlFile

FOLDER = "indicators/"


class Timeliness(StrEnum):
    """What an indicator may count of obligations, which are not figures."""

    OWED = "owed"
    IN_TIME = "in-time"


@dataclass(frozen=True, slots=True)
class Side:
    """A numerator or denominator: one of a term, an age group of the population, or obligations."""

    term: Term | None = None
    population: str = ""
    duties: Timeliness | None = None


@dataclass(frozen=True, slots=True)
class Indicator:
    """`numerator` / `denominator` × `scale`, rounded half up to `decimals`."""

    id: str
    label_vi: str
    label_en: str
    unit: str
    source: str
    numerator: Side
    denominator: Side
    scale: int
    decimals: int


@dataclass(frozen=True, slots=True)
class Step:
    """From `least` cases on, the level where enough are vaccinated and where not."""

    least: int
    covered: int
    uncovered: int


@dataclass(frozen=True, slots=True)
class LevelScale:
    """A level by commune of two indicators: steps of one, and whether the other reaches `enough`."""

    id: str
    label_vi: str
    label_en: str
    source: str
    rate: str
    coverage: str
    enough: int
    at_levels: frozenset[str]
    steps: tuple[Step, ...]


class _SidePart(Part):
    term: TermPart | None = None
    population: str = ""
    duties: Timeliness | None = None


class _IndicatorPart(Part):
    id: Name
    label_vi: Text
    label_en: Text
    unit: Text
    source: Text
    numerator: _SidePart
    denominator: _SidePart
    scale: Annotated[int, Field(ge=1, le=10**6, strict=True)] = 100
    decimals: Annotated[int, Field(ge=0, le=6, strict=True)] = 1


class _StepPart(Part):
    least: Annotated[int, Field(ge=0, strict=True)]
    covered: Annotated[int, Field(ge=1, le=9, strict=True)]
    uncovered: Annotated[int, Field(ge=1, le=9, strict=True)]


class _LevelPart(Part):
    id: Name
    label_vi: Text
    label_en: Text
    source: Text
    rate: Name
    coverage: Name
    enough: Annotated[int, Field(ge=0, strict=True)]
    at_levels: Annotated[list[Name], Field(min_length=1)]
    step: Annotated[list[_StepPart], Field(min_length=1)]


class _IndicatorsFile(Part):
    indicator: list[_IndicatorPart] = Field(default_factory=list)
    level: list[_LevelPart] = Field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Indicators:
    """The indicators and levels of a catalogue, by id."""

    ratios: Mapping[str, Indicator]
    levels: Mapping[str, LevelScale]


def read_indicators(files: Mapping[str, bytes], known: Known, populations: Populations) -> Indicators:
    """All indicators of a catalogue. Raises TomlError at the line of the first thing that does not fit."""
    ratios: dict[str, Indicator] = {}
    levels: dict[str, LevelScale] = {}
    read = [(TomlFile(name, content)) for name, content in files.items() if name.startswith(FOLDER)]
    for file in read:
        for number, part in enumerate(file.read(_IndicatorsFile).indicator):
            if part.id in ratios:
                raise file.error(f"indicator {part.id} is there twice", "indicator", number, "id")
            path = ("indicator", number)
            numerator = _side(file, part.numerator, known, populations, *path, "numerator")
            denominator = _side(file, part.denominator, known, populations, *path, "denominator")
            ratios[part.id] = Indicator(part.id, part.label_vi, part.label_en, part.unit, part.source, numerator,
                                        denominator, part.scale, part.decimals)  # fmt: skip
    for file in read:
        for number, level in enumerate(file.read(_IndicatorsFile).level):
            if level.id in levels or level.id in ratios:
                raise file.error(f"indicator {level.id} is there twice", "level", number, "id")
            for key, name in (("rate", level.rate), ("coverage", level.coverage)):
                if name not in ratios:
                    raise file.error(f"no indicator {name}", "level", number, key)
            for earlier, later in pairwise(level.step):
                if later.least <= earlier.least:
                    raise file.error(f"steps must ascend: {later.least} after {earlier.least}", "level", number, "step")
            levels[level.id] = LevelScale(
                level.id, level.label_vi, level.label_en, level.source, level.rate, level.coverage, level.enough,
                frozenset(level.at_levels), tuple(Step(s.least, s.covered, s.uncovered) for s in level.step),
            )  # fmt: skip
    return Indicators(ratios, levels)


def _side(file: TomlFile, part: _SidePart, known: Known, populations: Populations, *path: str | int) -> Side:
    if [part.term is not None, bool(part.population), part.duties is not None].count(True) != 1:
        raise file.error("one of term, population and duties is needed", *path)
    if part.population and part.population not in populations.groups:
        groups = ", ".join(sorted(populations.groups)) or "none"
        raise file.error(f"no population of {part.population}; there are {groups}", *path, "population")
    term = None if part.term is None else read_term(file, part.term, known, *path, "term")
    return Side(term, part.population, part.duties)
