"""Findings: the catalogue's checks across forms, levels, units and days, asked of the read model.

A finding refuses nothing and changes nothing; what is asked again later, after corrections, may hold. A check whose
numbers are not there is not broken: it says nothing. Finding the same things again is the same list, in the same order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta

from consumers.export import Lines
from consumers.numbers import Blank, Key, Number, Numbers, Span
from consumers.robust import usual
from schemas.cross_check import At, CheckKind, CrossCheck, Every
from schemas.figure import Slot
from schemas.finding import Finding
from schemas.form import FormId
from schemas.period import PeriodText, parse_period
from schemas.read_model import Arrival, Axis, FigureQuery, OwnRevision, RowKind
from schemas.report import Kind, Scope
from schemas.unit import LineName, UnitCode

Content = tuple[tuple[Key, tuple[int | None, ...]], ...]
"""A whole table, by row."""

_SAME_AT_LEAST = 2
_NAMED = 5
"""So many others with the same table are named."""


_COLUMNS = ("check", "unit", "name", "form", "period", "row", "field", "value", "expected", "difference", "message_vi",
            "message_en")  # fmt: skip


def finding_lines(numbers: Numbers, found: Iterable[Finding], day: date) -> Lines:
    """One line each, units named as on a day."""
    return Lines(_COLUMNS, tuple(
        (one.check, one.unit, numbers.name(one.unit, day), one.form, one.period, "/".join(one.row), one.field,
         one.value, one.expected, one.difference, one.message_vi, one.message_en) for one in found
    ))  # fmt: skip


def findings(numbers: Numbers, unit: UnitCode, days: Span, only: Iterable[str] = ()) -> tuple[Finding, ...]:
    """What the catalogue's checks find for `unit` and everybody below it, over some days, in a fixed order.

    `only`: these checks, by id; all where it is empty. Raises ReadModelError.
    """
    wanted = set(only)
    looks: Mapping[CheckKind, Callable[[Numbers, CrossCheck, UnitCode, Span], Iterator[Finding]]] = {
        CheckKind.COMPARE: _compare,
        CheckKind.CLAIM: _claims,
        CheckKind.SAME_TABLE: _same_tables,
        CheckKind.TWO_SENDERS: _two_senders,
        CheckKind.JUMP: _jumps,
        CheckKind.OUTLIER: _outliers,
    }
    checks = [check for check in numbers.catalogue.checks if not wanted or check.id in wanted]
    return tuple(sorted(found for check in checks for found in looks[check.kind](numbers, check, unit, days)))


def _compare(numbers: Numbers, check: CrossCheck, unit: UnitCode, days: Span) -> Iterator[Finding]:
    kind = RowKind.OWN if check.at is At.REPORT else RowKind.TOTAL
    lead = next(iter(check.terms.values()))
    for code in numbers.reporting(check.terms.values(), unit, days):
        spans = [days] if check.every is Every.DAYS else [*_periods(numbers, lead.form, lead.line, code, days, kind)]
        for span in spans:
            groups: dict[str, Mapping[Key, Number]] = {}
            for name, term in check.terms.items():
                answer = numbers.values(term, code, span, check.by, kind)
                if not isinstance(answer, Blank):
                    groups[name] = answer
                elif term.optional:
                    groups[name] = {}
            if len(groups) < len(check.terms):
                continue
            for key in sorted({key for group in groups.values() for key in group}):
                found = _compared(numbers, check, code, span, key, {n: g.get(key, 0) for n, g in groups.items()})
                if found is not None:
                    yield found


def _compared(
    numbers: Numbers, check: CrossCheck, code: UnitCode, span: Span, key: Key, given: Mapping[str, Number]
) -> Finding | None:
    values = {name: number for name, number in given.items() if not isinstance(number, Blank)}
    if len(values) < len(given) or check.value is None or check.expected is None:
        return None
    row = dict(zip(check.by, key, strict=True))
    if check.rates:
        if row[check.rates_by] not in check.rates:
            return None
        values["rate"] = check.rates[row[check.rates_by]]
    value, expected = int(check.value(values)), int(check.expected(values))
    if check.comparison.holds(value, expected) or max(abs(value), abs(expected)) < check.least:
        return None
    lead = next(iter(check.terms.values()))
    return _finding(numbers, check, code, lead.form, span, key, check.value.text, (value, expected, value - expected),
                    {**values, "row": numbers.label(lead.form, row)})  # fmt: skip


def _claims(numbers: Numbers, check: CrossCheck, unit: UnitCode, days: Span) -> Iterator[Finding]:
    """A superior's own claim for everything below it against its total, measure by measure."""
    for form, line in _reported(numbers, check, days):
        for code in {one.unit for one in _arrivals(numbers, form, line, unit, days, Scope.SUBTREE)}:
            if not numbers.units.has_children(code, days.last, line):
                continue
            query = _each(numbers, code, form, line, days, RowKind.TOTAL)
            claims = numbers.model.figures(_replaced(query, Scope.SUBTREE)).rows
            if not claims:
                continue
            found = numbers.model.figures(query)
            totals = {(row.period, row.dims): row.measures for row in found.rows}
            for claim in claims:
                total = totals.get((claim.period, claim.dims))
                for place, measure in enumerate(found.form.measures):
                    claimed = claim.measures[place]
                    counted = 0 if total is None else total[place]
                    if claimed is not None and counted is not None and claimed != counted:
                        yield _finding(
                            numbers, check, code, form, _span(claim.period), claim.dims, measure.name,
                            (claimed, counted, claimed - counted), {"measure": f"“{measure.label_vi}”"})  # fmt: skip


