"""The read model of a stack, as commands open it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta

from consumers.read_model.database import FILE_NAME
from consumers.read_model.reader import SqliteReadModel
from schemas.read_model import NotReady, ReadModel
from schemas.report import Millis
from schemas.settings import Settings

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@contextmanager
def open_read_model(settings: Settings) -> Iterator[ReadModel]:
    """The read model of a data folder. Raises NotReady until its writer has made it."""
    with closing(SqliteReadModel(settings.data / FILE_NAME)) as model:
        yield model


def stored_offsets(settings: Settings) -> Mapping[tuple[str, int], int]:
    """Offset of the first record not yet stored, by topic (without prefix) and partition; none before the first.

    Opened anew each time, so that a database which a rebuild made anew is not missed.
    """
    try:
        with open_read_model(settings) as model:
            return {(offset.topic, offset.partition): offset.next for offset in model.freshness()}
    except NotReady:
        return {}


def millis(time: datetime) -> Millis:
    """Milliseconds since 1970."""
    return Millis((time - _EPOCH) // timedelta(milliseconds=1))
