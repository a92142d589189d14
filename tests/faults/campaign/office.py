"""An office that reports through an agent: one file a report, dropped into its folder; what lies in `done` must count.

The agent is started again whenever it ended, as whatever starts services would. Files that are not in `done` yet are
as they are: nothing is dropped twice, so what the agent loses is lost.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from producers.agent.config import AgentConfig
from producers.send import Send
from producers.simulator import Accidents, reporting_units, simulated_day
from schemas.catalogue import Catalogue
from schemas.report import Offset, Revision, Series, Source
from schemas.topics import partition_of
from schemas.unit import UnitCode
from tests.faults.campaign import story
from tests.faults.campaign.accounts import accounts
from tests.faults.campaign.history import FILE as HISTORY
from tests.faults.campaign.journal import Journal
from tests.faults.campaign.politeness import stand_back
from tests.faults.harness import Running
from tests.support.agent import STEADY_S, OfficeAgent, register
from tests.support.waiting import eventually

DISTRICT = UnitCode("026")
"""Of Hà Giang, one of its communes: not one that a node or a caller speaks for."""
NUMBER = 97
"""Of the office among the nodes."""
AGENT = "agent"
"""The agent's folder within the office's, on a disk of its own; and its name in the results."""

_PAUSE_S = 1.0
_LOOK_EVERY_S = 0.2
_ENDS_WITHIN_S = 180.0
_UNKNOWN = Offset(-1)


class Office:
    """It, with its agent; made on a running stack. `environment` is the agent's."""

    def __init__(
        self, running: Running, catalogue: Catalogue, folder: Path, port: int, seed: int, environment: dict[str, str]
    ) -> None:
        self.history = folder / HISTORY
        self.problems: list[str] = []
        self.done = 0
        self._catalogue = catalogue
        self._seed = seed
        self._partitions = running.settings.partitions
        self._environment = environment
        self._unit = min(reporting_units(catalogue.units, DISTRICT, story.FIRST_DAY))
        token = folder / "token"
        token.write_text(accounts(running, [self._unit], folder)[self._unit], "utf-8")
        self.agent = OfficeAgent(
            folder / AGENT,
            AgentConfig(unit=self._unit, gateway=running.stack.gateway, token_file=str(token), port=port,
                        steady_s=STEADY_S),
        )  # fmt: skip
        register(running.settings, self.agent.key)
        self._journal = Journal(self.history, NUMBER)
        self._open: dict[str, tuple[str, str]] = {}
        self._dropped: dict[str, float] = {}
        self._refused: set[str] = set()
        self._newest_done = 0.0
        self._ending, self._over = threading.Event(), threading.Event()
        self._held = threading.Lock()
        self._threads = [
            threading.Thread(target=work, name=f"office-{work.__name__}", daemon=True)
            for work in (self._drop_all, self._look_after)
        ]

    def start(self) -> None:
        """Begin to report."""
        self.agent.begin(**self._environment)
        for thread in self._threads:
            thread.start()

    def kill(self) -> None:
        """The agent's host loses power, and has it again."""
        self.agent.kill()

    def restart(self, **environment: str) -> None:
        """End the agent politely and start it with more in its environment."""
        with self._held:
            self.agent.stop()
            self.agent.begin(**self._environment, **environment)

    def done_after(self, moment: float, within_s: float) -> float:
        """Wait until a file that was dropped after a moment of the monotonic clock is done; the seconds in between."""
        eventually(lambda: self._newest_done > moment, within_s)
        return time.monotonic() - moment

    def end(self) -> None:
        """Return when every file that was dropped is done."""
        self._ending.set()
        self._threads[0].join()
        eventually(lambda: not self._open, _ENDS_WITHIN_S)

    def stop(self) -> None:
        """End all, whatever is not done; no error."""
        self._ending.set()
        self._over.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()
        self.agent.kill()
        self._journal.close()

    def _drop_all(self) -> None:
        stand_back()
        known: dict[Series, tuple[Revision, str]] = {}
        for number, send in enumerate(self._sends()):
            if self._ending.is_set():
                return
            revision, digest = known.get(send.series, (Revision(0), ""))
            dimensions = [dimension.name for dimension in send.form.dimensions]
            mine = send.report(revision, 0).digest(dimensions).hex()
            # The same table once more is the same revision.
            expected = revision if mine == digest else Revision(revision + 1)
            known[send.series] = (expected, mine)
            report = send.report(expected, 0)
            self._journal.sent(send, expected)
            name = f"{number:06}.json"
            self._open[name] = (report.event_id, report.digest(dimensions).hex())
            self._drop(name, send)
            self._ending.wait(_PAUSE_S)

    def _drop(self, name: str, send: Send) -> None:
        said = {
            "form": send.form.id, "unit": send.unit, "period": send.period, "kind": send.kind.value,
            "rows": [dict(row) for row in send.rows], "narrative": dict(send.narrative or {}),
        }  # fmt: skip
        while not self._over.is_set():
            self._dropped[name] = time.monotonic()
            try:
                self.agent.drop(name, said)
            except OSError:
                # The disk is full: whoever writes files has to wait as well.
                self._over.wait(_LOOK_EVERY_S)
            else:
                return

    def _sends(self) -> Iterator[Send]:
        day = story.FIRST_DAY
        while True:
            played = simulated_day(self._catalogue, DISTRICT, day, seed=self._seed, forms=story.FORMS,
                                   accidents=Accidents(offline=0.0, corrected=0.2, withdrawn=0.1))  # fmt: skip
            yield from (one.send for one in played if one.send.unit == self._unit)
            day += timedelta(days=1)

    def _look_after(self) -> None:
        while not self._over.wait(_LOOK_EVERY_S):
            with self._held:
                if self.agent.has_ended():
                    self.agent.begin(**self._environment)
            for name in self.agent.names("done"):
                if name in self._open:
                    self._is_done(name)
            for name in self.agent.names("refused"):
                if name.endswith(".json") and name not in self._refused:
                    self._is_refused(name)

    def _is_done(self, name: str) -> None:
        event, digest = self._open.pop(name)
        self._journal.acked(event, digest, Source(partition_of(self._unit.encode(), self._partitions), _UNKNOWN))
        self._newest_done = max(self._newest_done, self._dropped.pop(name))
        self.done += 1

    def _is_refused(self, name: str) -> None:
        """Also what was done: a receipt may say so later."""
        self._refused.add(name)
        self._open.pop(name, None)
        said = (self.agent.folder / "refused" / f"{name}.txt").read_text("utf-8")
        self.problems.append(f"the agent refused {name}: {said[:300]}")
