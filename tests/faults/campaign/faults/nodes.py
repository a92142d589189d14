"""What happens at a node: a month without a line, another version of a form, a broken outbox."""

from __future__ import annotations

import os
from random import Random

from producers.outbox import FILE as OUTBOX
from tests.faults.campaign import story
from tests.faults.campaign.kinds import Kind
from tests.faults.campaign.node import DATA
from tests.faults.campaign.registry import Wound, fault
from tests.faults.campaign.site import Site

_DAYS_OFFLINE = 30


@fault("offline.30-days", Kind.OFFLINE)
def offline(site: Site, random: Random) -> Wound:
    node = site.node(random)
    turn = site.next_turn()
    node.order(order="offline", days=_DAYS_OFFLINE, turn=turn, **{"from": turn % story.OFFLINE_WINDOWS * _DAYS_OFFLINE})
    return Wound(node.name, "the acknowledgement of all of it")


@fault("mixed.versions", Kind.MIXED)
def mixed(site: Site, random: Random) -> Wound:
    node = site.node(random)
    node.order(order="mixed", turn=site.next_turn())
    return Wound(node.name, "the acknowledgement of all of it")


@fault("outbox.truncated", Kind.OUTBOX, weight=2)
def truncated(site: Site, random: Random) -> Wound:
    """The file ends somewhere in its middle, as after a crash of the file system."""
    node = site.node(random)
    node.kill(hold=True)
    file = node.folder / DATA / OUTBOX
    size = file.stat().st_size if file.exists() else 0
    if size:
        os.truncate(file, random.randrange(size))
    node.release()
    return Wound(node.name, "the node's restart")


@fault("outbox.emptied", Kind.OUTBOX)
def emptied(site: Site, random: Random) -> Wound:
    node = site.node(random)
    node.kill(hold=True)
    for path in (node.folder / DATA).glob(f"{OUTBOX}*"):
        os.truncate(path, 0)
    node.release()
    return Wound(node.name, "the node's restart")


@fault("outbox.deleted", Kind.OUTBOX)
def deleted(site: Site, random: Random) -> Wound:
    node = site.node(random)
    node.kill(hold=True)
    for path in (node.folder / DATA).glob(f"{OUTBOX}*"):
        path.unlink()
    node.release()
    return Wound(node.name, "the node's restart")


@fault("outbox.log-lost", Kind.OUTBOX)
def log_lost(site: Site, random: Random) -> Wound:
    """SQLite's write-ahead log is lost: the outbox is whole and an hour old."""
    node = site.node(random)
    node.kill(hold=True)
    (node.folder / DATA / f"{OUTBOX}-wal").unlink(missing_ok=True)
    (node.folder / DATA / f"{OUTBOX}-shm").unlink(missing_ok=True)
    node.release()
    return Wound(node.name, "the node's restart")
