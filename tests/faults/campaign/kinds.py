"""The kinds of fault that a campaign has to have had, ten of each at least."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """One for each group that issue 5 names."""

    KILL = "kill"
    STOP = "stop"
    BROKER = "broker"
    NETWORK = "network"
    DISK = "disk"
    CLOCK = "clock"
    STORM = "storm"
    CHECKPOINT = "checkpoint"
    READ_MODEL = "read-model"
    OUTBOX = "outbox"
    DELIVERY = "delivery"
    OFFLINE = "offline"
    MIXED = "mixed"


TITLES = {
    Kind.KILL: "`kill -9` at named moments of each role, and at random ones",
    Kind.STOP: "SIGSTOP and SIGCONT, shorter and longer than the session timeout",
    Kind.BROKER: "brokers bounced cleanly and hard: leader, controller, all at once",
    Kind.NETWORK: "lines cut, slow, late, half-open between clients and brokers",
    Kind.DISK: "disk full or file locked under outbox, checkpoints, read model",
    Kind.CLOCK: "the clock of a node or a worker off by an hour, a day, decades",
    Kind.STORM: "rebalance storm: rollup workers from 2 to 5 and back",
    Kind.CHECKPOINT: "checkpoints lost, damaged, stale; a log cut and grown again",
    Kind.READ_MODEL: "read model lost",
    Kind.OUTBOX: "outbox truncated, rolled back, lost",
    Kind.DELIVERY: "duplicated and reordered delivery",
    Kind.OFFLINE: "30 days offline, then all at once",
    Kind.MIXED: "two versions of a form in one stream",
}
