"""Receipts: what became of each report (thông báo tiếp nhận). Nothing disappears (design decision 17)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from schemas.precedence import Outcome
from schemas.report import Digest, Millis, Offset, Revision, Source

HEAD = np.dtype(
    [
        ("revision", "<i8"),
        ("source_offset", "<i8"),
        ("accepted_at", "<i8"),
        ("highest_revision", "<i8"),
        ("figures_offset", "<i8"),
        ("digest", "V32"),
        ("source_partition", "<i4"),
        ("outcome", "u1"),
    ]
)
"""The fixed numbers at the start of every receipt, in the order of `records/receipts.avsc`."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one source. `figures_offset` is -1 where ingest wrote it (a rejection)."""

    unit: str
    line: str
    form: str
    period: str
    entered_by: str
    revision: Revision
    kid: str
    digest: Digest
    source: Source
    outcome: Outcome
    reason: str
    field: str
    detail: str
    highest_revision: Revision
    accepted_at: Millis
    figures_offset: Offset


def standing(receipts: Iterable[Receipt]) -> dict[Source, Receipt]:
    """For each source the receipt with the lowest `figures` offset, so that a state never falls back."""
    result: dict[Source, Receipt] = {}
    for receipt in receipts:
        known = result.get(receipt.source)
        if known is None or receipt.figures_offset < known.figures_offset:
            result[receipt.source] = receipt
    return result