def _same_tables(numbers: Numbers, check: CrossCheck, unit: UnitCode, days: Span) -> Iterator[Finding]:
    """Units below one superior whose whole table for a period is the same and too large to be so by chance."""
    for form, line in _reported(numbers, check, days):
        reporters = {one.unit for one in _arrivals(numbers, form, line, unit, days)}
        above = Counter(numbers.units.superior(code, days.last, line) for code in reporters - {unit})
        for code in (code for code, below in above.items() if code is not None and below >= _SAME_AT_LEAST):
            query = _each(numbers, code, form, line, days, RowKind.TOTAL, children=True)
            tables: dict[tuple[str, UnitCode], dict[Key, tuple[int | None, ...]]] = {}
            for row in numbers.model.figures(query).rows:
                if row.kind is RowKind.TOTAL and not numbers.units.has_children(row.unit, days.last, line):
                    tables.setdefault((row.period, row.unit), {})[row.dims] = row.measures
            alike: dict[tuple[str, Content], list[UnitCode]] = {}
            for (period, child), table in tables.items():
                alike.setdefault((period, tuple(sorted(table.items()))), []).append(child)
            for (period, content), units in alike.items():
                size = sum(abs(cell or 0) for _, cells in content for cell in cells)
                if len(units) > 1 and size >= check.least:
                    for one in units:
                        others = [numbers.name(other, days.last) for other in units if other != one]
                        named = ", ".join(others[:_NAMED]) + (" …" if len(others) > _NAMED else "")
                        yield _finding(numbers, check, one, form, _span(period), (), "table", (size, size, 0),
                                       {"others": named})  # fmt: skip


