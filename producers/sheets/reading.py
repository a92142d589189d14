"""From a workbook to reports: each page that is a form's, its unit and period, rows and texts, and all that is wrong.

    reading = read_workbook(content, Asked(unit, catalogue, today))
    reading.flaws        # every bad cell with page, A1 name and reason in two languages
    reading.reports()    # what may be sent: whole tables, nil reports; none of a page with a flaw

Invariant: a table is whole or left out. A page says by itself which form, unit and period it is about where the program
made it; of a foreign one the caller says it, or its headings do.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum

from producers.sheets.about import PageAbout, about_page
from producers.sheets.book import Book, Page
from producers.sheets.columns import Headings, Learned, Table, column_labels
from producers.sheets.flaw import Flaw, SheetError, Trouble, Words, Wrong
from producers.sheets.opening import open_book
from producers.sheets.overview import Overview, read_overview
from producers.sheets.table import TableReader
from schemas.catalogue import Catalogue
from schemas.form import Form, FormId
from schemas.period import Period, PeriodError, PeriodText, parse_period
from schemas.report import Kind, Row
from schemas.unit import UnitCode

_NOTES = "notes"
"""The section that remarks of rows go to."""


@dataclass(frozen=True, slots=True)
class Asked:
    """For whom a workbook is read, on which day. `form` and `period` for pages that don't say theirs.

    `learned`: headings that the unit has mapped, by form; `*` for all.
    """

    unit: UnitCode
    catalogue: Catalogue
    today: date
    form: FormId | None = None
    period: PeriodText | None = None
    learned: Mapping[str, Learned] = field(default_factory=dict)


class State(StrEnum):
    """What a page is. `blank`: a form that nobody filled in; `ignored`: no form at all."""

    TABLE = "table"
    NIL = "nil"
    BLANK = "blank"
    FLAWED = "flawed"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class PageRead:
    """One page. `rows` and `narrative` are there also where it is flawed, as far as they could be read."""

    page: str
    state: State
    form: Form | None = None
    period: PeriodText | None = None
    rows: tuple[Row, ...] = ()
    narrative: Mapping[str, str] = field(default_factory=dict)
    flaws: tuple[Flaw, ...] = ()
    notes: tuple[Words, ...] = ()


@dataclass(frozen=True, slots=True)
class SheetReport:
    """What a page asks to be sent."""

    page: str
    form: Form
    period: PeriodText
    kind: Kind
    rows: tuple[Row, ...]
    narrative: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Reading:
    """What a file says. `kind`: xlsx, xls or csv; `converted`: the old letters its texts were in, or empty."""

    kind: str
    converted: str
    pages: tuple[PageRead, ...]

    @property
    def flaws(self) -> tuple[Flaw, ...]:
        """All flaws, page by page."""
        return tuple(flaw for page in self.pages for flaw in page.flaws)

    def reports(self) -> list[SheetReport]:
        """The reports of all pages without a flaw."""
        return [
            SheetReport(
                page.page, page.form, page.period, Kind.NIL if page.state is State.NIL else Kind.REPORT, page.rows,
                page.narrative,
            )
            for page in self.pages
            if page.state in (State.TABLE, State.NIL) and page.form is not None and page.period is not None
        ]  # fmt: skip


def read_workbook(content: bytes, asked: Asked) -> Reading:
    """Everything that a file says. Raises SheetError for one that can't be read, or where no page is a form's."""
    return read_book(open_book(content), asked)


def read_book(book: Book, asked: Asked) -> Reading:
    """The same of a book that is open. Raises SheetError where no page is a form's."""
    overview = read_overview(book)
    pages = [_Reader(page, asked, overview).read() for page in book.pages if page.name not in overview.pages]
    named = {page.name for page in book.pages if about_page(page).form}
    pages = _without_twins(_nil_where_said(_of_other_content(pages, named), overview))
    if all(page.state is State.IGNORED for page in pages):
        raise _no_form(book)
    return Reading(book.kind, book.converted, tuple(pages))


