"""Reports as they were sent, read back from the log by their place: what a correction begins with.

The read model keeps numbers; texts stay in the report that brought them (design decision 1: whole tables, archived).
"""

from __future__ import annotations

import threading
from typing import Protocol

from kafka.errors import KafkaError

from producers.gateway.refusal import Slug, refused
from schemas.catalogue import Catalogue
from schemas.codec import decode_report, fingerprint_in
from schemas.log import LogUnreachable, TopicReader
from schemas.report import Report, Source
from schemas.settings import Settings
from schemas.topics import REPORTS


class Archive(Protocol):
    """Gives reports back."""

    def report(self, source: Source, catalogue: Catalogue) -> Report:
        """The report at a place. Raises Refusal while the log can't be read."""


class LogArchive:
    """The archive on a cluster. Usable from several threads, one at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()

    def report(self, source: Source, catalogue: Catalogue) -> Report:
        """The report at a place."""
        try:
            with self._lock:
                value = self._value(source)
        except (KafkaError, LogUnreachable) as error:
            raise refused(
                Slug.AWAY,
                "Chưa đọc lại được bản đã gửi; hãy thử lại sau giây lát.",
                "What was sent can't be read back now: try again in a moment.",
                Retry_After="5",
            ) from error
        form = catalogue.form(fingerprint_in(value))
        if form is None:
            raise LookupError(f"report {source} counts, and its form is in no catalogue")
        return decode_report(form, value)

    def _value(self, source: Source) -> bytes:
        topic, partition = self._settings.topic(REPORTS), source.partition
        with TopicReader(self._settings.bootstrap, topic, {partition: source.offset}, [partition]) as reader:
            for record in reader.to_end({partition: source.offset + 1}):
                if record.source == source:
                    return record.value or b""
        raise LookupError(f"no report at {source}")
