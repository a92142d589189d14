"""Load that knows the answer: what was sent, and what every figure must be when it has settled.

`Days` plays simulated days of Lai Châu's 106 communes, three levels below the nation, one after the other until it is
told to end. `Probe` is one commune elsewhere that reports a new number each time: a total then shows how fresh it is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta

from kafka.errors import KafkaError

from deploy.catalogue_release import read_registers
from deploy.errors import StackError
from deploy.operator_key import operator_key
from deploy.reading import open_read_model
from deploy.sending import Sender
from deploy.stack import Stack
from producers.delivery import deliver
from producers.errors import ProducerError
from producers.registration import now_ms
from producers.send import Send
from producers.simulator import simulated_day, standing
from schemas.catalogue import Catalogue
from schemas.form import AcrossUnits, FormId
from schemas.log import LogUnreachable
from schemas.period import PeriodText
from schemas.read_model import FigureQuery
from schemas.report import Kind
from schemas.settings import Settings
from schemas.unit import UnitCode

PROVINCE = UnitCode("12")
FIRST_DAY = date(2021, 12, 1)
SEED = 5

FORMS = ("testing-daily", "vaccination-daily")

PROBE_UNIT = UnitCode("00001")
PROBE_ROOT = UnitCode("VN")
PROBE_FORM = FormId("covid-doses")
PROBE_DAY = date(2021, 1, 5)

_AGAIN_WITHIN_S = 120.0
_ENDS_WITHIN_S = 240.0
_PAUSE_S = 0.2


class Probe:
    """Sends revision after revision of one report; the number in it grows by one each time."""

    def __init__(self, settings: Settings) -> None:
        self._operator = operator_key(settings.data)
        # Its own outbox and keys: while load holds the stack's outbox, a fresh report needs no turn.
        self._settings = settings.model_copy(update={"data": settings.data / "probe"})
        self._settings.data.mkdir(exist_ok=True)
        catalogue = read_registers(settings, self._operator).newest_catalogue()
        assert catalogue is not None
        self._catalogue: Catalogue = catalogue
        form = catalogue.form_in_force(PROBE_FORM, PROBE_DAY)
        assert form is not None
        self._form = form
        self.number = 0

    def send(self) -> int:
        """Send the next number and return it when the broker has it, however long that one is away."""
        self.number += 1
        row = {measure.name: self.number for measure in self._form.measures}
        send = Send(self._form, PROBE_UNIT, PeriodText(PROBE_DAY.isoformat()), Kind.REPORT, now_ms(), [row])
        deadline = time.monotonic() + _AGAIN_WITHIN_S
        while True:
            try:
                summary = deliver(self._settings, self._operator, self._catalogue, [send])
            except (ProducerError, LogUnreachable):
                if time.monotonic() > deadline:
                    raise
                continue
            assert not summary.problems
            return self.number


@dataclass
class Days:
    """Simulated days, sent by a thread until `end`; a send that the cluster does not take is repeated."""

    stack: Stack
    first: date = FIRST_DAY
    under: UnitCode = PROVINCE
    sent: list[date] = field(default_factory=list)
    acknowledged: int = 0
    _failure: BaseException | None = None

    def __post_init__(self) -> None:
        self._sender = Sender(self.stack)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load")

    def __enter__(self) -> Days:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Return when the day in hand is sent. Raises what made the load fail."""
        self._ending.set()
        self._thread.join(_ENDS_WITHIN_S)
        assert not self._thread.is_alive(), "the load does not end"
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            for day in _days(self.first):
                self._send(day)
                if self._ending.is_set():
                    return
        except BaseException as error:
            self._failure = error

    def _send(self, day: date) -> None:
        deadline = time.monotonic() + _AGAIN_WITHIN_S
        while True:
            try:
                summary = self._sender.simulate(self.under, [day], SEED, forms=FORMS)
            except (ProducerError, LogUnreachable, KafkaError, StackError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(_PAUSE_S)
                continue
            assert not summary.problems, summary.problems
            self.acknowledged += summary.acked
            self.sent.append(day)
            return


def _days(first: date) -> Iterator[date]:
    day = first
    while True:
        yield day
        day += timedelta(days=1)


def answer(catalogue: Catalogue, under: UnitCode, day: date) -> dict[str, tuple[int, ...]]:
    """What the figures of `under` must be for a simulated day: by form, reports counted and each measure's sum."""
    found: dict[str, list[int]] = {}
    day_of_load = simulated_day(catalogue, under, day, seed=SEED, forms=[FormId(form) for form in FORMS])
    for (_, form_id), send in standing(day_of_load).items():
        measures = [measure.name for measure in send.form.measures if measure.across_units is AcrossUnits.SUM]
        sums = found.setdefault(form_id, [0] * (1 + len(measures)))
        sums[0] += send.kind is not Kind.WITHDRAWAL
        for row in send.rows if send.kind is Kind.REPORT else ():
            for at, name in enumerate(measures, 1):
                sums[at] += int(row.get(name) or 0)
    return {form: tuple(sums) for form, sums in found.items()}


def stored(settings: Settings, under: UnitCode, day: date, forms: list[str]) -> dict[str, tuple[int, ...]]:
    """The same from the read model."""
    found: dict[str, tuple[int, ...]] = {}
    with open_read_model(settings) as model:
        for form_id in forms:
            figures = model.figures(FigureQuery(under, FormId(form_id), day, day))
            summed = [at for at, measure in enumerate(figures.form.measures) if measure.across_units is AcrossUnits.SUM]
            reported = max((row.units_reported for row in figures.rows), default=0)
            found[form_id] = (reported, *(sum(row.measures[at] or 0 for row in figures.rows) for at in summed))
    return found


def assert_answers(settings: Settings, days: Days) -> None:
    """Every simulated day that was acknowledged is in the figures exactly once."""
    catalogue = days._sender.catalogue
    for day in days.sent:
        wanted = answer(catalogue, days.under, day)
        assert stored(settings, days.under, day, sorted(wanted)) == dict(sorted(wanted.items())), day
