"""Admission: whether one report may be counted, from the report itself and the registers as of its acceptance.

Pure (design decision 16): no Kafka, no clock, no files. A data error is a value: the first, in the contract's order,
of the closed list of reasons (contract 3). Everything that needs other reports is a finding elsewhere and
refuses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any, Protocol

from schemas.catalogue import Catalogue
from schemas.codec import NotDecodable, decode_report, fingerprint_in
from schemas.form import Form
from schemas.headers import ESCAPE
from schemas.period import Period, PeriodError, parse_period
from schemas.principal import ALL_UNITS, ever_below, may_submit
from schemas.register import KeyEntry, PrincipalEntry
from schemas.rejection import Reason, Refused, Rejection
from schemas.report import REPORT_TYPE, Millis, Report, Row, Scope, Source
from schemas.row_checks import check_rows, counted_rows
from schemas.signature import SIGNED_HEADERS, signed_message, verifies
from schemas.topics import MAX_REPORT_BYTES, partition_of
from schemas.unit import Unit, UnitCode

LATEST_ISSUE = 253_402_300_799_999
_LARGEST_COUNTER = 2**53
_REPORT_TYPE = REPORT_TYPE.encode()
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  (written out as UTC; a naive sum is four times faster)


class KeyRing(Protocol):
    """Where admission looks up who may sign."""

    def key(self, kid: Any) -> KeyEntry | None:
        """The key registered under `kid`."""


class Authorities(KeyRing, Protocol):
    """Where admission looks up who may sign, and for whom a gateway may attest."""

    def principal(self, name: str) -> PrincipalEntry | None:
        """The account of that name."""


@dataclass(frozen=True, slots=True)
class Received:
    """A record of `reports` as the broker handed it out; `partitions` is the topic's count."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]
    source: Source
    accepted_at: Millis
    partitions: int


@dataclass(frozen=True, slots=True)
class Admitted:
    """A report that is counted. `form` is the version in force on the period's last day: the figure's columns.

    `rows` are the report's under the code lists of that day.
    """

    report: Report
    rows: Sequence[Row]
    form: Form
    sent_form: Form
    unit: Unit
    period: Period
    kid: str
    receiver: UnitCode
    """Whose ledger it goes to: the superior, or the unit itself where it has units below (design decision 8)."""


