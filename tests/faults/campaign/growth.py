"""Whether memory and folders grow for ever: the longest segment, quarter by quarter."""

from __future__ import annotations

from collections.abc import Sequence

from tests.faults.campaign.results import Result

ON_DISK = ", on disk"


def longest(results: Sequence[Result]) -> Result | None:
    """The segment that was looked at for the most minutes."""
    measured = [result for result in results if result.minutes_mb]
    return max(measured, key=minutes, default=None)


def minutes(result: Result) -> int:
    """How many minutes were looked at."""
    return max(map(len, result.minutes_mb.values()), default=0)


def quarters(result: Result, name: str) -> list[float]:
    """The largest of a process or folder in each quarter, MB."""
    length, found = minutes(result), result.minutes_mb[name]
    bounds = [(length * at // 4, max(length * (at + 1) // 4, length * at // 4 + 1)) for at in range(4)]
    return [max(found[start:end], default=0.0) for start, end in bounds]


def memory_mb(result: Result) -> list[float]:
    """Of all processes together, in each quarter."""
    all_of_them = [quarters(result, name) for name in result.minutes_mb if not name.endswith(ON_DISK)]
    return [sum(one[at] for one in all_of_them) for at in range(4)]