def _two_senders(numbers: Numbers, check: CrossCheck, unit: UnitCode, days: Span) -> Iterator[Finding]:
    """A unit's own report and the one entered for it, both there, with other numbers."""
    for form, line in _reported(numbers, check, days):
        ways: dict[tuple[UnitCode, PeriodText], set[Slot]] = {}
        for came in _arrivals(numbers, form, line, unit, days):
            ways.setdefault((came.unit, came.period), set()).add(came.slot)
        for (code, period), slots in sorted(ways.items()):
            if len(slots) > 1 and numbers.units.unit(code, parse_period(period).last_day) is not None:
                newest: dict[Slot, OwnRevision] = {}
                for one in numbers.model.history(code, form, period, line):
                    if _known(numbers, one) and (one.slot not in newest or _newer(one, newest[one.slot])):
                        newest[one.slot] = one
                own, entered = newest.get(Slot.OWN), newest.get(Slot.ENTERED)
                if own and entered and Kind.WITHDRAWAL not in (own.kind, entered.kind):
                    yield from _disagreement(numbers, check, own, entered)


def _disagreement(numbers: Numbers, check: CrossCheck, own: OwnRevision, entered: OwnRevision) -> Iterator[Finding]:
    version = numbers.catalogue.form_in_force(own.form, parse_period(own.period).last_day)
    if version is None:
        return
    for place, measure in enumerate(version.measures):
        mine, theirs = (sum(cells[place] or 0 for _, cells in one.rows) for one in (own, entered))
        if mine != theirs:
            by = numbers.name(UnitCode(entered.entered_by), parse_period(own.period).last_day)
            yield _finding(
                numbers, check, own.unit, own.form, _span(own.period), (), measure.name, (mine, theirs, mine - theirs),
                {"measure": f"“{measure.label_vi}”", "entered_by": by})  # fmt: skip


def _jumps(numbers: Numbers, check: CrossCheck, unit: UnitCode, days: Span) -> Iterator[Finding]:
    """A unit's number of a period against those of the days before it."""
    term = next(iter(check.terms.values()))
    back = Span((days.first or days.last) - timedelta(days=check.days), days.last)
    for code in numbers.reporting([term], unit, back):
        if numbers.units.has_children(code, days.last, term.line):
            continue
        series: dict[str, Number] = {}
        for span in _periods(numbers, term.form, term.line, code, back, RowKind.TOTAL):
            value = numbers.value(term, code, span)
            if value != 0 or not check.skip_zero:
                series[str(span.last)] = value
        for day, value in series.items():
            at = date.fromisoformat(day)
            before = [
                n for d, n in series.items()
                if not isinstance(n, Blank) and timedelta() < at - date.fromisoformat(d) <= timedelta(days=check.days)
            ]  # fmt: skip
            if at < (days.first or at) or isinstance(value, Blank) or len(before) < check.fewest:
                continue
            yield from _standing_out(numbers, check, code, Span(at, at), value, before)


def _outliers(numbers: Numbers, check: CrossCheck, unit: UnitCode, days: Span) -> Iterator[Finding]:
    """A unit's number of the days asked about against those of its siblings."""
    term = next(iter(check.terms.values()))
    reporting = numbers.reporting([term], unit, days)
    by_superior: dict[UnitCode, dict[UnitCode, int]] = {}
    for code in reporting:
        value = numbers.value(term, code, days)
        above = numbers.units.superior(code, days.last, term.line)
        if above is not None and not isinstance(value, Blank):
            by_superior.setdefault(above, {})[code] = value
    for siblings in by_superior.values():
        for code, value in siblings.items():
            others = [number for other, number in siblings.items() if other != code]
            if len(others) >= check.fewest:
                yield from _standing_out(numbers, check, code, days, value, others)


def _standing_out(
    numbers: Numbers, check: CrossCheck, code: UnitCode, span: Span, value: int, others: list[int]
) -> Iterator[Finding]:
    found = usual(others)
    if not found.stands_out(value, check.threshold) or abs(value - found.middle) < check.least:
        return
    term = next(iter(check.terms.values()))
    middle = round(found.middle)
    yield _finding(numbers, check, code, term.form, span, (), term.value.text, (value, middle, value - middle),
                   {"spread": round(found.spread)})  # fmt: skip