class _Reader:
    """One page on its way."""

    def __init__(self, page: Page, asked: Asked, overview: Overview) -> None:
        self._page = page
        self._asked = asked
        self._overview = overview
        self._about: PageAbout = about_page(page)
        self._flaws: list[Flaw] = []

    def read(self) -> PageRead:
        page, asked = self._page, self._asked
        if page.hidden or not page.cells:
            words = (f"Trang ẩn “{page.name}” không đọc.", f"The hidden sheet “{page.name}” is not read.")
            shown = page.hidden and page.cells and not self._overview.is_ours
            return PageRead(page.name, State.IGNORED, notes=(words,) if shown else ())
        table = Table(page)
        wanted = FormId(self._about.form) if self._about.form else asked.form
        period = self._period()
        found = self._form(table, wanted, period)
        if found is None:
            if wanted is None:
                return _ignored(page.name)
            return PageRead(page.name, State.FLAWED, flaws=tuple(self._flaws))
        form, headings = found
        self._check_unit()
        if period is not None and period.type not in form.periods:
            examples = ", ".join(of.example for of in form.periods)
            self._flaw(Wrong.PERIOD, f"Kỳ {period} không phải kỳ của biểu này (viết như {examples}).",
                       f"{period} is no period of this form (such as {examples}).")  # fmt: skip
        self._check_headings(form, headings)
        if self._flaws or period is None:
            # Without its columns or its day nothing in the table can be judged.
            return PageRead(page.name, State.FLAWED, form, period.text if period else None, flaws=tuple(self._flaws))
        return self._table(form, headings, period)

    def _table(self, form: Form, headings: Headings, period: Period) -> PageRead:
        read = TableReader(self._page, form, headings, period, self._asked.catalogue).read()
        texts = dict(self._overview.texts.get((form.id, period.text), {}))
        if read.remarks:
            remarks = "; ".join(dict.fromkeys(read.remarks))
            texts[_NOTES] = f"{texts[_NOTES]}; {remarks}" if texts.get(_NOTES) else remarks
        flaws = [*read.flaws, *self._texts(form, texts, filled=bool(read.rows))]
        notes = list(read.notes)
        if headings.unused:
            columns = ", ".join(f"“{text}”" for text in headings.unused[:12])
            notes.append((f"Cột không thuộc biểu, không đọc: {columns}.", f"Columns of no form, not read: {columns}."))
        state = State.FLAWED if flaws else State.TABLE if read.rows else State.BLANK
        rows = tuple(read.rows)
        return PageRead(self._page.name, state, form, period.text, rows, texts, tuple(flaws), tuple(notes))

    def _period(self) -> Period | None:
        """The period that the page says, or the caller; the same where both do."""
        said, given = self._about.period, self._asked.period
        text = said or given
        if text is None:
            self._flaw(Wrong.PERIOD, "Không thấy kỳ báo cáo: ghi ô “Kỳ báo cáo: 13/12/2021” phía trên bảng, hoặc cho "
                       "biết kỳ khi gửi.", "No period: write “Kỳ báo cáo: 13/12/2021” above the table, or say it when "
                       "sending.")  # fmt: skip
            return None
        try:
            period = parse_period(text)
        except PeriodError as error:
            self._flaw(Wrong.PERIOD, f"“{text}” không phải kỳ báo cáo (viết như 2021-12-13).", f"{error}.")
            return None
        if said and given and said != given:
            self._flaw(Wrong.PERIOD, f"Trang ghi kỳ {said}, lần gửi này cho kỳ {given}.",
                       f"The sheet is for {said}, this sending for {given}.")  # fmt: skip
        if period.first_day > self._asked.today:
            self._flaw(Wrong.PERIOD, f"Kỳ {period} chưa đến.", f"The period {period} has not begun.")
        return period

    def _form(self, table: Table, wanted: FormId | None, period: Period | None) -> tuple[Form, Headings] | None:
        """The form and where its columns are: as said, else the one form all of whose columns are there."""
        asked, day = self._asked, period.last_day if period else self._asked.today
        names = sorted({form.id for form in asked.catalogue.forms}) if wanted is None else [wanted]
        best: tuple[Form, Headings] | None = None
        for name in names:
            for form in _versions(asked.catalogue, name, day):
                headings = table.headings(form, {**asked.learned.get("*", {}), **asked.learned.get(form.id, {})})
                if headings is None or (wanted is None and headings.missing(form)):
                    continue
                if best is None or _fit(form, headings) > _fit(*best):
                    best = form, headings
        if best is not None or wanted is None:
            return best
        if not _versions(asked.catalogue, wanted, day):
            known = ", ".join(sorted({form.id for form in asked.catalogue.forms}))
            self._flaw(Wrong.UNKNOWN_FORM, f"Không có biểu “{wanted}”; có: {known}.",
                       f"There is no form “{wanted}”; there are {known}.")  # fmt: skip
        else:
            form = _versions(asked.catalogue, wanted, day)[0]
            self._missing(form, [name for name, _, _ in column_labels(form)], table.likeliest())
        return None

    def _check_unit(self) -> None:
        said, unit = self._about.unit, self._asked.unit
        if said and said != unit and said.lstrip("0") != unit.lstrip("0"):
            self._flaw(Wrong.OTHER_UNIT, f"Trang này của đơn vị {said}, không phải {unit}.",
                       f"This sheet is of unit {said}, not {unit}.")  # fmt: skip

    def _check_headings(self, form: Form, headings: Headings) -> None:
        if missing := headings.missing(form):
            self._missing(form, missing, headings)
        for name, columns in headings.twice.items():
            label = next(vi for column, vi, _ in column_labels(form) if column == name)
            self._flaws.append(Flaw(
                self._page.name, headings.last, columns[1], headings.texts[columns[1]], Wrong.HEADING_TWICE,
                (f"Hai cột cùng là “{label}”: xóa hoặc đổi tên một cột.",
                 f"Two columns are both “{name}”: delete or rename one."),
            ))  # fmt: skip

    def _missing(self, form: Form, names: list[str], headings: Headings | None) -> None:
        labels = {name: (vi, en) for name, vi, en in column_labels(form)}
        lacking = [", ".join(f"“{labels[name][at]}”" for name in names) for at in (0, 1)]
        others = ", ".join(f"“{text}”" for text in (headings.unused if headings else ())[:12])
        extra = (f" Tiêu đề chưa rõ: {others}; cho biết ứng với cột nào một lần, lần sau máy nhớ." if others else "",
                 f" Headings not known: {others}; say once which columns they are." if others else "")  # fmt: skip
        words = f"Không thấy cột {lacking[0]}.{extra[0]}", f"No column {lacking[1]}.{extra[1]}"
        self._flaw(Wrong.HEADING_MISSING, *words)

    def _texts(self, form: Form, texts: dict[str, str], *, filled: bool) -> Iterator[Flaw]:
        known = {section.name: section for section in form.sections}
        for name in [name for name in texts if known and name not in known]:
            del texts[name]  # remarks of rows, where the form has no section for them
        for section in form.sections:
            place = self._overview.places.get((form.id, self._about.period or "", section.name))
            page, row, column = place or (self._page.name, 0, 0)
            if len(texts.get(section.name, "")) > section.max_letters:
                yield Flaw(page, row, column, section.label_vi, Wrong.TEXT_TOO_LONG,
                           (f"Phần “{section.label_vi}” dài quá {section.max_letters} ký tự.",
                            f"“{section.label_en}” is longer than {section.max_letters} characters."))  # fmt: skip
            if section.required and filled and not texts.get(section.name, "").strip():
                words = f"Phần “{section.label_vi}” bắt buộc phải có.", f"“{section.label_en}” is required."
                yield Flaw(page, row, column, section.label_vi, Wrong.VALUE_MISSING, words)

    def _flaw(self, wrong: Wrong, vietnamese: str, english: str) -> None:
        self._flaws.append(Flaw(self._page.name, 0, 0, "", wrong, (vietnamese, english)))


