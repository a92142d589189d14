"""Metrics that every process has, and how it serves them: Prometheus text on a loopback port of its own."""

from __future__ import annotations

from prometheus_client import Gauge, start_http_server

READY = Gauge("chungsuc_ready", "1 when this process does its work: connected, restored, caught up once.")


def serve_metrics(port: int) -> None:
    """Serve `/metrics` on loopback in a thread of its own, so that busy work does not hide it; port 0 serves none."""
    READY.set(0)
    if port:
        start_http_server(port, addr="127.0.0.1")
