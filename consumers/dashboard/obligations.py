"""Reports due, as an office chases them: who is missing by name, then late, extended, and how it stands by unit.

What became of each is `schemas/obligations.py`; here it is only grouped and put into words. As of a moment, or now.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime
from urllib.parse import urlencode

from consumers.dashboard.coverage import ChildOf
from consumers.dashboard.frame import Frame, Link, frame
from consumers.dashboard.question import Question, Refusal, Stretch, stretch
from consumers.obligations import obligations
from schemas import words
from schemas.catalogue import Catalogue
from schemas.obligations import Moment, Obligation, Status, owed
from schemas.read_model import Axis, ReadModel
from schemas.report import Millis
from schemas.unit import UnitCode

LONGEST_DAYS = 31
_MOST = 100_000
"""Days × units of one question: a nation's week. More would keep everybody else waiting."""
NAMED = 100
"""So many lines of who is missing stand on a page; of more, the units below tell theirs."""
TOLD = 30
"""So many reports that were late, extended or returned stand on a page; all are in its CSV."""
SHOWN = (Status.IN_TIME, Status.LATE, Status.MISSING, Status.EXTENDED, Status.OPEN, Status.NOT_SUBJECT)


@dataclass(frozen=True, slots=True)
class Told:
    """One report due, in words. `note`: why, by whom, until when."""

    unit: Link
    under: str
    report: str
    period: str
    due: str
    status: str
    at: str
    note: str


@dataclass(frozen=True, slots=True)
class Lacking:
    """A report that is not there, of these periods; `who`: the units, where they are below the one to be called."""

    report: str
    periods: str
    due: str
    note: str
    who: str


@dataclass(frozen=True, slots=True)
class Chased:
    """Whom to call, a unit right below, and all that it or those below it have not sent: one call is enough."""

    unit: Link
    lacking: tuple[Lacking, ...]


@dataclass(frozen=True, slots=True)
class Counted:
    """How it stands with one unit or one regime: how many are owed, and in the order of `SHOWN`."""

    name: str
    address: str
    owed: int
    statuses: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ObligationsView:
    """The page. `chased` is empty where it would be too long; `late_more`: so many late ones are not named."""

    frame: Frame
    known_at: str
    all: Counted
    missing_units: int
    chased: tuple[Chased, ...]
    below: bool
    late: tuple[Told, ...]
    late_more: int
    eased: tuple[Told, ...]
    own: tuple[Told, ...]
    by_regime: tuple[Counted, ...]
    by_unit: tuple[Counted, ...]
    on_the_way: int
    by_issue: str
    data: str


