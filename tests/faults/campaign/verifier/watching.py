"""What observers saw over time: nothing goes back, nothing is shown that nobody sent, at the end all are up to date.

That each total seen was once true is asked in `prefixes`, where the log is folded.
"""

from __future__ import annotations

from tests.faults.campaign.verifier.anomaly import Name, Verdict
from tests.faults.campaign.verifier.work import Page, Work

_IN_ORDER = """SELECT observer, page, unit, epoch, version FROM seen ORDER BY observer, page, unit, id"""
_TOLD = """SELECT observer, partition, offset, outcome, counted FROM seen_receipt
ORDER BY observer, partition, offset, id"""
_TOLD_OF_NOTHING = """SELECT DISTINCT observer, partition, offset FROM seen_receipt c
WHERE NOT EXISTS (SELECT 1 FROM report r WHERE r.partition = c.partition AND r.offset = c.offset)"""
_SEEN_OF_NOTHING = """SELECT DISTINCT observer, page, unit FROM seen
WHERE page NOT IN (SELECT page FROM sent WHERE refused = '')"""
_LAST_SEEN = """SELECT observer, page, unit, epoch, version FROM seen
WHERE id IN (SELECT max(id) FROM seen GROUP BY observer, page, unit)"""
_NEWEST = "SELECT page, unit, max(epoch * 1099511627776 + version) FROM total GROUP BY page, unit"
_WATCHED = "SELECT DISTINCT unit, page FROM seen"
_SHIFT = 1099511627776


def check_watching(work: Work, verdict: Verdict) -> None:
    """Figures and receipts, of every observer."""
    _check_versions(work, verdict)
    _check_told(work, verdict)
    for observer, page, unit in work.rows(_SEEN_OF_NOTHING):
        verdict.add(Name.PHANTOM, f"{observer}: {unit} {Page.of(page)}", "nobody sent anything for this period")
    for observer, partition, offset in work.rows(_TOLD_OF_NOTHING):
        verdict.add(Name.PHANTOM, f"{observer}: report {partition}:{offset}", "there is no such report")
    _check_last(work, verdict)


def _check_versions(work: Work, verdict: Verdict) -> None:
    before: tuple[tuple[str, str, str], tuple[int, int]] | None = None
    for observer, page, unit, epoch, version in work.rows(_IN_ORDER):
        verdict.compare("versions in order")
        about, now = (observer, page, unit), (epoch, version)
        if before is not None and before[0] == about and now < before[1]:
            verdict.add(
                Name.NON_MONOTONIC,
                f"{observer}: {unit} {Page.of(page)}",
                f"{epoch}:{version} after {before[1][0]}:{before[1][1]}",
            )
        before = (about, now)


def _check_told(work: Work, verdict: Verdict) -> None:
    before: tuple[tuple[str, int, int], str, int] | None = None
    for observer, partition, offset, outcome, counted in work.rows(_TOLD):
        verdict.compare("receipts in order")
        about = (observer, partition, offset)
        if before is not None and before[0] == about:
            where = f"{observer}: report {partition}:{offset}"
            if before[1] != outcome:
                name = Name.REGRESSION if before[1] == "accepted" else Name.CONTRADICTION
                verdict.add(name, where, f"is {outcome} after it was {before[1]}")
            if counted < before[2]:
                verdict.add(Name.REGRESSION, where, f"counted at {counted} levels after {before[2]}")
        before = (about, outcome, counted)


def _check_last(work: Work, verdict: Verdict) -> None:
    """Whoever looked a last time saw the newest of everything that anybody watched."""
    looked = {observer for (observer,) in work.rows("SELECT DISTINCT observer FROM ended")}
    of_figures = [observer for (observer,) in work.rows("SELECT DISTINCT observer FROM seen ORDER BY observer")]
    of_receipts = [observer for (observer,) in work.rows("SELECT DISTINCT observer FROM seen_receipt")]
    for observer in sorted({*of_figures, *of_receipts} - looked):
        verdict.add(Name.UNREADABLE, observer, "could not read after everything had settled")
    watched = {(unit, Page.of(page).form) for unit, page in work.rows(_WATCHED)}
    newest = {(page, unit): number for page, unit, number in work.rows(_NEWEST)
              if (unit, Page.of(page).form) in watched}  # fmt: skip
    for observer in of_figures:
        if observer in looked:
            _check_up_to_date(work, observer, newest, verdict)


def _check_up_to_date(work: Work, observer: str, newest: dict[tuple[str, str], int], verdict: Verdict) -> None:
    last = {(page, unit): (epoch, version) for who, page, unit, epoch, version in work.rows(_LAST_SEEN)
            if who == observer}  # fmt: skip
    for (page, unit), number in newest.items():
        verdict.compare("last looks")
        epoch, version = last.get((page, unit), (0, -1))
        if epoch * _SHIFT + version != number:
            shown = f"{epoch}:{version}" if (page, unit) in last else "nothing"
            verdict.add(
                Name.STALE,
                f"{observer}: {unit} {Page.of(page)}",
                f"shows {shown}, {number // _SHIFT}:{number % _SHIFT} is published",
            )
