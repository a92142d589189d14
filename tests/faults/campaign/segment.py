"""One segment: a site comes up, nodes send, its faults happen, everything settles, the verdict is written."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from deploy.errors import TimedOutError
from tests.faults.campaign import faults as _faults  # noqa: F401  (fills the register)
from tests.faults.campaign.following import Observers
from tests.faults.campaign.history import FILE as HISTORY
from tests.faults.campaign.history import History
from tests.faults.campaign.moments import Midst, Restart, all_ready
from tests.faults.campaign.registry import FAULTS, Skipped, Wound
from tests.faults.campaign.results import DISPROVED, PROVED, Result, Suffered, commit, machine, versions
from tests.faults.campaign.schedule import Planned, brokers_of, schedule
from tests.faults.campaign.site import Site, site
from tests.faults.campaign.sizes import Sizes
from tests.faults.campaign.verdict import judge, merged, observers
from tests.faults.harness import OthersShare

log = logging.getLogger("campaign")

_RECOVERS_WITHIN_S = 150.0
_SETTLES_WITHIN_S = 300.0
_READY_WITHIN_S = 120.0
_MIDST_AFTER_S = 1.0
_SAMPLE_EVERY_S = 5.0
_NOT_RECOVERED = "not-recovered"


@dataclass
class Segment:
    """What is to be done and where. `tell` hears a line now and then."""

    seed: int
    minutes: float
    folder: Path
    base: int
    only: str = ""
    brokers: int | None = None
    plan: list[Planned] | None = None
    tell: Callable[[str], None] = lambda line: None

    def __post_init__(self) -> None:
        self.brokers = brokers_of(self.seed) if self.brokers is None else self.brokers
        if self.plan is None:
            self.plan = schedule(self.seed, self.brokers, self.minutes, FAULTS.values(), self.only)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self.result = Result(self.seed, self.brokers, commit(), versions(), machine(), now, only=self.only)

    def run(self) -> Result:
        """Do it. What the campaign itself fails at is raised; `result` then holds what was found until there."""
        assert self.brokers is not None
        with site(self.folder, self.base, self.brokers, self.seed) as here:
            path = self.folder / HISTORY
            history = History(path)
            sizes = Sizes(here, self.result)
            sizes.start()
            try:
                with Observers(observers(here, history)) as watching:
                    self._suffer(here)
                    settled = self._settles(here)
                    watching.end()
            finally:
                sizes.end()
                history.close()
            merged(here.histories(), path)
            if settled:
                judge(here, self.folder, self.result)
                self.result.counts["acknowledged over HTTP"] = here.callers.acknowledged
                self.result.counts["done by the agent"] = here.office.done
        self.result.verdict = DISPROVED if self.result.anomalies else PROVED
        return self.result

    def _suffer(self, here: Site) -> None:
        began, before = time.monotonic(), None
        try:
            for planned in self.plan or ():
                if time.monotonic() - began > self.minutes * 60:
                    break
                all_ready(here, before)
                self._one(here, planned, began)
                before = FAULTS[planned.fault].kind
        except AssertionError as error:
            self._note(here, f"parts are not ready again: {error}")
        finally:
            self.result.load_s = round(time.monotonic() - began, 1)

    def _one(self, here: Site, planned: Planned, began: float) -> None:
        fault = FAULTS[planned.fault]
        moment = time.monotonic() - began
        midst = Midst(here, planned)
        try:
            midst.start()
            wound = fault.act(here, planned.random())
        except Skipped as skipped:
            self.result.skipped[fault.name] = str(skipped)
            self.tell(f"{fault.name} skipped: {skipped}")
            return
        except AssertionError as error:
            self._note(here, f"{fault.name}: {error}")
            return
        finally:
            midst.end()
        restarted = Restart(here, wound)
        others = OthersShare()
        recovery_s = self._recovered(here, fault.name, wound)
        suffered = Suffered(
            fault.name, fault.kind.value, wound.target, round(moment, 1), planned.midst if midst.done else "",
            round(recovery_s, 2), wound.counts_from, restarted.seconds(),
            {name: round(value, 2) for name, value in wound.seconds.items()}, round(os.getloadavg()[0], 1),
            round(others.share(), 2),
        )  # fmt: skip
        self.result.faults.append(suffered)
        self.tell(f"{moment:5.0f} s  {fault.name} ({wound.target}): fresh {recovery_s:.1f} s after {wound.counts_from}")

    def _recovered(self, here: Site, name: str, wound: Wound) -> float:
        try:
            here.fresh.within(_RECOVERS_WITHIN_S)
        except AssertionError as error:
            self._note(here, f"{name} ({wound.target}): {error}")
            return -1.0
        return here.fresh.shown_at - wound.at

    def _note(self, here: Site, what: str) -> None:
        """Something took longer than it may, whatever happens afterwards."""
        said = "; ".join(here.running.stack.unready_lines()) or "every part says it is ready"
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self.result.anomalies.setdefault(_NOT_RECOVERED, []).append(f"{now} {what}; {said}")
        self.tell(f"NOT RECOVERED {now} {what}; {said}")

    def _settles(self, here: Site) -> bool:
        began = time.monotonic()
        try:
            here.nodes.end()
            here.callers.end()
            here.office.end()
            here.fresh.within(_SETTLES_WITHIN_S)
            here.running.drained(_SETTLES_WITHIN_S)
        except (AssertionError, TimedOutError) as error:
            self._note(here, f"not settled: {error}")
            return False
        if here.callers.problems:
            self.result.anomalies["refused over HTTP"] = here.callers.problems
        if here.office.problems:
            self.result.anomalies["refused by the agent"] = here.office.problems
        self.result.settle_s = round(time.monotonic() - began, 1)
        return True
