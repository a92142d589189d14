"""Which forms a workbook is made of: what a unit owes on a day, or forms that somebody names."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import date

from producers.sheets.flaw import Words
from producers.sheets.form_sheet import Wanted
from schemas.catalogue import Catalogue
from schemas.form import FormId
from schemas.obligations import duties
from schemas.period import Period, PeriodError, PeriodText, parse_period, period_holding
from schemas.report import Kind, Report, Series
from schemas.unit import UBND, LineName, UnitCode


class NothingWantedError(Exception):
    """No form to make a workbook of; in two languages."""

    def __init__(self, vietnamese: str, english: str) -> None:
        super().__init__(english)
        self.words: Words = (vietnamese, english)


def due_on(catalogue: Catalogue, unit: UnitCode, day: date, line: LineName = UBND) -> list[Wanted]:
    """The day's set (bộ biểu ngày): every report of the unit that is due on that day, by deadline.

    Raises NothingWantedError where nothing is due.
    """
    found: dict[tuple[FormId, PeriodText], Wanted] = {}
    for regime in catalogue.regimes:
        if regime.line != line:
            continue
        for duty in duties(regime, catalogue.units, catalogue.calendar, unit, day, day):
            if duty.unit.code != unit:
                continue
            for part in duty.parts:
                wanted = _wanted(catalogue, regime.form, part)
                if wanted is not None:
                    first = found.get((regime.form, part))
                    due = min(first.due, duty.due) if first is not None and first.due else duty.due
                    found[regime.form, part] = Wanted(wanted.form, part, due)
    if not found:
        raise NothingWantedError(
            f"Ngày {day:%d/%m/%Y} đơn vị {unit} không có báo cáo nào đến hạn; hãy chọn biểu.",
            f"nothing is due from unit {unit} on {day}: name the forms",
        )
    return sorted(found.values(), key=lambda one: (str(one.due), one.form.label_vi, one.period))


def named(catalogue: Catalogue, forms: Collection[str], day: date, period: Period | None = None) -> list[Wanted]:
    """These forms for a period, or for the usual one of each that holds the day. Raises NothingWantedError."""
    found: list[Wanted] = []
    for name in dict.fromkeys(forms):
        form = catalogue.form_in_force(FormId(name), period.last_day if period else day)
        if form is None:
            raise NothingWantedError(f"Không có biểu {name} có hiệu lực ngày đó.", f"no form {name} is in force then")
        try:
            covered = period or period_holding(form.periods[0], day)
        except PeriodError as error:
            examples = ", ".join(of.example for of in form.periods)
            raise NothingWantedError(
                f"Biểu {name} cần nêu kỳ, viết như {examples}.", f"form {name} needs a period such as {examples}"
            ) from error
        if covered.type not in form.periods:
            examples = ", ".join(of.example for of in form.periods)
            raise NothingWantedError(
                f"Kỳ {covered} không phải kỳ của biểu {name} (viết như {examples}).",
                f"{covered} is no period of form {name} (such as {examples})",
            )
        found.append(Wanted(form, covered.text))
    if not found:
        raise NothingWantedError("Chưa chọn biểu nào.", "no form was named")
    return found


def series_of(wanted: Wanted, unit: UnitCode, line: LineName = UBND) -> Series:
    """The series that a form's sheet is about."""
    return Series(line, unit, wanted.form.id, wanted.period)


def prefilled(wanted: Wanted, report: Report) -> Wanted:
    """With what was reported before, to be corrected."""
    header = report.header
    if header.kind is not Kind.REPORT:
        return replace(wanted, revision=header.revision)
    return replace(wanted, rows=report.rows, narrative=dict(report.narrative or {}), revision=header.revision)


def _wanted(catalogue: Catalogue, form: FormId, part: PeriodText) -> Wanted | None:
    in_force = catalogue.form_in_force(form, parse_period(part).last_day)
    return None if in_force is None else Wanted(in_force, part)
