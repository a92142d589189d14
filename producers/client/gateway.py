"""The client: one object per account, usable from one thread.

    with GatewayClient("http://127.0.0.1:17021", token) as gateway:
        sent = gateway.send({"form": "testing-daily", "unit": "03390", "period": "2021-12-13", "kind": "nil"})
        receipt = gateway.settled(sent)

Invariant: a report is sent under one Idempotency-Key however often it is repeated, so a repeat after a lost answer is
never a second report. What can't succeed by repeating raises at once; the rest after a bound.
"""

from __future__ import annotations

import base64
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from producers.client.answers import Acknowledged, Receipt, Series, Service
from producers.client.errors import Details, Later, NotAGateway, Refused, Unanswered, refusal
from producers.client.repeats import Repeats
from schemas.signature import SignedRecord

Report = Mapping[str, Any]
"""One report as the gateway takes it in JSON: `form`, `unit`, `period`, `rows`, …"""
T = TypeVar("T")
Result = Acknowledged | Refused
"""What became of one report of a batch."""

_EVENT = ("ce_specversion", "ce_type", "ce_source", "ce_id", "ce_time", "kid")
_BY_OTHERS = (502, 504)
"""A proxy's way of saying that the gateway did not answer it."""
_LOOK_EVERY_S = 0.3


class GatewayClient:
    """Sends reports and reads receipts for one account.

    `timeout_s` bounds one attempt, `repeats` all of them. `language` is that of the texts in errors and receipts.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        timeout_s: float = 30.0,
        repeats: Repeats | None = None,
        language: str = "vi",
        when_sent: Callable[[], None] | None = None,
    ) -> None:
        """`when_sent` is called when a request is on its way, whole, and its answer is not here yet."""
        headers = {"Authorization": f"Bearer {token}", "Accept-Language": language, "User-Agent": "chungsuc-client"}
        self._url = url
        self._repeats = repeats or Repeats()
        self._extensions = {} if when_sent is None else {"trace": _teller(when_sent)}
        try:
            self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout_s)
        except (httpx.InvalidURL, UnicodeEncodeError) as error:
            raise NotAGateway(f"{url} with that token can't be asked: {error}") from error
        self.clock_ahead_s: float | None = None
        """How far this host's clock is before the gateway's, to the second, as of the last answer."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close connections."""
        self._http.close()

    def send(self, report: Report, *, key: str | None = None, after: int | None = None) -> Acknowledged:
        """Send one report; returns when the broker has it.

        `after`: the highest revision that its author has seen, 0 for none; Clash where there is another. `key`: the
        Idempotency-Key of a request that an earlier process may have sent already; by default a new one. Raises a
        GatewayError.
        """
        headers = _keyed(key)
        if after is not None:
            headers |= {"If-Match": f'"{after}"'} if after else {"If-None-Match": "*"}
        return self._read(Acknowledged.read, self._ask("POST", "/v1/reports", json=dict(report), headers=headers))

    def send_batch(self, reports: Sequence[Report], *, key: str | None = None) -> list[Result]:
        """Send up to 1,000 reports at once; what became of each, in order. Raises a GatewayError about the whole."""
        return self._batch([dict(report) for report in reports], _keyed(key))

    def send_signed(self, record: SignedRecord) -> Acknowledged:
        """Send a record that a node signed itself, byte for byte. It is its own key. Raises a GatewayError."""
        named = {name: value.decode() for name, value in record.headers if name in _EVENT}
        headers = {name.replace("_", "-", 1): text for name, text in named.items()}
        headers |= {"sig": _base64(dict(record.headers)["sig"]), "Content-Type": "application/avro"}
        answer = self._ask("POST", "/v1/reports", content=record.value, headers=headers)
        return self._read(Acknowledged.read, answer)

    def send_signed_batch(self, records: Sequence[SignedRecord]) -> list[Result]:
        """The same for up to 1,000 at once; what became of each, in order."""
        return self._batch([_signed(record) for record in records], {})

    def receipt(self, report: Acknowledged | str) -> Receipt:
        """What has become of a report by now, by its acknowledgement or its id. Raises a GatewayError."""
        at = report if isinstance(report, str) else report.id
        if at is None:
            raise NotAGateway("the broker did not tell where it put this report: ask for the unit's receipts")
        return self._read(Receipt.read, self._ask("GET", f"/v1/receipts/{at}"))

    def settled(self, report: Acknowledged | str, within_s: float = 60.0) -> Receipt:
        """The receipt once the report is counted up to the top, or is not going to be. The last one after the bound."""
        deadline = time.monotonic() + within_s
        while not (found := self.receipt(report)).settled and time.monotonic() < deadline:
            time.sleep(_LOOK_EVERY_S)
        return found

    def receipts(self, unit: str, since: str = "1970-01-01T00:00:00Z", limit: int = 500) -> Iterator[Receipt]:
        """A unit's receipts, oldest first, page after page; `since` is a time (inclusive) or an id (exclusive)."""
        while True:
            asked = {"unit": unit, "since": since, "limit": limit}
            page = self._read(_receipts, self._ask("GET", "/v1/receipts", params=asked))
            yield from page
            if len(page) < limit:
                return
            since = page[-1].id

    def series(self, unit: str, form: str, period: str, **more: str) -> Series:
        """The highest revision of a series (`line`, `scope`, `entered_by` where they differ from the usual)."""
        asked = {"unit": unit, "form": form, "period": period, **more}
        return self._read(Series.read, self._ask("GET", "/v1/series", params=asked))

    def service(self) -> Service:
        """What the gateway says of itself."""
        return self._read(Service.read, self._ask("GET", "/v1"))

    def catalogue(self, held: str = "") -> bytes | None:
        """The bundle of the catalogue released last: forms, codes, units. None where its SHA-256 is `held` (hex)."""
        headers = {"If-None-Match": f'"{held}"'} if held else {}
        answer = self._ask("GET", "/v1/catalogue", headers=headers)
        return None if answer.status_code == httpx.codes.NOT_MODIFIED else answer.content

    def _batch(self, reports: Sequence[Mapping[str, Any]], headers: Mapping[str, str]) -> list[Result]:
        answer = self._ask("POST", "/v1/reports", json={"reports": list(reports)}, headers=headers)
        results = self._read(_results, answer)
        if len(results) != len(reports):
            raise NotAGateway(f"{self._url} answers {len(results)} results for {len(reports)} reports")
        return results

    def _ask(self, method: str, path: str, **named: Any) -> httpx.Response:
        """The answer, repeated while that can help. Raises a GatewayError."""
        began, attempt = time.monotonic(), 0
        while True:
            try:
                return self._once(method, path, **named)
            except (Later, Unanswered) as error:
                wanted = error.retry_after_s if isinstance(error, Later) else None
                pause_s = self._repeats.pause_s(attempt, time.monotonic() - began, wanted)
                if pause_s is None:
                    raise
                time.sleep(pause_s)
                attempt += 1

    def _once(self, method: str, path: str, **named: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, extensions=self._extensions, **named)
        except httpx.UnsupportedProtocol as error:
            raise NotAGateway(f"{self._url} is no address such as http://127.0.0.1:17021: {error}") from error
        except httpx.HTTPError as error:
            raise Unanswered(f"no answer from {self._url}: {str(error) or type(error).__name__}") from error
        self._look_at_clock(answer)
        if answer.is_success or answer.status_code == httpx.codes.NOT_MODIFIED:
            return answer
        if answer.status_code in _BY_OTHERS:
            raise Unanswered(f"{self._url} answers {answer.status_code}: what stands before the gateway lost it")
        details = self._read(Details.read, answer)
        raise refusal(details, _seconds(answer.headers.get("retry-after")))

    def _read(self, reader: Callable[[Any], T], answer: httpx.Response) -> T:
        """What an answer says. Raises NotAGateway for one that says something else."""
        try:
            return reader(answer.json())
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            shown = f"{answer.status_code} {answer.text[:100]!r}"
            raise NotAGateway(f"{self._url} is no gateway of this system: it answers {shown}") from error

    def _look_at_clock(self, answer: httpx.Response) -> None:
        said = _date(answer.headers.get("date"))
        if said is not None:
            self.clock_ahead_s = time.time() - said