def asked(model: ReadModel, question: Question, today: date) -> Stretch:
    """The question with its days filled in. Raises Refusal also where the answer would be too long."""
    catalogue = model.catalogue()
    found = stretch(catalogue, model.form_periods(), question, today, LONGEST_DAYS)
    units = sum(1 for _ in catalogue.units.subtree(found.unit.code, found.last, found.line))
    days = (found.last - found.first).days + 1
    if units * days > _MOST:
        most = max(1, _MOST // units)
        raise Refusal(400, "Khoảng thời gian quá dài", f"Đơn vị này có {words.number(units)} đơn vị: hãy chọn không "
                      f"quá {most} ngày, hoặc một đơn vị trực thuộc.")  # fmt: skip
    return found


def known(question: Question, now: datetime) -> Moment:
    """As of when obligations are judged: the moment asked about, else now."""
    return Moment(question.as_of if question.as_of is not None else Millis(int(now.timestamp() * 1000)), question.axis)


def obligations_view(model: ReadModel, question: Question, now: datetime) -> ObligationsView:
    """Ask everything the page shows. Raises ReadModelError, Refusal."""
    about = asked(model, question, now.date())
    catalogue, question = model.catalogue(), about.question
    moment = known(question, now)
    found = [one for one in obligations(model, about.unit.code, about.first, about.last, moment)
             if one.duty.regime.line == about.line]  # fmt: skip
    telling = _Telling(catalogue, about)
    missing = [one for one in found if one.status is Status.MISSING]
    late = [one for one in found if one.status is Status.LATE]
    chased = telling.chased(missing)
    leaf = all(one.duty.unit.code == about.unit.code for one in found)
    on_the_way = sum(one.late_on_the_way for one in found) if question.axis is Axis.ACCEPTED else 0
    given = {"unit": about.unit.code, **replace(question, form=None).parameters()}
    return ObligationsView(
        frame(catalogue, question, about.unit, about.first, about.last, "obligations"), words.moment(moment.at),
        _counted("Cộng", "", found), len({one.duty.unit.code for one in missing}),
        chased if sum(len(one.lacking) for one in chased) <= NAMED else (),
        any(lacking.who for one in chased for lacking in one.lacking), tuple(map(telling.told, late[:TOLD])),
        max(0, len(late) - TOLD), tuple(telling.told(one) for one in found if _is_eased(one))[:TOLD],
        tuple(map(telling.told, found)) if leaf else (), _by_regime(found),
        () if leaf else telling.by_unit(found), on_the_way,
        question.address("obligations", axis=Axis.ISSUED), f"/api/obligations?{urlencode(given)}",
    )  # fmt: skip


def _is_eased(one: Obligation) -> bool:
    """What a superior decided or returned, and is worth a look."""
    return one.decision is not None or one.returned is not None


def _counted(name: str, address: str, found: Iterable[Obligation]) -> Counted:
    statuses = Counter(one.status for one in found)
    return Counted(name, address, owed(statuses), tuple(statuses[status] for status in SHOWN))


def _by_regime(found: Iterable[Obligation]) -> tuple[Counted, ...]:
    by_regime: dict[str, list[Obligation]] = {}
    for one in found:
        by_regime.setdefault(one.duty.regime.name_vi, []).append(one)
    return tuple(_counted(name, "", mine) for name, mine in by_regime.items())


class _Telling:
    """Puts obligations of one page into words."""

    def __init__(self, catalogue: Catalogue, about: Stretch) -> None:
        self._catalogue = catalogue
        self._about = about
        self._child_of = ChildOf(catalogue.units, about.unit.code, about.line, about.last)

    def told(self, one: Obligation) -> Told:
        """One report due."""
        duty, entered = one.duty, f"{self._name(UnitCode(one.entered_by))} nhập hộ" if one.entered_by else ""
        child = self._child_of(duty.unit.code)
        return Told(
            Link(duty.unit.name, self._address(duty.unit.code)),
            "" if child in (None, duty.unit.code) else self._name(child), duty.regime.name_vi,
            words.period(duty.period), f"{one.due:%H:%M %d/%m}", one.status.label_vi,
            "" if one.reported_at is None else words.moment(one.reported_at), self._note(one) or entered,
        )  # fmt: skip

    def chased(self, missing: Iterable[Obligation]) -> tuple[Chased, ...]:
        """Whom to call: by the unit right below, then by report, those who lack the same periods together."""
        by_child: dict[UnitCode, dict[tuple[str, UnitCode], list[Obligation]]] = {}
        for one in missing:
            code = one.duty.unit.code
            reports = by_child.setdefault(self._child_of(code) or code, {})
            reports.setdefault((one.duty.regime.name_vi, code), []).append(one)
        found = []
        for child, reports in by_child.items():
            alike: dict[tuple[str, str, str, str], list[str]] = {}
            for (report, code), mine in reports.items():
                periods = ", ".join(words.period(one.duty.period) for one in mine)
                note = "; ".join(filter(None, map(self._note, mine)))
                first = f"{min(one.due for one in mine):%H:%M %d/%m}"
                alike.setdefault((report, periods, first, note), []).append("" if code == child else self._name(code))
            lacking = tuple(Lacking(*what, ", ".join(filter(None, who))) for what, who in sorted(alike.items()))
            found.append(Chased(Link(self._name(child), self._address(child)), lacking))
        return tuple(sorted(found, key=lambda one: one.unit.text))

    def by_unit(self, found: Iterable[Obligation]) -> tuple[Counted, ...]:
        """How it stands with each child and everybody below it, and with the unit itself."""
        by_child: dict[UnitCode | None, list[Obligation]] = {}
        for one in found:
            by_child.setdefault(self._child_of(one.duty.unit.code), []).append(one)
        counted = [_counted(self._name(code or self._about.unit.code), self._address(code) if code else "", mine)
                   for code, mine in by_child.items()]  # fmt: skip
        missing = SHOWN.index(Status.MISSING)
        return tuple(sorted(counted, key=lambda one: (-one.statuses[missing], one.name)))

    def _address(self, code: UnitCode) -> str:
        return self._about.question.address("obligations", unit=code)

    def _name(self, code: UnitCode | None) -> str:
        unit = self._catalogue.units.unit(code, self._about.last) if code is not None else None
        return unit.name if unit else str(code or "")

    def _note(self, one: Obligation) -> str:
        if one.returned is not None:
            about = one.returned.about
            return f"{self._name(about.by)} yêu cầu chỉnh lý: {about.reason}"
        if one.decision is not None:
            said = one.decision.about
            what = "gia hạn" if said.until is not None else "miễn gửi"
            return f"{self._name(said.by)} {what}: {said.reason}"
        return ""
