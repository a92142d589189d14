"""A stack with a gateway and accounts, and what tests ask of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import httpx

from deploy.drain import drain
from deploy.reading import open_read_model, stored_offsets
from deploy.stack import ProcessState, Stack, running_stack
from schemas.catalogue import Catalogue
from schemas.form import FormId
from schemas.log import Record, TopicReader
from schemas.period import parse_period
from schemas.read_model import FigureQuery
from schemas.report import Cell
from schemas.settings import Settings
from schemas.topics import REPORTS, partition_of
from schemas.unit import UnitCode
from tests.support.waiting import eventually

BASE = 24700
ACCOUNTS = """principal,unit,role,forms
03390-vp-1,03390,clerk,*
03394-vp-1,03394,clerk,*
03400-vp-1,03400,clerk,*
tam-duong,106,superior,*
"""
CLERK, OTHER, SUPERIOR = "03390-vp-1", "03394-vp-1", "tam-duong"
FORM = "testing-daily"
ROW: dict[str, Cell] = {"method": "antigen", "sample": "single", "persons": 16, "tubes": 16, "positive_tubes": 0,
                        "positive_persons": 0}  # fmt: skip
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
_keys = count(1)
_days = count(1)


def report(persons: int = 16, **more: Any) -> dict[str, Any]:
    return {"form": FORM, "unit": "03390", "period": "2021-12-13", "rows": [{**ROW, "persons": persons}], **more}


def new_day() -> str:
    """A day of its own for a test, so that tests don't share series."""
    return (date(2022, 1, 1) + timedelta(next(_days))).isoformat()


@dataclass
class Site:
    """A stack with accounts, and a client of its gateway."""

    stack: Stack
    settings: Settings
    catalogue: Catalogue
    tokens: Mapping[str, str]
    failpoints: Path
    client: httpx.Client

    def post(self, content: Any, name: str = CLERK, key: str = "", **headers: str) -> httpx.Response:
        return self.client.post("/v1/reports", json=content, headers=self.headers(name, key, **headers))

    def get(self, path: str, name: str = CLERK) -> Any:
        answer = self.client.get(path, headers=self.headers(name))
        assert answer.status_code == 200, answer.text
        return answer.json()

    def headers(self, name: str, key: str = "", **more: str) -> dict[str, str]:
        base = {"Authorization": f"Bearer {self.tokens[name]}", "Idempotency-Key": f'"{key or f"key-{next(_keys)}"}"'}
        return base | {header.replace("_", "-"): text for header, text in more.items()}

    def drained(self) -> None:
        drain(self.settings, lambda: stored_offsets(self.settings), 60)

    def records(self, unit: str = "03390") -> list[Record]:
        """What is in the unit's partition of `reports` about it."""
        partition = partition_of(unit.encode(), self.settings.partitions)
        with TopicReader(self.settings.bootstrap, self.settings.topic(REPORTS), partitions=[partition]) as reader:
            return [record for record in reader.to_end() if record.key == unit.encode()]

    def persons(self, day: str, unit: str = "106") -> list[int | None]:
        """The measure `persons` of a unit's total."""
        day_ = parse_period(day).first_day
        with open_read_model(self.settings) as model:
            found = model.figures(FigureQuery(UnitCode(unit), FormId(FORM), day_, day_))
        return [row.measures[0] for row in found.rows]

    def gateway_back(self, restarts: int) -> None:
        """Wait until the gateway was started again and works."""
        eventually(lambda: running_stack(self.settings.data).process("gateway").restarts > restarts, 20)
        eventually(lambda: running_stack(self.settings.data).process("gateway").state is ProcessState.READY, 30)

    def restarts(self) -> int:
        return running_stack(self.settings.data).process("gateway").restarts
