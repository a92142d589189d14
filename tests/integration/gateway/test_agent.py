"""The outbox agent on a whole stack: what it took is in the figures once, however often it is killed on the way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from producers.agent.store import HELD_MS
from tests.support.agent import OfficeAgent, office, office_on_kafka, register
from tests.support.site import FORM, Site, new_day, report
from tests.support.waiting import eventually

UNIT, ACCOUNT = "03400", "03400-vp-1"
NASTIEST = "agent.after_send"
"""Sent, and the answer lost: here a repeat would count twice."""
OTHERS = ("agent.file_seen", "agent.after_write", "agent.after_keep", "agent.after_ack", "agent.after_mark",
          "agent.after_move")  # fmt: skip


@pytest.fixture(scope="module")
def agent(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OfficeAgent]:
    with office(tmp_path_factory.mktemp("office"), UNIT, site.stack.gateway, site.tokens[ACCOUNT]) as made:
        register(site.settings, made.key)
        made.start()
        eventually((made.folder / "catalogue.tar").exists, 60)
        yield made


def told(day: str, persons: int = 16, **more: Any) -> dict[str, Any]:
    return report(persons, unit=UNIT, period=day, **more)


def test_dropped_file_and_local_request_are_kept_sent_and_counted(site: Site, agent: OfficeAgent) -> None:
    first, second = new_day(), new_day()
    agent.drop("evening.json", {"reports": [told(first, 5), told(second, 6)]})
    answer = agent.post(told(second, 7), key="local-1")
    assert (answer.status_code, answer.json()["status"]) == (202, "kept")
    assert agent.post(told(second, 7), key="local-1").json() == answer.json()
    eventually(lambda: agent.names("done") == ["evening.json"])
    eventually(lambda: agent.counts().waiting == 0)
    site.drained()
    assert site.persons(first, UNIT) == [5]
    assert site.persons(second, UNIT)[0] in (6, 7)
    assert eventually(lambda: agent.counts().unsettled == 0) is True


def test_wrong_file_is_refused_with_every_reason_and_nothing_of_it_is_sent(agent: OfficeAgent) -> None:
    agent.drop("bad.json", {"reports": [told(new_day()), told(new_day(), -1), told("2022-02-30")]})
    agent.drop(f"{FORM}.csv", "published_at,unit\n")
    agent.drop("note.json", "{")
    eventually(lambda: len(agent.names("refused")) == 6)
    said = (agent.folder / "refused" / "bad.json.txt").read_text(encoding="utf-8")
    assert "/reports/1" in said
    assert "/reports/2" in said
    assert agent.counts().waiting == 0
    assert agent.post([]).status_code == 422
    assert agent.post({**told(new_day()), "unit": "03390"}).status_code == 403


@pytest.mark.parametrize("point", [NASTIEST, *(pytest.param(one, marks=pytest.mark.long) for one in OTHERS)])
def test_agent_killed_at_any_step_of_a_submission_counts_it_once(site: Site, agent: OfficeAgent, point: str) -> None:
    day = new_day()
    before = len(site.records(UNIT))
    (site.failpoints / point).write_text("1", encoding="utf-8")
    agent.drop(f"{point}.json", told(day, 21))
    assert agent.ended() == -9
    agent.start()
    eventually(lambda: f"{point}.json" in agent.names("done"))
    eventually(lambda: agent.counts().waiting == 0)
    site.drained()
    assert site.persons(day, UNIT) == [21]
    assert site.persons(day) == [21]
    assert agent.names("in") == agent.names("kept") == []
    assert len(site.records(UNIT)) == before + 1


@pytest.mark.long
def test_agent_on_kafka_holds_reports_until_its_key_is_registered_and_counts_each_once(
    site: Site, tmp_path: Path
) -> None:
    day, unit = new_day(), "03403"
    with office_on_kafka(tmp_path / "office", unit, site.settings) as agent:
        agent.start()
        eventually((agent.folder / "catalogue.tar").exists, 60)
        agent.drop("early.json", report(31, unit=unit, period=day))
        eventually(lambda: agent.counts().held == 1)
        assert (agent.names("kept"), site.records(unit)) == (["early.json"], [])
        register(site.settings, agent.key)
        eventually(lambda: agent.names("done") == ["early.json"], 2 * HELD_MS / 1000)
        (site.failpoints / NASTIEST).write_text("1", encoding="utf-8")
        agent.drop("again.json", report(32, unit=unit, period=day))
        assert agent.ended() == -9
        agent.start()
        eventually(lambda: agent.counts().unsettled == 0 and agent.names("done") == ["again.json", "early.json"], 60)
        site.drained()
        assert len(site.records(unit)) == 3, "sent, its answer lost, sent again"
        assert site.persons(day, unit) == [32]
