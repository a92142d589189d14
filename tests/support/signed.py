"""Signed records for tests of admission and ingest: a small catalogue, keys for its units, and one report at a time.

A `Draft` is legal as it stands. A test breaks one rule, or two, by changing fields of it; what depends on them (key,
partition, ids, signature) follows unless the test sets it, so nothing else is broken by the way.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from schemas.act import ACT_TYPE, Act, ActBody, Attested, CatalogueReleased, KeyRegistered
from schemas.admission import Admission, Admitted, Received, iso_time
from schemas.catalogue import ANNOUNCEMENT_TYPE, RELEASED, Announcement, Catalogue
from schemas.codec import encode_act, encode_announcement, encode_report
from schemas.form import Form, FormId
from schemas.period import PeriodText
from schemas.principal import PrincipalName
from schemas.register import Registers
from schemas.rejection import Rejection
from schemas.report import REPORT_TYPE, Cell, Header, KeyId, Kind, Millis, Offset, Report, Revision, Scope, Source
from schemas.signature import Ed25519Key, SignedRecord, sign
from schemas.topics import partition_of
from schemas.unit import LineName, UnitCode

STOCK = Path(__file__).parents[1] / "data" / "catalogue"
PARTITIONS = 4

# e1 ends with the 13th; c3 bears another name and answers to A from the 14th on; L is a province without units below.
TREE = """code,name,level,parent,valid_from,valid_to
R,Nước thử,nation,,2021-01-01,
A,Tỉnh A,province,R,2021-01-01,
L,Tỉnh L,province,R,2021-01-01,
D,Huyện D,district,A,2021-01-01,
c1,Xã Thèn Sin,commune,D,2021-01-01,
c2,Xã Tả Lèng,commune,D,2021-01-01,
c3,Xã Hồ Thầu,commune,D,2021-01-01,2021-12-13
c3,Xã Hồ Thầu Mới,commune,A,2021-12-14,
e1,Xã Khun Há,commune,D,2021-01-01,2021-12-13
"""
UNITS = ("R", "A", "L", "D", "c1", "c2", "c3", "e1")
OPERATOR = Ed25519Key(KeyId("operator-1"), b"operator".ljust(32, b"\0"))
GATE = Ed25519Key(KeyId("kid-gateway-1"), b"gateway".ljust(32, b"\0"))
KEYS = {unit: Ed25519Key(KeyId(f"kid-{unit}-1"), unit.encode().ljust(32, b"\0")) for unit in UNITS}

REGISTERED = Millis(int(datetime(2022, 1, 1, 5, tzinfo=UTC).timestamp() * 1000))
ACCEPTED = Millis(int(datetime(2022, 1, 2, 5, tzinfo=UTC).timestamp() * 1000))
ISSUED = Millis(int(datetime(2021, 12, 13, 10, tzinfo=UTC).timestamp() * 1000))


def form_file(text: str, form_id: str, change: Callable[[dict[str, Any]], None]) -> bytes:
    """A form made from the text of another one, under an id of its own."""
    raw = json.loads(text)
    raw["form"]["id"] = form_id
    raw["namespace"] = "vn.chungsuc.form." + form_id.replace("-", "_")
    change(raw)
    return json.dumps(raw, ensure_ascii=False).encode()


def _small(raw: dict[str, Any]) -> None:
    """One row fewer than there are tuples of codes, and a check that refuses."""
    raw["form"]["max_rows"] = 3
    raw["form"]["checks"] = raw["form"]["checks"][:1]
    raw["form"]["checks"][0]["level"] = "reject"


def _ended(raw: dict[str, Any]) -> None:
    _small(raw)
    raw["form"]["valid_to"] = "2021-01-31"


def second_version(raw: dict[str, Any]) -> None:
    """Version 2 from 2021-12-14 on, with one more measure that may be left blank."""
    raw["form"]["version"] = 2
    raw["form"]["valid_from"] = "2021-12-14"
    rows = raw["fields"][2]["type"]["items"]["fields"]
    measure = {"unit": "dose", "across_units": "sum", "over_time": "sum"}
    rows.append({"name": "doses_spoilt", "type": ["null", "long"], "default": None, "measure": measure,
                 "label_vi": "Số liều hỏng", "label_en": "Doses spoilt"})  # fmt: skip


def _files() -> dict[str, bytes]:
    files = dict(Catalogue.from_folder(RELEASED, STOCK).files)
    files = {name: content for name, content in files.items() if name.startswith(("codes/", "forms/"))}
    testing = files["forms/testing-daily.avsc"].decode()
    stock = files["forms/stock-count.avsc"].decode()
    files["forms/testing-small.avsc"] = form_file(testing, "testing-small", _small)
    files["forms/testing-ended.avsc"] = form_file(testing, "testing-ended", _ended)
    files["forms/stock-two.avsc"] = form_file(stock, "stock-two", lambda raw: None)
    files["forms/stock-two-2.avsc"] = form_file(stock, "stock-two", second_version)
    return files


# On the line of the Front c1 answers to A itself, and nobody else stands there.
FRONT = b"code,superior,valid_from,valid_to\nc1,A,2021-01-01,\n"
CATALOGUE = Catalogue({**Catalogue(_files()).with_tree(TREE, "small").files, "lines/front-small.csv": FRONT})

Row = dict[str, Cell]
TESTING: Row = {"method": "rt-pcr", "sample": "pooled", "persons": 150, "tubes": 30, "positive_tubes": 2,
                "positive_persons": 1}  # fmt: skip
DOSES: Row = {"dose1": 1, "dose2": 0, "dose3": 0, "dose4": 0}
STOCK_ROW: Row = {"vaccine": "comirnaty", "doses_in_stock": 5, "fridges_checked": None, "distinct_persons": 9}


@dataclass
class Draft:
    """One report before it is signed. `version` picks a version of the form where it has several."""

    unit: str = "c1"
    form: str = "testing-small"
    period: str = "2021-12-13"
    kind: Kind = Kind.REPORT
    rows: list[Row] = field(default_factory=lambda: [deepcopy(TESTING)])
    revision: int = 1
    sequence: int = 1
    issued_at: int = ISSUED
    unit_name: str | None = None
    line: str = "ubnd"
    scope: Scope = Scope.OWN
    entered_by: str | None = None
    principal: str | None = None
    narrative: dict[str, str] = field(default_factory=dict)
    version: int = 1
    signer: str | None = None
    kid: str | None = None
    key: bytes | None = None
    partition: int | None = None
    accepted_at: int = ACCEPTED
    event_type: str = REPORT_TYPE
    event_id: str | None = None
    time: str | None = None
    marker: bytes = b""
    fingerprint: bytes = b""
    suffix: bytes = b""
    cut: int = 0
    flip_signature: bool = False

    def form_version(self, catalogue: Catalogue) -> Form:
        return next(f for f in catalogue.forms if f.id == self.form and f.version == self.version)

    def report(self) -> Report:
        by = UnitCode(self.entered_by) if self.entered_by is not None else None
        header = Header(
            UnitCode(self.unit), PeriodText(self.period), self.kind, Revision(self.revision), self.sequence,
            Millis(self.issued_at), self.unit_name, LineName(self.line), self.scope, by, self.principal,
        )  # fmt: skip
        return Report(FormId(self.form), header, self.rows, self.narrative)

    def value(self, catalogue: Catalogue = CATALOGUE) -> bytes:
        value = encode_report(self.form_version(catalogue), self.report())
        value = (self.marker or value[:2]) + (self.fingerprint or value[2:10]) + value[10:] + self.suffix
        return value[: len(value) - self.cut]

    def record(self, catalogue: Catalogue = CATALOGUE, value: bytes | None = None) -> SignedRecord:
        """Signed by the unit itself, or by who entered it, unless the draft says otherwise."""
        sender = self.signer or self.entered_by or self.unit
        seed = (KEYS.get(sender) or KEYS["c1"]).seed
        key = Ed25519Key(KeyId(self.kid or f"kid-{sender}-1"), seed)
        signed = sign(
            key, key=self.record_key, value=self.value(catalogue) if value is None else value,
            event_type=self.event_type, event_id=self.report().event_id if self.event_id is None else self.event_id,
            time=iso_time(Millis(self.issued_at)) if self.time is None else self.time,
        )  # fmt: skip
        return with_header(signed, "sig", _flipped) if self.flip_signature else signed

    @property
    def record_key(self) -> bytes:
        return self.unit.encode() if self.key is None else self.key

    @property
    def right_partition(self) -> int:
        return partition_of(self.record_key, PARTITIONS)

    def received(self, value: bytes | None = None) -> Received:
        partition = self.right_partition if self.partition is None else self.partition
        return as_received(self.record(value=value), partition, self.accepted_at)


def as_received(record: SignedRecord, partition: int, accepted_at: int = ACCEPTED) -> Received:
    """The record as the broker would hand it out, at offset 7."""
    source = Source(partition, Offset(7))
    return Received(record.key, record.value, record.headers, source, Millis(accepted_at), PARTITIONS)


def with_header(record: SignedRecord, name: str, change: Callable[[bytes], bytes]) -> SignedRecord:
    """The record with one header changed after it was signed."""
    headers = tuple((n, change(v) if n == name else v) for n, v in record.headers)
    return SignedRecord(record.key, record.value, headers)


def _flipped(content: bytes) -> bytes:
    return bytes([content[0] ^ 1]) + content[1:]


def padded_to(draft: Draft, size: int) -> Draft:
    """The draft with a narrative that makes its value exactly `size` bytes."""
    draft.narrative = {"notes": ""}
    for _ in range(3):  # the length of a text is itself written in one to three bytes
        missing = size - len(draft.value())
        draft.narrative = {"notes": "a" * (len(draft.narrative["notes"]) + missing)}
    assert len(draft.value()) == size
    return draft


def act_record(body: ActBody, act_id: str, signer: Ed25519Key = OPERATOR) -> SignedRecord:
    """An act, signed."""
    value = encode_act(Act(act_id, Millis(0), body))
    return sign(signer, key=None, value=value, event_type=ACT_TYPE, event_id=act_id, time="2022-01-01T00:00:00Z")


def attested(body: ActBody, signer: Ed25519Key = GATE, principal: str = "d-vp", issued_at: int = 0) -> SignedRecord:
    """What an account of district D decided, as its gateway writes it."""
    value = encode_act(Act("decided", Millis(issued_at), body))
    outer = encode_act(Act("decided", Millis(issued_at), Attested(PrincipalName(principal), value)))
    return sign(signer, key=b"D", value=outer, event_type=ACT_TYPE, event_id="decided", time="2022-01-01T00:00:00Z")


def key_acts() -> Iterable[SignedRecord]:
    """The acts that register the key of each unit."""
    for unit, key in KEYS.items():
        yield act_record(KeyRegistered(key.kid, UnitCode(unit), key.public), f"key/{unit}")


def release_act(catalogue: Catalogue = CATALOGUE, signer: Ed25519Key = OPERATOR) -> SignedRecord:
    """The act that releases a catalogue."""
    body = CatalogueReleased(catalogue.epoch, catalogue.serial, catalogue.digest, catalogue.bundle)
    return act_record(body, f"catalogue/{catalogue.epoch}/{catalogue.serial}", signer)


def control_record(announcement: Announcement = CATALOGUE.announcement, signer: Ed25519Key = OPERATOR) -> SignedRecord:
    """A control record of `reports`."""
    value = encode_announcement(announcement.epoch, announcement.serial, announcement.digest)
    return sign(signer, key=None, value=value, event_type=ANNOUNCEMENT_TYPE, event_id="catalogue/1/1",
                time="2022-01-01T00:00:00Z")  # fmt: skip


def registers() -> Registers:
    """The registers with every unit's key, registered at REGISTERED."""
    found = Registers(OPERATOR.public, 0)
    for act in key_acts():
        assert found.apply(act.key, act.value, list(act.headers), REGISTERED) is not None
    return found


def admission() -> Admission:
    """Admission under the small catalogue."""
    return Admission(CATALOGUE, registers())


ADMISSION = admission()


def decided(draft: Draft, catalogue: Catalogue | None = None) -> Admitted | Rejection:
    """What becomes of a draft, under another catalogue where one is given."""
    judge = ADMISSION if catalogue is None else Admission(catalogue, registers())
    return judge.decide(draft.received())


def rejection(draft: Draft) -> Rejection:
    found = decided(draft)
    assert isinstance(found, Rejection), found
    return found


def admitted(draft: Draft) -> Admitted:
    found = decided(draft)
    assert isinstance(found, Admitted), found
    return found
