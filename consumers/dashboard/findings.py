"""Findings as an office reads them: by check, what does not add up or stands out, and where (schemas/finding.py)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from urllib.parse import urlencode

from consumers.dashboard.frame import Frame, Link, frame
from consumers.dashboard.question import Question, Refusal, Stretch, stretch
from consumers.findings import findings
from consumers.numbers import Numbers, Span
from schemas import words
from schemas.finding import Finding
from schemas.period import parse_period
from schemas.read_model import ReadModel

LONGEST_DAYS = 31
MOST_UNITS = 2_000
"""A province has fewer units. Checks look at each one's reports, and a nation's would keep everybody waiting."""
SHOWN = 100
"""So many findings of a check stand on the page; all of them are in its CSV."""


@dataclass(frozen=True, slots=True)
class Found:
    """One finding: whose figures to look at, and what is wrong with them."""

    unit: Link
    message: str


@dataclass(frozen=True, slots=True)
class Check:
    """What a check found. `count`: all of it, also what is not shown."""

    label: str
    count: int
    found: tuple[Found, ...]


@dataclass(frozen=True, slots=True)
class FindingsView:
    """The page. `held`: checks that found nothing."""

    frame: Frame
    checks: tuple[Check, ...]
    held: tuple[str, ...]
    data: str


def asked(model: ReadModel, question: Question, today: date) -> Stretch:
    """The question with its days filled in. Raises Refusal also where too many units would be looked at."""
    catalogue = model.catalogue()
    found = stretch(catalogue, model.form_periods(), question, today, LONGEST_DAYS)
    units = sum(1 for _ in catalogue.units.subtree(found.unit.code, found.last, found.line))
    if units > MOST_UNITS:
        below = catalogue.units.children(found.unit.code, found.last, found.line)
        links = [(unit.name, found.question.address("findings", unit=code))
                 for code in below if (unit := catalogue.units.unit(code, found.last))]  # fmt: skip
        advice = f"{found.unit.name} có {words.number(units)} đơn vị. Hãy chọn một đơn vị trực thuộc:"
        raise Refusal(400, "Quá nhiều đơn vị để kiểm tra một lần", advice, links)
    return found


def found_for(model: ReadModel, about: Stretch) -> tuple[Numbers, tuple[Finding, ...]]:
    """What the checks find, and the numbers that they were asked of."""
    numbers = Numbers(model, about.question.as_of, about.question.axis)
    return numbers, findings(numbers, about.unit.code, Span(about.first, about.last))


def findings_view(model: ReadModel, question: Question, today: date) -> FindingsView:
    """Ask everything the page shows. Raises ReadModelError, Refusal."""
    about = asked(model, question, today)
    numbers, found = found_for(model, about)
    by_check: dict[str, list[Finding]] = {}
    for one in found:
        by_check.setdefault(one.check, []).append(one)
    labels = {check.id: check.label_vi for check in numbers.catalogue.checks}
    given = {"unit": about.unit.code, **replace(about.question, form=None).parameters()}
    return FindingsView(
        frame(numbers.catalogue, about.question, about.unit, about.first, about.last, "findings"),
        tuple(Check(labels[name], len(mine), tuple(_found(numbers, about, one) for one in mine[:SHOWN]))
              for name, mine in sorted(by_check.items(), key=lambda item: (len(item[1]), item[0]))),
        tuple(label for name, label in labels.items() if name not in by_check),
        f"/api/findings?{urlencode(given)}",
    )  # fmt: skip


def _found(numbers: Numbers, about: Stretch, one: Finding) -> Found:
    first, last = _days(one.period)
    question = replace(about.question, unit=one.unit, form=one.form, first=first, last=last)
    if not numbers.units.stands_on(about.line, one.unit, last):
        question = replace(question, line=None)
    return Found(Link(numbers.name(one.unit, last), question.address()), one.message_vi)


def _days(period: str) -> tuple[date, date]:
    """A period's days, or those of `FROM/TO`."""
    first, slash, last = period.partition("/")
    if slash:
        return date.fromisoformat(first), date.fromisoformat(last)
    found = parse_period(period)
    return found.first_day, found.last_day
