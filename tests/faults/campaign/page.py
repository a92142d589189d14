"""`docs/reliability.md` from the results file, the list of bugs and the words of `reliability.md` beside this module.

python -m tests.faults.campaign.page
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import wrap
from typing import Any

from deploy.parts import CHECKOUT
from tests.faults.campaign.asked import asked
from tests.faults.campaign.growth import ON_DISK, longest, minutes, quarters
from tests.faults.campaign.kinds import TITLES, Kind
from tests.faults.campaign.recoveries import measured, seconds, since_restart
from tests.faults.campaign.results import FILE, PROVED, STOPPED, Result, Suffered, read_results

PAGE = CHECKOUT / "docs" / "reliability.md"
WORDS = Path(__file__).with_name("reliability.md")
BUGS = FILE.with_name("bugs.toml")
_WIDTH = 120


@dataclass(frozen=True, slots=True)
class Bug:
    """A failure that was found. `segments`: the results that showed it, as SEED@COMMIT.

    `only_times`: what it spoilt there is how long recoveries took, and nothing else.
    """

    found_by: str
    seen: str
    why: str
    mended: str
    test: str = ""
    segments: list[str] = field(default_factory=list)
    only_times: bool = False


def read_bugs(path: Path = BUGS) -> list[Bug]:
    """The list, oldest first."""
    raw: dict[str, list[dict[str, Any]]] = tomllib.loads(path.read_text("utf-8"))
    return [Bug(**one) for one in raw.get("bug", [])]


def page(words: str, results: Sequence[Result], bugs: Sequence[Bug]) -> str:
    """The whole page: each mark in the words replaced by its part. What was stopped halfway proves nothing."""
    results = [result for result in results if result.verdict != STOPPED]
    explained = {name for bug in bugs if not bug.only_times for name in bug.segments}
    standing = [result for result in results if _name(result) not in explained]
    slowed = {name for bug in bugs if bug.only_times for name in bug.segments}
    timed = [result for result in results if _name(result) not in slowed]
    bad = [result for result in results if result.verdict != PROVED and _name(result) not in explained]
    parts = {
        "asked": asked(results, standing, timed, bugs),
        "summary": _summary(standing, len(results) - len(standing)),
        "kinds": _kinds(results),
        "recovery": _recovery(results),
        "sizes": _sizes(results),
        "failed": _failed(bad),
        "bugs": _found(bugs),
    }
    for name, lines in parts.items():
        mark = f"<!-- {name} -->"
        if words.count(mark) != 1:
            raise ValueError(f"{WORDS.name} needs the mark {mark} once")
        words = words.replace(mark, "\n".join(lines))
    return words


def _name(result: Result) -> str:
    return f"{result.seed}@{result.commit.rstrip('+')}"


def _summary(standing: Sequence[Result], left_out: int) -> Iterator[str]:
    proved = sum(result.verdict == PROVED for result in standing)
    yield from ("| | |", "| --- | --: |")
    yield f"| segments | {len(standing)} |"
    yield f"| … proved | {proved} |"
    yield f"| hours of load | {sum(result.load_s for result in standing) / 3600:.2f} |"
    yield f"| faults | {sum(len(result.faults) for result in standing)} |"
    for name in ("sent", "acknowledged"):
        yield f"| reports {name} | {_sum(standing, name):,} |"
    if over_http := _sum(standing, "acknowledged over HTTP"):
        yield f"| … of these over HTTP, by 202 | {over_http:,} |"
    if by_agent := _sum(standing, "done by the agent"):
        yield f"| … of these through an agent | {by_agent:,} |"
    for name in ("lost", "double", "wrong"):
        yield f"| {name} after settling | {_sum(standing, name):,} |"
    yield f"| comparisons made for that | {_sum(standing, 'compared'):,} |"
    yield f"| totals observed while running | {_sum(standing, 'observed'):,} |"
    yield f"| … of which never true | {sum(result.wrong_while_running for result in standing):,} |"
    yield f"| … shown for at most | {max((result.wrong_for_s for result in standing), default=0.0):.1f} s |"
    yield ""
    versions = dict.fromkeys(f"{name} {v}" for r in standing for name, v in r.versions.items() if name != "chungsuc")
    said = (
        f"Seeds {_ranges(result.seed for result in standing)}. Machine: {_all(r.machine for r in standing)}. "
        f"Versions: {', '.join(versions) or 'none'}. Commits: {_all(result.commit for result in standing)}."
    )
    if left_out:
        said += f" {left_out} more segments showed bugs listed below, and are in the results file too."
    yield from wrap(said, _WIDTH)


def _sum(results: Iterable[Result], name: str) -> int:
    return sum(result.counts.get(name, 0) for result in results)


def _all(texts: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(texts)) or "none"


def _ranges(numbers: Iterable[int]) -> str:
    found: list[list[int]] = []
    for number in sorted(set(numbers)):
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ", ".join(str(a) if a == b else f"{a} to {b}" for a, b in found) or "none"


def _kinds(results: Sequence[Result]) -> Iterator[str]:
    yield "| kind | what | faults | not fresh again in time | fresh again, p50 | p99 |"
    yield "| --- | --- | --: | --: | --: | --: |"
    for kind in Kind:
        of_kind = [fault for result in results for fault in result.faults if fault.kind == kind.value]
        late = sum(fault.recovery_s < 0 for fault in of_kind)
        yield f"| {kind.value} | {TITLES[kind]} | {len(of_kind)} | {late} | {_percentiles(of_kind)} |"
    skipped = Counter(name for result in results for name in result.skipped)
    if skipped:
        yield ""
        said = f"Could not be had now and then: {', '.join(f'{name} ({n})' for name, n in skipped.items())}."
        yield from wrap(said, _WIDTH)


def _percentiles(faults: Sequence[Suffered]) -> str:
    recovered = [fault.recovery_s for fault in faults if fault.recovery_s >= 0]
    return f"{seconds(recovered, 50)} | {seconds(recovered, 99)}"


def _recovery(results: Sequence[Result]) -> Iterator[str]:
    faults = [fault for result in results for fault in result.faults]
    yield from ("| | times | p50 | p99 | p99 of the time others left over |", "| --- | --: | --: | --: | --: |")
    for what, found in (
        ("a worker killed, from its restart by the supervisor", since_restart(faults)),
        ("a worker killed or stopped and not restarted, until another does its work (session timeout 6 s)",
         measured(faults, "taken over")),
        ("the gateway killed, until a sender over HTTP is told 202 again", measured(faults, "answered again")),
        ("the agent killed, until a file that is dropped then is at the broker", measured(faults, "done again")),
        ("one more worker whose clock is wrong has joined, until a report sent then is counted",
         measured(faults, "fresh with it")),
        ("`chungsuc rebuild` under load", measured(faults, "rebuild")),
    ):  # fmt: skip
        raw, left_over = [one.seconds for one in found], [one.left_over for one in found]
        yield f"| {what} | {len(found)} | {seconds(raw, 50)} | {seconds(raw, 99)} | {seconds(left_over, 99)} |"
    rebuilt = [result for result in results if result.rebuilt]
    for result in rebuilt:
        per_million = result.rebuild_s / result.rebuilt * 1_000_000
        yield from (
            "",
            f"`chungsuc rebuild` of {result.rebuilt:,} reports until all is counted and stored: "
            f"{result.rebuild_s:.1f} s, {per_million:,.0f} s per million (seed {result.seed}).",
        )
    yield from ("", "| times | fault | p50 | p99 |", "| --: | --- | --: | --: |")
    for name in sorted({fault.fault for fault in faults}):
        of_name = [fault for fault in faults if fault.fault == name]
        yield f"| {len(of_name)} | `{name}` | {_percentiles(of_name)} |"


def _sizes(results: Sequence[Result]) -> Iterator[str]:
    yield from ("| process or folder | first half | second half |", "| --- | --: | --: |")
    middle = (len(results) + 1) // 2
    measured = [result.peak_mb | {name + ON_DISK: mb for name, mb in result.disk_mb.items()} for result in results]
    for name in sorted({name for one in measured for name in one}):
        halves = [
            max((one.get(name, 0.0) for one in part), default=0.0) for part in (measured[:middle], measured[middle:])
        ]
        yield f"| {name} | {halves[0]:,.0f} | {halves[1]:,.0f} |"

    found = longest(results)
    if found is None:
        return
    yield from (
        "",
        f"In the longest of these segments, {minutes(found)} minutes (seed {found.seed}), the largest in each quarter:",
        "",
        "| process or folder | first | second | third | last |",
        "| --- | --: | --: | --: | --: |",
    )
    for name in sorted(found.minutes_mb):
        yield f"| {name} | {' | '.join(f'{mb:,.0f}' for mb in quarters(found, name))} |"


def _failed(bad: Sequence[Result]) -> Iterator[str]:
    if not bad:
        yield "None, but for those that showed the bugs below."
        return
    yield from ("| segment | verdict | anomalies |", "| --- | --- | --- |")
    for result in bad:
        names = ", ".join(f"{name} ({len(found)})" for name, found in result.anomalies.items())
        yield f"| {_name(result)} | {result.verdict} | {names} |"


def _found(bugs: Sequence[Bug]) -> Iterator[str]:
    for number, bug in enumerate(bugs, 1):
        held = f" Held by `{bug.test}`." if bug.test else ""
        mended = f"*Mended:* {bug.mended}" if bug.mended else "*Not mended.*"
        text = f"{number}. **{bug.seen}** *Why:* {bug.why} {mended} Found by `{bug.found_by}`.{held}"
        yield from wrap(text, _WIDTH, subsequent_indent="   ", break_long_words=False, break_on_hyphens=False)


def generated() -> str:
    """The page as it must be now."""
    results = [*read_results(FILE)] if FILE.exists() else []
    return page(WORDS.read_text("utf-8"), results, read_bugs())


if __name__ == "__main__":
    PAGE.write_text(generated(), "utf-8")
