"""Which of two contributions to one slot stands: a pure total order (design decision 2, contract 2).

Own and entered contributions: higher revision, then lower source, so the result depends neither on the order of arrival
nor on who folds. Totals: higher (epoch, version). One function each, used by the ledger, the read model and the tests.
"""

from __future__ import annotations

from enum import StrEnum

from schemas.report import Digest, Revision, Source


class Outcome(StrEnum):
    """What became of a report (thông báo tiếp nhận)."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    SUPERSEDED = "superseded"
    CONFLICT = "conflict"
    REJECTED = "rejected"


def rank(revision: Revision, source: Source) -> tuple[int, int, int]:
    """Sort key of a contribution within its slot; the greatest stands."""
    return (revision, -source.partition, -source.offset)


def stands_before(revision: Revision, source: Source, other_revision: Revision, other_source: Source) -> bool:
    """Whether the first contribution takes precedence over the second."""
    return rank(revision, source) > rank(other_revision, other_source)


def outcome(
    revision: Revision,
    source: Source,
    digest: Digest,
    standing_revision: Revision,
    standing_source: Source,
    standing_digest: Digest,
) -> Outcome | None:
    """What an arriving contribution becomes beside the one that stands; None for the standing source again.

    Same revision and digest from another source is a duplicate, whichever of the two stands afterwards; the same
    revision with another digest is a conflict for the one that does not stand.
    """
    if source == standing_source:
        return None
    if revision == standing_revision:
        if digest == standing_digest:
            return Outcome.DUPLICATE
        return Outcome.ACCEPTED if source < standing_source else Outcome.CONFLICT
    return Outcome.ACCEPTED if revision > standing_revision else Outcome.SUPERSEDED
