"""The way over HTTP: signed records to a gateway, receipts back.

A record that is sent twice is one record at the gateway, which knows it by series and time of issue; so whatever was
not answered is simply sent again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from producers.agent.store import AgentStore
from producers.agent.transport import Away, Held, Placed, RefusedForGood, Verdict
from producers.client.answers import PENDING, Acknowledged
from producers.client.answers import Receipt as Shown
from producers.client.errors import Clash, GatewayError, Later, NotAllowed, NotFound, NotLoggedIn, Refused
from producers.client.gateway import GatewayClient, Result
from producers.client.repeats import Repeats
from producers.outbox import Waiting
from producers.outbox_file import transaction
from producers.settlement import settle
from schemas.admission import iso_time
from schemas.failpoint import failpoint
from schemas.precedence import Outcome
from schemas.receipt import Receipt
from schemas.report import Digest, KeyId, Millis, Offset, Revision, Series, Source
from schemas.unit import LineName, UnitCode

_BEGINNING = "receipts"
_HOUR_MS = 3_600_000
_OVERDUE_MS = 120_000
_ASKED_SINGLY = 20
"""Receipts are listed in the order of acceptance; one decided late may lie behind, and is asked for by its id."""


class _BatchRefused(Away):
    """Not for want of a gateway or of a right: for what is in the request."""


class HttpTransport:
    """To the gateway at `url`. The token is read anew after a refused login, so that a new one needs no restart."""

    def __init__(self, url: str, token_file: Path, clock: Callable[[], Millis], timeout_s: float = 30.0) -> None:
        self.reports_per_s = 0.0
        self._url = url
        self._token_file = token_file
        self._clock = clock
        self._timeout_s = timeout_s
        self._client: GatewayClient | None = None

    def catalogue(self, held: str) -> bytes | None:
        """The gateway's."""
        with self._asked() as client:
            self.reports_per_s = client.service().reports_per_s
            return client.catalogue(held)

    def deliver(self, store: AgentStore, rows: Sequence[Waiting]) -> list[Verdict]:
        """Up to 1,000 at once."""
        if not store.noted(_BEGINNING):
            # No receipt about this outbox is older than its first report.
            since = Millis(self._clock() - int((self.clock_ahead_s() or 0) * 1000) - _HOUR_MS)
            store.note(_BEGINNING, iso_time(since))
        return self._sent(rows)

    def settle(self, store: AgentStore, now: Millis) -> int:
        """Page after page of each unit that something was sent about; what is overdue by its own id."""
        named = 0
        for unit in store.unsettled_units():
            place = f"{_BEGINNING}/{unit}"
            since = store.noted(place) or store.noted(_BEGINNING)
            with self._asked() as client:
                found = list(client.receipts(unit, since))
            named += _settle(store, found, now)
            if found:
                store.note(place, found[-1].id)
        for source in store.unsettled_sources(Millis(now - _OVERDUE_MS), _ASKED_SINGLY):
            try:
                with self._asked() as client:
                    one = client.receipt(f"{source.partition}-{source.offset}")
            except NotFound:
                continue
            named += _settle(store, [one], now)
        return named

    def highest(self, series: Sequence[Series]) -> dict[Series, Revision]:
        """One question each."""
        found: dict[Series, Revision] = {}
        for one in series:
            more = {"line": str(one.line), "scope": one.scope.value}
            if one.entered_by is not None:
                more["entered_by"] = one.entered_by
            with self._asked() as client:
                found[one] = Revision(client.series(one.unit, one.form, one.period, **more).highest_revision)
        return found

    def clock_ahead_s(self) -> float | None:
        """By the date in the gateway's last answer."""
        return None if self._client is None else self._client.clock_ahead_s

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _sent(self, rows: Sequence[Waiting]) -> list[Verdict]:
        """Where the gateway refuses a batch as a whole, one record is the cause: halves, until it stands alone."""
        try:
            with self._asked() as client:
                results = client.send_signed_batch([row.record for row in rows])
        except _BatchRefused as error:
            if len(rows) == 1:
                return [Held(str(error))]
            middle = len(rows) // 2
            return [*self._sent(rows[:middle]), *self._sent(rows[middle:])]
        failpoint("agent.after_ack")
        return [_verdict(result) for result in results]

    @contextmanager
    def _asked(self) -> Iterator[GatewayClient]:
        """The client; whatever keeps it from an answer is Away, but NotFound."""
        try:
            if self._client is None:
                token = self._token_file.read_text(encoding="utf-8").strip()
                self._client = GatewayClient(
                    self._url, token, timeout_s=self._timeout_s, repeats=Repeats(within_s=0), when_sent=_when_sent
                )
            yield self._client
        except NotFound:
            raise
        except (OSError, UnicodeDecodeError) as error:
            raise Away(f"the token can't be read: {error}") from error
        except Later as error:
            raise Away(str(error), error.retry_after_s) from error
        except NotLoggedIn as error:
            self.close()
            raise Away(f"{error} (token of {self._token_file})") from error
        except NotAllowed as error:
            raise Away(str(error)) from error
        except Refused as error:
            raise _BatchRefused(str(error)) from error
        except GatewayError as error:
            raise Away(str(error)) from error


def _when_sent() -> None:
    failpoint("agent.after_send")


def _verdict(result: Result) -> Verdict:
    match result:
        case Acknowledged(id=None):
            return Placed(None)
        case Acknowledged(id=str(at)):
            partition, _, offset = at.partition("-")
            return Placed(Source(int(partition), Offset(int(offset))))
        case Later():
            return None
        case NotAllowed():
            return Held(str(result))
        case Clash():
            return RefusedForGood(str(result), result.highest_revision)
    return RefusedForGood(str(result))


def _settle(store: AgentStore, found: Iterable[Shown], now: Millis) -> int:
    receipts = [_receipt(one) for one in found if one.outcome != PENDING]
    with transaction(store.database, store.path):
        return sum(settle(store.database, receipt, now) for receipt in receipts)


def _receipt(shown: Shown) -> Receipt:
    """As the topic has it, but for its place there: of a source the gateway shows only the receipt that stands."""
    partition, _, offset = shown.id.partition("-")
    at = 0 if shown.accepted_at is None else int(shown.accepted_at.timestamp() * 1000)
    return Receipt(
        unit=UnitCode(shown.unit), line=LineName(shown.line), form=shown.form, period=shown.period,
        entered_by=shown.entered_by or "", revision=Revision(shown.revision), kid=KeyId(shown.kid),
        digest=Digest(bytes.fromhex(shown.digest)), source=Source(int(partition), Offset(int(offset))),
        outcome=Outcome(shown.outcome), reason=shown.reason or "", field=shown.field or "", detail=shown.detail or "",
        highest_revision=Revision(shown.highest_revision), accepted_at=Millis(at), figures_offset=Offset(0),
    )  # fmt: skip
