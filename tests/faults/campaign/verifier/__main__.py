"""Judge a segment again, alone, from the folder in which its evidence was kept."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from schemas.exit import Exit
from tests.faults.campaign.verifier.evidence import LOG, history_of
from tests.faults.campaign.verifier.verify import verify_segment

_EPILOG = """
The folder holds history.jsonl, log.sqlite and read-model.sqlite; a segment that is not EXACT keeps them, and
`make faults` with --keep keeps all. Exit code 0: EXACT; 1: anomalies, or nothing was sent; 2: no evidence there.

example:
  python -m tests.faults.campaign.verifier faults/segment-7-1795357484
"""


def main() -> int:
    """Print what was found: anomalies, what was compared, the verdict in one word."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults.campaign.verifier",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="where the evidence of the segment lies")
    folder: Path = parser.parse_args().folder
    for path in (history_of(folder), folder / LOG):
        if not path.exists():
            parser.error(f"{path} is not there: the evidence of a segment that was EXACT is not kept without --keep")
    verdict = verify_segment(folder)
    for anomaly in verdict.anomalies:
        print(anomaly)
    for what, count in sorted(verdict.compared_by.items()):
        print(f"{count:>9,} {what}")
    print(
        f"{verdict.word}: sent {verdict.sent:,}, acknowledged {verdict.acknowledged:,}, lost {verdict.lost}, "
        f"double {verdict.double}, wrong {verdict.wrong}"
    )
    return Exit.FINE if verdict.word == "EXACT" else Exit.FAILED


if __name__ == "__main__":
    sys.exit(main())
