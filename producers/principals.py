"""Accounts by CSV: what a file wants, what that changes, and the acts and tokens that make it so.

    principal,unit,role,forms,valid_from,valid_to,name,contact
    03390-vp-1,03390,clerk,*,2021-12-01,,Văn phòng xã,02133-879-001

Several lines of one account are several bindings. The file is whole for each account that it names and says nothing
about others; what it does not name stays. A file with one bad line changes nothing. A column `subject` links accounts
to whom the identity provider knows by that `sub`; a file without the column leaves the links as they are.
"""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from producers.accounts import Accounts, AccountsError, Person
from producers.audit import AuditLog, Event
from producers.errors import Problem
from producers.registration import now_ms, send_acts, signed_act
from schemas.act import Act, PrincipalBound
from schemas.catalogue import Catalogue
from schemas.log import ActReader
from schemas.principal import ALL_FORMS, Binding, PrincipalName, Role, is_name
from schemas.register import Registers
from schemas.report import Millis
from schemas.settings import Settings
from schemas.signature import SignedRecord, SigningKey
from schemas.unit import OPEN, UnitCode

COLUMNS = ("principal", "unit", "role", "forms", "valid_from", "valid_to", "name", "contact", "subject")
_NEEDED = COLUMNS[:3]


@dataclass(frozen=True, slots=True)
class Wanted:
    """An account as a file wants it."""

    name: PrincipalName
    bindings: tuple[Binding, ...]
    person: Person
    subject: str | None = None


class Step(StrEnum):
    """What applying a file does to an account."""

    NEW = "new"
    CHANGED = "changed"
    SAME = "same"


@dataclass(frozen=True, slots=True)
class Change:
    """One account before and after."""

    step: Step
    wanted: Wanted
    before: tuple[Binding, ...]


def read_principals(text: str, catalogue: Catalogue) -> tuple[list[Wanted], list[Problem]]:
    """The accounts of a file by name, and what is wrong with its lines."""
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")))
    missing = [name for name in _NEEDED if name not in (reader.fieldnames or ())]
    if missing:
        return [], [Problem("line 1", f"no column {', '.join(missing)}; columns are {', '.join(COLUMNS)}")]
    bindings: dict[PrincipalName, list[Binding]] = {}
    people: dict[PrincipalName, Person] = {}
    subjects: dict[PrincipalName, str] = {}
    problems: list[Problem] = []
    for row in reader:
        cells = {name: (row.get(name) or "").strip() for name in COLUMNS}
        try:
            name, binding = _line(cells, catalogue)
        except ValueError as error:
            problems.append(Problem(f"line {reader.line_num}", str(error)))
            continue
        bindings.setdefault(name, []).append(binding)
        if cells["name"] or cells["contact"] or name not in people:
            people[name] = Person(cells["name"], cells["contact"])
        if subject := cells["subject"]:
            if any(other != name and taken == subject for other, taken in subjects.items()):
                problems.append(Problem(f"line {reader.line_num}", f"subject {subject!r} is another account's too"))
            subjects[name] = subject
    linking = "subject" in (reader.fieldnames or ())
    wanted = [
        Wanted(name, tuple(sorted(set(found))), people[name], subjects.get(name, "") if linking else None)
        for name, found in sorted(bindings.items())
    ]
    return wanted, problems


def planned(wanted: Iterable[Wanted], registers: Registers, now: Millis) -> list[Change]:
    """What applying would change."""
    changes = []
    for one in wanted:
        entry = registers.principal(one.name)
        before = tuple(sorted(entry.bindings_at(Millis(now + 1)))) if entry else ()
        step = Step.SAME if before == one.bindings else Step.CHANGED if before else Step.NEW
        changes.append(Change(step, one, before))
    return changes


