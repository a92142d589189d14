"""How fresh totals are: communes in as many partitions of `figures` as there are report a number, the nation shows it.

One commune alone would look through the partitions on its own way up only, and miss a worker that owns the others. The
probe is a process of its own: beside observers and senders its looks would wait for them, by seconds.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from consumers.read_model.database import FILE_NAME
from consumers.read_model.reader import SqliteReadModel
from deploy.bound import bound_to_this_process
from deploy.operator_key import operator_key
from deploy.parts import CHECKOUT
from producers.errors import PublishError
from producers.keys import FILE as KEYS
from producers.keys import NodeKeys
from producers.outbox import FILE as OUTBOX
from producers.outbox_batch import Known
from producers.publisher import Publisher
from producers.registration import now_ms, registered_keys
from producers.send import Send
from schemas.catalogue import Catalogue
from schemas.log import ActReader
from schemas.period import PeriodText
from schemas.read_model import FigureQuery, ReadModelError
from schemas.register import Registers
from schemas.report import Kind
from schemas.settings import Settings
from schemas.topics import partition_of
from schemas.unit import UnitCode
from tests.faults.campaign.history import FILE as HISTORY
from tests.faults.campaign.journal import Journal, JournalOutbox
from tests.faults.load import PROBE_DAY, PROBE_FORM, PROBE_ROOT
from tests.support.waiting import eventually

_UNDER = UnitCode("01")
_LOOK_EVERY_S = 0.1
_TAKEN_WITHIN_S = 10.0
_SETTINGS = "settings.json"
NUMBER = 99
"""Of the probe among the nodes."""


class Probe:
    """Sends a number, then the next, and looks for their sum. `settings` name a way to the brokers that stays open.

    Keys, outbox and producer are kept open, so that what is measured is the way of the report and not its preparation.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._stack = settings
        self._settings = settings.model_copy(update={"data": folder})
        folder.mkdir(parents=True, exist_ok=True)
        operator = operator_key(settings.data)
        registers = Registers(operator.public, settings.act_delay_ms)
        with closing(ActReader(self._settings, registers)) as acts, closing(NodeKeys(folder / KEYS)) as keys:
            catalogue = acts.refresh().newest_catalogue()
            assert catalogue is not None
            form = catalogue.form_in_force(PROBE_FORM, PROBE_DAY)
            assert form is not None
            self._form = form
            self._units = _spread(catalogue, settings.partitions)
            self._signers = registered_keys(self._settings, acts, operator, keys, self._units)
        self.history = folder / HISTORY
        self._journal = Journal(self.history, NUMBER)
        self._outbox = JournalOutbox(folder / OUTBOX, self._journal)
        self._publisher = Publisher(self._settings, self._outbox, timeout_s=_TAKEN_WITHIN_S)
        self._model: SqliteReadModel | None = None
        self.number = 0

    def close(self) -> None:
        """Give connections and files back."""
        self._close_model()
        self._publisher.close()
        self._outbox.close()
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
            # Kept open: it follows a database that is made anew, and reading the catalogue takes half a second.
            self._model = self._model or SqliteReadModel(self._stack.data / FILE_NAME)
            rows = self._model.figures(query).rows
        except (ReadModelError, sqlite3.Error):
            self._close_model()
            return None
        return rows[0].measures[0] if rows else None

    def _close_model(self) -> None:
        if self._model is not None:
            self._model.close()
            self._model = None

    def _send(self, deadline: float) -> None:
        self.number += 1
        row = {measure.name: self.number for measure in self._form.measures}
        period, issued = PeriodText(PROBE_DAY.isoformat()), now_ms()
        sends = [Send(self._form, unit, period, Kind.REPORT, issued, [row]) for unit in self._units]
        assert all(put.known is Known.NEW for put in self._outbox.put(sends, self._signers))
        while True:
            try:
                self._publisher.finish()
            except PublishError:
                if time.monotonic() > deadline:
                    raise
                continue
            assert not self._publisher.problems, self._publisher.problems
            return


class Freshness:
    """The probe's process, and what it is asked. `settings` name a way to the brokers that stays open."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.history = folder / HISTORY
        (folder / _SETTINGS).write_text(settings.model_dump_json(), "utf-8")
        with (folder / "probe.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*bound_to_this_process(), sys.executable, "-m", __name__, str(folder)],
                cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        self.shown_at = 0.0
        """When the newest number that was asked for was shown, by the monotonic clock, which all processes share."""

    def within(self, within_s: float) -> float:
        """Send the next number, wait until the nation shows it, return the seconds from now to then.

        Raises AssertionError where it takes longer.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        began = time.monotonic()
        self._process.stdin.write(f"{within_s}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the probe ended with {self._process.wait(10)}")
        said: dict[str, Any] = json.loads(line)
        if "late" in said:
            raise AssertionError(said["late"])
        self.shown_at = float(said["at"])
        return self.shown_at - began

    def close(self) -> None:
        """End it."""
        self._process.communicate()


def _serve(folder: Path) -> None:
    """A line in, with how many seconds it may take; a line out."""
    settings = Settings.model_validate_json((folder / _SETTINGS).read_text("utf-8"))
    probe = Probe(settings, folder)
    for line in sys.stdin:
        try:
            probe.within(float(line))
        except (AssertionError, PublishError) as error:
            said: dict[str, Any] = {"late": " ".join(str(error).split())}
        else:
            said = {"at": time.monotonic()}
        print(json.dumps(said), flush=True)
    probe.close()


def _spread(catalogue: Catalogue, partitions: int) -> list[UnitCode]:
    """One commune for each partition of `figures` in which districts of one province meet."""
    found: dict[int, UnitCode] = {}
    for district in catalogue.units.children(_UNDER, PROBE_DAY):
        communes = catalogue.units.children(district, PROBE_DAY)
        if communes:
            found.setdefault(partition_of(district.encode(), partitions), communes[0])
    assert len(found) == partitions, found
    return [found[partition] for partition in sorted(found)]


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("kafka").setLevel(logging.ERROR)
    _serve(Path(sys.argv[1]))