def _versions(catalogue: Catalogue, name: str, day: date) -> list[Form]:
    """The versions of a form, the one in force on `day` first, then the newest."""
    in_force = catalogue.form_in_force(FormId(name), day)
    found = sorted((f for f in catalogue.forms if f.id == name), key=lambda f: (f.valid_from, f.version), reverse=True)
    return sorted(found, key=lambda form: form != in_force)


def _fit(form: Form, headings: Headings) -> tuple[bool, int]:
    """How well a page is a version of a form; of equals the first asked stays."""
    return not headings.missing(form), len(headings.columns)


def _of_other_content(pages: list[PageRead], named: Collection[str]) -> list[PageRead]:
    """Pages that name no form and lack its columns, beside one that has them, are about something else."""
    lacking = [any(flaw.wrong is Wrong.HEADING_MISSING for flaw in page.flaws) for page in pages]
    if all(lacks or page.state is State.IGNORED for page, lacks in zip(pages, lacking, strict=True)):
        return pages
    return [
        _ignored(page.page) if lacks and page.page not in named else page
        for page, lacks in zip(pages, lacking, strict=True)
    ]


def _ignored(name: str) -> PageRead:
    words = f"Trang “{name}” không phải biểu nào, không đọc.", f"The sheet “{name}” is no form and not read."
    return PageRead(name, State.IGNORED, notes=(words,))


