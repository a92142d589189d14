"""The head's approval before sending, where a regime asks for it: what a clerk typed waits on the server.

One draft waits per report, the newest; at most so many per unit. Whoever may send for the unit as approver sends it
under his own account, or gives it back with a reason. Both are in the audit log. Nothing that waits is counted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from producers.entry.places import Target
from producers.entry.sessions import EntryFile
from producers.gateway.door import Caller
from producers.gateway.refusal import Slug, refused
from schemas.catalogue import Catalogue
from schemas.obligations import asking
from schemas.principal import PrincipalName, Role
from schemas.report import Millis
from schemas.topics import MAX_REPORT_BYTES
from schemas.unit import UnitCode

MOST_WAITING = 200
_TABLE = """
CREATE TABLE IF NOT EXISTS waiting (
  unit TEXT NOT NULL, form TEXT NOT NULL, period TEXT NOT NULL, line TEXT NOT NULL, principal TEXT NOT NULL,
  made_at INTEGER NOT NULL, fields TEXT NOT NULL, refused TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (unit, form, period, line)
) STRICT, WITHOUT ROWID
"""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A draft on the server: who typed it, the fields of its page, and why it was given back, where it was."""

    principal: PrincipalName
    made_at: Millis
    fields: Mapping[str, str]
    refused: str


class Approvals:
    """Drafts that wait for the head."""

    def __init__(self, file: EntryFile) -> None:
        self._file = file
        with file.using() as database:
            database.execute(_TABLE)

    def put(self, target: Target, caller: Caller, fields: Mapping[str, str]) -> None:
        """Let a draft wait, in place of the one before. Raises Refusal where too much waits already."""
        text = json.dumps(dict(fields), ensure_ascii=False)
        if len(text.encode()) > MAX_REPORT_BYTES:
            raise refused(Slug.TOO_LARGE, "Báo cáo quá lớn.", "The report is too large.")
        with self._file.using() as database:
            (count,) = database.execute("SELECT count(*) FROM waiting WHERE unit = ?", (target.unit.code,)).fetchone()
            if count >= MOST_WAITING and self._get(database, target) is None:
                raise refused(Slug.TOO_MANY_REQUESTS, "Quá nhiều báo cáo đang chờ duyệt.", "Too many reports wait.")
            database.execute(
                "INSERT OR REPLACE INTO waiting (unit, form, period, line, principal, made_at, fields) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)", (*_key(target), caller.name, caller.at, text),
            )  # fmt: skip

    def get(self, target: Target) -> Waiting | None:
        """The draft of a report."""
        with self._file.using() as database:
            return self._get(database, target)

    @staticmethod
    def _get(database: Any, target: Target) -> Waiting | None:
        row = database.execute(
            "SELECT principal, made_at, fields, refused FROM waiting WHERE unit = ? AND form = ? AND period = ? "
            "AND line = ?", _key(target),
        ).fetchone()  # fmt: skip
        return None if row is None else Waiting(PrincipalName(row[0]), Millis(row[1]), json.loads(row[2]), row[3])

    def of(self, unit: UnitCode) -> Mapping[tuple[str, str, str], str]:
        """The (form, period, line) of each draft of a unit, with why it was given back."""
        with self._file.using() as database:
            rows = database.execute("SELECT form, period, line, refused FROM waiting WHERE unit = ?", (unit,))
            return {(form, period, line): said for form, period, line, said in rows}

    def give_back(self, target: Target, reason: str) -> None:
        """Back to who typed it."""
        with self._file.using() as database:
            database.execute(
                "UPDATE waiting SET refused = ? WHERE unit = ? AND form = ? AND period = ? AND line = ?",
                (reason, *_key(target)),
            )

    def drop(self, target: Target) -> None:
        """It was sent."""
        with self._file.using() as database:
            database.execute(
                "DELETE FROM waiting WHERE unit = ? AND form = ? AND period = ? AND line = ?", _key(target)
            )


def must_be_approved(catalogue: Catalogue, target: Target, caller: Caller) -> bool:
    """Whether a regime asks for the head's approval, and the account is not the head's."""
    regimes = [one for one in catalogue.regimes if one.approval]
    asked = asking(regimes, target.form.id, target.line, target.period)
    return bool(asked) and target.entered_by is None and not may_approve(target, caller)


def may_approve(target: Target, caller: Caller) -> bool:
    """Whether the account sends for the unit's head."""
    return any(
        one.unit == target.unit.code
        and one.role in (Role.APPROVER, Role.SUPERIOR)
        and one.in_force(caller.day)
        and one.covers(target.form.id)
        for one in caller.bindings
    )


def _key(target: Target) -> tuple[str, str, str, str]:
    return (target.unit.code, target.form.id, target.period.text, target.line)
