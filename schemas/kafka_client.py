"""What every kafka-python client of this system has in common: where the brokers are, its name, and its patience.

Invariant: when a broker is back, nobody stays away for longer than `RECONNECT_WITHIN_MS`. By default the pause between
two attempts doubles up to half a minute, so that a fresh figure waits on a client that sleeps beside a healthy broker.
"""

from __future__ import annotations

from typing import Any

RECONNECT_WITHIN_MS = 500
"""On loopback and in one network an attempt costs next to nothing. aiokafka tries again every 100 ms by itself."""


def client_options(bootstrap: str, client_id: str) -> dict[str, Any]:
    """Keyword arguments for a consumer, producer or admin client; `bootstrap` is `host:port[,…]`."""
    return {
        "bootstrap_servers": bootstrap.split(","),
        "client_id": client_id,
        "reconnect_backoff_max_ms": RECONNECT_WITHIN_MS,
    }
