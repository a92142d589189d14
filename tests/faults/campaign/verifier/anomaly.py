"""What can be wrong, in the words of Jepsen and Adya where they have one, and the verdict on a segment."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

_KEPT_OF_EACH = 20


class Name(StrEnum):
    """Closed list of anomalies."""

    LOST_WRITE = "lost write"
    """An acknowledged report is not in the log, is another there, or was refused though it is right."""
    LOST_UPDATE = "lost update"
    """A report in the log is missing from a figure that must hold it."""
    DUPLICATE = "duplicate"
    """A report is counted twice in a figure."""
    WRONG_VALUE = "wrong value"
    """A figure differs from the fold, and no single report explains it."""
    PHANTOM = "phantom read"
    """Something was observed that nobody sent."""
    DIRTY = "dirty read"
    """A report is counted that must be refused."""
    MISDIRECTED = "misdirected write"
    """A contribution went to a unit that is not its superior."""
    NEVER_TRUE = "intermediate read"
    """A total equals no fold of a prefix of its partition: a state that was never true was shown."""
    STALE = "stale read"
    """After everything had settled an observer still shows something older."""
    NON_MONOTONIC = "non-monotonic read"
    """A version went back before an observer's eyes."""
    UNREADABLE = "unavailable read"
    """After everything had settled an observer could not read."""
    NO_OUTCOME = "no outcome"
    """An offset of `reports` of which nothing became."""
    TWO_OUTCOMES = "two outcomes"
    """An offset of `reports` that ended in more than one way."""
    CONTRADICTION = "receipt contradiction"
    """A receipt disagrees with the fold, or with another receipt."""
    REGRESSION = "receipt regression"
    """What was told of a report fell back before an observer's eyes."""
    BROKEN_SUM = "non-conserved sum"
    """The units of one level do not add up to the nation."""


_LOST = (Name.LOST_WRITE, Name.LOST_UPDATE, Name.NO_OUTCOME)
_DOUBLE = (Name.DUPLICATE, Name.TWO_OUTCOMES)
_WORDS = (
    ("LOST", _LOST),
    ("DOUBLE", _DOUBLE),
    ("PHANTOM", (Name.PHANTOM, Name.DIRTY, Name.MISDIRECTED)),
    ("UNTRUE", (Name.NEVER_TRUE,)),
    ("WRONG", (Name.WRONG_VALUE, Name.BROKEN_SUM, Name.CONTRADICTION)),
    ("UNSTEADY", (Name.NON_MONOTONIC, Name.REGRESSION)),
    ("STALE", (Name.STALE, Name.UNREADABLE)),
)


@dataclass(frozen=True, slots=True)
class Anomaly:
    """One thing that is wrong, where, and what shows it."""

    name: Name
    where: str
    evidence: str

    def __str__(self) -> str:
        return f"{self.name}: {self.where}: {self.evidence}"


@dataclass(slots=True)
class Verdict:
    """What a segment's history and log prove.

    `recovered`: sends without an acknowledgement that are in the log all the same; `withheld`: those that are not.
    `totals`: totals in `figures`; `repeated`: those among them that repeat an older version, which a reader passes
    over. `unchecked`: observations of an epoch whose log is gone. `wrong_seen` observations of a state that was never
    true, the longest shown for `wrong_for_ms`. Of each anomaly the first twenty are kept, all are counted.
    """

    sent: int = 0
    acknowledged: int = 0
    recovered: int = 0
    withheld: int = 0
    reports: int = 0
    totals: int = 0
    repeated: int = 0
    observed: int = 0
    unchecked: int = 0
    outages: int = 0
    outage_ms: int = 0
    wrong_seen: int = 0
    wrong_for_ms: int = 0
    compared_by: Counter[str] = field(default_factory=Counter)
    found: Counter[Name] = field(default_factory=Counter)
    anomalies: list[Anomaly] = field(default_factory=list)

    def compare(self, what: str, count: int = 1) -> None:
        """Count comparisons made."""
        self.compared_by[what] += count

    def add(self, name: Name, where: object, evidence: str) -> None:
        """One anomaly."""
        self.found[name] += 1
        if self.found[name] <= _KEPT_OF_EACH:
            self.anomalies.append(Anomaly(name, str(where), evidence))

    @property
    def compared(self) -> int:
        """Everything that was compared."""
        return sum(self.compared_by.values())

    @property
    def lost(self) -> int:
        """Reports lost, or missing from a figure or without an outcome."""
        return sum(self.found[name] for name in _LOST)

    @property
    def double(self) -> int:
        """Reports counted twice in a figure, or with two outcomes."""
        return sum(self.found[name] for name in _DOUBLE)

    @property
    def wrong(self) -> int:
        """All other anomalies."""
        return sum(self.found.values()) - self.lost - self.double

    @property
    def word(self) -> str:
        """The verdict in one word. EXACT: everything was compared and nothing is wrong. EMPTY: nothing was sent."""
        for word, names in _WORDS:
            if any(self.found[name] for name in names):
                return word
        return "EXACT" if self.acknowledged and self.compared else "EMPTY"
