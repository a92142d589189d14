"""The read model as the page's requests ask it, and what a page's questions have in common."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from functools import partial
from pathlib import Path

from consumers.dashboard.question import Question, Subject, resolve
from consumers.read_model.reader import SqliteReadModel
from schemas.questions import Questions
from schemas.read_model import NotReady, ReadModel, ReadModelError, RowKind, StoredOffset
from schemas.topics import ACTS, FIGURES

NOTICE_FILE = "notice.txt"
"""One line in the data folder that every page shows, such as that all figures are synthetic."""
_NOTICE_LENGTH = 300


class Source(Questions):
    """Gives the one read model of a data folder to one caller after another."""

    def __init__(self, path: Path) -> None:
        super().__init__(partial(SqliteReadModel, path))
        self._path = path
        self._others: list[Source] = []

    def another(self) -> Source:
        """A connection of its own to the same read model, given back together with this one."""
        self._others.append(made := Source(self._path))
        return made

    def close(self) -> None:
        """Give the databases back."""
        super().close()
        for other in self._others:
            other.close()

    def notice(self) -> str:
        """What is to be said on every page, empty where nothing is."""
        with suppress(FileNotFoundError):
            return (self._path.parent / NOTICE_FILE).read_text(encoding="utf-8")[:_NOTICE_LENGTH].strip()
        return ""


def resolved(model: ReadModel, question: Question) -> Subject:
    """The question with everything filled in. Raises Refusal."""
    return resolve(model.catalogue(), model.form_periods(), question)


def position(model: ReadModel) -> tuple[StoredOffset, ...]:
    """How far everything that a page can show has been stored. Unchanged: no page has changed."""
    return tuple(offset for offset in model.freshness() if offset.topic in (FIGURES, ACTS))


def version(model: ReadModel, question: Question) -> str:
    """A short text that changes when what the page of a question shows may have changed.

    A total's version changes with every contribution at any depth, so a unit's own lines are enough; a leaf has no
    version, its lines and the number of its revisions stand in.
    """
    subject = resolved(model, question)
    seen: list[object] = [model.figures(subject.query()).rows, model.figures(subject.query(kind=RowKind.OWN)).rows,
                          subject.periods, subject.previous, subject.following, subject.newest]  # fmt: skip
    if subject.single is not None:
        seen.append(len(model.history(subject.unit.code, subject.form.id, subject.single, subject.line)))
    return hashlib.sha256(repr(seen).encode()).hexdigest()[:16]


def is_there(model: ReadModel) -> bool:
    """Whether questions can be answered: a catalogue has been read."""
    try:
        model.catalogue()
    except NotReady:
        return False
    return True


__all__ = ["NOTICE_FILE", "ReadModelError", "Source", "is_there", "position", "resolved", "version"]
