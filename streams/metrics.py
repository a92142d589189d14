"""Metrics that ingest and rollup share."""

from __future__ import annotations

from prometheus_client import Gauge, Histogram

BATCH_RECORDS = Histogram(
    "chungsuc_batch_records",
    "Records per batch.",
    ["stage"],
    buckets=(1, 10, 100, 1_000, 3_000, 10_000, 30_000, 100_000),
)
BATCH_SECONDS = Histogram("chungsuc_batch_seconds", "Seconds from a batch to its acknowledgement.", ["stage"])
NEXT_OFFSET = Gauge("chungsuc_next_offset", "Offset below which all is done and acknowledged.", ["stage", "partition"])
