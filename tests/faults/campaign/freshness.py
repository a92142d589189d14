"""How fresh totals are: communes in as many partitions of `figures` as there are report a number, the nation shows it.

One commune alone would look through the partitions on its own way up only, and miss a worker that owns the others.
"""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

from kafka.errors import KafkaError

from deploy.catalogue_release import read_registers
from deploy.operator_key import operator_key
from deploy.reading import open_read_model
from producers.delivery import Delivery
from producers.errors import ProducerError
from producers.outbox import FILE as OUTBOX
from producers.registration import now_ms
from producers.send import Send
from schemas.catalogue import Catalogue
from schemas.log import LogUnreachable
from schemas.period import PeriodText
from schemas.read_model import FigureQuery, NotReady
from schemas.report import Kind
from schemas.settings import Settings
from schemas.topics import partition_of
from schemas.unit import UnitCode
from tests.faults.campaign.history import FILE as HISTORY
from tests.faults.campaign.journal import Journal, JournalOutbox
from tests.faults.load import PROBE_DAY, PROBE_FORM, PROBE_ROOT
from tests.support.waiting import eventually

_UNDER = UnitCode("01")
_LOOK_EVERY_S = 0.05
NUMBER = 99
"""Of the probe among the nodes."""


class Freshness:
    """Sends a number, then the next, and looks for their sum. `settings` name a way to the brokers that stays open."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._stack = settings
        self._settings = settings.model_copy(update={"data": folder})
        self._settings.data.mkdir(parents=True, exist_ok=True)
        self._operator = operator_key(settings.data)
        catalogue = read_registers(settings, self._operator).newest_catalogue()
        assert catalogue is not None
        self._catalogue: Catalogue = catalogue
        form = catalogue.form_in_force(PROBE_FORM, PROBE_DAY)
        assert form is not None
        self._form = form
        self._units = _spread(catalogue, settings.partitions)
        self.history = self._settings.data / HISTORY
        self._journal = Journal(self.history, NUMBER)
        self._delivery: Delivery | None = None
        self.number = 0

    def close(self) -> None:
        """Give connections and files back."""
        self._disconnect()
        self._journal.close()

    def within(self, within_s: float) -> float:
        """Send the next number, wait until the nation shows it, return the seconds from now to then."""
        began = time.monotonic()
        self._send(began + within_s)
        wanted = self.number * len(self._units)
        eventually(lambda: self.shown() == wanted, max(1.0, within_s - (time.monotonic() - began)), _LOOK_EVERY_S)
        return time.monotonic() - began

    def shown(self) -> int | None:
        """What the nation shows now; None while the read model cannot be asked."""
        query = FigureQuery(UnitCode(PROBE_ROOT), PROBE_FORM, PROBE_DAY, PROBE_DAY)
        try:
            with open_read_model(self._stack) as model:
                rows = model.figures(query).rows
        except NotReady:
            return None
        return rows[0].measures[0] if rows else None

    def _send(self, deadline: float) -> None:
        self.number += 1
        row = {measure.name: self.number for measure in self._form.measures}
        period, issued = PeriodText(PROBE_DAY.isoformat()), now_ms()
        sends = [Send(self._form, unit, period, Kind.REPORT, issued, [row]) for unit in self._units]
        while True:
            try:
                summary = self._connected().deliver(sends, self._catalogue)
            except (ProducerError, LogUnreachable, KafkaError, OSError):
                self._disconnect()
                if time.monotonic() > deadline:
                    raise
                continue
            assert not summary.problems, summary.problems
            return

    def _connected(self) -> Delivery:
        if self._delivery is None:
            delivery = Delivery(self._settings, self._operator)
            delivery.outbox.close()
            delivery.outbox = JournalOutbox(self._settings.data / OUTBOX, self._journal)
            self._delivery = delivery
        return self._delivery

    def _disconnect(self) -> None:
        if self._delivery is not None:
            with closing(self._delivery):
                self._delivery = None


def _spread(catalogue: Catalogue, partitions: int) -> list[UnitCode]:
    """One commune for each partition of `figures` in which districts of one province meet."""
    found: dict[int, UnitCode] = {}
    for district in catalogue.units.children(_UNDER, PROBE_DAY):
        communes = catalogue.units.children(district, PROBE_DAY)
        if communes:
            found.setdefault(partition_of(district.encode(), partitions), communes[0])
    assert len(found) == partitions, found
    return [found[partition] for partition in sorted(found)]
