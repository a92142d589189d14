"""Histories: published reports as CSV lines, replayed as the sends they were (contract 7).

    published_at,unit,period,kind,sent_by,method,sample,persons,tubes,positive_tubes,positive_persons
    2021-12-13T15:45:00+07:00,03390,2021-12-13,report,,antigen,single,16,16,0,0

Lines with one (published_at, unit, period, sent_by) are one send. A send is whole or left out: a table that lacks the
line with the bad cell would be a false report. Texts beside the figures are columns such as `narrative.results`. Data
errors are values that name their line.
"""

from __future__ import annotations

import csv
import gc
import gzip
import io
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from producers.delivery import Progress, Summary, deliver
from producers.errors import Problem, ProducerError
from producers.send import Send
from schemas.admission import LATEST_ISSUE
from schemas.catalogue import ZONE, Catalogue
from schemas.form import Form
from schemas.period import PeriodError, PeriodText, parse_period
from schemas.report import Cell, Kind, Millis, Row
from schemas.settings import Settings
from schemas.signature import SigningKey
from schemas.unit import UBND, LineName, UnitCode, Units

_REQUIRED = ("published_at", "unit", "period", "kind")
_TEXT = "narrative."
_SENT_BY = "sent_by"
_INTEGER = re.compile(r"[+-]?\d{1,19}", re.ASCII)
_LONG = 2**63
_SAFE_DIGITS = 19
"""Fewer digits than these always fit into 64 bits."""
_KINDS = {kind.value: kind for kind in Kind}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class HistoryError(ProducerError):
    """A file that can't be read at all."""


@dataclass(frozen=True, slots=True)
class History:
    """What a file says: sends by issue time (in the file's order where equal), and what was wrong with it."""

    sends: Sequence[Send]
    problems: Sequence[Problem]


@dataclass(slots=True)
class _Group:
    """The lines of one send."""

    line: int
    published_at: Millis
    unit: str
    period: str
    sent_by: str
    kind: Kind | None = None
    rows: list[Row] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    seen: set[tuple[str, ...]] = field(default_factory=set)
    bad: bool = False


class _Bad(Exception):
    pass


def replay(
    settings: Settings,
    operator: SigningKey | None,
    catalogue: Catalogue,
    path: Path,
    forms: Sequence[Form],
    *,
    until: datetime | None = None,
    line: LineName = UBND,
    progress: Progress | None = None,
) -> Summary:
    """Send a history through the units' own outboxes; returns after the last acknowledgement.

    Repeating it, also after it was cut off, changes nothing. Raises a ProducerError.
    """
    with _long_lived():
        history = read_history(path, forms, catalogue.units, until)
        sends = history.sends if line == UBND else [replace(send, line=line) for send in history.sends]
    try:
        summary = deliver(settings, operator, catalogue, sends, progress)
    finally:
        gc.unfreeze()
    summary.problems[:0] = history.problems
    return summary


@contextmanager
def _long_lived() -> Iterator[None]:
    """Spare the garbage collector what the block makes: hundreds of thousands of objects that all live to the end.

    It would look through them again and again, a tenth of the whole time, and find nothing.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def read_history(path: Path, forms: Sequence[Form], units: Units, until: datetime | None = None) -> History:
    """The sends in a CSV file, plain or .gz, up to and including `until`. Raises HistoryError for no readable file.

    `forms` are the versions of one form, at least one: the newest whose columns the file has is the file's.
    """
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        text = content.decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise HistoryError(f"can't read {path}: {error}") from error
    return parse_history(text, version_of(text, forms), units, until)


def version_of(text: str, forms: Sequence[Form]) -> Form:
    """The newest version of a form all of whose columns the file has; the newest of all where none fits."""
    names = set(text.partition("\n")[0].strip().split(","))
    newest_first = sorted(forms, key=lambda form: (form.valid_from, form.version), reverse=True)
    return next((form for form in newest_first if names.issuperset(form.columns)), newest_first[0])


def parse_history(text: str, form: Form, units: Units, until: datetime | None = None) -> History:
    """The same for the text of such a file."""
    parser = _Parser(form, units, _millis(until) if until else None)
    parser.read(text)
    return History(parser.sends(), sorted(parser.problems, key=lambda p: int(p.where.rpartition(" ")[2])))


def read_time(text: str) -> datetime:
    """A moment as people write it; without an offset it is Vietnamese time. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=ZONE)


