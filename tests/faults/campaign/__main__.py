"""`make faults`: seeded segments of faults on real processes, each with its verdict, appended to the results file."""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

from deploy.cli.main import told
from deploy.throwaway import end_on_sigterm
from schemas.exit import Exit
from tests.faults.campaign.kinds import TITLES, Kind
from tests.faults.campaign.rebuilding import timed_rebuild
from tests.faults.campaign.registry import FAULTS
from tests.faults.campaign.results import BROKEN, FILE, PROVED, STOPPED, Result, read_results
from tests.faults.campaign.segment import Segment

_EPILOG = """
A segment is a function of its seed: --seed 7 --segments 1 repeats segment 7 alone, with the same faults in the same
order. Seeds that five divides run on the embedded broker, all others on three. Ctrl-C ends after a clean stop.

examples:
  make faults
  python -m tests.faults.campaign --seed 100 --segments 20 --minutes 6
  python -m tests.faults.campaign --seed 7 --segments 1 --only network
  python -m tests.faults.campaign --list
"""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults.campaign",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="seed of the first segment (default 1)")
    parser.add_argument("--segments", type=int, default=5, metavar="N", help="how many, with seeds from there on (5)")
    parser.add_argument("--minutes", type=float, default=6.0, metavar="M", help="minutes of load in each (6)")
    parser.add_argument("--only", default="", metavar="KIND", help="a kind, or one fault by its name; see --list")
    parser.add_argument("--ports", type=int, default=26000, metavar="N", help="first port; a hundred are used (26000)")
    parser.add_argument("--results", type=Path, default=FILE, metavar="FILE", help="appended to (%(default)s)")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="where segments live (a temporary folder)")
    parser.add_argument("--rebuild", type=int, metavar="N", help="instead: time `chungsuc rebuild` of N reports")
    parser.add_argument("--keep", action="store_true", help="keep each segment's folder, with its logs and history")
    parser.add_argument("--list", action="store_true", help="print kinds and faults, and end")
    parser.add_argument("--verify-results", action="store_true", help="read the results file, sum it up, and end")
    return parser.parse_args()


def _listed() -> None:
    for kind in Kind:
        print(f"{kind.value}: {TITLES[kind]}")
        for fault in FAULTS.values():
            if fault.kind is kind:
                where = {0: "", 1: "  (one broker)", 3: "  (three brokers)"}[fault.brokers]
                print(f"  {fault.name}{where}")


def _verified(path: Path) -> int:
    """Sum the file up. 1 where a segment was not proved."""
    results = [result for result in read_results(path) if result.verdict != STOPPED]
    faults = Counter(fault.kind for result in results for fault in result.faults)
    load_s = sum(result.load_s for result in results)
    print(f"{len(results)} segments, {load_s / 3600:.2f} h of load, {sum(faults.values())} faults")
    for kind in Kind:
        print(f"  {kind.value:12}{faults[kind.value]:5}")
    bad = [result for result in results if result.verdict != PROVED]
    for result in bad:
        print(f"seed {result.seed} at {result.commit}: {result.verdict} {', '.join(result.anomalies)}")
    return Exit.FAILED if bad else Exit.FINE


def _segment(given: argparse.Namespace, seed: int, folder: Path) -> Result:
    if given.rebuild:
        result = timed_rebuild(seed, given.rebuild, folder, given.ports)
        result.append(given.results)
        print(f"seed {seed}: {result.rebuilt:,} reports rebuilt in {result.rebuild_s:.1f} s", flush=True)
        return result
    segment = Segment(seed, given.minutes, folder, given.ports, given.only, tell=lambda line: print(line, flush=True))
    plan = segment.plan or []
    print(f"seed {seed}: {segment.brokers} brokers; {', '.join(p.fault for p in plan) or 'no faults'}", flush=True)
    try:
        result = segment.run()
    except KeyboardInterrupt:
        segment.result.verdict = STOPPED
        raise
    except BaseException as error:
        result = segment.result
        result.verdict = BROKEN
        said = " ".join(f"{type(error).__name__}: {error}".split())
        result.anomalies.setdefault("campaign", []).append(said[:500])
        traceback.print_exc()
        raise
    finally:
        segment.result.append(given.results)
    return result


def _run(given: argparse.Namespace) -> int:
    if given.only and not any(given.only in (fault.name, fault.kind.value) for fault in FAULTS.values()):
        print(f"faults: there is no kind or fault {given.only!r}; --list shows them", file=sys.stderr)
        return Exit.USAGE
    end_on_sigterm()
    root = (given.folder or Path(tempfile.mkdtemp(prefix="chungsuc-faults-"))).absolute()
    bad = 0
    for seed in range(given.seed, given.seed + given.segments):
        folder = root / f"segment-{seed}-{int(time.time())}"
        try:
            result = _segment(given, seed, folder)
        except KeyboardInterrupt:
            return Exit.FAILED
        except Exception as error:
            print(f"seed {seed}: the campaign failed: {told(error)[0]} ({folder} is kept)", file=sys.stderr, flush=True)
            bad += 1
            continue
        print(f"seed {seed}: {result.verdict} {result.counts} {result.anomalies or ''}", flush=True)
        if result.verdict == PROVED and not given.keep:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            bad += result.verdict != PROVED
            print(f"seed {seed}: {folder} is kept", flush=True)
    return Exit.FAILED if bad else Exit.FINE


def main() -> int:
    """Run it from the command line."""
    given = _arguments()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    if given.list:
        _listed()
        return Exit.FINE
    if given.verify_results:
        try:
            return _verified(given.results)
        except (OSError, ValueError) as error:
            print(f"faults: {error}", file=sys.stderr)
            return Exit.USAGE
    return _run(given)


if __name__ == "__main__":
    sys.exit(main())