def _finding(
    numbers: Numbers,
    check: CrossCheck,
    code: UnitCode,
    form: FormId,
    span: Span,
    row: Key,
    field: str,
    told: tuple[int, int, int],
    words: Mapping[str, object],
) -> Finding:
    value, expected, difference = told
    said = {
        "row": ", ".join(row), **words, "value": value, "expected": expected, "difference": difference,
        "unit": numbers.name(code, span.last), "form": form,
    }  # fmt: skip
    first = span.first or span.last
    period = str(span.last) if first == span.last else f"{first}/{span.last}"
    vietnamese = {**{name: _vietnamese(word) for name, word in said.items()}, "period": _days_vi(first, span.last)}
    english = {**{name: _english(word) for name, word in said.items()}, "period": period}
    return Finding(check.id, code, form, period, row, field, value, expected, difference,
                   check.message_vi.format_map(vietnamese), check.message_en.format_map(english))  # fmt: skip


def _vietnamese(word: object) -> str:
    return f"{word:,}".replace(",", ".") if isinstance(word, int) else str(word)


def _english(word: object) -> str:
    return f"{word:,}" if isinstance(word, int) else str(word)


def _days_vi(first: date, last: date) -> str:
    return f"{last:%d/%m/%Y}" if first == last else f"{first:%d/%m/%Y} đến {last:%d/%m/%Y}"


def _each(
    numbers: Numbers, code: UnitCode, form: FormId, line: LineName, days: Span, kind: RowKind, *, children: bool = False
) -> FigureQuery:
    return FigureQuery(code, form, days.first, days.last, kind, children=children, as_of=numbers.as_of,
                       axis=numbers.axis, line=line)  # fmt: skip


def _replaced(query: FigureQuery, scope: Scope) -> FigureQuery:
    return FigureQuery(query.unit, query.form, query.first, query.last, query.kind, as_of=query.as_of, axis=query.axis,
                       line=query.line, scope=scope)  # fmt: skip


def _periods(
    numbers: Numbers, form: FormId, line: LineName, code: UnitCode, days: Span, kind: RowKind
) -> Iterator[Span]:
    """The periods in which a unit has something of a form."""
    for one in numbers.bearers(code, line, days.last):
        rows = numbers.model.figures(_each(numbers, one, form, line, days, kind)).rows
        for text in dict.fromkeys(row.period for row in rows if row.units_reported):
            yield _span(text)


def _span(period: str) -> Span:
    found = parse_period(period)
    return Span(found.first_day, found.last_day)


def _reported(numbers: Numbers, check: CrossCheck, days: Span) -> Iterator[tuple[FormId, LineName]]:
    """Forms that a check is about and that have data in these days."""
    for found in numbers.model.form_periods():
        if check.forms and found.form not in check.forms:
            continue
        if any(
            (days.first or date.min) <= period.first_day and period.last_day <= days.last for period in found.periods
        ):
            yield found.form, found.line


def _arrivals(
    numbers: Numbers, form: FormId, line: LineName, top: UnitCode, days: Span, scope: Scope = Scope.OWN
) -> Sequence[Arrival]:
    """What `top` and those below it sent: nobody else has a table to look at."""
    periods = [
        period.text
        for found in numbers.model.form_periods() if (found.form, found.line) == (form, line)
        for period in found.periods if (days.first or date.min) <= period.first_day and period.last_day <= days.last
    ]  # fmt: skip
    return numbers.model.arrivals(form, line, periods, numbers.below(top, line, days.last), scope)


def _known(numbers: Numbers, revision: OwnRevision) -> bool:
    at = revision.accepted_at if numbers.axis is Axis.ACCEPTED else revision.issued_at
    return numbers.as_of is None or at <= numbers.as_of


def _newer(one: OwnRevision, other: OwnRevision) -> bool:
    """Which of two revisions of a slot stands (contract 2): the higher revision, then the lower source."""
    return (one.revision, -one.source.partition, -one.source.offset) > (
        other.revision, -other.source.partition, -other.source.offset)  # fmt: skip
