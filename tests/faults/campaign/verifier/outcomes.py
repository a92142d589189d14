"""Every offset of `reports` ends in exactly one outcome, and receipts agree with the fold."""

from __future__ import annotations

from typing import Any

from tests.faults.campaign.verifier.anomaly import Name, Verdict
from tests.faults.campaign.verifier.reading import CONTROL, COUNTED
from tests.faults.campaign.verifier.work import Page, Work

_REPORTS = """SELECT partition, offset, fate, reasons, outcome, revision, digest, page, unit, entered_by
FROM report ORDER BY partition, offset"""
_RECEIPTS = """SELECT DISTINCT figures_offset, outcome, reason, revision, digest, page, unit, entered_by FROM receipt
WHERE partition = ? AND offset = ? ORDER BY figures_offset"""
_REJECTIONS = "SELECT DISTINCT reason, intact FROM rejection WHERE partition = ? AND offset = ?"
_FIRST_AT = "SELECT min(at_offset) FROM contribution WHERE partition = ? AND offset = ?"
_OF_NOTHING = """SELECT DISTINCT 'receipt', partition, offset FROM receipt c
    WHERE NOT EXISTS (SELECT 1 FROM report r WHERE r.partition = c.partition AND r.offset = c.offset)
UNION SELECT DISTINCT 'record of rejected', partition, offset FROM rejection c
    WHERE NOT EXISTS (SELECT 1 FROM report r WHERE r.partition = c.partition AND r.offset = c.offset)"""
_REJECTED = "rejected"


def check_outcomes(work: Work, verdict: Verdict) -> None:
    """One pass over `reports`. What each must become was noted by `check_settled`."""
    one_epoch = work.number("SELECT min(epoch) FROM total") <= 1
    for partition, offset, fate, reasons, *report in work.rows(_REPORTS):
        verdict.compare("outcomes")
        receipts = list(work.rows(_RECEIPTS, partition, offset))
        rejections = list(work.rows(_REJECTIONS, partition, offset))
        where = f"report {partition}:{offset}"
        if fate == CONTROL:
            if receipts or rejections:
                verdict.add(Name.TWO_OUTCOMES, where, f"is a control record, and became {receipts or rejections}")
        elif fate == COUNTED:
            first_at = work.number(_FIRST_AT, partition, offset) if one_epoch else None
            _check_counted(where, report, receipts, rejections, first_at, verdict)
        else:
            _check_refused(where, set(reasons.split()), receipts, rejections, verdict)
    for what, partition, offset in work.rows(_OF_NOTHING):
        verdict.add(Name.PHANTOM, f"{what} of report {partition}:{offset}", "there is no such report")


def _check_counted(
    where: str, report: list[Any], receipts: list[Any], rejections: list[Any], first_at: int | None, verdict: Verdict
) -> None:
    outcome, revision, digest, page, unit, entered_by = report
    given = [receipt for receipt in receipts if receipt[1] != _REJECTED]
    if len(given) < len(receipts) or rejections:
        reasons = {rejection[0] for rejection in rejections} | {r[2] for r in receipts if r[1] == _REJECTED}
        name = Name.TWO_OUTCOMES if given else Name.LOST_WRITE
        verdict.add(name, where, f"is right, and rejected as {', '.join(sorted(reasons))}")
    elif not given:
        verdict.add(Name.NO_OUTCOME, where, "has no receipt")
    if not given:
        return
    lowest = given[0][0]
    told = {receipt[1] for receipt in given if receipt[0] == lowest}
    if told != {outcome}:
        verdict.add(Name.CONTRADICTION, where, f"is {' and '.join(sorted(told))}, {outcome} by the fold")
    elif first_at is not None and lowest != first_at:
        verdict.add(Name.CONTRADICTION, where, f"has its receipt for figures {lowest}, and is first at {first_at}")
    about = Page.of(page)
    mine = (revision, digest, f"{about.form}\t{about.line}\t{about.period}", unit, entered_by)
    if strange := [receipt for receipt in given if tuple(receipt[3:]) != mine]:
        verdict.add(Name.CONTRADICTION, where, f"its receipt speaks of {strange[0][3:]}, not of {mine}")


def _check_refused(where: str, reasons: set[str], receipts: list[Any], rejections: list[Any], verdict: Verdict) -> None:
    given = sorted({receipt[1] for receipt in receipts if receipt[1] != _REJECTED})
    if given:
        name = Name.TWO_OUTCOMES if rejections else Name.DIRTY
        verdict.add(name, where, f"must be refused for {sorted(reasons)}, and is {', '.join(given)}")
    elif not rejections:
        verdict.add(Name.NO_OUTCOME, where, f"must be in `rejected` for {sorted(reasons)}")
    elif len(receipts) == len(given):
        verdict.add(Name.NO_OUTCOME, where, "is rejected, and has no receipt that says so")
    for reason, intact in rejections:
        if reason not in reasons:
            verdict.add(Name.CONTRADICTION, where, f"is rejected as {reason}, wrong with it is {sorted(reasons)}")
        if not intact:
            verdict.add(Name.CONTRADICTION, where, "stands in `rejected` with other bytes than it was sent with")
    right = {reason for reason, _ in rejections} or reasons
    if strange := {receipt[2] for receipt in receipts if receipt[1] == _REJECTED} - right:
        verdict.add(Name.CONTRADICTION, where, f"its receipt says {sorted(strange)}, not {sorted(right)}")
