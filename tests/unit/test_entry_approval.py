"""The head's approval before sending: what a clerk types waits on the server, and nobody else's eyes see it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from producers.audit import read
from producers.entry import approval
from producers.entry.approval import Approvals
from producers.entry.places import Target
from producers.entry.sessions import EntryFile
from producers.gateway.door import Caller
from producers.gateway.refusal import Refusal
from schemas.act import PrincipalBound
from schemas.catalogue import Catalogue
from schemas.form import FormId
from schemas.period import parse_period
from schemas.principal import Binding, PrincipalName, Role
from schemas.report import Millis
from schemas.unit import UBND, UnitCode
from tests.support import entry
from tests.support.entry import CLERK, OTHER, EntryBench, send
from tests.support.signed import act_record
from tests.support.tam_duong import catalogue
from tests.unit.test_entry import FULL, TESTING, row, text_of

HEAD = PrincipalName("binh-lu-lanh-dao")
DAILY = FormId("testing-daily")
# kafka-python leaves its sockets open when a producer can't connect
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")


def asking_for_approval() -> Catalogue:
    """The catalogue whose daily testing report needs the head's approval."""
    files = dict(catalogue().files)
    name = "regimes/testing-daily.toml"
    files[name] = files[name].replace(b"\nform =", b"\napproval = true\nform =")
    return Catalogue(files)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EntryBench]:
    with pytest.MonkeyPatch.context() as patch:
        wanted = asking_for_approval()
        patch.setattr(entry, "catalogue", lambda: wanted)
        made = EntryBench(tmp_path_factory.mktemp("approval"), ["testing-daily"])
        bound = PrincipalBound(HEAD, (Binding(UnitCode("03390"), Role.APPROVER),))
        made.append(act_record(bound, HEAD), Millis(0))
        made.tokens[HEAD] = made.accounts.new_token(HEAD, Millis(1))
        yield made
        made.close()


async def test_clerks_report_waits_for_the_head_who_gives_it_back_or_sends_it(bench: EntryBench) -> None:
    clerk, head, other = [await bench.visitor(name) for name in (CLERK, HEAD, OTHER)]
    fields = row(**{**FULL, "persons": "77"})
    assert (await send(clerk, TESTING, do="check", rows="1", **fields)).status_code == 303
    assert "Chờ lãnh đạo duyệt, chưa gửi đi" in text_of(await clerk.get(TESTING))
    page = await head.get(TESTING)
    assert "binh-lu trình lúc" in text_of(page)
    assert 'value="77"' in page.text
    assert (await other.get(TESTING)).status_code == 403
    assert (await send(head, TESTING, do="refuse", reason=" ")).status_code == 422
    assert (await send(clerk, TESTING, do="refuse", reason="x")).status_code == 403
    assert (await send(head, TESTING, do="refuse", reason="<i>thiếu tổ 3</i>")).status_code == 303
    page = await clerk.get(TESTING)
    assert "Lãnh đạo chưa duyệt: <i>thiếu tổ 3</i>" in text_of(page)
    assert "<i>thiếu" not in page.text
    assert (await send(clerk, TESTING, do="check", rows="1", **row(**{**FULL, "persons": "78"}))).status_code == 303
    assert 'value="78"' in (await head.get(TESTING)).text
    # The broker is away in this test: the head's goes as far as that.
    assert (await send(head, TESTING, do="send", rows="1", **fields)).status_code == 503
    events = [line["event"] for line in read(bench.folder / "audit.log")]
    assert {"draft_waits", "draft_refused"} <= set(events)
    for client in (clerk, head, other):
        await client.aclose()


def test_drafts_on_the_server_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = EntryFile(tmp_path / "entry.sqlite")
    approvals = Approvals(file)
    known, monday = catalogue(), parse_period("2021-12-20")
    unit, form = known.units.unit(UnitCode("03390"), monday.last_day), known.form_in_force(DAILY, monday.last_day)
    assert unit is not None
    assert form is not None
    monkeypatch.setattr(approval, "MOST_WAITING", 2)
    days = [parse_period(f"2021-12-0{day}") for day in (1, 2, 3)]
    target = Target(unit, form, days[0], UBND, None)
    caller = Caller(CLERK, (Binding(UnitCode("03390"), Role.CLERK),), entry.NOW)
    for day in days[:2]:
        approvals.put(replace(target, period=day), caller, {"rows": "0"})
    approvals.put(target, caller, {"rows": "1"})
    with pytest.raises(Refusal):
        approvals.put(replace(target, period=days[2]), caller, {"rows": "0"})
    with pytest.raises(Refusal):
        approvals.put(target, caller, {"n.notes": "a" * (1 << 20)})
    approvals.drop(target)
    assert approvals.get(target) is None
    file.close()
