"""What was sent and acknowledged against `reports`, and `reports` against the contributions made of it."""

from __future__ import annotations

from tests.faults.campaign.verifier.anomaly import Name, Verdict
from tests.faults.campaign.verifier.reading import CONTROL, COUNTED, REFUSED, report_mark
from tests.faults.campaign.verifier.work import Work

_ACKED = """SELECT s.send, s.event, s.digest, a.partition, a.offset, r.fate, r.event, r.digest
FROM acked a JOIN sent s ON s.send = a.send
LEFT JOIN report r ON r.partition = a.partition AND r.offset = a.offset WHERE a.offset >= 0"""
_ACKED_SOMEWHERE = """SELECT s.send, s.event, a.partition FROM acked a JOIN sent s ON s.send = a.send
WHERE a.offset < 0 AND NOT EXISTS (SELECT 1 FROM report r WHERE r.event = s.event AND r.digest = s.digest)"""
_NOT_ACKED = """SELECT EXISTS (SELECT 1 FROM report r WHERE r.event = s.event AND r.digest = s.digest) FROM sent s
WHERE NOT EXISTS (SELECT 1 FROM acked a WHERE a.send = s.send)"""
_FATES = f"""SELECT r.partition, r.offset, r.fate, r.reasons, r.event,
    (SELECT count(*) FROM sent s WHERE s.event = r.event AND s.digest = r.digest),
    (SELECT count(*) FROM sent s WHERE s.event = r.event AND s.digest = r.digest AND s.refused = '')
FROM report r WHERE r.fate != '{CONTROL}'"""
_CONTRIBUTED = f"""SELECT r.partition, r.offset, c.at_partition, c.at_offset, c.content,
    r.page, r.unit, r.entered_by, r.kind, r.revision, r.digest, r.accepted_at, r.tbl
FROM report r LEFT JOIN contribution c ON c.partition = r.partition AND c.offset = r.offset
WHERE r.fate = '{COUNTED}' ORDER BY r.partition, r.offset"""
_OF_NOTHING = f"""SELECT c.partition, c.offset, c.at_partition, c.at_offset, r.fate, r.reasons
FROM contribution c LEFT JOIN report r ON r.partition = c.partition AND r.offset = c.offset
WHERE r.fate IS NULL OR r.fate != '{COUNTED}'"""


def check_writes(work: Work, verdict: Verdict) -> None:
    """Everything acknowledged is where the broker said, and nothing is there that nobody sent."""
    verdict.sent = work.number("SELECT count(*) FROM sent")
    verdict.acknowledged = work.number("SELECT count(DISTINCT send) FROM acked")
    for send, event, digest, partition, offset, fate, found, found_digest in work.rows(_ACKED):
        verdict.compare("acknowledged sends")
        if fate is None or (found, found_digest) != (event, digest):
            there = "nothing is there" if fate is None else f"{found or fate} {found_digest[:12]} is there"
            verdict.add(Name.LOST_WRITE, f"send {send} {event}", f"acknowledged at {partition}:{offset}, {there}")
    for send, event, partition in work.rows(_ACKED_SOMEWHERE):
        verdict.add(
            Name.LOST_WRITE, f"send {send} {event}", f"acknowledged in partition {partition}, nowhere to be found"
        )
    for (there,) in work.rows(_NOT_ACKED):
        verdict.recovered += there
        verdict.withheld += not there
    for partition, offset, fate, reasons, event, sends, right in work.rows(_FATES):
        verdict.compare("reports against sends")
        where = f"report {partition}:{offset} {event}"
        if not sends:
            verdict.add(Name.PHANTOM, where, "is in the log, and nobody sent it")
        elif fate == COUNTED and not right:
            verdict.add(Name.DIRTY, where, "is right, and was sent to be refused")
        elif fate == REFUSED and right == sends:
            verdict.add(Name.LOST_WRITE, where, f"was sent to be counted, and must be refused: {reasons}")


def check_contributions(work: Work, verdict: Verdict) -> None:
    """Each report that counts has its contribution, with just its content; each contribution has its report."""
    for partition, offset, at_partition, at_offset, content, *report in work.rows(_CONTRIBUTED):
        verdict.compare("contributions")
        where = f"report {partition}:{offset} {report[1]} {report[0]}"
        if at_partition is None:
            verdict.add(Name.LOST_UPDATE, where, "is not in `figures`")
        elif content != report_mark((*report,)):
            verdict.add(Name.WRONG_VALUE, where, f"is something else at figures {at_partition}:{at_offset}")
    for partition, offset, at_partition, at_offset, fate, reasons in work.rows(_OF_NOTHING):
        where = f"figures {at_partition}:{at_offset}"
        if fate is None:
            verdict.add(Name.PHANTOM, where, f"contribution of report {partition}:{offset}, which is not there")
        else:
            verdict.add(Name.DIRTY, where, f"contribution of report {partition}:{offset}, {fate} {reasons}")
