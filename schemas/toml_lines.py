"""Where each key of a TOML text stands, because `tomllib` tells places only of what it can't parse at all.

Whoever edits a regime is told the line at fault. Only keys at the beginning of a line are found; for those inside an
inline table the line of the table is the answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

KeyPath = tuple[str | int, ...]

_HEADER = re.compile(r"\s*(\[\[?)\s*([A-Za-z0-9_.\"' -]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"\s*([A-Za-z0-9_-]+)\s*=(.*)$", re.DOTALL)
_FENCES = ('"""', "'''")


def lines_of_keys(text: str) -> Mapping[KeyPath, int]:
    """Line numbers, from 1, of tables and keys by their path; entries of `[[x]]` count from 0."""
    found: dict[KeyPath, int] = {(): 1}
    table: KeyPath = ()
    counts: dict[KeyPath, int] = {}
    fence = ""
    for number, line in enumerate(text.splitlines(), 1):
        if fence:
            fence = "" if fence in line else fence
            continue
        if header := _HEADER.match(line):
            table = _table(header, counts)
            found.setdefault(table, number)
        elif key := _KEY.match(line):
            found.setdefault((*table, key[1]), number)
            fence = next((mark for mark in _FENCES if key[2].count(mark) == 1), "")
    return found


def line_of(lines: Mapping[KeyPath, int], path: Sequence[str | int]) -> int:
    """The line of a key, or of the innermost thing around it that has one."""
    for length in range(len(path), -1, -1):
        if (number := lines.get(tuple(path[:length]))) is not None:
            return number
    return 1


def _table(header: re.Match[str], counts: dict[KeyPath, int]) -> KeyPath:
    path: KeyPath = ()
    *parents, last = (part.strip(" \"'") for part in header[2].split("."))
    for part in parents:
        path = (*path, part)
        if path in counts:
            path = (*path, counts[path])
    path = (*path, last)
    if header[1] == "[[":
        counts[path] = counts.get(path, -1) + 1
        path = (*path, counts[path])
    return path
