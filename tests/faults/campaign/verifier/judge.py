"""What a record of `reports` must end in, read with fastavro and by the contract's words, not by the product's code.

Where ingest stops at the first reason, the judge collects all of them: what is refused must be refused for one that
holds. Shared with the product are only the registers (who may sign when, which catalogue was announced), the schema of
a form and the arithmetic of its checks.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import fastavro

from schemas.catalogue import ZONE, Announcement, Catalogue
from schemas.control import read_control
from schemas.form import CheckLevel, Fingerprint, Form, FormId, Section
from schemas.log import Record
from schemas.period import Period, PeriodError, parse_period
from schemas.register import KeyEntry, Registers
from schemas.report import KeyId
from schemas.signature import PublicKey, signed_message, verifies
from schemas.topics import partition_of
from schemas.unit import LineName, UnitCode
from tests.faults.campaign.verifier.codes import under_codes_of
from tests.faults.campaign.verifier.tables import Table, table_of_rows

_EVERYBODY = "*"
"""Whom a key that attests speaks for, where it is not one unit and those below."""
_LARGEST_BYTES = 1024 * 1024
_BOUND = ("ce_id", "ce_source", "ce_type", "ce_time", "kid")
_NEEDED = (*_BOUND, "ce_specversion", "content-type", "sig")
_LATEST = datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Control:
    """A control record: nothing may become of it."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Judged:
    """A report as it stands in the log. `reasons`: all for which it must be refused; none: it must be counted.

    `event` and `digest` are what a sender knows it by; where the bytes are no report, no event and the SHA-256 of them.
    The rest is empty for a refused one.
    """

    event: str
    digest: str
    reasons: frozenset[str]
    form: str = ""
    line: str = ""
    scope: str = ""
    period: str = ""
    unit: str = ""
    entered_by: str = ""
    kind: str = ""
    revision: int = 0
    kid: str = ""
    table: Table = field(default_factory=dict)


def raw_digest(value: bytes | None) -> str:
    """What bytes that are no report are known by."""
    return hashlib.sha256(value or b"").hexdigest()


class Judge:
    """Reads `reports` partition by partition, each from its start."""

    def __init__(self, operator_key: PublicKey, registers: Registers, partitions: int) -> None:
        self._operator_key = operator_key
        self._registers = registers
        self._partitions = partitions
        self._announced: dict[int, Announcement] = {}

    def read(self, record: Record) -> Control | Judged:
        """One record, after all before it in its partition. Raises LookupError for a catalogue that no act carries."""
        announced = read_control(self._operator_key, record.key, record.value, record.headers)
        if announced is not None:
            known = self._announced.get(record.partition, announced)
            self._announced[record.partition] = max(known, announced, key=lambda a: (a.epoch, a.serial))
            return Control(announced.epoch)
        value = record.value or b""
        in_force = self._announced.get(record.partition)
        if in_force is None:
            return Judged("", raw_digest(value), frozenset({"unknown_form"}))
        catalogue = self._registers.catalogue(in_force)
        if catalogue is None:
            raise LookupError(f"catalogue {in_force.epoch}.{in_force.serial} was announced and no act carries it")
        return self._judge(record, value, catalogue)

    def _judge(self, record: Record, value: bytes, catalogue: Catalogue) -> Judged:
        reasons = {"too_large"} if len(value) > _LARGEST_BYTES else set()
        if value[:2] != b"\xc3\x01" or len(value) < 10:
            return Judged("", raw_digest(value), frozenset(reasons | {"not_decodable"}))
        form = catalogue.form(Fingerprint(value[2:10]))
        if form is None:
            return Judged("", raw_digest(value), frozenset(reasons | {"unknown_form"}))
        content = _content(form, value)
        if content is None:
            return Judged("", raw_digest(value), frozenset(reasons | {"not_decodable"}))
        case = _Case(record, value, catalogue, form, content, self._registers, self._partitions)
        reasons |= set(case.reasons())
        head = content["header"]
        event = "/".join((form.id, head["unit"], head["line"], head["period"], head["entered_by"] or "-",
                          str(head["revision"])))  # fmt: skip
        digest = _digest(form, content)
        if reasons or case.form_in_force is None:
            return Judged(event, digest, frozenset(reasons))
        return Judged(
            event, digest, frozenset(), form.id, head["line"], head["scope"], head["period"], head["unit"],
            head["entered_by"] or "", head["kind"], head["revision"], case.kid,
            table_of_rows(case.form_in_force, case.counted or []),
        )  # fmt: skip


