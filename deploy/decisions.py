"""Decisions on obligations and reports get into the log: checked first, signed by the operator, sent once.

What is decided is an act (design decision 19): it moves a deadline, lifts an obligation or returns a report, and never
touches a figure. The same decision issued at the same time has the same id; the newest in the log counts.
"""

from __future__ import annotations

from datetime import date, timedelta

from kafka import KafkaProducer

from deploy.catalogue_release import read_registers
from deploy.errors import NotRunningError, UsageError
from deploy.operator_key import operator_key
from deploy.stack import Stack
from schemas.act import ACT_TYPE, Act, Decided, ObligationDecided, ReportReturned
from schemas.admission import iso_time
from schemas.catalogue import Catalogue
from schemas.codec import encode_act
from schemas.kafka_client import client_options
from schemas.obligations import Duty, duties
from schemas.period import parse_period
from schemas.read_model import OwnRevision
from schemas.report import Millis
from schemas.signature import sign
from schemas.topics import ACTS
from schemas.unit import LineName, UnitCode

_ACK_S = 30
_LONGEST_AFTER = timedelta(days=400)
"""So long after a period's last day its report may be due."""


def decide(stack: Stack, about: ObligationDecided, issued_at: Millis) -> None:
    """Sign and send a decision, acknowledged when this returns. Raises UsageError where it makes no sense."""
    if (refusal := refused(_catalogue(stack), about)) is not None:
        raise UsageError(refusal)
    _send(stack, f"obligation_decided/{about.regime}/{about.unit}/{about.period}/{issued_at}", about, issued_at)


def send_back(stack: Stack, about: ReportReturned, report: OwnRevision, issued_at: Millis) -> None:
    """Sign and send that a report is returned, or no longer. Raises UsageError where it makes no sense."""
    if (refusal := return_refused(_catalogue(stack), about, report, issued_at)) is not None:
        raise UsageError(refusal)
    _send(stack, f"report_returned/{about.source}/{issued_at}", about, issued_at)


def return_refused(catalogue: Catalogue, about: ReportReturned, report: OwnRevision, issued_at: Millis) -> str | None:
    """Why a return of a report makes no sense, in one line, or None."""
    if not about.reason:
        return "a return needs its reason: what is to be corrected"
    above = _above(catalogue, about.unit, parse_period(report.period).last_day, report.line)
    if about.by not in above:
        return f"{about.by} is not above {about.unit} on {report.line}: {', '.join(above) or 'nobody'} may return"
    if about.until is not None and about.until <= issued_at:
        return "a correction is due after its report is returned: --until lies before that"
    return None


def _catalogue(stack: Stack) -> Catalogue:
    settings = stack.settings()
    catalogue = read_registers(settings, operator_key(settings.data)).newest_catalogue()
    if catalogue is None:
        raise NotRunningError(f"no catalogue has been released on {settings.bootstrap} yet")
    return catalogue


def _send(stack: Stack, act_id: str, about: ObligationDecided | ReportReturned, issued_at: Millis) -> None:
    settings = stack.settings()
    record = sign(operator_key(settings.data), key=about.unit.encode(),
                  value=encode_act(Act(act_id, issued_at, about)), event_type=ACT_TYPE, event_id=act_id,
                  time=iso_time(issued_at))  # fmt: skip
    producer = KafkaProducer(
        **client_options(settings.bootstrap, "chungsuc-decisions"), acks="all", enable_idempotence=True
    )
    try:
        producer.send(settings.topic(ACTS), record.value, key=record.key, headers=list(record.headers)).get(_ACK_S)
    finally:
        producer.close(timeout=_ACK_S)


def refused(catalogue: Catalogue, about: ObligationDecided) -> str | None:
    """Why a decision makes no sense under a catalogue, in one line, or None."""
    if all(regime.id != about.regime for regime in catalogue.regimes):
        return f"no regime {about.regime}; `chungsuc regimes` lists them"
    duty = _duty(catalogue, about)
    if duty is None:
        return f"{about.unit} owes no report under {about.regime} for {about.period}"
    if not about.reason:
        return "a decision needs its reason"
    above = _above(catalogue, duty.unit.code, duty.period.last_day, duty.regime.line)
    if about.by not in above:
        return f"{about.by} is not above {about.unit} on {duty.regime.line}: {', '.join(above) or 'nobody'} may decide"
    if about.decided is Decided.EXTENDED and (about.until or 0) <= duty.due.timestamp() * 1000:
        return f"an extension ends after the deadline, {duty.due:%Y-%m-%d %H:%M}"
    return None


def _duty(catalogue: Catalogue, about: ObligationDecided) -> Duty | None:
    period = parse_period(about.period)
    for regime in catalogue.regimes:
        if regime.id == about.regime:
            for duty in duties(
                regime, catalogue.units, catalogue.calendar, about.unit, period.first_day,
                period.last_day + _LONGEST_AFTER,
            ):  # fmt: skip
                if (duty.unit.code, duty.period.text) == (about.unit, about.period):
                    return duty
    return None


def _above(catalogue: Catalogue, unit: UnitCode, day: date, line: LineName) -> list[UnitCode]:
    found: list[UnitCode] = []
    here = catalogue.units.superior(unit, day, line)
    while here is not None:
        found.append(here)
        here = catalogue.units.superior(here, day, line)
    return found
