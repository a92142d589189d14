"""What the agent does with its folders: takes whole files in, and moves kept ones where people see what became of them.

Order of a file, each step safe to be the last before a power cut: seen, written to the outbox, moved to `kept`, sent,
acknowledged, noted, moved to `done`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from prometheus_client import Counter

from producers.agent.folder import Folder, Found
from producers.agent.held_catalogue import HeldCatalogue
from producers.agent.intake import FromFile, NothingTaken, take
from producers.agent.judge import said_of
from producers.agent.status import lacking_space
from producers.agent.store import AgentStore, FileState, KnownFile
from producers.errors import OutboxError, Problem
from producers.gateway.body import MAX_BODY_BYTES
from producers.gateway.draft import Draft
from schemas.catalogue import ZONE
from schemas.failpoint import failpoint
from schemas.report import Millis, Revision, Series

logger = logging.getLogger("chungsuc.agent")

FILES = Counter("chungsuc_agent_files_total", "Files taken out of the folder `in`.", ["result"])

Asked = Callable[[AgentStore, Sequence[Draft]], Mapping[Series, Revision]]
"""Highest revisions that others hold of series that are new here; empty where nobody can be asked now."""


class Watch:
    """One look after another, in one thread. `failing` says why files can't be taken, empty while they can."""

    def __init__(
        self, folder: Folder, store: AgentStore, catalogue: HeldCatalogue, clock: Callable[[], Millis], asked: Asked,
    ) -> None:  # fmt: skip
        self._folder = folder
        self._store = store
        self._catalogue = catalogue
        self._clock = clock
        self._asked = asked
        self.failing = ""
        for file in store.files(FileState.STORED):
            self._recover(file)

    def look(self, now_s: float) -> int:
        """Take every whole file, move what is done; how many files were taken. `now_s` is a steady clock's."""
        taken, failing = 0, ""
        try:
            if lacking := lacking_space(self._folder.root):
                raise OutboxError(lacking)
            for path in self._folder.whole(now_s):
                try:
                    taken += self._take(path)
                except OSError as error:
                    # One that can't be read or moved does not stand in the way of the others.
                    failing = f"{path.name}: {error}"
            self._move()
        except (OutboxError, OSError) as error:
            # A full disk: the file stays where it is, and is taken once there is space.
            failing = str(error)
        if failing and not self.failing:
            logger.error("files can't be taken: %s", failing)
        self.failing = failing
        return taken

    def _take(self, path: Path) -> bool:
        judge = self._catalogue.judge()
        if judge is None:
            self._catalogue.wanted.set()
            return False
        found = self._folder.read(path, MAX_BODY_BYTES)
        if found is None:
            return False
        failpoint("agent.file_seen")
        known = self._store.file_of(found.inode, found.digest)
        if known is not None:
            self._keep(known.id, path)
            return True
        drafts = judge.file(path.name, found.content, self._today())
        problems = [one for one in drafts if isinstance(one, Problem)]
        if problems:
            self._refuse(path, [str(problem) for problem in problems])
            return True
        return self._put(found, [one for one in drafts if isinstance(one, Draft)])

    def _put(self, found: Found, drafts: Sequence[Draft]) -> bool:
        came = FromFile(found.path.name, found.inode, found.digest)
        try:
            take(self._store, drafts, self._clock(), came, self._asked(self._store, drafts))
        except NothingTaken as nothing:
            self._refuse(found.path, [said_of(refusal) for refusal in nothing.refusals])
            return True
        file = self._store.file_of(found.inode, found.digest)
        if file is None:
            raise RuntimeError(found.path)
        self._keep(file.id, found.path)
        FILES.labels("kept").inc()
        return True

    def _keep(self, file: int, path: Path) -> None:
        name = self._folder.keep(path)
        failpoint("agent.after_keep")
        self._store.file_is(file, FileState.KEPT, name)

    def _refuse(self, path: Path, reasons: Sequence[str]) -> None:
        self._folder.refuse(path, reasons)
        FILES.labels("refused").inc()
        logger.warning("%s is refused: %s", path.name, reasons[0])

    def _move(self) -> None:
        for file in self._store.wrong_files():
            reasons = [
                f"{series.unit} {series.form} {series.period}: {said}" for series, said in self._store.wrong_in(file.id)
            ]
            name = self._folder.refuse(self._folder.place(file), reasons)
            self._store.file_is(file.id, FileState.REFUSED, name)
            FILES.labels("refused").inc()
            logger.warning("%s is refused: %s", file.name, reasons[0])
        for file in self._store.files(FileState.KEPT):
            if self._store.all_sent(file.id):
                name = self._folder.finish(file)
                failpoint("agent.after_move")
                self._store.file_is(file.id, FileState.DONE, name)
                FILES.labels("done").inc()

    def _recover(self, file: KnownFile) -> None:
        """A file that was in the outbox when the process ended, and whose move was perhaps not noted."""
        moved = self._folder.moved_as(file)
        if moved is not None:
            self._store.file_is(file.id, FileState.KEPT, moved)
        elif not self._folder.is_in(file):
            # Somebody took it away meanwhile; its reports go their way all the same.
            self._store.file_is(file.id, FileState.DONE, file.name)

    def _today(self) -> date:
        return datetime.fromtimestamp(self._clock() / 1000, UTC).astimezone(ZONE).date()
