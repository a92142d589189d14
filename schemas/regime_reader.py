"""Regimes from the catalogue's files: every one checked against forms, units and the law before any is used.

Nothing half loaded: the first thing wrong in any file refuses all of them, by file and line. What is refused here would
otherwise show as people chased for what they do not owe, or not chased at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, time, timedelta, tzinfo
from itertools import pairwise

from schemas.form import Form
from schemas.period import Period, PeriodError, PeriodType, parse_period
from schemas.regime import (
    WEEKDAYS,
    Basis,
    DayOff,
    Deadline,
    Occasion,
    Regime,
    RegimeId,
    RegimeKind,
    Reporters,
)
from schemas.regime_file import DeadlinePart, LadderFile, RegimeFile
from schemas.toml_file import TomlFile
from schemas.unit import OPEN, LineName, UnitCode, UnitKind, Units
from schemas.window import MIDNIGHT, Window

FOLDER = "regimes/"
LADDERS = "ladders.toml"
_LEVELS = ("commune", "district", "province", "nation")
"""From the lowest up: on a ladder nobody is due before those below."""
_WITHOUT_ROOM = (PeriodType.DAY,)
"""Frequencies whose cut-off and deadline may be one moment; others leave a working day between (NĐ 09, Điều 8)."""


def read_regimes(files: Mapping[str, bytes], forms: Iterable[Form], units: Units, zone: tzinfo) -> tuple[Regime, ...]:
    """All regimes, by id and validity. Raises TomlError."""
    by_id: dict[str, list[Form]] = {}
    for form in forms:
        by_id.setdefault(form.id, []).append(form)
    ladders = read_ladders(files)
    found = []
    for name, content in files.items():
        if name.startswith(FOLDER):
            file = TomlFile(name, content)
            found.append(_Reading(file, file.read(RegimeFile), by_id, units, ladders, zone).regime())
    found.sort(key=lambda regime: (regime.id, regime.valid_from))
    for earlier, later in pairwise(found):
        if earlier.id == later.id and later.valid_from <= earlier.valid_to:
            raise TomlFile(later.file, files[later.file]).error(
                f"{later.id} is in force from {later.valid_from} while {earlier.file} still is", "valid_from"
            )
    return tuple(found)


def read_ladders(files: Mapping[str, bytes]) -> Mapping[str, LadderFile]:
    """The presets of windows and deadlines, by name. Raises TomlError."""
    if LADDERS not in files:
        return {}
    file = TomlFile(LADDERS, files[LADDERS])
    ladders = file.read(dict[str, LadderFile])
    for name, ladder in ladders.items():
        for number, part in enumerate(ladder.deadline):
            _deadline(file, part, ladder.cut_off, PeriodType.DAY, (name, "deadline", number))
        _check_ascending(file, [_of(part, PeriodType.DAY) for part in ladder.deadline], (name, "deadline"))
    return ladders


class _Reading:
    """One file on its way to a regime."""

    def __init__(
        self,
        file: TomlFile,
        given: RegimeFile,
        forms: Mapping[str, Sequence[Form]],
        units: Units,
        ladders: Mapping[str, LadderFile],
        zone: tzinfo,
    ) -> None:
        self._file = file
        self._given = given
        self._forms = forms
        self._units = units
        self._ladders = ladders
        self._zone = zone

    def regime(self) -> Regime:
        given, basis = self._given, self._given.basis
        valid_to = given.valid_to or OPEN
        if valid_to < given.valid_from:
            raise self._file.error(f"valid to {valid_to}, before {given.valid_from}", "valid_to")
        self._check_kind()
        forms = self._form_versions()
        cut_off, deadlines = self._deadlines()
        window = Window(cut_off, self._zone)
        if given.line not in self._units.lines:
            raise self._file.error(f"no line {given.line} in the catalogue", "line")
        return Regime(
            id=RegimeId(given.id), file=self._file.name, kind=given.kind, valid_from=given.valid_from,
            valid_to=valid_to, name_vi=given.name_vi, name_en=given.name_en,
            basis=Basis(basis.document, basis.article, basis.issuer, basis.issuer_level, basis.issued_on,
                        basis.confirmed),
            content_vi=given.content_vi, outline_vi=tuple(given.outline_vi),
            recipients_vi=tuple(given.recipients_vi), way_vi=given.way_vi, reporters=self._reporters(deadlines),
            form=forms[0].id, line=LineName(given.line), frequency=given.frequency,
            weekdays=frozenset(WEEKDAYS.index(name) for name in given.on), part=self._part(forms), window=window,
            deadlines=deadlines, occasions=self._occasions(forms, window, deadlines), ladder=given.ladder,
            approval=given.approval,
        )  # fmt: skip

    def _check_kind(self) -> None:
        given, level = self._given, self._given.basis.issuer_level
        if given.kind is RegimeKind.PERIODIC and not level.may_be_periodic:
            raise self._file.error(
                f"a {level} can't create a periodic regime (NĐ 09/2019, Điều 11): make it topical or ad-hoc", "kind"
            )
        if given.kind is RegimeKind.PERIODIC and given.frequency is None:
            raise self._file.error("a periodic regime needs its frequency", "kind")
        if given.frequency is not None and given.occasion:
            raise self._file.error("a regime has a frequency or occasions, not both", "frequency")
        if given.kind is RegimeKind.AD_HOC and given.frequency is not None:
            raise self._file.error("an ad-hoc regime has occasions, no frequency", "frequency")
        if given.frequency is None and not given.occasion:
            raise self._file.error("neither a frequency nor an occasion: nobody would ever owe it", "kind")
        if given.frequency is not None and not given.frequency.partitions_days and "nine" not in given.frequency:
            raise self._file.error(f"{given.frequency} periods are set one by one: as occasions", "frequency")
        if given.kind is RegimeKind.TOPICAL and given.frequency is not None and given.valid_to is None:
            raise self._file.error("a topical regime that repeats needs an end, valid_to: else it is periodic", "kind")

    def _form_versions(self) -> Sequence[Form]:
        given = self._given
        forms = self._forms.get(given.form)
        if forms is None:
            raise self._file.error(f"no form {given.form} in the catalogue", "form")
        if not any(form.valid_from <= (given.valid_to or OPEN) and given.valid_from <= form.valid_to for form in forms):
            raise self._file.error(f"form {given.form} is not in force while the regime is", "form")
        return forms

    def _part(self, forms: Sequence[Form]) -> PeriodType | None:
        """The type in which the form is reported: the regime's own, else one that makes its periods exactly."""
        frequency = self._given.frequency
        if frequency is None:
            return None
        taken = [of for form in forms for of in form.periods]
        if frequency in taken:
            return frequency
        for of in taken:
            if of.partitions_days:
                try:
                    parse_period(frequency.example).parts(of)
                except PeriodError:
                    continue
                return of
        raise self._file.error(f"form {self._given.form} has no period that makes a {frequency} exactly", "frequency")

    def _reporters(self, deadlines: Sequence[Deadline]) -> Reporters:
        given, path = self._given.reporters, "reporters"
        for key, codes in (("units", given.units), ("below", given.below)):
            self._check_units(codes, path, key)
        known = self._units.levels
        if unknown := sorted({*given.levels} - known):
            raise self._file.error(
                f"no level {', '.join(unknown)}; there are {', '.join(sorted(known))}", path, "levels"
            )
        if unknown := sorted({*given.kinds} - {*UnitKind}):
            raise self._file.error(f"no kind {', '.join(unknown)}; there are {', '.join(UnitKind)}", path, "kinds")
        occasions = self._given.occasion
        by_occasion = bool(occasions) and all(occasion.units for occasion in occasions)
        if not (given.lowest or given.levels or given.kinds or given.units or by_occasion):
            raise self._file.error("nobody is obliged: name lowest, levels, kinds or units", path)
        stated = {deadline.level for deadline in deadlines}
        for level in given.levels:
            if level not in stated and "" not in stated:
                raise self._file.error(f"no deadline for the level {level} (NĐ 09/2019, Điều 8)", path, "levels")
        return Reporters(
            given.lowest, frozenset(given.levels), frozenset(given.kinds),
            frozenset(UnitCode(code) for code in given.units), tuple(UnitCode(code) for code in given.below),
        )  # fmt: skip

    def _check_units(self, codes: Sequence[str], *path: str | int) -> None:
        first, last = self._given.valid_from, self._given.valid_to or OPEN
        for code in codes:
            versions = self._units.versions(UnitCode(code))
            if not versions:
                raise self._file.error(f"no unit {code} in the catalogue", *path)
            if not any(unit.valid_from <= last and first <= unit.valid_to for unit in versions):
                raise self._file.error(f"unit {code} is not in force while the regime is", *path)

    def _deadlines(self) -> tuple[time, tuple[Deadline, ...]]:
        given, file = self._given, self._file
        parts, cut_off_text = given.deadline, given.cut_off
        if given.ladder:
            if parts or cut_off_text is not None:
                raise file.error("a ladder brings its own cut_off and deadlines", "ladder")
            if given.ladder not in self._ladders:
                raise file.error(f"no ladder {given.ladder}; there are {', '.join(sorted(self._ladders))}", "ladder")
            parts, cut_off_text = self._ladders[given.ladder].deadline, self._ladders[given.ladder].cut_off
        if cut_off_text is None:
            raise file.error("cut_off is missing (thời gian chốt số liệu)", "cut_off")
        if not parts:
            raise file.error("no deadline (thời hạn gửi)", "deadline")
        deadlines = []
        for number, part in enumerate(parts):
            path: tuple[str | int, ...] = ("ladder",) if given.ladder else ("deadline", number)
            deadlines.append(_deadline(file, part, cut_off_text, given.frequency, path))
            if part.level in {earlier.level for earlier in deadlines[:-1]}:
                raise file.error(f"two deadlines for the level {part.level or '(all others)'}", *path)
        _check_ascending(file, deadlines, ("ladder",) if given.ladder else ("deadline",))
        return _clock(cut_off_text), tuple(deadlines)

    def _occasions(self, forms: Sequence[Form], window: Window, deadlines: Sequence[Deadline]) -> tuple[Occasion, ...]:
        found: list[Occasion] = []
        for number, part in enumerate(self._given.occasion):
            path = ("occasion", number)
            period = self._occasion_period(part.period, forms, number)
            if part.event is not None and part.event.tzinfo is None:
                raise self._file.error("an event needs its offset, such as 2021-12-14T08:00:00+07:00", *path, "event")
            self._check_units(part.units, *path, "units")
            if period in {earlier.period for earlier in found}:
                raise self._file.error(f"{period} is an occasion already", *path, "period")
            self._check_hours(part.event, period, window, deadlines, path)
            found.append(Occasion(period, part.event, tuple(UnitCode(code) for code in part.units)))
        return tuple(found)

    def _occasion_period(self, text: str, forms: Sequence[Form], number: int) -> Period:
        path = ("occasion", number, "period")
        try:
            period = parse_period(text)
        except PeriodError as error:
            raise self._file.error(str(error), *path) from error
        if not self._given.valid_from <= period.last_day <= (self._given.valid_to or OPEN):
            raise self._file.error(f"{period} ends outside the regime's validity", *path)
        if all(period.type not in form.periods for form in forms):
            raise self._file.error(f"form {self._given.form} takes no {period.type} period", *path)
        return period

    def _check_hours(
        self,
        event: datetime | None,
        period: Period,
        window: Window,
        deadlines: Sequence[Deadline],
        path: tuple[str | int, ...],
    ) -> None:
        for deadline in deadlines:
            if deadline.hours_after is None:
                continue
            if event is None:
                raise self._file.error("a deadline in hours needs the occasion's event", *path)
            due = event + timedelta(hours=deadline.hours_after)
            if due < window.closes(period):
                raise self._file.error(
                    f"the deadline {due:%Y-%m-%d %H:%M} precedes the cut-off {window.closes(period):%Y-%m-%d %H:%M}",
                    *path,
                )


