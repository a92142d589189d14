"""Who watches a segment: the topic `figures`, the read model, the page's API, the topic `receipts`, each on its own.

    watch = Watch(superiors=("VN", "12", "106"), leaves=("03406",), forms=("testing-daily",))
    with Observers(all_observers(settings, page_url, watch, history)) as observers:
        ...load and faults...
        observers.end()   # when everything has settled

An observer of figures holds what a reader who follows the contract holds: of the totals of a unit the one of the
highest (epoch, version), so a worker that repeats an older one shows it nothing. What the read model and the page say
is taken as it is.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from consumers.read_model.database import FILE_NAME
from consumers.read_model.reader import SqliteReadModel
from schemas.catalogue import Catalogue
from schemas.codec import PREFIX_BYTES, decode_figure, decode_receipts
from schemas.figure import HEAD, Figure, FigureKind, Table, unpack_table
from schemas.form import AcrossUnits, Form, FormId
from schemas.log import ActReader
from schemas.read_model import FigureQuery, ReadModel
from schemas.register import Registers
from schemas.report import Source
from schemas.settings import Settings
from schemas.signature import PublicKey
from schemas.topics import FIGURES, RECEIPTS
from schemas.unit import UBND, UnitCode
from tests.faults.campaign.following import Follower, Observer, now_ms
from tests.faults.campaign.history import NO_VERSION, Event, History, Seen, SeenReceipt

LOOK_EVERY_S = 1.0
_POLL_S = 0.5
_PAGE_ANSWERS_WITHIN_S = 5.0
_NEWEST_RECEIPTS = 50
_KIND_AT = PREFIX_BYTES + HEAD.itemsize - 2

Columns = tuple[str, ...]
Rows = tuple[tuple[tuple[str, ...], tuple[int | None, ...]], ...]


@dataclass(frozen=True, slots=True)
class Watch:
    """What is watched: totals of `superiors` at every level, receipts of `leaves`, in these forms."""

    superiors: tuple[str, ...]
    leaves: tuple[str, ...]
    forms: tuple[str, ...]


def all_observers(settings: Settings, page: str, watch: Watch, history: History) -> list[Observer]:
    """One of each. `page` is the page's address (`http://127.0.0.1:17001`)."""
    return [
        FiguresObserver(settings, watch, history),
        ReadModelObserver(settings, watch, history),
        PageObserver(page, watch, history),
        ReceiptsObserver(settings, watch, history),
    ]


def shown(form: Form, table: Table) -> Rows:
    """A total as people see it: what is not added up is empty, rows that say nothing are left out."""
    hidden = [measure.across_units is AcrossUnits.NONE for measure in form.measures]
    rows = (
        (about, tuple(None if hide else cell for hide, cell in zip(hidden, cells, strict=True)))
        for about, cells in table.items()
    )
    return tuple(sorted((about, cells) for about, cells in rows if any(cells)))


class _Changes:
    """What an observer saw last of each figure, so that only changes are written."""

    def __init__(self, observer: str) -> None:
        self._observer = observer
        self._last: dict[tuple[str, str, str], tuple[int, int, int, Columns, Rows]] = {}

    def held(self, unit: str, form: str, period: str) -> tuple[int, int]:
        return self._last.get((unit, form, period), (NO_VERSION, NO_VERSION))[:2]

    def see(
        self, unit: str, form: str, period: str, epoch: int, version: int, reported: int, columns: Columns, rows: Rows
    ) -> Iterator[Seen]:
        """What changed, as an event."""
        now = (epoch, version, reported, columns, rows)
        if self._last.get((unit, form, period)) != now:
            self._last[unit, form, period] = now
            yield Seen(self._observer, now_ms(), unit, form, UBND, period, epoch, version, reported, columns, rows)


class FiguresObserver(Observer):
    """Reads `figures` from its start, continuously."""

    def __init__(self, settings: Settings, watch: Watch, history: History) -> None:
        super().__init__("figures", history, 0.0)
        self._settings = settings
        self._watch = watch
        self._follower = Follower(settings.bootstrap, settings.topic(FIGURES))
        self._changes = _Changes(self.name)
        self._catalogue: Catalogue | None = None

    def look(self, *, last: bool) -> Iterator[Event]:
        """Totals of the watched units that take precedence over what was held."""
        for record in self._follower.read(_POLL_S, to_end=last):
            if record.value is None or record.value[_KIND_AT] == FigureKind.OWN:
                continue
            figure = decode_figure(record.value)
            if figure.unit in self._watch.superiors and figure.form in self._watch.forms and figure.line == UBND:
                if (figure.epoch, figure.version) < self._changes.held(figure.unit, figure.form, figure.period):
                    continue
                yield from self._changes.see(
                    figure.unit, figure.form, figure.period, figure.epoch, figure.version, figure.reported,
                    *self._table(figure),
                )  # fmt: skip

    def let_go(self) -> None:
        """Give the connection back."""
        self._follower.let_go()

    def _table(self, figure: Figure) -> tuple[Columns, Rows]:
        form = self._catalogue.form(figure.form_version) if self._catalogue else None
        if form is None:
            registers = Registers(PublicKey(bytes.fromhex(self._settings.operator_key)), self._settings.act_delay_ms)
            with closing(ActReader(self._settings, registers)) as acts:
                self._catalogue = acts.refresh().newest_catalogue()
            form = self._catalogue.form(figure.form_version) if self._catalogue else None
        if form is None:
            raise LookupError(f"a total of {figure.unit} has form version {figure.form_version.hex()}, of no catalogue")
        rows = shown(form, unpack_table(form, figure.values, figure.given, figure.dims)) if figure.values else ()
        return tuple(measure.name for measure in form.measures), rows