class Principals:
    """Changes accounts of a cluster, with the operator's key."""

    def __init__(
        self, settings: Settings, operator: SigningKey, acts: ActReader, accounts: Accounts, audit: AuditLog
    ) -> None:
        self._settings = settings
        self._operator = operator
        self._acts = acts
        self._accounts = accounts
        self._audit = audit

    def plan(self, wanted: Iterable[Wanted]) -> list[Change]:
        """What applying would change now."""
        return planned(wanted, self._acts.refresh(), now_ms())

    def apply(self, changes: Sequence[Change]) -> Mapping[PrincipalName, str]:
        """Make it so; the tokens of accounts that had none, to be shown once. Raises KeysError, AccountsError.

        Acts first: a token that is known and may do nothing harms nobody, and repeating the file makes what is missing.
        """
        self._require_free(change.wanted for change in changes)
        changing = [change.wanted for change in changes if change.step is not Step.SAME]
        self._send([self._bound(one.name, one.bindings) for one in changing])
        self._note((Event.ACCOUNT_BOUND, one.name, one.bindings) for one in changing)
        tokens: dict[PrincipalName, str] = {}
        for change in changes:
            name = change.wanted.name
            self._accounts.set_person(name, change.wanted.person)
            self._link(name, change.wanted.subject)
            if all(token.revoked_at is not None for token in self._accounts.tokens(name)):
                tokens[name] = self.new_token(name)
        return tokens

    def _require_free(self, wanted: Iterable[Wanted]) -> None:
        for one in wanted:
            holder = self._accounts.account_of(one.subject) if one.subject else None
            if holder not in (None, one.name):
                raise AccountsError(f"subject {one.subject!r} is linked to {holder}: revoke that account first")

    def _link(self, name: PrincipalName, subject: str | None) -> None:
        if subject is not None and subject != self._accounts.subject_of(name):
            self._accounts.set_subject(name, subject)
            self._audit.note(now_ms(), Event.ACCOUNT_LINKED, principal=name, linked=bool(subject))

    def new_token(self, name: PrincipalName) -> str:
        """A new token for an account, its old ones taken back."""
        self._accounts.revoke(name, now_ms())
        token = self._accounts.new_token(name, now_ms())
        self._audit.note(now_ms(), Event.TOKEN_MADE, principal=name, token=self._accounts.tokens(name)[-1].id)
        return token

    def revoke(self, name: PrincipalName) -> int:
        """Take back everything that an account may do, and its tokens; how many of these stood."""
        entry = self._acts.refresh().principal(name)
        if entry is not None and entry.bindings_at(Millis(now_ms() + 1)):
            self._send([self._bound(name, ())])
        stood = self._accounts.revoke(name, now_ms())
        self._link(name, "")
        self._audit.note(now_ms(), Event.ACCOUNT_REVOKED, principal=name, tokens=stood)
        return stood

    def _bound(self, name: PrincipalName, bindings: tuple[Binding, ...]) -> SignedRecord:
        at = now_ms()
        return signed_act(self._operator, name, Act(f"principal_bound/{name}/{at}", at, PrincipalBound(name, bindings)))

    def _send(self, records: Sequence[SignedRecord]) -> None:
        if records:
            send_acts(self._settings, records)
            # What is told as done is in force: later by the broker's clock than act and delay.
            time.sleep((self._settings.act_delay_ms + 2) / 1000)

    def _note(self, events: Iterable[tuple[Event, PrincipalName, tuple[Binding, ...]]]) -> None:
        self._audit.note_all(
            now_ms(), [(event, {"principal": name, "bindings": [described(b) for b in bound]})
                       for event, name, bound in events]
        )  # fmt: skip


def described(binding: Binding) -> str:
    """A binding in one line."""
    days = "" if (binding.valid_from, binding.valid_to) == (date.min, OPEN) else f" {_days(binding)}"
    return f"{binding.role.value} of {binding.unit} for {' '.join(binding.forms)}{days}"


def _days(binding: Binding) -> str:
    first = "" if binding.valid_from == date.min else binding.valid_from.isoformat()
    last = "" if binding.valid_to == OPEN else binding.valid_to.isoformat()
    return f"{first}..{last}"


def _line(cells: Mapping[str, str], catalogue: Catalogue) -> tuple[PrincipalName, Binding]:
    """Raises ValueError in one line."""
    name, unit, role = cells["principal"], cells["unit"], cells["role"]
    if not is_name(name):
        message = f"{name!r} is no account's name: lower-case letters, digits, dots and hyphens, at most 64"
        raise ValueError(message)
    if unit not in catalogue.units:
        raise ValueError(f"no unit {unit!r} in the catalogue")
    if role not in list(Role):
        raise ValueError(f"no role {role!r}; roles are {', '.join(Role)}")
    forms = tuple(sorted(set(cells["forms"].replace(";", " ").split()))) or (ALL_FORMS,)
    unknown = set(forms) - {form.id for form in catalogue.forms} - {ALL_FORMS}
    if unknown:
        raise ValueError(f"no form {', '.join(sorted(unknown))} in the catalogue")
    first, last = _day(cells["valid_from"], date.min), _day(cells["valid_to"], OPEN)
    if last < first:
        raise ValueError(f"valid to {last}, before {first}")
    return PrincipalName(name), Binding(UnitCode(unit), Role(role), forms, first, last)


def _day(text: str, default: date) -> date:
    try:
        return date.fromisoformat(text) if text else default
    except ValueError:
        message = f"{text!r} is not a day such as 2021-12-13"
        raise ValueError(message) from None