def _clock(text: str) -> time:
    return MIDNIGHT if text == "24:00" else time.fromisoformat(text)


def _of(part: DeadlinePart, frequency: PeriodType | None) -> Deadline:
    stays = frequency is PeriodType.DAY or part.hours_after_event is not None
    return Deadline(
        part.level, None if part.time is None else time.fromisoformat(part.time), part.days_after or 0,
        part.working_days, part.hours_after_event,
        part.day_off or (DayOff.STAYS if stays else DayOff.NEXT_WORKING_DAY),
    )  # fmt: skip


def _deadline(
    file: TomlFile, part: DeadlinePart, cut_off: str, frequency: PeriodType | None, path: tuple[str | int, ...]
) -> Deadline:
    """One deadline, checked against the cut-off. Raises TomlError."""
    if part.hours_after_event is not None:
        if part.time is not None or part.days_after is not None or part.working_days is not None:
            raise file.error("hours_after_event stands alone", *path)
        if frequency is not None:
            raise file.error("a deadline in hours belongs to occasions", *path)
        return _of(part, frequency)
    if part.time is None:
        raise file.error("a deadline needs its time, or hours_after_event", *path)
    if part.working_days is not None and part.days_after is not None:
        raise file.error("days_after or working_days, not both", *path)
    same_day = part.working_days is None and not part.days_after
    if same_day and (cut_off == "24:00" or part.time < cut_off):
        raise file.error(f"the deadline {part.time} precedes the cut-off {cut_off} on the period's last day", *path)
    if same_day and frequency is not None and frequency not in _WITHOUT_ROOM:
        raise file.error(f"a {frequency} report needs a day between cut-off and deadline (NĐ 09/2019, Điều 8)", *path)
    return _of(part, frequency)


def _check_ascending(file: TomlFile, deadlines: Sequence[Deadline], path: tuple[str | int, ...]) -> None:
    """Nobody on a ladder is due before those below. Only deadlines of one sort can be compared without a calendar."""
    placed = [(_LEVELS.index(d.level), d) for d in deadlines if d.level in _LEVELS]
    for (_, lower), (_, upper) in pairwise(sorted(placed, key=lambda one: one[0])):
        if (lower.working_days is None) == (upper.working_days is None) and _order(upper) < _order(lower):
            number = next(n for n, d in enumerate(deadlines) if d is upper)
            raise file.error(f"the level {upper.level} is due before {lower.level}, which it waits for", *path, number)


def _order(deadline: Deadline) -> tuple[int, int, time]:
    return deadline.hours_after or 0, deadline.working_days or deadline.days_after, deadline.at or time()