def _millis(moment: datetime) -> Millis:
    """Whole milliseconds, without the detour over a float that loses them."""
    return Millis((moment - _EPOCH) // timedelta(milliseconds=1))


class _Parser:
    """Reads lines into groups. Times, dates and periods repeat a thousand times in a history, so each is read once."""

    def __init__(self, form: Form, units: Units, until: Millis | None) -> None:
        self.problems: list[Problem] = []
        self._form = form
        self._units = units
        self._until = until
        self._groups: dict[tuple[Millis, str, str, str], _Group] = {}
        self._times: dict[str, Millis] = {}
        self._dimensions = [dimension.name for dimension in form.dimensions]
        self._measures = [(measure.name, measure.optional) for measure in form.measures]
        self._cells = [*self._dimensions, *(name for name, _ in self._measures)]
        self._texts: dict[str, str] = {}
        """Sections of the narrative by the names of their columns."""

    def read(self, text: str) -> None:
        """Read all lines."""
        lines = csv.reader(io.StringIO(text, newline=""), strict=True)
        columns: dict[str, int] | None = None
        width = 0
        for cells in _lines_of(lines, self.problems):
            if columns is None:
                columns, width = self._columns(cells), len(cells)
                if columns is None:
                    return
            elif cells:
                self._line(lines.line_num, cells, columns, width)
        if columns is None and not self.problems:
            self._problem(1, "the file is empty")

    def sends(self) -> list[Send]:
        """The whole sends, by issue time."""
        found = [self._send(group) for group in self._groups.values() if not group.bad and group.kind]
        return sorted(found, key=lambda send: send.issued_at)

    def _columns(self, names: Sequence[str]) -> dict[str, int] | None:
        """Where each column stands, or None where one is missing."""
        expected = [*_REQUIRED, *self._cells]
        missing = [name for name in expected if name not in names]
        twice = sorted({name for name in names if names.count(name) > 1})
        self._texts = {_TEXT + name: name for name in self._sections(names) if _TEXT + name in names}
        unknown = [name for name in names if name not in expected and name not in (_SENT_BY, *self._texts)]
        if missing:
            self._problem(1, f"no column {', '.join(missing)}; nothing is sent of this file")
        if twice:
            self._problem(1, f"column {', '.join(twice)} is there twice; nothing is sent of this file")
        if unknown:
            self._problem(1, f"column {', '.join(unknown)} is not one of {self._form.id} and is not sent")
        return None if missing or twice else {name: index for index, name in enumerate(names)}

    def _sections(self, names: Sequence[str]) -> Sequence[str]:
        """The sections that may be there: the form's, or all where it says nothing about them."""
        return [section.name for section in self._form.sections] or [
            name.removeprefix(_TEXT) for name in names if name.startswith(_TEXT)
        ]

    def _line(self, number: int, cells: Sequence[str], columns: Mapping[str, int], width: int) -> None:
        try:
            if len(cells) < len(_REQUIRED):
                raise _Bad(f"{len(cells)} cells; {width} columns are expected")
            published_at = self._published_at(cells[columns["published_at"]])
        except (_Bad, IndexError) as bad:
            self._problem(number, f"{bad}; its send is left out")
            return
        if self._until is not None and published_at > self._until:
            return
        there = len(cells)
        unit, period, sent_by = [
            cells[at] if (at := columns.get(name, width)) < there else "" for name in ("unit", "period", _SENT_BY)
        ]
        sent_by = "" if sent_by == unit else sent_by
        key = (published_at, unit, period, sent_by)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group(number, published_at, unit, period, sent_by)
            self._check_units(group, number)
        try:
            if len(cells) != width:
                raise _Bad(f"{len(cells)} cells; {width} columns are expected")
            self._add(group, cells, columns)
        except _Bad as bad:
            group.bad = True
            self._problem(number, f"{bad}; the send of {unit or 'no unit'} for {period or 'no period'} is left out")

    def _add(self, group: _Group, cells: Sequence[str], columns: Mapping[str, int]) -> None:
        """Let one line join its send."""
        if not group.unit:
            raise _Bad("no unit")
        try:
            parse_period(group.period)
        except PeriodError as error:
            raise _Bad(f"period: {error}") from error
        kind = _KINDS.get(cells[columns["kind"]])
        if kind is None:
            raise _Bad(f"kind {cells[columns['kind']]!r} is not report, nil or withdrawal")
        first = group.kind is None
        group.kind = group.kind or kind
        for column, section in self._texts.items():
            if (text := cells[columns[column]]) and group.texts.setdefault(section, text) != text:
                raise _Bad(f"another {column} than in the send of line {group.line}")
        if kind is not group.kind:
            raise _Bad(f"a {kind} in the send of line {group.line}, which is a {group.kind}")
        if kind is not Kind.REPORT:
            if not first:
                raise _Bad(f"a second line of the {kind} of line {group.line}")
            if given := [name for name in self._cells if cells[columns[name]]]:
                raise _Bad(f"{given[0]} is given, but a {kind} has no rows")
            return
        about = tuple(cells[columns[name]] for name in self._dimensions)
        if about in group.seen:
            raise _Bad(f"a second row about {'/'.join(about) or 'the same'} in the send of line {group.line}")
        group.seen.add(about)
        row: dict[str, Cell] = dict(zip(self._dimensions, about, strict=True))
        for name, optional in self._measures:
            row[name] = _number(name, cells[columns[name]], optional)
        group.rows.append(row)

    def _check_units(self, group: _Group, number: int) -> None:
        """Tell of units that nobody knows; their reports are sent and end in `rejected`."""
        try:
            day = parse_period(group.period).last_day
        except PeriodError:
            return
        for role, code in (("unit", group.unit), (_SENT_BY, group.sent_by)):
            if code and self._units.unit(UnitCode(code), day) is None:
                self._problem(number, f"{role} {code!r} is no unit on {day}; it is sent, and will be rejected")

    def _published_at(self, text: str) -> Millis:
        known = self._times.get(text)
        if known is None:
            try:
                known = _millis(read_time(text))
            except (ValueError, OverflowError) as error:
                raise _Bad(f"published_at {text!r} is not a time such as 2021-12-13T15:30:00+07:00") from error
            if not 0 <= known < LATEST_ISSUE:
                raise _Bad(f"published_at {text!r} is not between 1970 and 9999")
            self._times[text] = known
        return known

    def _send(self, group: _Group) -> Send:
        return Send(
            form=self._form,
            unit=UnitCode(group.unit),
            period=PeriodText(group.period),
            kind=group.kind or Kind.REPORT,
            issued_at=group.published_at,
            rows=tuple(group.rows),
            narrative=group.texts or None,
            entered_by=UnitCode(group.sent_by) if group.sent_by else None,
            where=f"line {group.line}",
        )

    def _problem(self, number: int, message: str) -> None:
        self.problems.append(Problem(f"line {number}", message))


def _lines_of(lines: Iterator[list[str]], problems: list[Problem]) -> Iterator[list[str]]:
    """The CSV's lines; where its quotes are broken, what follows can't be told apart, and reading ends."""
    while True:
        try:
            cells = next(lines)
        except StopIteration:
            return
        except csv.Error as error:
            number = getattr(lines, "line_num", 0)
            problems.append(Problem(f"line {number}", f"{error}; this line and all that follow are left out"))
            return
        yield cells


def _number(name: str, text: str, optional: bool) -> int | None:
    if len(text) < _SAFE_DIGITS and text.isascii() and text.isdigit():
        return int(text)
    if not text and optional:
        return None
    if not _INTEGER.fullmatch(text):
        raise _Bad(f"{name} {text!r} is not a whole number")
    number = int(text)
    if not -_LONG <= number < _LONG:
        raise _Bad(f"{name} {text} is too large to be sent")
    return number
