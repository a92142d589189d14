"""What the campaign was asked to show, each with what the results show of it, also where that is less."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Sized

from tests.faults.campaign.growth import longest, memory_mb, minutes
from tests.faults.campaign.kinds import Kind
from tests.faults.campaign.recoveries import Recovery, measured, percentile, since_restart
from tests.faults.campaign.results import PROVED, Result

FAULTS, HOURS, OF_EACH_KIND = 300, 2.0, 10
MOST_GROWTH = 1.1
RESTARTED_S, TAKEN_OVER_S = 10.0, 20.0
UNDISTURBED = 0.1
"""Share of the machine that other work may have had."""


def asked(results: Sequence[Result], standing: Sequence[Result], timed: Sequence[Result], bugs: Sized) -> Iterator[str]:
    """One line for each. `standing`: without the segments that showed a bug which is listed.

    `timed`: without those whose recoveries a bug made longer than they are.
    """
    yield from ("| asked for | shown | |", "| --- | --- | --- |")
    faults = sum(len(result.faults) for result in results)
    exact = [result for result in results if result.verdict == PROVED]
    of_exact = sum(len(result.faults) for result in exact)
    shown = f"{faults}, {of_exact} of them in segments that were proved exact"
    yield _line(f"at least {FAULTS} faults", shown, faults >= FAULTS)
    hours = _hours(results)
    shown = f"{hours:.2f}, {_hours(exact):.2f} of them in segments that were proved exact"
    yield _line(f"at least {HOURS:.0f} hours of load", shown, hours >= HOURS)
    kinds = Counter(fault.kind for result in results for fault in result.faults)
    least = min(Kind, key=lambda kind: kinds[kind.value])
    fewest = kinds[least.value]
    yield _line(f"{OF_EACH_KIND} or more of each kind", f"fewest: {fewest} ({least.value})", fewest >= OF_EACH_KIND)
    yield from _after_settling(results, standing)
    yield from _recoveries(results, timed)
    false = sum(result.wrong_while_running for result in standing)
    observed = sum(result.counts.get("observed", 0) for result in standing)
    what = "a total at every moment is the fold of some prefix of its partition"
    yield _line(what, f"{false} of {observed:,} observed were not", observed > 0 and not false)
    yield _bounded(results)
    yield f"| the bugs that were found | [{len(bugs)}](#bugs-found-and-what-mended-them) | |"


def _after_settling(results: Sequence[Result], standing: Sequence[Result]) -> Iterator[str]:
    proved = sum(result.verdict == PROVED for result in standing)
    found = _wrong(standing)
    shown = f"{_words(found)}; {proved} of {len(standing)} segments proved"
    yield _line("0 lost, 0 double, 0 wrong after settling", shown, bool(standing) and not any(found.values()))
    if explained := [result for result in results if result not in standing]:
        yield f"| … in the {len(explained)} segments with findings that are listed | {_words(_wrong(explained))} | |"


def _wrong(results: Sequence[Result]) -> dict[str, int]:
    return {name: sum(result.counts.get(name, 0) for result in results) for name in ("lost", "double", "wrong")}


def _words(found: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in found.items())


def _recoveries(results: Sequence[Result], timed: Sequence[Result]) -> Iterator[str]:
    everywhere = [fault for result in results for fault in result.faults]
    clean = [fault for result in timed for fault in result.faults]
    yield _recovery("that its supervisor restarts", RESTARTED_S, since_restart(clean), since_restart(everywhere))
    what = "taken over"
    yield _recovery("that another takes over from", TAKEN_OVER_S, measured(clean, what), measured(everywhere, what))


def _recovery(what: str, bound_s: float, clean: Sequence[Recovery], everywhere: Sequence[Recovery]) -> str:
    what = f"a crashed worker {what}: p99 below {bound_s:.0f} s"
    if not clean:
        return _line(what, "none", False)
    worst = _p99(clean)
    undisturbed = [one for one in clean if one.others < UNDISTURBED]
    shown = f"{worst:.1f} s of {len(clean)} ({_in_words(undisturbed)} on a quiet machine); "
    shown += f"{_p99(everywhere):.1f} s of {len(everywhere)} with what bugs held up"
    return _line(what, shown, worst < bound_s)


def _in_words(found: Sequence[Recovery]) -> str:
    return f"{_p99(found):.1f} s of {len(found)}" if found else "none"


def _p99(found: Sequence[Recovery]) -> float:
    return percentile([one.seconds for one in found], 99)


def _bounded(results: Sequence[Result]) -> str:
    what = "memory and disk bounded ([each](#memory-and-disk))"
    found = longest(results)
    if found is None:
        return _line(what, "not looked at", False)
    memory = memory_mb(found)
    told = ", ".join(f"{mb:,.0f}" for mb in memory)
    shown = f"all processes, by quarters of the longest segment ({minutes(found)} min): {told} MB"
    return _line(what, shown, memory[3] <= max(memory[:3]) * MOST_GROWTH)


def _hours(results: Sequence[Result]) -> float:
    return sum(result.load_s for result in results) / 3600


def _line(what: str, shown: str, held: bool) -> str:
    return f"| {what} | {shown} | {'held' if held else '**missed**'} |"
