"""What was decided about one report, as both sides see it: returned, approved, extended, exempted, locked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from producers.entry.places import Target
from schemas import words
from schemas.act import Decided
from schemas.catalogue import Catalogue
from schemas.read_model import OwnRevision, ReadModel
from schemas.report import Kind, Millis
from schemas.unit import UnitCode

Words = tuple[str, str]
_DECIDED: dict[Decided, Words] = {
    Decided.EXTENDED: ("Gia hạn", "Extended"),
    Decided.NOT_SUBJECT: ("Không thuộc đối tượng", "Not subject"),
    Decided.RESTORED: ("Thu hồi quyết định về thời hạn", "Decision on the deadline taken back"),
}


@dataclass(frozen=True, slots=True)
class Ruling:
    """One decision in words."""

    at: Millis
    when: str
    by: str
    said: Words
    reason: str


@dataclass(frozen=True, slots=True)
class Standing:
    """What is in force about a report. `returned`: why, and by when; `locked_at` None while the period is open."""

    rulings: Sequence[Ruling]
    stands: OwnRevision | None
    returned: Words | None
    approved: bool
    locked_at: Millis | None
    locked_by: UnitCode | None
    decided: bool


def standing_of(model: ReadModel, target: Target) -> Standing:
    """What was decided about a report, newest first."""
    series, catalogue = target.series, model.catalogue()
    history = model.history(series.unit, series.form, series.period, series.line)
    stands = next((one for one in history if one.standing and one.kind is not Kind.WITHDRAWAL), None)
    sources = {one.source for one in history}
    rulings: list[Ruling] = []
    returned, approved = None, False
    for back in model.returns():
        if back.about.source not in sources:
            continue
        until = back.about.until
        mine = stands is not None and back.about.source == stands.source
        if until is None:
            said = ("Thu hồi yêu cầu chỉnh lý", "Return taken back")
        else:
            limit = words.moment(until)
            said = (f"Yêu cầu chỉnh lý, hạn {limit}", f"Returned for correction, due {limit}")
        if mine:
            returned = None if until is None else (f"{back.about.reason} (hạn {words.moment(until)})",
                                                   f"{back.about.reason} (due {words.moment(until)})")  # fmt: skip
        rulings.append(_ruling(catalogue, target, back.recorded_at, back.about.by, said, back.about.reason))
    for one in model.approvals(series.unit):
        if one.about.source in sources:
            said = ("Đã duyệt", "Approved") if one.about.approved else ("Thu hồi phê duyệt", "Approval taken back")
            rulings.append(_ruling(catalogue, target, one.recorded_at, one.about.by, said, one.about.reason))
            if stands is not None and one.about.source == stands.source:
                approved = one.about.approved
    deadline = list(_on_deadline(model, catalogue, target))
    locks = list(_locks(model, catalogue, target))
    rulings += [ruling for ruling, _ in deadline] + [ruling for ruling, _, _ in locks]
    by_unit = {unit: (locked, ruling.at) for ruling, unit, locked in locks}
    locked = next(((unit, at) for unit, (locked, at) in by_unit.items() if locked), None)
    return Standing(
        sorted(rulings, key=lambda one: -one.at), stands, returned, approved, locked[1] if locked else None,
        locked[0] if locked else None, bool(deadline) and deadline[-1][1],
    )  # fmt: skip


def _on_deadline(model: ReadModel, catalogue: Catalogue, target: Target) -> Iterator[tuple[Ruling, bool]]:
    """Decisions on what the unit owes with this report, and whether each left one in force."""
    regimes = {one.id for one in catalogue.regimes if (one.form, one.line) == (target.form.id, target.line)}
    for one in model.decisions():
        about = one.about
        if about.unit == target.unit.code and about.period == target.period.text and about.regime in regimes:
            vi, en = _DECIDED[about.decided]
            if about.until is not None:
                vi, en = f"{vi} đến {words.moment(about.until)}", f"{en} until {words.moment(about.until)}"
            ruling = _ruling(catalogue, target, one.recorded_at, about.by, (vi, en), about.reason)
            yield ruling, about.decided is not Decided.RESTORED


def _locks(model: ReadModel, catalogue: Catalogue, target: Target) -> Iterator[tuple[Ruling, UnitCode, bool]]:
    """Locks by the unit itself and those above it."""
    above: list[UnitCode] = []
    here: UnitCode | None = target.unit.code
    while here is not None:
        above.append(here)
        here = catalogue.units.superior(here, target.period.last_day, target.line)
    for one in model.locks(target.form.id, target.line, target.period.text):
        if one.about.unit in above:
            said = ("Khóa kỳ báo cáo", "Period locked") if one.about.locked else ("Mở khóa", "Unlocked")
            ruling = _ruling(catalogue, target, one.recorded_at, one.about.unit, said, one.about.reason)
            yield ruling, one.about.unit, one.about.locked


def _ruling(catalogue: Catalogue, target: Target, at: Millis, by: UnitCode, said: Words, reason: str) -> Ruling:
    unit = catalogue.units.unit(by, target.period.last_day)
    return Ruling(at, words.moment(at), unit.name if unit else by, said, reason)
