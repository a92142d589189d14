"""What every kafka-python client of this system has in common: where the brokers are, its name, and its patience.

Invariant: when a broker is back, nobody stays away for longer than `RECONNECT_WITHIN_MS`. By default the pause between
two attempts doubles up to half a minute, so that a fresh figure waits on a client that sleeps beside a healthy broker.
"""

from __future__ import annotations

from typing import Any

from kafka.record import memory_records
from kafka.record.default_records import DefaultRecord, DefaultRecordBatch
from kafka.record.util import decode_varint

from schemas.headers import read_headers

RECONNECT_WITHIN_MS = 500
"""On loopback and in one network an attempt costs next to nothing. aiokafka tries again every 100 ms by itself."""


def client_options(bootstrap: str, client_id: str) -> dict[str, Any]:
    """Keyword arguments for a consumer, producer or admin client; `bootstrap` is `host:port[,…]`."""
    return {
        "bootstrap_servers": bootstrap.split(","),
        "client_id": client_id,
        "reconnect_backoff_max_ms": RECONNECT_WITHIN_MS,
    }


class _AnyNames(DefaultRecordBatch):  # type: ignore[misc]
    """kafka-python's reader of a batch, which goes on after a name that is not UTF-8."""

    _pos: int

    def _read_msg(self, *given: Any) -> Any:
        try:
            return super()._read_msg(*given)
        except UnicodeDecodeError:
            return self._read_escaped()

    def _read_escaped(self) -> Any:
        buffer = self._buffer
        length, at = decode_varint(buffer, self._pos)
        end = at + length
        _, at = decode_varint(buffer, at)  # attributes
        delta, at = decode_varint(buffer, at)
        time = self.max_timestamp if self.timestamp_type == self.LOG_APPEND_TIME else self.first_timestamp + delta
        offset, at = decode_varint(buffer, at)
        parts: list[bytes | None] = []
        for _ in range(2):
            size, at = decode_varint(buffer, at)
            parts.append(bytes(buffer[at : at + size]) if size >= 0 else None)
            at += max(size, 0)
        headers = list(read_headers(bytes(buffer[at:end])))
        self._pos = end
        return DefaultRecord(length, self.base_offset + offset, time, self.timestamp_type, *parts, headers)


def read_any_header_names() -> None:
    """Make every kafka-python consumer of this process read records whose headers' names are not UTF-8."""
    memory_records.DefaultRecordBatch = _AnyNames
