"""How long a rebuild takes: many reports on the embedded broker, `chungsuc rebuild`, until all are counted again."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from consumers.verify import verify
from schemas.exit import Exit
from tests.faults.backlog import send_backlog
from tests.faults.campaign.results import DISPROVED, PROVED, Result, commit, machine, versions
from tests.faults.harness import Running

_COUNTED_WITHIN_S = 1800.0


def timed_rebuild(seed: int, reports: int, folder: Path, base: int) -> Result:
    """Send so many reports, let them be counted, rebuild, compare every figure with the product's independent fold."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    result = Result(seed, 1, commit(), versions(), machine(), now, only="rebuild")
    running = Running(folder, base)
    try:
        running.up()
        sent = send_backlog(running, reports)
        running.drained(_COUNTED_WITHIN_S)
        began = time.monotonic()
        done = running.chungsuc("rebuild", timeout_s=_COUNTED_WITHIN_S)
        assert done.returncode == Exit.FINE, done.stderr
        running.drained(_COUNTED_WITHIN_S)
        result.rebuild_s = round(time.monotonic() - began, 1)
        result.rebuilt = sent
        checked = verify(running.settings)
    finally:
        running.down()
    result.counts = {"compared by the product": checked.compared, "differing by the product": checked.differing}
    result.verdict = DISPROVED if checked.differing else PROVED
    return result
