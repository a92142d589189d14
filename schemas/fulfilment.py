"""When a series fulfilled what was asked: by the reports that came, and by those returned for correction. Pure.

A report meets an obligation until it is withdrawn or returned. A return (yêu cầu chỉnh lý) leaves the report counted
and opens the obligation again (design decision 19): only a higher revision meets it then. Who was in time has until the
return's own deadline; who was late stays late, however soon the correction comes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from schemas.figure import Slot
from schemas.read_model import Arrival, Axis, Return
from schemas.report import Kind, Millis, Source


@dataclass(frozen=True, slots=True)
class Fulfilment:
    """What is known of one series at a moment.

    `met`: the report whose time counts, None while none meets it. `limit`: the last moment in time, inclusive. `late`:
    a report that was returned had come too late. `returned`: the return that waits for its correction.
    """

    met: Arrival | None
    limit: Millis
    late: bool
    returned: Return | None


def fulfilment(
    arrivals: Iterable[Arrival], returns: Iterable[Return], due: Millis, at: Millis, axis: Axis
) -> Fulfilment:
    """Of one series as known at `at`; `returns` (those in force) may be about other reports too.

    A return of a report that no longer stood when it was made says nothing: a newer one was on its way.
    """
    known = [one for one in arrivals if one.came_at(axis) <= at]
    sources = {one.source for one in known}
    returned: dict[Source, Return] = {}
    limit, late = due, False
    mine = [one for one in returns if one.about.source in sources and one.made_at(axis) <= at]
    for one in sorted(mine, key=lambda one: one.made_at(axis)):
        there = [came for came in known if came.came_at(axis) <= one.made_at(axis)]
        if (stood := _standing(there)) is None or stood.source != one.about.source:
            continue
        met = _met(there, returned, axis)
        late = late or (met is not None and met.came_at(axis) > limit)
        limit = max(limit, one.about.until or limit)
        returned[one.about.source] = one
    stands = _standing(known)
    return Fulfilment(_met(known, returned, axis), limit, late, returned.get(stands.source) if stands else None)


def in_force(returns: Iterable[Return], at: Millis, axis: Axis) -> tuple[Return, ...]:
    """Of each report the newest act known at a moment, unless it takes the return back. `returns`: as in the log."""
    newest = {one.about.source: one for one in returns if one.made_at(axis) <= at}
    return tuple(one for one in newest.values() if one.about.until is not None)


def _standing(known: Sequence[Arrival]) -> Arrival | None:
    """The report that is counted: the newest own one, else the newest entered one."""
    return next((found[-1] for slot in (Slot.OWN, Slot.ENTERED) if (found := _since_withdrawal(known, slot))), None)


def _met(known: Sequence[Arrival], returned: Collection[Source], axis: Axis) -> Arrival | None:
    """The first report since the newest withdrawal and the newest return; of the two slots the earlier.

    Where an own report was returned, an entered one beside it says nothing: it is not what is counted.
    """
    own, entered = (_since_withdrawal(known, slot) for slot in (Slot.OWN, Slot.ENTERED))
    left = _since_return(own, returned)
    if len(left) == len(own):
        left = [*own, *_since_return(entered, returned)]
    return min(left, key=lambda one: (one.came_at(axis), one.slot), default=None)


def _since_withdrawal(known: Sequence[Arrival], slot: Slot) -> list[Arrival]:
    after: list[Arrival] = []
    for one in sorted((one for one in known if one.slot is slot), key=_precedence):
        after = [] if one.kind is Kind.WITHDRAWAL else [*after, one]
    return after


def _since_return(reports: list[Arrival], returned: Collection[Source]) -> list[Arrival]:
    last = max((place for place, one in enumerate(reports) if one.source in returned), default=-1)
    return reports[last + 1 :]


def _precedence(arrival: Arrival) -> tuple[int, int, int]:
    """Ascending: higher revision, then lower source (contract 2)."""
    return arrival.revision, -arrival.source.partition, -arrival.source.offset
