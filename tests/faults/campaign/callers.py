"""Communes without an outbox: they send over HTTP, and count on 202 alone.

Each caller has communes of its own, so that it knows what the next revision must be, and says so (`after_revision`).
A request that is not answered, or with 503, is repeated with the same Idempotency-Key until it is acknowledged: a kill
of the gateway at any moment must leave one report, under the revision that was expected.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import httpx

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
from tests.support.waiting import eventually

DISTRICT = UnitCode("024")
"""Of Hà Giang: not one that a node speaks for."""
NUMBER = 98
"""Of the callers among the nodes."""

_CALLERS = 3
_PAUSE_S = 1.0
_AGAIN_AFTER_S = 0.5
_ANSWER_WITHIN_S = 40.0
_ENDS_WITHIN_S = 180.0
_AGAIN = {401, 403, 409, 429, 500, 503}
"""The account is not known yet; the first request is being worked on; too fast; no
audit log, as on a full disk; away."""


class Callers:
    """All of them, with their accounts; made on a running stack."""

    def __init__(self, running: Running, catalogue: Catalogue, folder: Path, seed: int) -> None:
        folder.mkdir(parents=True)
        self.history = folder / HISTORY
        self._url = running.stack.gateway
        self._catalogue = catalogue
        self._seed = seed
        self._partitions = running.settings.partitions
        self._journal = Journal(self.history, NUMBER)
        self._lock = threading.Lock()
        self._units = [*reporting_units(catalogue.units, DISTRICT, story.FIRST_DAY)]
        self._tokens = accounts(running, self._units, folder)
        self._ending, self._giving_up = threading.Event(), threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(self._units[at::_CALLERS],), name=f"caller-{at}", daemon=True)
            for at in range(_CALLERS)
        ]
        self._acknowledged_at = 0.0
        self.acknowledged = 0
        self.problems: list[str] = []

    def start(self) -> None:
        """Begin to send."""
        for thread in self._threads:
            thread.start()

    def answered_after(self, moment: float, within_s: float) -> float:
        """Wait until something was acknowledged after a moment of the monotonic clock; the seconds in between."""
        eventually(lambda: self._acknowledged_at > moment, within_s)
        return self._acknowledged_at - moment

    def stop(self) -> None:
        """Begin nothing more, whatever is not acknowledged; no error."""
        self._ending.set()
        self._giving_up.set()
        for thread in self._threads:
            thread.join()
        self._journal.close()

    def end(self) -> None:
        """Return when all that was begun is acknowledged."""
        self._ending.set()
        deadline = time.monotonic() + _ENDS_WITHIN_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
            assert not thread.is_alive(), f"{thread.name} still waits for 202"

    def _run(self, units: Sequence[UnitCode]) -> None:
        stand_back()
        known: dict[Series, tuple[Revision, bytes]] = {}
        with httpx.Client(base_url=self._url, timeout=_ANSWER_WITHIN_S) as client:
            for send in self._sends(units):
                if self._ending.is_set():
                    return
                revision, digest = known.get(send.series, (Revision(0), b""))
                mine = send.report(revision, 0).digest([dimension.name for dimension in send.form.dimensions])
                # The same table once more is the same revision.
                expected = revision if mine == digest else Revision(revision + 1)
                if self._acknowledged(client, send, revision, expected):
                    known[send.series] = (expected, mine)
                self._ending.wait(_PAUSE_S)

    def _sends(self, units: Sequence[UnitCode]) -> Iterator[Send]:
        day = story.FIRST_DAY
        while True:
            yield from self._of_day(day, units)
            day += timedelta(days=1)

    def _of_day(self, day: date, units: Sequence[UnitCode]) -> Iterator[Send]:
        played = simulated_day(self._catalogue, DISTRICT, day, seed=self._seed, forms=story.FORMS,
                               accidents=Accidents(offline=0.0, corrected=0.2, withdrawn=0.1))  # fmt: skip
        return (one.send for one in played if one.send.unit in units)

    def _acknowledged(self, client: httpx.Client, send: Send, after: Revision, expected: Revision) -> bool:
        """Until the answer is 202. False where the gateway refuses what it must take."""
        with self._lock:
            self._journal.sent(send, expected)
        said = {
            "form": send.form.id, "unit": send.unit, "period": send.period, "kind": send.kind.value,
            "rows": [dict(row) for row in send.rows], "narrative": dict(send.narrative or {}), "after_revision": after,
        }  # fmt: skip
        random = Random(f"{self._seed}/{send.series}/{send.issued_at}")
        headers = {"Authorization": f"Bearer {self._tokens[send.unit]}",
                   "Idempotency-Key": f'"{UUID(int=random.getrandbits(128))}"', "Accept-Language": "en"}  # fmt: skip
        while not self._giving_up.wait(0):
            try:
                answer = client.post("/v1/reports", json=said, headers=headers)
            except httpx.HTTPError:
                self._giving_up.wait(_AGAIN_AFTER_S)
                continue
            if answer.status_code == 202:
                return self._noted(send, expected, answer.json())
            if answer.status_code not in _AGAIN or "revision-taken" in answer.text:
                self.problems.append(
                    f"{answer.status_code} {answer.text[:300]} for revision {expected} of {send.series}"
                )
                return False
            self._giving_up.wait(_AGAIN_AFTER_S)
        return False

    def _noted(self, send: Send, expected: Revision, said: dict[str, Any]) -> bool:
        self._acknowledged_at = time.monotonic()
        if said["revision"] != expected:
            self.problems.append(f"202 for revision {said['revision']} instead of {expected} of {send.series}")
            return False
        report = send.report(expected, 0)
        digest = report.digest([dimension.name for dimension in send.form.dimensions])
        partition, _, offset = (said["id"] or f"{partition_of(send.unit.encode(), self._partitions)}-").partition("-")
        with self._lock:
            self._journal.acked(report.event_id, digest.hex(), Source(int(partition), Offset(int(offset or -1))))
            self.acknowledged += 1
        return True
