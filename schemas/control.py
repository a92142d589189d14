"""Control records: which catalogue is in force where, read alike by ingest, `verify` and whoever releases one.

An announcement counts when the operator signed it and it has no key. What is in force at an offset is the *highest*
(epoch, serial) announced before it in its partition, so an old control record appended again rolls nothing back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from schemas.catalogue import ANNOUNCEMENT_TYPE, Announcement
from schemas.codec import NotDecodable, decode_announcement
from schemas.register import signed_by
from schemas.signature import Header, PublicKey


def read_control(
    operator_key: PublicKey, key: bytes | None, value: bytes | None, headers: Sequence[Header]
) -> Announcement | None:
    """The announcement in a record of `reports`; None for a report and for what the operator did not sign."""
    if key is not None or value is None or ("ce_type", ANNOUNCEMENT_TYPE.encode()) not in headers:
        return None
    if not signed_by(operator_key, key, value, list(headers)):
        return None
    try:
        return Announcement(*decode_announcement(value))
    except NotDecodable:
        return None


def highest(announcements: Iterable[Announcement]) -> Announcement | None:
    """The one that is in force among those announced so far."""
    return max(announcements, key=lambda a: (a.epoch, a.serial), default=None)
