"""What a visitor asks, read from an address and written back into one.

Everything that can be asked is in the address, so that a page can be sent on, printed and found again; and nothing in
an address is trusted: what can't be understood is refused in Vietnamese, with the way out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from urllib.parse import quote, urlencode

from schemas import words
from schemas.catalogue import ZONE, Catalogue
from schemas.form import Form, FormId
from schemas.period import Period, PeriodText, PeriodType
from schemas.period import day as day_period
from schemas.read_model import Axis, FigureQuery, FormPeriods, RowKind
from schemas.report import Millis
from schemas.unit import UBND, LineName, Unit, UnitCode

LONGEST_DAYS = 400
"""A statutory year and some weeks; more days in one question would keep everybody else waiting."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Refusal(Exception):
    """A question without an answer: a heading, what to do next, and where the way out leads."""

    def __init__(self, status: int, title: str, advice: str, links: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(title)
        self.status = status
        self.title = title
        self.advice = advice
        self.links = tuple(links)


@dataclass(frozen=True, slots=True)
class Question:
    """A unit, a form and days as asked; None where the newest is meant, or the line where the unit stands."""

    unit: UnitCode
    form: FormId | None = None
    first: date | None = None
    last: date | None = None
    as_of: Millis | None = None
    axis: Axis = Axis.ACCEPTED
    line: LineName | None = None

    @classmethod
    def read(cls, unit: str, given: Mapping[str, str]) -> Question:
        """From an address. Raises Refusal."""
        first, last = read_day(given, "from"), read_day(given, "to")
        if first and last and first > last:
            raise Refusal(400, "Ngày bắt đầu ở sau ngày kết thúc", "Hãy chọn lại: “từ ngày” không sau “đến ngày”.")
        if first and last and (last - first).days >= LONGEST_DAYS:
            raise Refusal(400, "Khoảng thời gian quá dài", f"Hãy chọn không quá {LONGEST_DAYS} ngày.")
        form, line = given.get("form") or None, given.get("line") or None
        return cls(UnitCode(unit), None if form is None else FormId(form), first, last, read_moment(given),
                   read_axis(given), None if line is None else LineName(line))  # fmt: skip

    def address(self, page: str = "", **changes: Any) -> str:
        """The page of this question, with changes: figures, or `page` of `PAGES`."""
        asked = replace(self, **changes)
        where = f"/units/{quote(asked.unit, safe='')}" + (f"/{page}" if page else "")
        return f"{where}?{urlencode(asked.parameters())}"

    def parameters(self) -> dict[str, str]:
        """What `read` reads."""
        found: dict[str, str] = {}
        if self.form is not None:
            found["form"] = self.form
        if self.first is not None:
            found["from"] = self.first.isoformat()
        if self.last is not None:
            found["to"] = self.last.isoformat()
        if self.as_of is not None:
            found["as_of"] = as_of_text(self.as_of)
        if self.as_of is not None or self.axis is not Axis.ACCEPTED:
            found["axis"] = self.axis.value
        if self.line not in (None, UBND):
            found["line"] = str(self.line)
        return found


@dataclass(frozen=True, slots=True)
class Subject:
    """A question that has been resolved: this unit, this form, these days; `periods`: those with data among them."""

    question: Question
    unit: Unit
    form: Form
    first: date
    last: date
    periods: tuple[Period, ...]
    previous: Period | None
    following: Period | None
    newest: Period | None

    @property
    def line(self) -> LineName:
        """The hierarchy that the figures are of."""
        return self.question.line or UBND

    @property
    def single(self) -> PeriodText | None:
        """The one period that is asked for, None where several are summed."""
        if len(self.periods) == 1 and (self.periods[0].first_day, self.periods[0].last_day) == (self.first, self.last):
            return self.periods[0].text
        unreported_day = self.first == self.last and PeriodType.DAY in self.form.periods
        return day_period(self.first).text if unreported_day and not self.periods else None

    def query(self, *, kind: RowKind = RowKind.TOTAL, children: bool = False) -> FigureQuery:
        """The figures that the page shows."""
        asked, single = self.question, self.single
        of = self.periods[0].type if self.periods else None
        return FigureQuery(self.unit.code, self.form.id, self.first, self.last, kind, single is None, children,
                           asked.as_of, asked.axis, self.line, of=of, period=single)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stretch:
    """A question about days and no form that has been resolved: this unit on this line, these days."""

    question: Question
    unit: Unit
    first: date
    last: date

    @property
    def line(self) -> LineName:
        """The hierarchy that is asked about."""
        return self.question.line or UBND


def stretch(
    catalogue: Catalogue, having: Sequence[FormPeriods], question: Question, today: date, longest: int
) -> Stretch:
    """Fill in what was left open: the week up to the newest day that anybody reported on. Raises Refusal."""
    versions = catalogue.units.versions(question.unit)
    if not versions:
        raise unknown_unit(question.unit)
    question = replace(question, line=line_of(catalogue, question))
    known = day_of(question.as_of) if question.as_of is not None else today
    newest = max((p.last_day for found in having for p in found.periods if p.last_day <= known), default=known)
    last = question.last or max(newest, question.first or newest)
    first = question.first or last - timedelta(days=6)
    if (last - first).days >= longest:
        raise Refusal(400, "Khoảng thời gian quá dài", f"Hãy chọn không quá {longest} ngày.",
                      [(f"{longest} ngày cuối", "?" + urlencode(replace(
                          question, first=last - timedelta(days=longest - 1), last=last).parameters()))])  # fmt: skip
    unit = catalogue.units.unit(question.unit, last)
    if unit is None:
        raise _not_in_force(versions, last, question)
    return Stretch(replace(question, first=first, last=last), unit, first, last)


def line_of(catalogue: Catalogue, question: Question) -> LineName:
    """The line that is asked about: the one named, else that of the People's Committees, else the unit's own.

    Raises Refusal where there is no such line. On which days a unit stands on it, its days say.
    """
    units, code = catalogue.units, question.unit
    if question.line is None:
        known = [
            line for line in sorted(units.lines) if units.superiors_of(line, code) or units.children_of(line, code)
        ]
        place = any(not unit.is_organisation for unit in units.versions(code))
        return UBND if place or UBND in known or not known else known[0]
    if question.line not in units.lines and question.line != UBND:
        raise Refusal(
            404,
            f"Không có tuyến báo cáo “{question.line}”",
            "Hãy chọn một trong các tuyến:",
            [(words.line(line), question.address(line=line)) for line in sorted({*units.lines, UBND})],
        )
    return question.line


def day_of(moment: Millis) -> date:
    """The day of a moment in Vietnam."""
    return datetime.fromtimestamp(moment / 1000, ZONE).date()


def resolve(catalogue: Catalogue, having: Sequence[FormPeriods], question: Question) -> Subject:
    """Fill in what was left open: the form with the newest data, its newest period. Raises Refusal."""
    unit_versions = catalogue.units.versions(question.unit)
    if not unit_versions:
        raise unknown_unit(question.unit)
    question = replace(question, line=line_of(catalogue, question))
    known = {found.form: found.periods for found in having if found.line == question.line}
    form_id = question.form or max(known, key=lambda form: (known[form][-1].last_day, form), default=None)
    if form_id is None:
        raise nothing_yet(question)
    if all(form.id != form_id for form in catalogue.forms):
        raise unknown_form(catalogue, form_id, question)
    periods = known.get(form_id, ())
    if not periods and question.last is None:
        raise _no_reports(catalogue, form_id, question, known)
    newest = periods[-1] if periods else None
    last = question.last or (max(newest.last_day, question.first or date.min) if newest else date.max)
    first = question.first or (newest.first_day if newest and not question.last else last)
    if (last - first).days >= LONGEST_DAYS:
        raise Refusal(400, "Khoảng thời gian quá dài", f"Hãy chọn không quá {LONGEST_DAYS} ngày.")
    unit = catalogue.units.unit(question.unit, last)
    if unit is None:
        raise _not_in_force(unit_versions, last, question)
    form = catalogue.form_in_force(form_id, last) or max(
        (form for form in catalogue.forms if form.id == form_id), key=lambda form: (form.valid_from, form.version)
    )
    shown = _shown(periods, first, last)
    if shown:
        periods = tuple(p for p in periods if p.type is shown[0].type)
        if not shown[0].type.partitions_days and len(shown) == 1:
            first, last = shown[0].first_day, shown[0].last_day
    return Subject(
        replace(question, form=form_id, first=first, last=last), unit, form, first, last, shown,
        next((p for p in reversed(periods) if p.last_day < first), None),
        next((p for p in periods if p.first_day > last), None), newest,
    )  # fmt: skip


def _shown(periods: Sequence[Period], first: date, last: date) -> tuple[Period, ...]:
    """The periods that a stretch of days means: the one that it is, else those of one type that lie in it.

    Those of two types, or two topics, may share days, and would be counted twice in one sum.
    """
    inside = [p for p in periods if first <= p.first_day and p.last_day <= last]
    exact = [p for p in inside if (p.first_day, p.last_day) == (first, last)]
    alike = [p for p in inside if p.type is inside[-1].type]
    if exact or any(later.first_day <= earlier.last_day for earlier, later in pairwise(alike)):
        return ((exact or inside)[-1],)
    return tuple(alike)


def read_day(given: Mapping[str, str], name: str) -> date | None:
    """A day such as 2021-12-13. Raises Refusal."""
    text = given.get(name, "")
    if not text:
        return None
    try:
        if len(text) != 10:
            raise ValueError(text)
        return date.fromisoformat(text)
    except ValueError as error:
        raise Refusal(400, f"“{text}” không phải là một ngày", "Hãy viết ngày như 2021-12-13.") from error


def read_moment(given: Mapping[str, str]) -> Millis | None:
    """`as_of`, in Vietnam where it has no offset. Raises Refusal."""
    text = given.get("as_of", "")
    if not text:
        return None
    try:
        # A `+` of an offset that was not escaped arrives as a space.
        found = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
        aware = found if found.tzinfo else found.replace(tzinfo=ZONE)
        return Millis((aware - _EPOCH) // timedelta(milliseconds=1))
    except (ValueError, OverflowError) as error:
        raise Refusal(
            400, f"“{text}” không phải là một thời điểm", "Hãy viết thời điểm như 2021-12-14T07:00 (giờ Việt Nam)."
        ) from error


def read_axis(given: Mapping[str, str]) -> Axis:
    """`axis`. Raises Refusal."""
    try:
        return Axis(given.get("axis") or Axis.ACCEPTED)
    except ValueError as error:
        raise Refusal(
            400, f"Không có trục thời gian “{given['axis']}”", "Hãy dùng accepted (lúc tiếp nhận) hoặc issued (lúc ký)."
        ) from error


def as_of_text(value: Millis) -> str:
    """As a field for date and time shows it: in Vietnam, without an offset, no longer than needed."""
    text = datetime.fromtimestamp(value / 1000, ZONE).replace(tzinfo=None).isoformat(timespec="milliseconds")
    return text.removesuffix(".000").removesuffix(":00") if text.endswith(":00.000") else text.removesuffix(".000")


def unknown_unit(code: str) -> Refusal:
    """No unit ever bore this code."""
    advice = "Hãy kiểm tra mã, hoặc tìm đơn vị theo tên ở trang đầu."
    return Refusal(404, f"Không có đơn vị nào mang mã “{code}”", advice, [("Tìm đơn vị", "/")])


def unknown_form(catalogue: Catalogue, form: str, question: Question | None = None) -> Refusal:
    """No such form; the way out are those there are."""
    labels = {found.id: found.label_vi for found in catalogue.forms}
    links = [(label, question.address(form=found)) for found, label in labels.items()] if question else []
    return Refusal(404, f"Không có biểu “{form}”", f"Các biểu hiện có: {', '.join(sorted(labels))}.", links)


def nothing_yet(question: Question) -> Refusal:
    """No report of any form on the line."""
    on = "" if question.line in (None, UBND) else f" theo tuyến {words.line(str(question.line))}"
    return Refusal(404, f"Chưa có báo cáo nào{on}",
                   "Trang sẽ có số liệu khi đơn vị đầu tiên gửi báo cáo và được tiếp nhận.",
                   [("Các báo cáo phải gửi", question.address("obligations")), ("Về trang đầu", "/")])  # fmt: skip


def _no_reports(
    catalogue: Catalogue, form_id: FormId, question: Question, known: Mapping[FormId, Sequence[Period]]
) -> Refusal:
    labels = {found.id: found.label_vi for found in catalogue.forms}
    return Refusal(
        404, f"Chưa có báo cáo nào cho biểu “{labels[form_id]}”",
        "Số liệu sẽ hiện khi báo cáo đầu tiên được tiếp nhận. Các biểu đã có số liệu:",
        [(labels.get(form, form), question.address(form=form)) for form in known],
    )  # fmt: skip


def _not_in_force(versions: Sequence[Unit], last: date, question: Question) -> Refusal:
    unit = min(versions, key=lambda found: min(abs(found.valid_from - last), abs(found.valid_to - last)))
    until = f"đến {words.day(unit.valid_to)}" if unit.valid_to < date.max else "đến nay"
    nearest = unit.valid_to if unit.valid_to < last else unit.valid_from
    return Refusal(
        404, f"{unit.name} ({unit.code}) không tồn tại vào ngày {words.day(last)}",
        f"Đơn vị này có từ {words.day(unit.valid_from)} {until}.",
        [(f"Xem {unit.name} ngày {words.day(nearest)}", question.address(first=nearest, last=nearest)),
         ("Tìm đơn vị khác", "/")],
    )  # fmt: skip
