"""Judgment before Kafka: whether ingest would take a report, asked of the same admission, and whether this account may.

What is refused here never reaches the log. Ingest judges again, by the broker's time and the acts before it: a node may
write to Kafka directly, and a decision may come in between.
"""

from __future__ import annotations

from dataclasses import replace

from producers.gateway.door import Caller, Door
from producers.gateway.draft import Draft, Item, Signed
from producers.gateway.refusal import Refusal, Slug, of_rejection, refused
from producers.gateway.registry import Registry
from schemas.admission import Received, iso_time
from schemas.codec import encode_report
from schemas.period import PeriodError, parse_period
from schemas.principal import may_submit
from schemas.rejection import Rejection
from schemas.report import REPORT_TYPE, Header, KeyId, Offset, Report, Revision, Source
from schemas.signature import SignedRecord, sign
from schemas.topics import partition_of


class _NotYet:
    """Stands where the gateway's key will sign, while key and signature are not looked at."""

    kid = KeyId("kid-gateway")

    def sign(self, message: bytes) -> bytes:
        """64 bytes."""
        return bytes(64)


class Judgment:
    """Judges reports of accounts. `partitions` is the count of `reports`."""

    def __init__(self, registry: Registry, partitions: int) -> None:
        self._registry = registry
        self._partitions = partitions

    def judged(self, item: Item, caller: Caller) -> Item:
        """The item as it may be sent. Raises Refusal."""
        form, series = item.form, item.series
        for_other = series.entered_by is not None
        if not may_submit(caller.bindings, item.sender, form.id, caller.day, for_other=for_other):
            raise self._not_allowed(item, caller)
        self._require_open(item)
        if isinstance(item, Signed):
            return self._signed(item, caller)
        self._decide(self._provisional(item, caller), caller, check_signatures=False)
        return item

    def _signed(self, item: Signed, caller: Caller) -> Signed:
        named = item.report.header.principal
        if named is not None and named != caller.name:
            raise refused(
                Slug.NOT_ALLOWED,
                f"Báo cáo ghi tài khoản {named}, không phải tài khoản đang gửi.",
                f"The report names the account {named}, not the one that sends it.",
            )
        self._decide(item.record, caller, check_signatures=True)
        return item

    def _provisional(self, item: Draft, caller: Caller) -> SignedRecord:
        """The record as it will be, but for revision, sequence and signature, which no rule of content asks for."""
        header = Header(
            item.unit, item.period, item.kind, Revision(1), 1, item.issued_at or caller.at, None, item.line, item.scope,
            item.entered_by, caller.name,
        )  # fmt: skip
        report = Report(item.form.id, header, item.rows, item.narrative)
        return sign(
            _NotYet(), key=item.unit.encode(), value=encode_report(item.form, report), event_type=REPORT_TYPE,
            event_id=report.event_id, time=iso_time(header.issued_at),
        )  # fmt: skip

    def _decide(self, record: SignedRecord, caller: Caller, *, check_signatures: bool) -> None:
        partition = partition_of(record.key or b"", self._partitions)
        decided = self._registry.admission(check_signatures=check_signatures).decide(
            Received(
                record.key, record.value, record.headers, Source(partition, Offset(0)), caller.at, self._partitions
            )
        )
        if isinstance(decided, Rejection):
            raise of_rejection(decided)

    def _require_open(self, item: Item) -> None:
        """Raises Refusal for a period that a superior has locked (design decision 19)."""
        try:
            day = parse_period(item.series.period).last_day
        except PeriodError:
            return  # admission says so in its order
        locked_by = self._registry.locked_by(item.series, day)
        if locked_by is not None:
            raise refused(
                Slug.PERIOD_LOCKED,
                f"Kỳ {item.series.period} của biểu {item.form.id} đã được đơn vị {locked_by} khóa; "
                "cần sửa thì đề nghị mở khóa.",
                f"Period {item.series.period} of {item.form.id} is locked by {locked_by}: ask there to unlock it.",
            )

    def _not_allowed(self, item: Item, caller: Caller) -> Refusal:
        ours = any(binding.unit == item.sender and binding.in_force(caller.day) for binding in caller.bindings)
        if not ours:
            return Door.not_for(item.sender)
        return refused(
            Slug.NOT_ALLOWED,
            f"Tài khoản này không được báo cáo biểu {item.form.id} cho đơn vị {item.series.unit}.",
            f"This account may not report {item.form.id} for unit {item.series.unit}.",
        )


def with_trace(item: Item, request_id: str, traceparent: str | None) -> Item:
    """A signed report with the request's name and trace beside its signed headers; any other as it is."""
    if not isinstance(item, Signed):
        return item
    more = [("request-id", request_id.encode())]
    if traceparent:
        more.append(("traceparent", traceparent.encode()))
    return replace(item, record=SignedRecord(item.record.key, item.record.value, (*item.record.headers, *more)))
