"""The texts beside the figures: results, difficulties, causes, proposals of a unit and everybody below it.

Texts are never added up, so they do not travel in `figures`: each stays in the report that brought it, and the read
model knows where that report stands in `reports`. Invariant: what is read is the text of the very report that counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from schemas.catalogue import Catalogue
from schemas.codec import decode_report, fingerprint_in
from schemas.form import Form, FormId
from schemas.log import TopicReader
from schemas.period import PeriodText, parse_period
from schemas.read_model import ReadModel
from schemas.report import Kind, Source
from schemas.settings import Settings
from schemas.topics import REPORTS
from schemas.unit import UBND, LineName, Unit, UnitCode


@dataclass(frozen=True, slots=True)
class ReportText:
    """One section of one unit's report. `label_vi` is the form's; a text without a section of its own bears its key."""

    unit: Unit
    section: str
    label_vi: str
    text: str
    source: Source


def texts_below(
    model: ReadModel, settings: Settings, unit: UnitCode, form: FormId, period: PeriodText, line: LineName = UBND
) -> list[ReportText]:
    """Texts of the reports that count for `unit` and those below it: by unit from the top, in the form's order."""
    catalogue = model.catalogue()
    day = parse_period(period).last_day
    standing: dict[Source, Unit] = {}
    for code in catalogue.units.subtree(unit, day, line):
        bearer = catalogue.units.unit(code, day)
        for revision in model.history(code, form, period, line) if bearer else ():
            if bearer and revision.standing and revision.kind is Kind.REPORT:
                standing[revision.source] = bearer
    values = _values(settings, list(standing))
    return [text for source, bearer in standing.items() for text in _texts(catalogue, values[source], bearer, source)]


def _texts(catalogue: Catalogue, value: bytes, unit: Unit, source: Source) -> Iterator[ReportText]:
    form = catalogue.form(fingerprint_in(value))
    if form is None:
        raise LookupError(f"report {source} counts, and its form is in no catalogue")
    narrative = decode_report(form, value).narrative or {}
    for name, label in _labels(form, narrative).items():
        if narrative.get(name, "").strip():
            yield ReportText(unit, name, label, narrative[name], source)


def _labels(form: Form, narrative: Mapping[str, str]) -> dict[str, str]:
    return {section.name: section.label_vi for section in form.sections} or {name: name for name in sorted(narrative)}


def _values(settings: Settings, sources: Sequence[Source]) -> dict[Source, bytes]:
    """The records at these places of `reports`, by one pass over the stretch of each partition that holds them."""
    wanted = set(sources)
    first = {p: min(s.offset for s in wanted if s.partition == p) for p in {s.partition for s in wanted}}
    ends = {p: max(s.offset for s in wanted if s.partition == p) + 1 for p in first}
    found: dict[Source, bytes] = {}
    if first:
        with TopicReader(settings.bootstrap, settings.topic(REPORTS), first, sorted(first)) as reader:
            for record in reader.to_end(ends):
                if record.source in wanted:
                    found[record.source] = record.value or b""
    return found
