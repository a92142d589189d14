"""Workbooks on a running stack: made of what a unit owes, read for what it reports, sent through the unit's outbox."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path

from deploy.errors import StackError, UsageError
from deploy.reading import open_read_model
from deploy.sending import Sender
from deploy.stack import Stack
from producers.delivery import Summary, deliver
from producers.entry.archive import LogArchive
from producers.gateway.refusal import Refusal
from producers.registration import now_ms
from producers.sheets.bounds import MAX_FILE_BYTES
from producers.sheets.day import NothingWantedError, due_on, named, prefilled, series_of
from producers.sheets.form_sheet import Wanted
from producers.sheets.learned import FILE, LearnedHeadings
from producers.sheets.reading import Asked, Reading, read_workbook
from producers.sheets.sending import Sender as SheetSender
from producers.sheets.sending import judged, sends
from producers.sheets.writing import write_workbook
from schemas.catalogue import ZONE
from schemas.form import FormId
from schemas.period import Period, PeriodText
from schemas.unit import LineName, Unit, UnitCode


class Sheets:
    """The workbooks of one unit on a stack."""

    def __init__(self, stack: Stack, unit: str, line: str, by: str | None = None) -> None:
        """`by`: the superior that enters for the unit. Raises UsageError for a unit or line that is none."""
        self._sender = Sender(stack)
        self._settings = stack.settings()
        self.catalogue = self._sender.catalogue
        self._learned = LearnedHeadings(self._settings.data / FILE)
        if line not in self.catalogue.units.lines:
            raise UsageError(f"there is no line {line}; there are {', '.join(sorted(self.catalogue.units.lines))}")
        versions = self.catalogue.units.versions(UnitCode(unit))
        if not versions:
            raise UsageError(f"there is no unit {unit}: `chungsuc units` lists them")
        self._unit: Unit = versions[-1]
        self._line = LineName(line)
        self._by = UnitCode(by) if by else None

    def out(self, day: date, forms: Sequence[str], period: Period | None, *, filled: bool) -> bytes:
        """The workbook of what is due on a day, or of these forms; `filled` with the newest revisions.

        Raises UsageError where there is nothing to make it of.
        """
        unit = self.catalogue.units.unit(self._unit.code, period.last_day if period else day) or self._unit
        try:
            wanted = (
                named(self.catalogue, forms, day, period)
                if forms
                else due_on(self.catalogue, unit.code, day, self._line)
            )
        except NothingWantedError as error:
            raise UsageError(str(error)) from error
        if filled:
            wanted = self._filled(wanted)
        return write_workbook(unit.code, unit.name, wanted, self.catalogue)

    def read(self, content: bytes, form: str | None, period: Period | None) -> Reading:
        """What a workbook says, and what is wrong with it. Raises SheetError."""
        if form is not None:
            self._sender.versions(form)
        asked = Asked(
            self._unit.code, self.catalogue, datetime.now(ZONE).date(), FormId(form) if form else None,
            PeriodText(period.text) if period else None, self._learned.of(self._unit.code),
        )  # fmt: skip
        return judged(read_workbook(content, asked), self._as_sender(), self.catalogue)

    def send(self, reading: Reading) -> Summary:
        """Send what is whole. Raises ProducerError."""
        operator = self._sender.operator
        return deliver(self._settings, operator, self.catalogue, sends(reading, self._as_sender()))

    def learn(self, form: str, headings: dict[str, str]) -> None:
        """Keep what headings stand for. Raises UsageError for a form, LearnedError for a column that is none."""
        self._learned.learn(self._unit.code, self._sender.versions(form)[-1], headings)

    def learned(self, form: str) -> dict[str, str]:
        """What was kept of a form."""
        return dict(self._learned.of(self._unit.code).get(FormId(form), {}))

    def _as_sender(self) -> SheetSender:
        return SheetSender(self._unit.code, now_ms(), self._line, self._by)

    def _filled(self, wanted: Sequence[Wanted]) -> list[Wanted]:
        archive = LogArchive(self._settings)
        with open_read_model(self._settings) as model:
            heads = model.heads([series_of(one, self._unit.code, self._line) for one in wanted])
        try:
            return [
                one if head is None else prefilled(one, archive.report(head.source, self.catalogue))
                for one, head in zip(wanted, heads, strict=True)
            ]
        except Refusal as refusal:
            raise StackError(refusal.words[1]) from refusal


def read_file(path: Path) -> bytes:
    """A file's bytes, as far as they are looked at. Raises UsageError."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise UsageError(f"can't read {path}: {error}") from error


def write_file(path: Path, content: bytes) -> None:
    """A file's bytes, whole or not at all. Raises UsageError."""
    new = path.with_name(f".{path.name}.new")
    try:
        new.write_bytes(content)
        new.replace(path)
    except OSError as error:
        raise UsageError(f"can't write {path}: {error}") from error