def _nil_where_said(pages: list[PageRead], overview: Overview) -> list[PageRead]:
    """Blank forms that the overview marks as không phát sinh; a filled one that is marked so is a contradiction."""
    found: list[PageRead] = []
    for page in pages:
        mark = overview.nil(page.form.id, page.period) if page.form is not None and page.period is not None else None
        if mark is None or page.form is None:
            found.append(page)
        elif page.state is State.BLANK and not page.form.has_stock:
            found.append(replace(page, state=State.NIL, rows=()))
        elif page.state is State.BLANK and mark.single:
            words = ("Biểu có số tồn: phải ghi số, không dùng “không phát sinh”.",
                     "This form has stocks: give the numbers instead of “nil”.")  # fmt: skip
            found.append(replace(page, state=State.FLAWED, flaws=(mark.flaw(words),)))
        elif page.state is State.TABLE and mark.single:
            words = ("Đánh dấu “không phát sinh” nhưng biểu có số liệu: bỏ dấu hoặc xóa số.",
                     "Marked as nil, but the form has numbers: take away one of them.")  # fmt: skip
            found.append(replace(page, state=State.FLAWED, flaws=(mark.flaw(words),)))
        else:
            found.append(page)
    return found


def _without_twins(pages: list[PageRead]) -> list[PageRead]:
    """Two filled pages of one form and period contradict each other."""
    seen: dict[tuple[FormId, PeriodText], str] = {}
    found: list[PageRead] = []
    for page in pages:
        if page.state not in (State.TABLE, State.NIL) or page.form is None or page.period is None:
            found.append(page)
            continue
        first = seen.setdefault((page.form.id, page.period), page.page)
        if first == page.page:
            found.append(page)
            continue
        words = (f"Trang “{first}” cũng là biểu này, kỳ này.", f"The sheet “{first}” is the same form and period.")
        flaw = Flaw(page.page, 0, 0, "", Wrong.TWICE, words)
        found.append(replace(page, state=State.FLAWED, flaws=(flaw,)))
    return found


def _no_form(book: Book) -> SheetError:
    names = ", ".join(f"“{page.name}”" for page in book.pages[:5])
    return SheetError(
        Trouble.NO_FORM,
        f"Không trang nào ({names}) có đủ tiêu đề của một biểu: chọn biểu khi gửi, hoặc tải mẫu về và chép số sang.",
        f"No sheet ({names}) has all headings of a form: name the form when sending, or use a template.",
    )
