"""Figures and read model anew from `reports` and `acts`, under a new epoch (design decisions 14 and 25).

Everything taken away here is derived: the topic `figures`, the offsets of the two groups, checkpoints, crash counts and
the read model. `reports` and `acts` are never touched. A note in the data folder says that a rebuild is under way, so
one that was cut off is completed before anything reads again; every step can be done twice.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kafka.admin import MemberToRemove

from deploy.catalogue_release import CatalogueRelease, read_registers
from deploy.errors import RefusedError, TimedOutError
from deploy.files import read_json, write_json
from deploy.topic_set import admin_client, recreate_topic
from schemas.catalogue import Announcement
from schemas.failpoint import failpoint
from schemas.settings import Settings
from schemas.signature import Ed25519Key
from schemas.topics import FIGURES, INGEST_GROUP, ROLLUP_GROUP

NOTE = "rebuild.json"
GROUPS = (INGEST_GROUP, ROLLUP_GROUP)
DERIVED_FOLDERS = ("checkpoints", "streams")
DERIVED_FILES = "read-model.sqlite*"

_EMPTY_WITHIN_S = 30.0
_PAUSE_S = 0.1


def rebuild_pending(data: Path) -> bool:
    """Whether a rebuild was begun on this folder and not completed."""
    return (data / NOTE).exists()


def rebuild(settings: Settings, operator: Ed25519Key, step: Callable[[str], None]) -> int:
    """Do it, with no worker and no read model running. `step` is told what is being done. Returns the new epoch."""
    path = settings.data / NOTE
    registers = read_registers(settings, operator)
    newest = registers.newest_catalogue()
    if newest is None:
        raise RefusedError("nothing to rebuild: no catalogue has been released yet")
    note = read_json(path)
    epoch = int(note["epoch"]) if note is not None else newest.epoch + 1
    write_json(path, {"epoch": epoch})
    release = CatalogueRelease(settings, operator)
    try:
        announcement = newest.announcement
        if newest.epoch < epoch:
            step(f"releasing the catalogue under epoch {epoch}")
            announcement = Announcement(epoch, newest.serial + 1, newest.digest)
            release.release(announcement, newest.bundle)
        release.announce(announcement)
    finally:
        release.close()
    failpoint("rebuild.after_announcement")
    step("forgetting offsets, checkpoints and the read model")
    forget_groups(settings)
    for folder in DERIVED_FOLDERS:
        shutil.rmtree(settings.data / folder, ignore_errors=True)
    for file in settings.data.glob(DERIVED_FILES):
        file.unlink()
    step(f"creating topic {settings.topic(FIGURES)} anew")
    recreate_topic(settings, FIGURES)
    path.unlink()
    return epoch


def forget_groups(settings: Settings) -> None:
    """Delete both groups with their offsets. Members that stopped cleanly stay as static members and are sent away."""
    names = [settings.topic(group) for group in GROUPS]
    with admin_client(settings.bootstrap) as admin:
        deadline = time.monotonic() + _EMPTY_WITHIN_S
        while present := [name for name in names if name in {group["group_id"] for group in admin.list_groups()}]:
            for name in present:
                _send_members_away(admin, name)
            results: dict[str, str] = admin.delete_groups(present)
            if all(result in ("OK", "GroupIdNotFoundError") for result in results.values()):
                return
            if time.monotonic() > deadline:
                raise TimedOutError(
                    f"groups are still in use after {_EMPTY_WITHIN_S:.0f} s: {results}; does another "
                    "process outside this stack read with them?"
                )
            time.sleep(_PAUSE_S)


def _send_members_away(admin: Any, group: str) -> None:
    members = admin.describe_groups([group])[group]["members"]
    leaving = [MemberToRemove(member_id=m["member_id"], group_instance_id=m.get("group_instance_id")) for m in members]
    if leaving:
        admin.remove_group_members(group, leaving)
