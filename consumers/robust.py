"""What stands out among some numbers, by statistics that a few wild numbers do not move.

The middle is the median, the spread 1.4826 times the median absolute deviation, which is the standard deviation where
the numbers are normal; where more than half are equal it is 1.2533 times the mean absolute deviation (Iglewicz and
Hoaglin 1993, whose limit for the modified z-score is 3.5). All are zero: any other number stands out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

_NORMAL_MAD = 1.4826
_NORMAL_MEAN_DEVIATION = 1.2533


@dataclass(frozen=True, slots=True)
class Usual:
    """What is usual: the median and the robust standard deviation, in the numbers' unit."""

    middle: float
    spread: float

    def stands_out(self, value: float, threshold: float) -> bool:
        """Whether a value lies more than `threshold` spreads from the middle."""
        return abs(value - self.middle) > threshold * self.spread


def usual(values: Sequence[float]) -> Usual:
    """The usual of at least one number."""
    middle = median(values)
    deviations = [abs(value - middle) for value in values]
    spread = _NORMAL_MAD * median(deviations)
    return Usual(middle, spread or _NORMAL_MEAN_DEVIATION * fmean(deviations))
