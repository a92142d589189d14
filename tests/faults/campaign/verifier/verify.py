"""The verdict on one segment from its evidence alone.

    capture(settings, folder)          # once everything has settled; the history is already there
    verdict = verify_segment(folder)   # any time later
    print(verdict.word, verdict.lost, verdict.double, verdict.wrong)

Written from the contract; neither the ledger nor the product's own `verify` is looked at or called. Two ways lead to
each figure: the plain sum of the standing reports at every level, and the fold of `figures` offset by offset.
"""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path

from tests.faults.campaign.history import read_history
from tests.faults.campaign.verifier.anomaly import Verdict
from tests.faults.campaign.verifier.evidence import LOG, READ_MODEL, LogFile, history_of
from tests.faults.campaign.verifier.outcomes import check_outcomes
from tests.faults.campaign.verifier.prefixes import PrefixCheck
from tests.faults.campaign.verifier.reading import read_figures, read_outcomes, read_registers, read_reports
from tests.faults.campaign.verifier.settled import check_settled
from tests.faults.campaign.verifier.stored import read_stored
from tests.faults.campaign.verifier.watching import check_watching
from tests.faults.campaign.verifier.work import Tree, Work
from tests.faults.campaign.verifier.writes import check_contributions, check_writes


def verify_segment(folder: Path) -> Verdict:
    """Judge the history, the log and the read model in `folder`; without a read model there, the rest.

    Raises LookupError where the log names a catalogue or a form that no act carries.
    """
    verdict = Verdict()
    with (
        tempfile.TemporaryDirectory(prefix="verifier-", dir=folder) as scratch,
        closing(LogFile(folder / LOG)) as log,
        closing(Work(Path(scratch) / "work.sqlite", log.about.partitions)) as work,
    ):
        _verify(folder, log, work, verdict)
    return verdict


def _verify(folder: Path, log: LogFile, work: Work, verdict: Verdict) -> None:
    registers = read_registers(log)
    catalogue = registers.newest_catalogue()
    if catalogue is None:
        raise LookupError(f"no act in {folder} releases a catalogue")
    tree = Tree(catalogue)
    work.read_history(read_history(history_of(folder)), verdict)
    read_reports(log, registers, work, verdict)
    read_figures(log, work, verdict)
    read_outcomes(log, work)
    if (folder / READ_MODEL).exists():
        work.has_stored = True
        read_stored(folder / READ_MODEL, work, tree)
    work.index()
    PrefixCheck(log, work, tree, verdict).run()
    check_writes(work, verdict)
    check_contributions(work, verdict)
    check_settled(log, work, tree, verdict)
    check_outcomes(work, verdict)
    check_watching(work, verdict)
