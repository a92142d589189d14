"""What a node sends, step by step: a pure function of seed, district and day, so that a killed node can say it again.

A step is one day of one district: what the simulator plays (late, corrected, withdrawn, sent twice), communes whose
line is down for three days and that then send all of it, reports the district enters for a commune, a correction of the
week before. Orders (`Order`) are steps out of turn on days of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from random import Random

from producers.send import Send
from producers.simulator import Accidents, reporting_units, simulated_day
from schemas.catalogue import Catalogue
from schemas.form import Form, FormId
from schemas.period import PeriodText
from schemas.report import Kind, Millis
from schemas.unit import UnitCode

FORMS = (FormId("testing-daily"), FormId("vaccination-daily"))
MIXED_FORM = FormId("campaign-daily")
FIRST_DAY = date(2021, 2, 1)
CLOCK_FROM = date(2023, 1, 1)
OFFLINE_FROM = date(2023, 6, 1)
OFFLINE_WINDOWS = 20
"""So many windows of 30 days end before the districts do, on 2025-07-01; then the first one comes again."""
MIXED_FROM = date(2021, 5, 1)
"""The second version is in force from June on."""

_LINE_DOWN_DAYS = 3
_LINE_DOWN_SHARE = 0.05
_ENTERED_SHARE = 0.08
_DAY_MS = 86_400_000
_HOUR_MS = 3_600_000

CLOCKS = ("+1h", "-1h", "+1d", "-1d", "1970", "2099")


def step(catalogue: Catalogue, district: UnitCode, day: date, seed: int) -> list[Send]:
    """The sends of one step, in the order in which they go out."""
    sends = [send for send in _day(catalogue, district, day, seed) if not _line_down(send.unit, day, seed)]
    if (day.toordinal() % _LINE_DOWN_DAYS) == 0:
        for back in range(_LINE_DOWN_DAYS, 0, -1):
            before = day - timedelta(days=back)
            sends += [send for send in _day(catalogue, district, before, seed) if _line_down(send.unit, before, seed)]
    sends += _entered(sends, district, seed)
    sends += _week_later(_day(catalogue, district, day - timedelta(days=7), seed), day, seed)
    return sends


def simulated(catalogue: Catalogue, district: UnitCode, day: date, seed: int) -> list[Send]:
    """A day as the simulator has it, and nothing else."""
    return [*_day(catalogue, district, day, seed)]


def turned(sends: list[Send], clock: str) -> list[Send]:
    """The same sends from a node whose clock is wrong."""
    if not sends:
        return []
    first = min(send.issued_at for send in sends)
    return [replace(send, issued_at=Millis(send.issued_at + clock_offset_ms(clock, first))) for send in sends]


def clock_offset_ms(clock: str, now_ms: int) -> int:
    """How far off a clock is at a moment, ms."""
    if clock in ("1970", "2099"):
        return int(datetime(int(clock), 1, 2, tzinfo=UTC).timestamp() * 1000) - now_ms
    sign = -1 if clock.startswith("-") else 1
    return sign * (_HOUR_MS if clock.endswith("h") else _DAY_MS)


def corrected(sends: list[Send], now: Millis) -> list[Send]:
    """After the clock was put right: one more of each report, issued now."""
    newest = {(send.unit, send.form.id): send for send in sends if send.kind is Kind.REPORT}
    return [replace(send, issued_at=now, rows=_more(send)) for send in newest.values()]


def mixed(catalogue: Catalogue, district: UnitCode, turn: int, seed: int) -> list[Send]:
    """Reports of a form whose version changes: some have the new version early, some still have the old one."""
    versions = sorted((form for form in catalogue.forms if form.id == MIXED_FORM), key=lambda form: form.version)
    sends = []
    for ahead in range(0, 60, 12):
        day = MIXED_FROM + timedelta(days=ahead + turn % 12)
        for unit in reporting_units(catalogue.units, district, day):
            random = Random(f"{seed}/{turn}/{unit}/{day}")
            count = random.choice((1, 1, 2))
            sends += [_of_version(random.choice(versions), unit, day, random, at) for at in range(count)]
    return sends


def _of_version(form: Form, unit: UnitCode, day: date, random: Random, at: int) -> Send:
    row: dict[str, int | str | None] = {"method": random.choice(("antigen", "rt-pcr"))}
    for measure in form.measures:
        row[measure.name] = None if measure.optional and random.random() < 0.3 else random.randrange(100)
    issued = int(datetime(day.year, day.month, day.day, 16, tzinfo=UTC).timestamp() * 1000) + at * 60_000
    # Each turn says it again at a later time: the version of a series changes back and forth.
    return Send(form, unit, PeriodText(day.isoformat()), Kind.REPORT, Millis(issued + random.randrange(1000)), [row])


def _day(catalogue: Catalogue, district: UnitCode, day: date, seed: int) -> Iterator[Send]:
    played = simulated_day(catalogue, district, day, seed=seed, forms=FORMS, accidents=Accidents(offline=0.0))
    return (one.send for one in played)


def _line_down(unit: UnitCode, day: date, seed: int) -> bool:
    return Random(f"{seed}/line/{unit}/{day.toordinal() // _LINE_DOWN_DAYS}").random() < _LINE_DOWN_SHARE


def _entered(sends: list[Send], district: UnitCode, seed: int) -> list[Send]:
    return [
        replace(send, entered_by=district, rows=_more(send), issued_at=Millis(send.issued_at + _HOUR_MS))
        for send in _last_reports(sends)
        if Random(f"{seed}/entered/{send.unit}/{send.form.id}/{send.period}").random() < _ENTERED_SHARE
    ]


def _last_reports(sends: list[Send]) -> list[Send]:
    return [*{(s.unit, s.form.id, s.period): s for s in sends if s.kind is Kind.REPORT}.values()]


def _week_later(sends: Iterator[Send], day: date, seed: int) -> list[Send]:
    """One commune corrects what it said a week ago."""
    reports = [send for send in _last_reports([*sends]) if not _line_down(send.unit, day, seed)]
    if not reports or day - timedelta(days=7) < FIRST_DAY:
        return []
    chosen = Random(f"{seed}/week/{day}").choice(reports)
    return [replace(chosen, rows=_more(chosen), issued_at=Millis(chosen.issued_at + 7 * _DAY_MS))]


def _more(send: Send) -> list[dict[str, int | str | None]]:
    """Other rows that break no check: the first row away, or the only one twice as large."""
    rows = [dict(row) for row in send.rows]
    if len(rows) > 1:
        return rows[1:]
    return [{name: cell * 2 if isinstance(cell, int) else cell for name, cell in row.items()} for row in rows]
