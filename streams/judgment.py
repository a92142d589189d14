"""Which contribution stands and what becomes of each report, for a batch at once: `schemas.precedence` for arrays.

A property test holds the two together.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from schemas.figure import Slot
from streams.arrays import Bools, Int32s

NOTHING, ACCEPTED, DUPLICATE, SUPERSEDED, CONFLICT = -1, 0, 1, 2, 3
"""Outcomes as numbers, in the order of `Outcome`; NOTHING for a total and for a redelivery."""


def judged(new: npt.NDArray[np.void], old: npt.NDArray[np.void]) -> tuple[Bools, Int32s]:
    """Which contributions take precedence over what their slots hold, and the outcome of each report.

    `schemas.precedence` for arrays; a property test holds the two together.
    """
    present = old["present"]
    is_total = old["slot"] == Slot.TOTAL
    same_source = (
        present & (new["source_offset"] == old["source_offset"]) & (new["source_partition"] == old["source_partition"])
    )
    earlier = (new["source_partition"] < old["source_partition"]) | (
        (new["source_partition"] == old["source_partition"]) & (new["source_offset"] < old["source_offset"])
    )
    same_revision = new["revision"] == old["revision"]
    higher = ~present | (new["revision"] > old["revision"]) | (same_revision & earlier)
    newer = (
        ~present | (new["epoch"] > old["epoch"]) | ((new["epoch"] == old["epoch"]) & (new["version"] > old["version"]))
    )
    outcome = np.where(higher, ACCEPTED, np.where(same_revision, CONFLICT, SUPERSEDED)).astype(np.int32)
    rivals = np.flatnonzero(present & same_revision & ~same_source & ~is_total)
    if len(rivals):
        equal = new["digest"][rivals] == old["digest"][rivals]
        outcome[rivals[equal]] = DUPLICATE
    outcome[is_total | same_source] = NOTHING
    return np.where(is_total, newer, higher & ~same_source), outcome
