"""`make real`: a real history, published and revised day by day, replayed and compared with what the nation published.

72,868 rows of Malaysia's vaccination data with withdrawals and one negative restatement. At the end the sum over the
states must equal the published nation for every day and dose, and so it must as of each publication, on the axis of
issue, but for five: there the publisher updated one of two files first. A second replay must change nothing.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from consumers.export import Value
from deploy.cli.main import told
from deploy.cli.output import print_table
from deploy.drain import drain
from deploy.progress import meter
from deploy.reading import millis, open_read_model, stored_offsets
from deploy.sending import Sender
from deploy.stack import Stack
from deploy.throwaway import end_on_sigterm, stack_at
from producers.delivery import Summary
from producers.history import read_time
from schemas.exit import Exit
from schemas.form import FormId
from schemas.read_model import Axis, FigureQuery, ReadModel
from schemas.unit import UnitCode

STORY = Path(__file__).resolve().parent.parent / "tests" / "data" / "malaysia"
HISTORY, NATIONAL, UNITS = STORY / "history.csv.gz", STORY / "national.csv.gz", STORY / "units.csv"
NATION = UnitCode("MY")
FORM = FormId("covid-doses")
ROWS = 72_868
FINDINGS = 5
TARGET_S = 40.0
DRAIN_WITHIN_S = 300.0

Doses = Mapping[str, tuple[int | None, ...]]
"""Doses by day's text."""


@dataclass(frozen=True, slots=True)
class Publication:
    """What the nation had published up to and including a moment: the doses of each day."""

    at: datetime
    nation: Doses


@dataclass(frozen=True, slots=True)
class Difference:
    """A day on which the sum over the states was not what the nation had published."""

    at: datetime
    day: str
    states: tuple[int | None, ...]
    nation: tuple[int | None, ...]


def publications() -> Iterator[Publication]:
    """The nation as of each moment at which either file was published, in order."""
    changes: dict[datetime, dict[str, tuple[int | None, ...]]] = {
        read_time(row["published_at"]): {} for row in _rows(HISTORY)
    }
    for row in _rows(NATIONAL):
        doses = tuple(int(row[f"dose{n}"]) for n in range(1, 5))
        changes.setdefault(read_time(row["published_at"]), {})[row["period"]] = doses
    nation: dict[str, tuple[int | None, ...]] = {}
    for at in sorted(changes):
        nation |= changes[at]
        yield Publication(at, dict(nation))


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def states_summed(model: ReadModel, at: datetime | None = None) -> Doses:
    """The nation as the figures have it, at present or as of a publication."""
    query = FigureQuery(NATION, FORM, as_of=None if at is None else millis(at), axis=Axis.ISSUED)
    return {row.period: row.measures for row in model.figures(query).rows}


def differences(model: ReadModel) -> list[Difference]:
    """Compare as of each publication."""
    found: list[Difference] = []
    all_publications = list(publications())
    with meter("comparing with each publication") as show:
        for done, publication in enumerate(all_publications):
            show(done, len(all_publications))
            states = states_summed(model, publication.at)
            found += _compared(publication, states)
    return found


def _compared(publication: Publication, states: Doses) -> list[Difference]:
    nothing = (0, 0, 0, 0)
    return [
        Difference(publication.at, day, states.get(day, nothing), publication.nation.get(day, nothing))
        for day in sorted(publication.nation.keys() | states.keys())
        if states.get(day, nothing) != publication.nation.get(day, nothing)
    ]


class Findings:
    """What was stated and does not hold, collected so that all of it is shown."""

    def __init__(self) -> None:
        self.broken: list[str] = []

    def state(self, holds: bool, claim: str) -> None:
        """Print a claim and whether it holds."""
        print(f"  {'holds' if holds else 'DOES NOT HOLD'}: {claim}", flush=True)
        if not holds:
            self.broken.append(claim)


def replayed(stack: Stack, sender: Sender) -> tuple[Summary, float]:
    """Replay and drain; seconds for both."""
    settings = stack.settings()
    started = time.monotonic()
    with meter("replaying") as show:
        summary = sender.replay(HISTORY, FORM, progress=show)
    drain(settings, lambda: stored_offsets(settings), DRAIN_WITHIN_S)
    return summary, time.monotonic() - started


def run(data: Path, port_base: int | None, target_s: float) -> int:
    """Everything that the module's text states, one claim after the other. Returns the exit code."""
    findings = Findings()
    with stack_at(data, port_base=port_base, trees=[UNITS]) as stack:
        sender = Sender(stack)
        summary, seconds = replayed(stack, sender)
        print(f"{summary.sends:,} rows replayed and drained in {seconds:.1f} s ({summary.acked:,} acknowledged)")
        findings.state(summary.acked == ROWS and not summary.problems, f"all {ROWS:,} rows were sent without a problem")
        findings.state(seconds < target_s, f"under {target_s:g} s")
        with open_read_model(stack.settings()) as model:
            published = list(publications())[-1].nation
            states = states_summed(model)
            equal = sum(states.get(day) == doses for day, doses in published.items())
            findings.state(
                states == published,
                f"the sum over the states equals the nation: {equal} of {len(published)} days, four doses each",
            )
            found = differences(model)
            _show(found)
            findings.state(
                len({difference.at for difference in found}) == FINDINGS,
                f"as of each publication too, but for {FINDINGS}, which are true findings",
            )
            again, seconds = replayed(stack, sender)
            print(
                f"second replay: {again.sends:,} rows, {again.new:,} new, {again.known:,} known, "
                f"{again.acked:,} sent, {seconds:.1f} s"
            )
            findings.state(again.new == again.acked == 0, "a second replay sends nothing")
            findings.state(states_summed(model) == states, "a second replay changes no figure")
    return Exit.FAILED if findings.broken else Exit.FINE


def _show(found: list[Difference]) -> None:
    rows = [
        (one.at.isoformat(), one.day, f"dose{n + 1}", _shown(states), _shown(nation), (nation or 0) - (states or 0))
        for one in found
        for n, (states, nation) in enumerate(zip(one.states, one.nation, strict=True))
        if (states or 0) != (nation or 0)
    ]
    columns = ("published", "day", "measure", "sum over states", "nation", "nation − states")
    print_table(columns, rows, title="Where the publisher's two files differ (one was updated first)")


def _shown(doses: int | None) -> Value:
    return "withdrawn" if doses is None else doses


def main() -> int:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(prog="make real", description=__doc__)
    parser.add_argument("--port-base", type=int, help="first port; by default 17000 or the next free hundred")
    parser.add_argument("--target", type=float, default=TARGET_S, metavar="S", help="seconds for replay and drain")
    given = parser.parse_args()
    end_on_sigterm()
    try:
        with tempfile.TemporaryDirectory(prefix="chungsuc-real-", ignore_cleanup_errors=True) as folder:
            return run(Path(folder), given.port_base, given.target)
    except KeyboardInterrupt:
        return Exit.FAILED
    except Exception as error:
        message, code = told(error)
        print(f"real: {message}", file=sys.stderr)
        return code


if __name__ == "__main__":
    sys.exit(main())
