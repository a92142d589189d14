"""TOML files of the catalogue, read by strict models: whatever does not fit is told by file and line.

An unknown key is an error like a missing one: a file that is half understood would ask, check or count the wrong thing.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, StringConstraints, TypeAdapter, ValidationError

from schemas.table import TableError
from schemas.toml_lines import KeyPath, line_of, lines_of_keys

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
Word = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
_AT_LINE = re.compile(r" \(at line (\d+), column \d+\)| \(at end of document\)")
_Model = TypeVar("_Model")


class TomlError(TableError):
    """A TOML file that can't be used; one line that names file and line."""


class Part(BaseModel):
    """A table of such a file: every key is known, nothing changes once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TomlFile:
    """A TOML text of the catalogue with the lines of its keys."""

    def __init__(self, name: str, content: bytes) -> None:
        self.name = name
        try:
            self._text = content.decode()
            self._values = tomllib.loads(self._text)
        except UnicodeDecodeError as error:
            raise TomlError(f"{name}: not UTF-8 ({error.reason} at byte {error.start})") from error
        except tomllib.TOMLDecodeError as error:
            found = _AT_LINE.search(str(error))
            line = found[1] if found and found[1] else str(self._text.count("\n") + 1)
            raise TomlError(f"{name} line {line}: not TOML: {_AT_LINE.sub('', str(error))}") from error
        self._lines: Mapping[KeyPath, int] = lines_of_keys(self._text)

    def error(self, message: str, *path: str | int) -> TomlError:
        """An error at the line of a key."""
        return TomlError(f"{self.name} line {line_of(self._lines, path)}: {message}")

    def read(self, of: type[_Model]) -> _Model:
        """The file as the model says. Raises TomlError for the first thing that does not fit."""
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