class Admission:
    """Decides records under one catalogue. Keeps look-ups by (unit, line, day), which repeat thousands of times."""

    def __init__(self, catalogue: Catalogue, keys: Authorities, *, check_signatures: bool = True) -> None:
        self.catalogue = catalogue
        self._keys = keys
        self._check_signatures = check_signatures
        self._places: dict[tuple[str, str, date], tuple[Unit, UnitCode | None, bool]] = {}

    def decide(self, received: Received) -> Admitted | Rejection:
        """Admit or reject one record. Raises only on a programming error."""
        report: Report | None = None
        try:
            form, value = self._form(received)
            try:
                report = decode_report(form, value)
            except NotDecodable as error:
                raise Refused(
                    Reason.NOT_DECODABLE, "value", f"{len(value)} bytes", ("một bản ghi Avro trọn vẹn", str(error))
                ) from error
            return self._decide_decoded(received, value, form, report)
        except Refused as refused:
            return refused.rejection(report)

    def _form(self, received: Received) -> tuple[Form, bytes]:
        value = received.value
        if value is None:
            raise Refused(Reason.NOT_DECODABLE, "value", "none", ("một báo cáo đã mã hóa", "an encoded report"))
        if len(value) > MAX_REPORT_BYTES:
            raise Refused(
                Reason.TOO_LARGE,
                "value",
                f"{len(value)} bytes",
                (f"nhiều nhất {MAX_REPORT_BYTES} byte", f"at most {MAX_REPORT_BYTES} bytes"),
            )
        try:
            fingerprint = fingerprint_in(value)
        except NotDecodable as error:
            raise Refused(
                Reason.NOT_DECODABLE, "value", value[:10].hex(), ("một bản ghi Avro trọn vẹn", str(error))
            ) from error
        form = self.catalogue.form(fingerprint)
        if form is None:
            raise Refused(
                Reason.UNKNOWN_FORM,
                "value",
                fingerprint.hex(),
                ("một biểu mẫu của danh mục đang áp dụng", "a form of the catalogue in force"),
            )
        return form, value

    def _decide_decoded(self, received: Received, value: bytes, sent_form: Form, report: Report) -> Admitted:
        header = report.header
        named = _headers(received, report)
        if header.line not in self.catalogue.units.lines:
            raise Refused(
                Reason.HEADER_INVALID,
                "line",
                header.line,
                ("một hệ thống ngành dọc có trong danh mục", "a line of the catalogue"),
            )
        period = _period(header.period)
        unit, superior, has_children = self._place(report, period)
        if header.unit_name is not None and header.unit_name != unit.name:
            raise Refused(Reason.STALE_NAME, "unit_name", header.unit_name, unit.name)
        key = received.key
        if key != header.unit.encode():
            raise Refused(Reason.WRONG_KEY, "key", _text(key), header.unit)
        expected = partition_of(key, received.partitions)
        if received.source.partition != expected:
            raise Refused(Reason.WRONG_PARTITION, "partition", received.source.partition, str(expected))
        self._check_authority(received, value, report, named)
        if header.entered_by is not None and not self._may_enter(report, period, superior):
            raise Refused(
                Reason.NOT_AUTHORISED,
                "entered_by",
                header.entered_by,
                (f"cấp trên trực tiếp: {superior or 'không có'}", f"the direct superior, {superior or 'none'}"),
            )
        form = self._form_in_force(report, sent_form, period, received)
        assert period is not None
        check_rows(report, sent_form, self.catalogue, period.last_day)
        rows = counted_rows(report.rows, sent_form, self.catalogue, period.last_day)
        receiver = header.unit if has_children or superior is None or header.scope is Scope.SUBTREE else superior
        return Admitted(report, rows, form, sent_form, unit, period, named["kid"].decode(), receiver)

    def _place(self, report: Report, period: Period | None) -> tuple[Unit, UnitCode | None, bool]:
        header = report.header
        units = self.catalogue.units
        if period is None:
            # The period is judged later in the order; any bearer of the code does for what comes before.
            if not (versions := units.versions(header.unit)):
                raise Refused(
                    Reason.UNKNOWN_UNIT,
                    "unit",
                    header.unit,
                    ("một đơn vị có trong danh mục", "a unit of the catalogue"),
                )
            so_named = [unit for unit in versions if unit.name == header.unit_name]
            return (so_named or versions)[-1], None, False
        at = (header.unit, header.line, period.last_day)
        place = self._places.get(at)
        if place is None:
            unit = units.unit(header.unit, period.last_day)
            if unit is None:
                raise Refused(
                    Reason.UNKNOWN_UNIT,
                    "unit",
                    header.unit,
                    (
                        f"một đơn vị có hiệu lực ngày {period.last_day:%d/%m/%Y}",
                        f"a unit in force on {period.last_day}",
                    ),
                )
            if not units.stands_on(header.line, header.unit, period.last_day):
                # Counted, it would be a root of its own and its numbers in nobody's total.
                raise Refused(
                    Reason.HEADER_INVALID,
                    "line",
                    header.line,
                    (f"một hệ thống có đơn vị {header.unit}", f"a line on which {header.unit} stands"),
                )
            place = (
                unit,
                units.superior(header.unit, period.last_day, header.line),
                units.has_children(header.unit, period.last_day, header.line),
            )
            self._places[at] = place
        return place

    def _may_enter(self, report: Report, period: Period | None, superior: UnitCode | None) -> bool:
        header = report.header
        if period is None:
            # Without a day, whoever is the superior on any: else a mistyped period would be told as a lack of rights.
            entries = self.catalogue.units.superiors_of(header.line, header.unit)
            return any(entry.superior == header.entered_by for entry in entries)
        return header.entered_by == superior

    def _check_authority(self, received: Received, value: bytes, report: Report, named: Mapping[str, bytes]) -> None:
        header = report.header
        kid = named["kid"].decode()
        entry = self._keys.key(kid)
        if entry is None:
            raise Refused(Reason.UNKNOWN_KEY, "kid", kid, ("một khóa ký số đã đăng ký", "a registered key"))
        if not entry.valid_at(received.accepted_at):
            raise Refused(
                Reason.KEY_NOT_VALID,
                "kid",
                kid,
                ("khóa có hiệu lực vào lúc tiếp nhận báo cáo", "a key in force when the report was accepted"),
            )
        if self._check_signatures:
            message = signed_message(received.key, value, [named[name] for name in SIGNED_HEADERS])
            if not verifies(entry.public_key, named["sig"], message):
                raise Refused(
                    Reason.BAD_SIGNATURE,
                    "sig",
                    named["sig"].hex()[:16],
                    (f"chữ ký bằng khóa {kid}", f"a signature by {kid}"),
                )
        sender = header.entered_by or header.unit
        if entry.attests:
            self._check_attested(entry, report, sender, received.accepted_at)
        elif entry.unit != sender:
            raise Refused(
                Reason.NOT_AUTHORISED,
                "kid",
                f"{kid} of {entry.unit}",
                (f"khóa của đơn vị {sender}", f"a key of {sender}"),
            )

    def _check_attested(self, entry: KeyEntry, report: Report, sender: UnitCode, accepted_at: Millis) -> None:
        """Whether a gateway may speak for the sender at all, and the account it speaks for as well."""
        header = report.header
        if entry.unit not in (ALL_UNITS, sender) and not ever_below(
            self.catalogue.units, sender, entry.unit, header.line
        ):
            raise Refused(
                Reason.NOT_AUTHORISED,
                "kid",
                f"{entry.kid} of {entry.unit}",
                (f"khóa của cổng tiếp nhận phụ trách đơn vị {sender}", f"a key of a gateway that serves {sender}"),
            )
        account = self._keys.principal(header.principal) if header.principal else None
        bindings = account.bindings_at(accepted_at) if account else ()
        day = datetime.fromtimestamp(accepted_at / 1000, self.catalogue.zone).date()
        if not may_submit(bindings, sender, report.form, day, for_other=header.entered_by is not None):
            raise Refused(
                Reason.NOT_AUTHORISED,
                "principal",
                header.principal or "none",
                (
                    f"một tài khoản được báo cáo biểu {report.form} cho đơn vị {sender}",
                    f"an account that may report {report.form} for {sender}",
                ),
            )

    def _form_in_force(self, report: Report, sent_form: Form, period: Period | None, received: Received) -> Form:
        text = report.header.period
        form = self.catalogue.form_in_force(sent_form.id, period.last_day) if period else sent_form
        if form is None:
            raise Refused(
                Reason.FORM_NOT_IN_FORCE,
                "period",
                text,
                (
                    f"một ngày biểu mẫu {sent_form.id} có hiệu lực, từ {sent_form.valid_from:%d/%m/%Y}",
                    f"a day on which {sent_form.id} is in force, from {sent_form.valid_from}",
                ),
            )
        if period is None:
            raise Refused(
                Reason.PERIOD_INVALID, "period", text, ("một kỳ viết như 2021-12-13", "a period such as 2021-12-13")
            )
        if period.type not in form.periods:
            raise Refused(
                Reason.PERIOD_INVALID,
                "period",
                text,
                (
                    f"kỳ của biểu mẫu {form.id}, viết như {', '.join(of.example for of in form.periods)}",
                    f"a period of {form.id}: {', '.join(f'{of} such as {of.example}' for of in form.periods)}",
                ),
            )
        today = _day_of_second(received.accepted_at // 1000, self.catalogue.zone)
        if period.first_day > today:
            raise Refused(
                Reason.PERIOD_FUTURE,
                "period",
                text,
                (f"muộn nhất là {today:%d/%m/%Y}, ngày tiếp nhận", f"at the latest {today}, the day of acceptance"),
            )
        return form


def _period(text: str) -> Period | None:
    try:
        return parse_period(text)
    except PeriodError:
        return None


@lru_cache(maxsize=1024)
def _day_of_second(second: int, zone: tzinfo) -> date:
    """Thousands of records are accepted in one second."""
    return datetime.fromtimestamp(second, zone).date()


def _text(key: bytes | None) -> str:
    return "none" if key is None else key.decode("utf-8", "replace")


@lru_cache(maxsize=4096)
def iso_time(millis: Millis) -> str:
    """A time of the contract in a Kafka header: UTC, milliseconds only where there are some.

    Many units issue at one time, and formatting it costs as much as the signature.
    """
    text = (_EPOCH + timedelta(milliseconds=millis)).isoformat(timespec="milliseconds" if millis % 1000 else "seconds")
    return f"{text}Z"


def _headers(received: Received, report: Report) -> dict[str, bytes]:
    header = report.header
    named = dict(received.headers)
    if len(named) != len(received.headers):
        raise Refused(Reason.HEADER_INVALID, "headers", "a name twice", ("mỗi tiêu đề một lần", "each header once"))
    if ESCAPE in "".join(named):
        odd = next(name for name in named if ESCAPE in name)
        raise Refused(Reason.HEADER_INVALID, "headers", odd, ("tên tiêu đề bằng UTF-8", "names in UTF-8"))
    for name, value in (
        ("ce_specversion", b"1.0"),
        ("ce_type", _REPORT_TYPE),
        ("ce_id", report.event_id.encode()),
        ("content-type", b"application/avro"),
    ):
        if named.get(name) != value:
            raise Refused(Reason.HEADER_INVALID, name, _text(named.get(name)), value.decode())
    for name in ("ce_source", "ce_time", "kid", "sig"):
        if named.get(name) is None:
            raise Refused(Reason.HEADER_INVALID, name, "none", ("một giá trị", "a value"))
    if named["ce_source"] != named["kid"] or not named["kid"].isascii():
        raise Refused(Reason.HEADER_INVALID, "ce_source", _text(named["ce_source"]), _text(named["kid"]))
    for field, number, largest in (
        ("revision", header.revision, _LARGEST_COUNTER),
        ("sequence", header.sequence, _LARGEST_COUNTER),
        ("issued_at", header.issued_at + 1, LATEST_ISSUE),
    ):
        if not 1 <= number <= largest:
            raise Refused(Reason.HEADER_INVALID, field, number, (f"từ 1 đến {largest}", f"from 1 to {largest}"))
    if named["ce_time"] != iso_time(header.issued_at).encode():
        raise Refused(Reason.HEADER_INVALID, "ce_time", _text(named["ce_time"]), iso_time(header.issued_at))
    return named