def _teller(when_sent: Callable[[], None]) -> Callable[[str, Mapping[str, Any]], None]:
    def tell(event: str, about: Mapping[str, Any]) -> None:
        if event == "http11.send_request_body.complete":
            when_sent()

    return tell


def _keyed(key: str | None) -> dict[str, str]:
    return {"Idempotency-Key": f'"{key or uuid.uuid4()}"'}


def _signed(record: SignedRecord) -> dict[str, Any]:
    named = {name: value.decode() for name, value in record.headers if name in _EVENT}
    headers = {**named, "content-type": "application/avro", "sig": _base64(dict(record.headers)["sig"])}
    return {"value": _base64(record.value), "headers": headers}


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _results(raw: Mapping[str, Any]) -> list[Result]:
    return [
        Acknowledged.read(one["report"]) if one["status"] == 202 else refusal(Details.read(one["problem"]))
        for one in raw["results"]
    ]


def _receipts(raw: Mapping[str, Any]) -> list[Receipt]:
    return [Receipt.read(one) for one in raw["receipts"]]


def _seconds(text: str | None) -> float | None:
    """Of a Retry-After in seconds; the gateway sends no dates."""
    return float(text) if text is not None and text.isdecimal() else None


def _date(text: str | None) -> float | None:
    try:
        return None if text is None else parsedate_to_datetime(text).timestamp()
    except ValueError:
        return None
