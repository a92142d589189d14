"""The audit log: who logged in, submitted, was refused, or changed accounts and keys. Appended to, never changed.

One JSON object per line. Each carries the SHA-256 of the line before it, so a line that was changed, left out or put in
later breaks the chain, and `broken_at` finds it; only cutting off the end leaves no trace. No secret is ever in it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from producers.errors import ProducerError
from schemas.report import Millis

FILE = "audit.log"
_START = "0" * 64
_TAIL_BYTES = 1 << 20


class AuditError(ProducerError):
    """The audit log can't be written, so what it would tell must not happen."""


class Event(StrEnum):
    """Closed list of what is noted."""

    LOGIN = "login"
    LOGIN_REFUSED = "login_refused"
    LOGOUT = "logout"
    SECOND_FACTOR = "second_factor"
    SECOND_FACTOR_RESET = "second_factor_reset"
    SUBMISSION = "submission"
    DECISION = "decision"
    DRAFT_WAITS = "draft_waits"
    DRAFT_REFUSED = "draft_refused"
    REFUSAL = "refusal"
    ACCOUNT_BOUND = "account_bound"
    ACCOUNT_LINKED = "account_linked"
    ACCOUNT_REVOKED = "account_revoked"
    TOKEN_MADE = "token_made"
    KEY_REGISTERED = "key_registered"
    KEY_REVOKED = "key_revoked"


class AuditLog:
    """One file, which several processes may append to."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def note(self, at: Millis, event: Event, **about: Any) -> None:
        """One line, on the disk when this returns. Raises AuditError."""
        self.note_all(at, [(event, about)])

    def note_all(self, at: Millis, events: Sequence[tuple[Event, Mapping[str, Any]]]) -> None:
        """Several lines with one write to the disk."""
        if not events:
            return
        time = datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                before, lines = _last(handle), []
                for event, about in events:
                    line = _line({"at": time, "event": event.value, **about, "before": before})
                    before = hashlib.sha256(line).hexdigest()
                    lines.append(line + b"\n")
                _write(handle, b"".join(lines))
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            raise AuditError(f"the audit log {self.path} can't be written: {error}") from error


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The lines, oldest first. What is no whole line, after a power cut or by a strange hand, is left out."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            try:
                found = json.loads(line) if line.endswith(b"\n") else None
            except ValueError:
                continue
            if isinstance(found, dict) and {"at", "event"} <= found.keys():
                yield found


def broken_at(path: Path) -> int | None:
    """The first line (from 1) that does not follow from the one before it; None where the chain is whole."""
    if not path.exists():
        return None
    before = _START
    with path.open("rb") as file:
        return _first_break(file, before)


def _first_break(lines: Iterable[bytes], before: str) -> int | None:
    for number, line in enumerate(lines, 1):
        try:
            found = json.loads(line).get("before") if line.endswith(b"\n") else None
        except ValueError:
            found = None
        if found != before:
            return number
        before = hashlib.sha256(line[:-1]).hexdigest()
    return None


def _line(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


def _last(handle: int) -> str:
    """The digest of the last line. What a power cut left half-written is ended, and shows as a break for ever."""
    size = os.fstat(handle).st_size
    if not size:
        return _START
    tail = os.pread(handle, _TAIL_BYTES, max(0, size - _TAIL_BYTES))
    if not tail.endswith(b"\n"):
        _write(handle, b"\n")
        tail += b"\n"
    return hashlib.sha256(tail[:-1].rpartition(b"\n")[2]).hexdigest()


def _write(handle: int, content: bytes) -> None:
    while content:
        content = content[os.write(handle, content) :]
