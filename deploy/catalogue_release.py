"""The catalogue gets into the log: released as an act, announced in every partition of `reports` (decision 9).

Invariants: what is announced has been released before; a catalogue that would alter figures already counted is refused
before anything is written; an announcement that was cut off halfway is completed at the next start, in the partitions
that lack it and in no other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from kafka import KafkaProducer

from deploy.errors import RefusedError
from deploy.files import read_json, write_bytes, write_json
from schemas.act import ACT_TYPE, Act, CatalogueReleased
from schemas.catalogue import ANNOUNCEMENT_TYPE, RELEASED, Announcement, Catalogue, CatalogueError, refusal
from schemas.codec import encode_act, encode_announcement
from schemas.control import read_control
from schemas.failpoint import failpoint
from schemas.kafka_client import client_options
from schemas.log import ActReader, Record, TopicReader
from schemas.register import Registers
from schemas.report import Millis
from schemas.settings import Settings
from schemas.signature import Ed25519Key, SignedRecord, sign
from schemas.topics import ACTS, MIB, REPORTS

TREES = "trees"
REPORTERS = "reporters"
FORM_FILES = "catalogue"
ANNOUNCED = "announcement.json"
FIRST_EPOCH = 1

_LARGEST_REQUEST = 17 * MIB
_ACK_S = 30
_LOCAL = {REPORTERS: ("units/*.csv", "lines/*.csv"), FORM_FILES: ("forms/*.avsc", "codes/*.csv")}
"""What a data folder may add to the released files."""


def remembered_trees(data: Path) -> dict[str, str]:
    """Text of each tree that an earlier `--units FILE` brought, by name."""
    return {path.stem: path.read_text(encoding="utf-8-sig") for path in sorted((data / TREES).glob("*.csv"))}


def local_files(data: Path) -> dict[str, bytes]:
    """The stack's own tables of units and superiors, forms and code lists, by their path in a catalogue.

    Imports leave them there; whoever puts a form into the folder by hand has it in the catalogue of the next start.
    """
    return {
        path.relative_to(data / folder).as_posix(): path.read_bytes()
        for folder, patterns in _LOCAL.items()
        for pattern in patterns
        for path in sorted((data / folder).glob(pattern))
    }


def given_trees(files: Iterable[Path]) -> dict[str, str]:
    """Text of each tree given now, by the file's name without its ending. Raises RefusedError."""
    trees: dict[str, str] = {}
    for file in files:
        if file.stem in trees:
            raise RefusedError(f"two files given with --units are called {file.stem}: rename one")
        try:
            trees[file.stem] = file.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise RefusedError(f"{file} can't be read as UTF-8 text: {error}") from error
    return trees


def candidate(
    trees: Mapping[str, str], folders: Sequence[Path] = (), local: Mapping[str, bytes] = MappingProxyType({})
) -> Catalogue:
    """The catalogue of this version of the product with more trees and folders, and a stack's own reporters.

    Raises RefusedError by file and line.
    """
    try:
        catalogue = Catalogue.from_folder(RELEASED, *folders)
        for name, text in sorted(trees.items()):
            catalogue = catalogue.with_tree(text, name)
        if local:
            catalogue = Catalogue({**catalogue.files, **local})
    except CatalogueError as error:
        raise RefusedError(f"catalogue refused: {error}") from error
    return catalogue


def remember_trees(data: Path, trees: dict[str, str]) -> None:
    """Keep the trees given now, so that the next `up` has the same catalogue."""
    for name, text in trees.items():
        write_bytes(data / TREES / f"{name}.csv", text.encode())


def read_registers(settings: Settings, operator: Ed25519Key) -> Registers:
    """The registers as of now. Raises RefusedError where another operator's acts fill the log."""
    registers = Registers(operator.public, settings.act_delay_ms)
    reader = ActReader(settings, registers)
    try:
        reader.refresh()
    finally:
        reader.close()
    if registers.newest is None and registers.ignored:
        raise RefusedError(
            f"the acts on {settings.bootstrap} are signed by another operator: put the operator.key of "
            f"that system into {settings.data}, or give another topic prefix (CHUNGSUC_PREFIX)"
        )
    return registers