class ReadModelObserver(Observer):
    """Asks the read model for the watched totals, and what it says of the newest reports of the watched leaves."""

    def __init__(self, settings: Settings, watch: Watch, history: History, every_s: float = LOOK_EVERY_S) -> None:
        super().__init__("read model", history, every_s)
        self._settings = settings
        self._watch = watch
        self._changes = _Changes(self.name)
        self._told: dict[Source, tuple[str, int, int]] = {}
        self._model: SqliteReadModel | None = None

    def look(self, *, last: bool) -> Iterator[Event]:
        """Changed totals and receipts."""
        # Kept open: it follows a database that is made anew, and reading the catalogue takes half a second.
        self._model = model = self._model or SqliteReadModel(self._settings.data / FILE_NAME)
        for form in self._watch.forms:
            for unit in self._watch.superiors:
                found = model.figures(FigureQuery(UnitCode(unit), FormId(form)))
                lines = [(row.period, row.version, row.units_reported, row.dims, row.measures)
                         for row in found.rows]  # fmt: skip
                columns = tuple(measure.name for measure in found.form.measures)
                yield from _answers(self._changes, unit, form, columns, lines)
        for leaf in self._watch.leaves:
            yield from self._receipts(model, leaf, None if last else _NEWEST_RECEIPTS)

    def let_go(self) -> None:
        """Close the database."""
        if self._model is not None:
            self._model.close()
            self._model = None

    def _receipts(self, model: ReadModel, leaf: str, limit: int | None) -> Iterator[SeenReceipt]:
        for receipt in model.receipts(UnitCode(leaf), limit):
            source = receipt.source
            counted = sum(link.counted for link in model.counted_up_to(source))
            told = (receipt.outcome.value, receipt.figures_offset, counted)
            if self._told.get(source) != told:
                self._told[source] = told
                yield SeenReceipt(self.name, now_ms(), source.partition, source.offset, *told)


class PageObserver(Observer):
    """Asks the page's JSON API for the watched totals, as a browser reaches it."""

    def __init__(self, page: str, watch: Watch, history: History, every_s: float = LOOK_EVERY_S) -> None:
        super().__init__("page", history, every_s)
        self._page = page.rstrip("/")
        self._watch = watch
        self._changes = _Changes(self.name)

    def look(self, *, last: bool) -> Iterator[Event]:
        """Changed totals."""
        for form in self._watch.forms:
            for unit in self._watch.superiors:
                found = self._ask(unit, form)
                columns = _columns(found[0]) if found else ()
                yield from _answers(self._changes, unit, form, columns, [_line(row, columns) for row in found])

    def let_go(self) -> None:
        """Each question has a connection of its own."""

    def _ask(self, unit: str, form: str) -> Sequence[Mapping[str, Any]]:
        question = urllib.parse.urlencode({"unit": unit, "form": form, "format": "json"})
        try:
            with urllib.request.urlopen(
                f"{self._page}/api/figures?{question}", timeout=_PAGE_ANSWERS_WITHIN_S
            ) as answer:
                found: Sequence[Mapping[str, Any]] = json.loads(answer.read())
        except urllib.error.HTTPError as error:
            if error.code < 500:
                raise ValueError(f"the page does not understand {question}: {error}") from error
            raise
        return found


class ReceiptsObserver(Observer):
    """Reads `receipts` from its start: for a source it holds the receipt with the lowest figures offset."""

    def __init__(self, settings: Settings, watch: Watch, history: History) -> None:
        super().__init__("receipts", history, 0.0)
        self._watch = frozenset(watch.leaves)
        self._follower = Follower(settings.bootstrap, settings.topic(RECEIPTS))
        self._held: dict[Source, tuple[int, str]] = {}

    def look(self, *, last: bool) -> Iterator[Event]:
        """What changed for sources of the watched leaves."""
        for record in self._follower.read(_POLL_S, to_end=last):
            for receipt in decode_receipts(record.value or b""):
                if receipt.unit not in self._watch:
                    continue
                told = (int(receipt.figures_offset), receipt.outcome.value)
                held = self._held.get(receipt.source)
                if held is None or told[0] < held[0]:
                    self._held[receipt.source] = told
                    source = receipt.source
                    yield SeenReceipt(self.name, now_ms(), source.partition, source.offset, told[1], told[0])

    def let_go(self) -> None:
        """Give the connection back."""
        self._follower.let_go()


_Answer = tuple[str, str, int, tuple[str, ...], tuple[int | None, ...]]
"""Period, version as `epoch:version`, units reported, dimensions, measures."""


def _answers(changes: _Changes, unit: str, form: str, columns: Columns, lines: Sequence[_Answer]) -> Iterator[Seen]:
    by_period: dict[str, list[_Answer]] = {}
    for line in lines:
        by_period.setdefault(line[0], []).append(line)
    for period, of_period in by_period.items():
        epoch, _, version = of_period[0][1].partition(":")
        rows = tuple(sorted((about, cells) for _, _, _, about, cells in of_period if any(cells)))
        yield from changes.see(
            unit, form, period, int(epoch or NO_VERSION), int(version or NO_VERSION), of_period[0][2], columns, rows
        )


def _columns(row: Mapping[str, Any]) -> Columns:
    """The measures in a line of JSON: dimensions are texts, measures numbers or null."""
    names = list(row)
    inner = names[names.index("kind") + 1 : names.index("units_reported")]
    return tuple(name for name in inner if not isinstance(row[name], str))


def _line(row: Mapping[str, Any], columns: Columns) -> _Answer:
    names = list(row)
    about = tuple(row[name] for name in names[names.index("kind") + 1 : names.index(columns[0])])
    return row["period"], row["version"], row["units_reported"], about, tuple(row[name] for name in columns)
