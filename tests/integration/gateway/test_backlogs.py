"""Backlogs through real outboxes and a real gateway: a province that was away for a month, and one very full disk."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path

import pytest

from consumers.verify import verify
from deploy.drain import drain
from deploy.operator_key import operator_key
from deploy.reading import stored_offsets
from producers.agent.forwarder import Forwarder
from producers.agent.held_catalogue import HeldCatalogue
from producers.agent.intake import FromRequest, take
from producers.agent.store import FILE, AgentStore
from producers.agent.transport_http import HttpTransport
from producers.gateway.draft import Draft, from_json
from producers.registration import now_ms, send_acts, signed_act
from schemas.act import Act, KeyRegistered
from schemas.catalogue import Catalogue
from schemas.period import PeriodText
from schemas.report import Millis
from schemas.unit import UBND, UnitCode
from tests.support.accounts import apply_accounts
from tests.support.site import ROW, Site, report
from tests.support.waiting import eventually

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]
COMMUNES, DAYS = 500, 30
FIRST_DAY = date(2021, 11, 1)
BACKLOG = 100_000
AT_ONCE = 64


@lru_cache(maxsize=2)
def read(bundle: bytes) -> Catalogue:
    return Catalogue.from_bundle(bundle, 1, 1)


class Outpost:
    """The outbox of one office in this process: the agent's own parts, without its folders and its port."""

    def __init__(self, site: Site, folder: Path, unit: UnitCode, token: str) -> None:
        self.folder = folder
        self.unit = unit
        self._gateway = site.stack.gateway
        folder.mkdir(parents=True)
        (folder / "token").write_text(token, encoding="utf-8")
        (folder / "catalogue.tar").write_bytes(site.catalogue.bundle)
        with closing(AgentStore(folder / FILE)) as store:
            self.key = store.make_key(unit)

    def put(self, drafts: Sequence[Draft]) -> None:
        """Keep reports, as long as there is no line."""
        with closing(AgentStore(self.folder / FILE)) as store:
            take(store, drafts, now_ms(), FromRequest(None, b""), {})

    def drained(self, within_s: float) -> None:
        """Send until nothing waits."""
        deadline = time.monotonic() + within_s
        with closing(AgentStore(self.folder / FILE)) as store, closing(self._transport()) as transport:
            forwarder = Forwarder(store, transport, HeldCatalogue(self.folder, self.key, read), now_ms)
            while store.counts().waiting:
                assert time.monotonic() < deadline, (self.unit, store.counts(), store.noted("last_error"))
                time.sleep(forwarder.round())
            assert store.counts().wrong == 0

    def run(self, stopping: threading.Event) -> None:
        """As in an agent's process."""
        with closing(AgentStore(self.folder / FILE)) as store, closing(self._transport()) as transport:
            Forwarder(store, transport, HeldCatalogue(self.folder, self.key, read), now_ms).run(stopping)

    def _transport(self) -> HttpTransport:
        return HttpTransport(self._gateway, self.folder / "token", now_ms)


def outposts(site: Site, folder: Path, units: Sequence[UnitCode]) -> list[Outpost]:
    """With accounts and registered keys."""
    lines = [f"{unit}-long,{unit},clerk,*" for unit in units]
    _, tokens = apply_accounts(site.settings, "\n".join(["principal,unit,role,forms", *lines, ""]))
    made = [Outpost(site, folder / unit, unit, tokens[f"{unit}-long"]) for unit in units]
    operator = operator_key(site.settings.data)
    acts = [
        signed_act(operator, one.unit, Act(f"key_registered/{one.key.kid}", now_ms(),
                                           KeyRegistered(one.key.kid, one.unit, one.key.public)))
        for one in made
    ]  # fmt: skip
    send_acts(site.settings, acts)
    return made


def drafts_of(site: Site, unit: UnitCode, days: Sequence[date]) -> list[Draft]:
    """A legal report of each day."""
    found = [from_json({**report(), "unit": unit, "period": f"{day}"}, site.catalogue, days[0]) for day in days]
    return [one for one in found if isinstance(one, Draft)]


def test_500_communes_back_after_30_days_in_the_same_minute_are_all_counted(site: Site, tmp_path: Path) -> None:
    tree = site.catalogue.units
    units = [one.code for one in tree
             if one.level == "commune" and one.valid_from <= FIRST_DAY <= one.valid_to
             and tree.superior(one.code, FIRST_DAY, UBND) is not None][:COMMUNES]  # fmt: skip
    assert len(units) == COMMUNES
    days = [FIRST_DAY + timedelta(n) for n in range(DAYS)]
    offices = outposts(site, tmp_path, units)
    for one in offices:
        one.put(drafts_of(site, one.unit, days))
    began = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda one: one.drained(600), offices))
    acknowledged_s = time.monotonic() - began
    drain(site.settings, lambda: stored_offsets(site.settings), 600)
    print(f"{COMMUNES * DAYS:,} reports of {COMMUNES} communes: acknowledged after {acknowledged_s:.1f} s, "
          f"counted after {time.monotonic() - began:.1f} s")  # fmt: skip
    for day in days:
        assert site.persons(f"{day}", "VN") == [int(ROW["persons"] or 0) * COMMUNES]
    result = verify(site.settings)
    assert (result.differing, result.differences) == (0, [])


def test_100000_waiting_reports_go_out_and_a_new_one_does_not_wait_for_them(site: Site, tmp_path: Path) -> None:
    unit = UnitCode("03405")
    (office,) = outposts(site, tmp_path, [unit])
    days = [date(2021, 1, 1) + timedelta(n) for n in range(250)]
    for revision in range(BACKLOG // len(days)):
        drafts = drafts_of(site, unit, days[:1])
        rows = tuple({**row, "persons": 1_000 + revision} for row in drafts[0].rows)
        issued_at = Millis(1_640_000_000_000 + revision)
        office.put([replace(drafts[0], period=PeriodText(f"{day}"), rows=rows, issued_at=issued_at) for day in days])
    stopping = threading.Event()
    thread = threading.Thread(target=office.run, args=(stopping,))
    waits: list[float] = []
    began = time.monotonic()
    with closing(AgentStore(office.folder / FILE)) as store:
        thread.start()
        try:
            eventually(lambda: store.counts().waiting < BACKLOG, 120)
            while store.counts().waiting > 200:
                day = date(2022, 3, 1) + timedelta(len(waits))
                office.put(drafts_of(site, unit, [day]))
                put = time.monotonic()
                row = store.newest_row()
                eventually(lambda r=row: _acknowledged(store, r), 60)  # type: ignore[misc]
                waits.append(time.monotonic() - put)
                time.sleep(1)
            eventually(lambda: store.counts().waiting == 0, 60)
            assert store.counts().wrong == 0
        finally:
            stopping.set()
            thread.join(30)
    took_s = time.monotonic() - began
    print(f"{BACKLOG:,} waiting reports drained in {took_s:.0f} s ({BACKLOG / took_s:.0f}/s); {len(waits)} new ones "
          f"meanwhile: median {statistics.median(waits):.2f} s, longest {max(waits):.2f} s")  # fmt: skip
    assert statistics.median(waits) < 3
    drain(site.settings, lambda: stored_offsets(site.settings), 600)
    assert site.persons(f"{days[0]}", unit) == [1_000 + BACKLOG // len(days) - 1]


def _acknowledged(store: AgentStore, row: int) -> bool:
    (state,) = store.database.execute("SELECT state FROM sends WHERE id = ?", (row,)).fetchone()
    return bool(state != "waiting")