def _content(form: Form, value: bytes) -> dict[str, Any] | None:
    body = io.BytesIO(value[10:])
    try:
        found = fastavro.schemaless_reader(body, form.schema, None)
    except Exception:  # whatever fastavro raises on bad bytes, they are not this record
        return None
    return found if isinstance(found, dict) and body.read(1) == b"" else None


def _digest(form: Form, content: Mapping[str, Any]) -> str:
    head = content["header"]
    names = [dimension.name for dimension in form.dimensions]
    rows = [{name: cell for name, cell in row.items() if cell is not None} for row in content["rows"]]
    said = {name: head[name] for name in ("unit", "line", "scope", "period", "kind", "entered_by")}
    said |= {
        "form": form.id,
        "narrative": content["narrative"],
        "rows": sorted(rows, key=lambda row: [row[name] for name in names]),
    }
    text = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


class _Case:
    """One decoded report and all that speaks against it."""

    def __init__(
        self, record: Record, value: bytes, catalogue: Catalogue, form: Form, content: dict[str, Any],
        registers: Registers, partitions: int,
    ) -> None:  # fmt: skip
        self._record = record
        self._value = value
        self._catalogue = catalogue
        self._form = form
        self._head: dict[str, Any] = content["header"]
        self._rows: list[dict[str, Any]] = content["rows"]
        self._texts: dict[str, str] = content["narrative"]
        self._registers = registers
        self._partitions = partitions
        self._said = dict(record.headers)
        self._unit = UnitCode(self._head["unit"])
        self._line = LineName(self._head["line"])
        self._period = _period(self._head["period"])
        day = self._period.last_day if self._period else None
        self.form_in_force = catalogue.form_in_force(FormId(form.id), day) if day else None
        self.counted = under_codes_of(day, catalogue, form, self._rows) if day else []
        """The rows under the codes of the day; None where one of them may not be used."""
        self.kid = (self._said.get("kid") or b"").decode("ascii", "replace")

    def reasons(self) -> Iterator[str]:
        yield from self._about_headers()
        yield from self._about_unit()
        yield from self._about_place()
        yield from self._about_key()
        yield from self._about_period()
        yield from self._about_rows()

    def _about_headers(self) -> Iterator[str]:
        head, said = self._head, self._said
        event = f"{self._form.id}/{head['unit']}/{head['line']}/{head['period']}/{head['entered_by'] or '-'}"
        right = (
            len(said) == len(self._record.headers)
            and not any("\\" in name for name in said)  # how a name shows that is not UTF-8
            and all(said.get(name) for name in _NEEDED)
            and said["ce_specversion"] == b"1.0"
            and said["ce_type"] == b"vn.chungsuc.report.v1"
            and said["content-type"] == b"application/avro"
            and said["ce_source"] == said["kid"]
            and said["kid"].isascii()
            and said["ce_id"] == f"{event}/{head['revision']}".encode()
            and all(1 <= head[name] <= 2**53 for name in ("revision", "sequence"))
            and said["ce_time"] == _time(head["issued_at"])
            and self._line in self._catalogue.units.lines
        )
        if not right:
            yield "header_invalid"

    def _bearer(self) -> bool:
        """Whether a unit bears the code, on the day if there is one."""
        units = self._catalogue.units
        if self._period is None:
            return bool(units.versions(self._unit))
        return units.unit(self._unit, self._period.last_day) is not None

    def _about_unit(self) -> Iterator[str]:
        units = self._catalogue.units
        if not self._bearer():
            yield "unknown_unit"
        name = self._head["unit_name"]
        if name is not None and name not in {
            unit.name
            for unit in units.versions(self._unit)
            if self._period is None or unit.valid_from <= self._period.last_day <= unit.valid_to
        }:
            yield "stale_name"

    def _about_place(self) -> Iterator[str]:
        if self._record.key != self._unit.encode():
            yield "wrong_key"
        if self._record.partition != partition_of(self._record.key or b"", self._partitions):
            yield "wrong_partition"

    def _about_key(self) -> Iterator[str]:
        entry = self._registers.key(KeyId(self.kid))
        if entry is None:
            yield "unknown_key"
            return
        if not entry.after < self._record.time <= entry.until:
            yield "key_not_valid"
        bound = [self._said.get(name) or b"" for name in _BOUND]
        message = signed_message(self._record.key, self._value, bound)
        if not verifies(entry.public_key, self._said.get("sig") or b"", message):
            yield "bad_signature"
        by = self._head["entered_by"]
        sender = self._unit if by is None else by
        may = self._attested(entry, sender) if entry.attests else entry.unit == sender
        if not may or (by is not None and by not in self._superiors()):
            yield "not_authorised"

    def _attested(self, entry: KeyEntry, sender: str) -> bool:
        """Whether a gateway serves the sender, and the account it names may report this form for it."""
        account = self._registers.principal(self._head["principal"] or "")
        bindings = account.bindings_at(self._record.time) if account else ()
        roles = {"superior"} if self._head["entered_by"] is not None else {"clerk", "approver", "superior"}
        day = self._accepted_on()
        return entry.unit in {_EVERYBODY, *self._everybody_above(sender)} and any(
            binding.unit == sender
            and binding.role in roles
            and {"*", self._form.id} & set(binding.forms)
            and binding.valid_from <= day <= binding.valid_to
            for binding in bindings
        )

    def _everybody_above(self, unit: str) -> set[str]:
        """Whoever it was ever below on its line, and itself."""
        found = {unit}
        while (
            more := {
                entry.superior
                for code in found
                for entry in self._catalogue.units.superiors_of(self._line, UnitCode(code))
            }
            - found
        ):
            found |= more
        return found

    def _accepted_on(self) -> date:
        return datetime.fromtimestamp(self._record.time / 1000, UTC).astimezone(ZONE).date()

    def _superiors(self) -> set[str]:
        units = self._catalogue.units
        if self._period is not None:
            return {str(units.superior(self._unit, self._period.last_day, self._line))}
        return {entry.superior for entry in units.superiors_of(self._line, self._unit)}

    def _about_period(self) -> Iterator[str]:
        if self._period is None:
            yield "period_invalid"
            return
        if self.form_in_force is None:
            yield "form_not_in_force"
        elif self._period.type not in self.form_in_force.periods:
            yield "period_invalid"
        if self._period.first_day > self._accepted_on():
            yield "period_future"

    def _about_rows(self) -> Iterator[str]:
        kind, rows, form = self._head["kind"], self._rows, self._form
        if (kind == "report") != bool(rows) or (kind == "nil" and form.has_stock):
            yield "kind_rows"
        if len(rows) > form.max_rows:
            yield "too_many_rows"
        if len({tuple(row[d.name] for d in form.dimensions) for row in rows}) != len(rows):
            yield "duplicate_row"
        if self.counted is None:
            yield "unknown_code"
        if not all(_in_range(form, row, self._head["scope"]) for row in rows):
            yield "value_range"
        if not _checks_hold(form, rows):
            yield "check_failed"
        if form.sections:
            yield from self._about_texts({section.name: section for section in form.sections})

    def _about_texts(self, sections: Mapping[str, Section]) -> Iterator[str]:
        if not self._texts.keys() <= sections.keys():
            yield "unknown_code"
        for name, section in sections.items():
            text = self._texts.get(name, "")
            if section.required and self._head["kind"] == "report" and not text.strip():
                yield "value_missing"
            if len(text) > section.max_letters:
                yield "value_range"


def _period(text: str) -> Period | None:
    try:
        return parse_period(text)
    except PeriodError:
        return None


def _time(millis: int) -> bytes | None:
    """The issue time in UTC, milliseconds only where there are some; None for a time before 1970 or after 9999."""
    if not 0 <= millis <= (_LATEST - _EPOCH) // timedelta(milliseconds=1):
        return None
    text = (_EPOCH + timedelta(milliseconds=millis)).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
    return (re.sub(r"\.000$", "", text) + "Z").encode()


def _in_range(form: Form, row: Mapping[str, Any], scope: str) -> bool:
    largest = 10**12 if scope == "own" else 10**14
    for measure in form.measures:
        value = row[measure.name]
        smallest = -largest if measure.minimum is None else measure.minimum
        if value is not None and not smallest <= value <= largest:
            return False
    return True


def _checks_hold(form: Form, rows: Sequence[Mapping[str, Any]]) -> bool:
    names = [measure.name for measure in form.measures if not measure.optional]
    each = [{name: int(row[name]) for name in names} for row in rows]
    whole = [{name: sum(row[name] for row in each) for name in names}]
    return all(
        check.rule(row)
        for check in form.checks
        if check.level is CheckLevel.REJECT
        for row in (whole if check.over_table else each)
    )
