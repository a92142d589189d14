"""A node: one host's outbox, sending its districts' days until it is told to end; restarted as often as it is killed.

    python -m tests.faults.campaign.node FOLDER

Everything it is to do is in its folder: `node.json` says who it is, `orders/` what to do out of turn (a file is taken
away when its sends are acknowledged), `place` the step it is at. A file `end` ends it after the step in hand. What the
cluster does not take is tried again for ever; an outbox that is no database any more is put aside, as its line says.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from kafka.errors import KafkaError

from deploy.catalogue_release import read_registers
from deploy.files import read_json, write_json
from deploy.operator_key import operator_key
from producers.delivery import Delivery
from producers.errors import OutboxError, ProducerError
from producers.outbox import FILE as OUTBOX
from producers.registration import registered_keys
from producers.send import Send
from schemas.catalogue import Catalogue
from schemas.log import LogUnreachable
from schemas.settings import Settings, load_settings
from schemas.unit import UnitCode
from tests.faults.campaign import story
from tests.faults.campaign.history import FILE as HISTORY
from tests.faults.campaign.journal import Journal, JournalOutbox, true_ms
from tests.faults.campaign.politeness import stand_back

log = logging.getLogger("node")

DATA = "data"
"""Keys and outbox: the folder that a fault may fill, within the node's folder."""

_AGAIN_AFTER_S = 0.3
_NO_DATABASE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_true_time, _true_time_ns = time.time, time.time_ns


@dataclass(frozen=True, slots=True)
class Who:
    """A node: its number, the stack it sends to, its districts, how fast."""

    number: int
    bootstrap: str
    operator: str
    act_delay_ms: int
    districts: tuple[str, ...]
    seed: int
    pause_s: float

    def save(self, folder: Path) -> None:
        """Into its folder."""
        write_json(folder / "node.json", asdict(self))

    @classmethod
    def load(cls, folder: Path) -> Who:
        """From its folder."""
        raw: dict[str, Any] = read_json(folder / "node.json") or {}
        return cls(**{**raw, "districts": tuple(raw["districts"])})


class Node:
    """The process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._who = Who.load(folder)
        self._operator = operator_key(Path(self._who.operator))
        self._settings: Settings = load_settings(
            data=folder / DATA,
            bootstrap=self._who.bootstrap,
            operator_key=self._operator.public.hex(),
            act_delay_ms=self._who.act_delay_ms,
        )
        self._journal = Journal(folder / HISTORY, self._who.number)
        self._delivery: Delivery | None = None
        self.refused = 0

    @cached_property
    def catalogue(self) -> Catalogue:
        """As released when it was first asked for."""
        found = read_registers(self._settings, self._operator).newest_catalogue()
        if found is None:
            raise LogUnreachable("no catalogue yet")
        return found

    def run(self) -> None:
        """Send until told to end."""
        place = self._folder / "place.json"
        at = int((read_json(place) or {"step": 0})["step"])
        while not (self._folder / "end").exists():
            order = min((self._folder / "orders").glob("*.json"), default=None, key=lambda path: path.name)
            if order is not None:
                self._obey(json.loads(order.read_text("utf-8")))
                order.unlink()
                continue
            self._until_taken(lambda step=at: self._deliver(self._step(step)))
            at += 1
            write_json(place, {"step": at}, durable=False)
            time.sleep(self._who.pause_s)

    def _step(self, at: int) -> list[Send]:
        days, district = divmod(at, len(self._who.districts))
        day = story.FIRST_DAY + timedelta(days=days)
        return story.step(self.catalogue, UnitCode(self._who.districts[district]), day, self._who.seed)

    def _obey(self, order: dict[str, Any]) -> None:
        log.info("order %s", order)
        what: str = order["order"]
        self._until_taken(lambda: getattr(self, f"_order_{what}")(order))

    def _order_clock(self, order: dict[str, Any]) -> None:
        """A day sent with a wrong clock, then the clock is put right and the reports are corrected."""
        day = story.CLOCK_FROM + timedelta(days=order["turn"])
        sends = story.simulated(self.catalogue, self._district(order), day, self._who.seed)
        _turn_clock(story.clock_offset_ms(order["clock"], _true_time_ns() // 1_000_000))
        try:
            self._deliver(story.turned(sends, order["clock"]))
        finally:
            _turn_clock(0)
        refused = self.refused
        self._deliver(story.corrected(sends, true_ms()))
        if self.refused > refused:
            raise AssertionError(f"{self.refused - refused} corrections were refused after the clock was put right")

    def _order_offline(self, order: dict[str, Any]) -> None:
        """Days without a line: the outbox takes them, one by one; then all go out at once."""
        first, district = story.OFFLINE_FROM + timedelta(days=order["from"]), self._district(order)
        sends = [
            story.simulated(self.catalogue, district, first + timedelta(days=day), self._who.seed)
            for day in range(order["days"])
        ]
        delivery = self._connected()
        signers = registered_keys(
            self._settings, delivery._acts, self._operator, delivery._keys, {s.sender for day in sends for s in day}
        )
        for day in sends:
            delivery.outbox.put(day, signers)
        self._deliver([send for day in sends for send in day])

    def _order_mixed(self, order: dict[str, Any]) -> None:
        """Two versions of a form in one stream."""
        self._deliver(story.mixed(self.catalogue, self._district(order), order["turn"], self._who.seed))

    def _district(self, order: dict[str, Any]) -> UnitCode:
        return UnitCode(self._who.districts[order["turn"] % len(self._who.districts)])

    def _until_taken(self, work: Any) -> None:
        while True:
            try:
                work()
            except (ProducerError, LogUnreachable, KafkaError, OSError) as error:
                log.warning("%s: %s", type(error).__name__, error)
                self._disconnect()
                if isinstance(error, OutboxError) and _no_database(error):
                    self._put_aside()
                time.sleep(_AGAIN_AFTER_S)
            else:
                return

    def _deliver(self, sends: Sequence[Send]) -> None:
        summary = self._connected().deliver(sends, self.catalogue)
        self.refused += len(summary.problems)
        for problem in summary.problems:
            log.warning("refused: %s", problem)

    def _connected(self) -> Delivery:
        if self._delivery is None:
            delivery = Delivery(self._settings, self._operator)
            delivery.outbox.close()
            delivery.outbox = JournalOutbox(self._settings.data / OUTBOX, self._journal)
            self._delivery = delivery
        return self._delivery

    def _disconnect(self) -> None:
        if self._delivery is not None:
            self._delivery.close()
            self._delivery = None

    def _put_aside(self) -> None:
        log.warning("the outbox is no database any more: a new one is made from what is in reports")
        for path in self._settings.data.glob(f"{OUTBOX}*"):
            path.unlink()


def _no_database(error: OutboxError) -> bool:
    return isinstance(error.__cause__, sqlite3.DatabaseError) and error.__cause__.sqlite_errorcode in _NO_DATABASE


def _turn_clock(offset_ms: int) -> None:
    """Every reading of the clock in this process is off by so much from now on."""
    time.time = lambda: _true_time() + offset_ms / 1000
    time.time_ns = lambda: _true_time_ns() + offset_ms * 1_000_000


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    logging.getLogger("kafka").setLevel(logging.ERROR)
    stand_back()
    Node(Path(sys.argv[1])).run()