class CatalogueRelease:
    """Releases and announces with the operator's key. Close it."""

    def __init__(self, settings: Settings, operator: Ed25519Key) -> None:
        self._settings = settings
        self._operator = operator
        self._producer = KafkaProducer(
            **client_options(settings.bootstrap, "chungsuc-operator"),
            acks="all",
            enable_idempotence=True,
            max_request_size=_LARGEST_REQUEST,
        )

    def close(self) -> None:
        """Give the connection back."""
        self._producer.close(timeout=5)

    def ensure(self, wanted: Catalogue, registers: Registers, trees: dict[str, str]) -> Announcement:
        """The announcement of `wanted`, released and announced now unless it was before.

        `trees` are remembered once the catalogue is not refused and before it is released: a cut between the two is
        made up for by the next start, which then asks for the same catalogue. Raises RefusedError.
        """
        newest = registers.newest_catalogue()
        if newest is None:
            announcement = Announcement(FIRST_EPOCH, 1, wanted.digest)
        elif newest.digest == wanted.digest:
            announcement = newest.announcement
        else:
            today = datetime.now(wanted.zone).date()
            if (reason := refusal(newest, wanted, until=today)) is not None:
                raise RefusedError(f"catalogue refused: {reason}")
            announcement = Announcement(newest.epoch, newest.serial + 1, wanted.digest)
        remember_trees(self._settings.data, trees)
        if newest is None or announcement != newest.announcement:
            self.release(announcement, wanted.bundle)
        self.announce(announcement)
        return announcement

    def release(self, announcement: Announcement, bundle: bytes) -> None:
        """Write the act, after noting from where on `reports` may announce it."""
        self._note(announcement, self._ends(), complete=False)
        now = datetime.now(UTC)
        body = CatalogueReleased(announcement.epoch, announcement.serial, announcement.digest, bundle)
        act = Act(f"catalogue/{announcement.epoch}/{announcement.serial}", Millis(int(now.timestamp() * 1000)), body)
        record = sign(
            self._operator,
            key=None,
            value=encode_act(act),
            event_type=ACT_TYPE,
            event_id=act.id,
            time=now.isoformat(timespec="milliseconds"),
        )
        self._send(self._settings.topic(ACTS), 0, record)

    def announce(self, announcement: Announcement) -> None:
        """Write the control record into each partition of `reports` that lacks it, and note that all have it.

        The note in the data folder says from where on to look. Without a note that fits, all of `reports` is read.
        """
        ends = self._ends()
        note = _fitting(read_json(self._settings.data / ANNOUNCED), ends)
        if note is not None and note["announcement"] == _named(announcement) and note["complete"]:
            return
        start = note["from"] if note is not None else dict.fromkeys(ends, 0)
        for partition in sorted(ends.keys() - self._partitions_with(announcement, start, ends)):
            value = encode_announcement(announcement.epoch, announcement.serial, announcement.digest)
            record = sign(
                self._operator,
                key=None,
                value=value,
                event_type=ANNOUNCEMENT_TYPE,
                event_id=f"catalogue/{announcement.epoch}/{announcement.serial}/{partition}",
                time=datetime.now(UTC).isoformat(timespec="milliseconds"),
            )
            self._send(self._settings.topic(REPORTS), partition, record)
            failpoint("release.after_control_record")
        self._note(announcement, start, complete=True)

    def _ends(self) -> dict[int, int]:
        with TopicReader(self._settings.bootstrap, self._settings.topic(REPORTS)) as reader:
            return reader.ends()

    def _note(self, announcement: Announcement, start: dict[int, int], *, complete: bool) -> None:
        note = {"announcement": _named(announcement), "from": start, "complete": complete}
        write_json(self._settings.data / ANNOUNCED, note)

    def _partitions_with(self, wanted: Announcement, start: dict[int, int], ends: dict[int, int]) -> set[int]:
        if all(start[partition] >= end for partition, end in ends.items()):
            return set()
        with TopicReader(self._settings.bootstrap, self._settings.topic(REPORTS), start) as reader:
            return {record.partition for record in reader.to_end(ends) if announced(record, self._operator) == wanted}

    def _send(self, topic: str, partition: int, record: SignedRecord) -> None:
        self._producer.send(
            topic, key=record.key, value=record.value, headers=list(record.headers), partition=partition
        ).get(timeout=_ACK_S)


def announced(record: Record, operator: Ed25519Key) -> Announcement | None:
    """What a record of `reports` announces; None for a report and for what the operator did not sign."""
    return read_control(operator.public, record.key, record.value, record.headers)


def _named(announcement: Announcement) -> dict[str, Any]:
    return {"epoch": announcement.epoch, "serial": announcement.serial, "digest": announcement.digest.hex()}


def _fitting(note: dict[str, Any] | None, ends: dict[int, int]) -> dict[str, Any] | None:
    """The note with offsets as numbers, None where it is about another topic (fewer records, other partitions)."""
    if note is None:
        return None
    start = {int(partition): offset for partition, offset in note["from"].items()}
    if start.keys() != ends.keys() or any(start[partition] > end for partition, end in ends.items()):
        return None
    return {**note, "from": start}
