"""Many signed reports straight into `reports`, faster than through outboxes: a backlog made while nobody reads it."""

from __future__ import annotations

from contextlib import closing
from datetime import date, timedelta
from itertools import islice, product

from kafka import KafkaProducer

from deploy.catalogue_release import read_registers
from deploy.operator_key import operator_key
from producers.keys import NodeKeys
from producers.registration import now_ms, registered_keys
from producers.simulator import reporting_units
from schemas.admission import iso_time
from schemas.codec import encode_report
from schemas.log import ActReader
from schemas.period import PeriodText
from schemas.register import Registers
from schemas.report import REPORT_TYPE, Header, Kind, Report, Revision
from schemas.signature import sign
from schemas.topics import REPORTS
from schemas.unit import UnitCode
from tests.faults.harness import Running
from tests.faults.load import PROBE_FORM

UNDER = UnitCode("01")
FIRST_DAY = date(2021, 2, 1)
DAYS = 1500
"""Up to the end of the tree of 2021 to 2025."""


def send_backlog(running: Running, count: int) -> int:
    """One report per commune of Hà Nội and day, day by day, until there are `count`. Returns how many were acked."""
    settings = running.settings
    operator = operator_key(settings.data)
    registers = read_registers(settings, operator)
    catalogue = registers.newest_catalogue()
    assert catalogue is not None
    form = catalogue.form_in_force(PROBE_FORM, FIRST_DAY)
    assert form is not None
    units = [*reporting_units(catalogue.units, UNDER, FIRST_DAY)]
    acts = ActReader(settings, Registers(operator.public, settings.act_delay_ms))
    folder = settings.data / "backlog"
    folder.mkdir()
    with closing(acts), closing(NodeKeys(folder / "keys.sqlite")) as keys:
        signers = registered_keys(settings, acts, operator, keys, units)
    now = now_ms()
    time = iso_time(now)
    producer = KafkaProducer(
        bootstrap_servers=settings.bootstrap.split(","), acks="all", linger_ms=20, batch_size=256 * 1024
    )
    acknowledged = 0
    waiting = []
    for number, (day, unit) in enumerate(islice(product(range(DAYS), units), count)):
        period = PeriodText((FIRST_DAY + timedelta(days=day)).isoformat())
        row = {measure.name: (number * 7 + at) % 1000 for at, measure in enumerate(form.measures)}
        report = Report(form.id, Header(unit, period, Kind.REPORT, Revision(1), number + 1, now), [row])
        record = sign(
            signers[unit],
            key=unit.encode(),
            value=encode_report(form, report),
            event_type=REPORT_TYPE,
            event_id=report.event_id,
            time=time,
        )
        waiting.append(
            producer.send(settings.topic(REPORTS), record.value, key=record.key, headers=list(record.headers))
        )
        if len(waiting) >= 20_000:
            acknowledged += sum(future.get(120) is not None for future in waiting)
            waiting.clear()
    acknowledged += sum(future.get(120) is not None for future in waiting)
    producer.close(timeout=30)
    return acknowledged
