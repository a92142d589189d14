"""What can keep a client's report from being taken, one class per thing that a caller does differently.

Invariant: whoever catches one of these knows whether repeating can help: `Unanswered`, `Away` and `TooMany` are worth a
repeat (the client has repeated already, up to its bound), the others need a person or another content.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from producers.errors import ProducerError

_URN = "urn:chungsuc:problem:"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong in a report: where (JSON pointer), why (a reason of the contract), in words."""

    pointer: str
    reason: str
    detail: str

    def __str__(self) -> str:
        return f"{self.pointer}: {self.detail}" if self.pointer else self.detail


@dataclass(frozen=True, slots=True)
class Details:
    """Problem details (RFC 9457) as the gateway tells them. `name` is the word at the end of `type`."""

    name: str
    status: int
    title: str
    detail: str
    reason: str | None = None
    errors: Sequence[Fault] = ()
    members: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> Details:
        """From the JSON object. Raises KeyError, TypeError or ValueError for one that is none."""
        known = ("type", "status", "title", "detail", "reason", "errors", "instance")
        return cls(
            name=str(raw["type"]).removeprefix(_URN),
            status=int(raw["status"]),
            title=str(raw["title"]),
            detail=str(raw["detail"]),
            reason=None if raw.get("reason") is None else str(raw["reason"]),
            errors=tuple(Fault(one["pointer"], one["reason"], one["detail"]) for one in raw.get("errors", ())),
            members={name: value for name, value in raw.items() if name not in known},
        )

    @property
    def highest_revision(self) -> int | None:
        """The revision that stands, where the problem is about one."""
        found = self.members.get("highest_revision")
        return None if found is None else int(found)

    def __str__(self) -> str:
        more = "; ".join(str(error) for error in self.errors[1:])
        return f"{self.title}: {self.detail}{' ' if more else ''}{more}"


class GatewayError(ProducerError):
    """Nothing, or not everything, was taken."""


class Unanswered(GatewayError):
    """No answer of a gateway came within the bound. Whether the report was taken is not known: repeat with its key."""


class NotAGateway(GatewayError):
    """Something answers at that address, and it is not this gateway."""


class Refused(GatewayError):
    """The gateway said no, and why."""

    def __init__(self, details: Details) -> None:
        super().__init__(str(details))
        self.details = details


class NotLoggedIn(Refused):
    """The token is wrong or was revoked (401)."""


class NotAllowed(Refused):
    """The account may not do that, or the report's signature does not count (403)."""


class NotFound(Refused):
    """There is no such thing for this account (404)."""


class Clash(Refused):
    """Another revision stands by now (409, 412): look at it, then send again."""

    @property
    def highest_revision(self) -> int | None:
        """The revision that stands."""
        return self.details.highest_revision


class Invalid(Refused):
    """The report is wrong (413, 422): `details.errors` says what and where."""


class KeyReused(Refused):
    """The Idempotency-Key stood for other content (422)."""


class Later(Refused):
    """Worth a repeat after `retry_after_s`."""

    def __init__(self, details: Details, retry_after_s: float | None = None) -> None:
        super().__init__(details)
        self.retry_after_s = retry_after_s


class TooMany(Later):
    """The account sends too fast (429)."""


class Away(Later):
    """The gateway can't take anything right now (503), or works on the first request with this key (409)."""


def refusal(details: Details, retry_after_s: float | None = None) -> Refused:
    """The error for a problem: by its name, and by its status for a name that a newer gateway may have."""
    match details.name, details.status:
        case ("away" | "request-in-flight", _) | (_, 503):
            return Away(details, retry_after_s)
        case (_, 429):
            return TooMany(details, retry_after_s)
        case (_, 401):
            return NotLoggedIn(details)
        case (_, 403):
            return NotAllowed(details)
        case (_, 404):
            return NotFound(details)
        case (_, 409 | 412):
            return Clash(details)
        case ("idempotency-key-reused", _):
            return KeyReused(details)
        case (_, 413 | 422):
            return Invalid(details)
    return Refused(details)
