"""Disks that are full and files that somebody else has locked: under outbox, checkpoints and read model."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from random import Random

from consumers.read_model.database import FILE_NAME
from producers.outbox import FILE as OUTBOX
from tests.faults.campaign.kinds import Kind
from tests.faults.campaign.node import DATA
from tests.faults.campaign.registry import FAULTS, Fault, Skipped, Wound, fault
from tests.faults.campaign.site import Site

_FULL_S = (5.0, 12.0)
_LOCKED_S = (3.0, 10.0)


def full(which: str, site: Site, random: Random) -> Wound:
    """No byte is free for a while."""
    name = site.node(random).name if which == "outbox" else "data" if which == "read-model" else which
    disk = site.disks.get(name)
    if disk is None:
        raise Skipped(f"no small disk under {name}: mounting is not allowed, or the broker's log lies there")
    seconds = random.uniform(*_FULL_S)
    with disk.full():
        time.sleep(seconds)
    return Wound(name, "space again", seconds={"full": seconds})


for _which, _brokers in (("outbox", 0), ("checkpoints", 0), ("read-model", 3), ("agent", 0)):
    FAULTS[f"disk.full.{_which}"] = Fault(f"disk.full.{_which}", Kind.DISK, partial(full, _which), brokers=_brokers)


def _locked(file: Path, seconds: float) -> None:
    with closing(sqlite3.connect(file, timeout=30, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        time.sleep(seconds)
        connection.execute("ROLLBACK")


@fault("disk.locked.read-model", Kind.DISK)
def locked_read_model(site: Site, random: Random) -> Wound:
    seconds = random.uniform(*_LOCKED_S)
    _locked(site.data / FILE_NAME, seconds)
    return Wound("read model", "the lock's end", seconds={"locked": seconds})


@fault("disk.locked.outbox", Kind.DISK)
def locked_outbox(site: Site, random: Random) -> Wound:
    node = site.node(random)
    seconds = random.uniform(*_LOCKED_S)
    _locked(node.folder / DATA / OUTBOX, seconds)
    return Wound(node.name, "the lock's end", seconds={"locked": seconds})
