"""The read model, asked through the port through which people ask, against the truth of a page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from itertools import groupby
from pathlib import Path

from consumers.read_model.reader import SqliteReadModel
from schemas.form import Form, FormId, Measure
from schemas.read_model import FigureQuery, Figures, RowKind
from schemas.unit import LineName, UnitCode
from tests.faults.campaign.verifier.anomaly import Name, Verdict
from tests.faults.campaign.verifier.prefixes import rows_of
from tests.faults.campaign.verifier.tables import Rows, seen
from tests.faults.campaign.verifier.truth import Truth
from tests.faults.campaign.verifier.work import Page, Tree, Work

_STORED = "SELECT unit, own, reported, version, measures, rows FROM model WHERE page = ?"


def read_stored(path: Path, work: Work, tree: Tree) -> None:
    """What it says of every unit that has a total, of its children and of its own reports."""
    asked: set[tuple[str, str, str, bool]] = set()
    for unit, text in work.rows("SELECT DISTINCT unit, page FROM total"):
        page = Page.of(text)
        asked.add((unit, page.form, page.line, tree.superior(unit, page.line, page.last_day) is None))
    with closing(SqliteReadModel(path)) as model:
        for unit, form, line, is_root in sorted(asked):
            for children in (True, False) if is_root else (True,):
                query = FigureQuery(UnitCode(unit), FormId(form), children=children, line=LineName(line))
                found = model.figures(query)
                work.insert("model", _lines(line, found))


def _lines(line: str, found: Figures) -> Iterator[tuple[object, ...]]:
    measures = " ".join(measure.name for measure in found.form.measures)
    for (unit, form, period, kind), rows in groupby(
        found.rows, key=lambda row: (row.unit, row.form, row.period, row.kind)
    ):
        of_figure = list(rows)
        shown = sorted((row.dims, row.measures) for row in of_figure if any(row.measures))
        first = of_figure[0]
        yield (Page(form, line, "own", period).text, unit, int(kind is RowKind.OWN), first.units_reported,
               first.version, measures, json.dumps(shown, ensure_ascii=False))  # fmt: skip


def compare_stored(
    work: Work, tree: Tree, page: Page, truth: Truth, versions: Mapping[str, str], verdict: Verdict
) -> None:
    """Totals of superiors, figures of leaves, own reports. `versions`: the newest published of each superior."""
    if not work.has_stored:
        return
    waiting = {(unit, False) for unit in truth.totals.keys() | truth.own.keys()}
    waiting |= {(unit, True) for unit in truth.totals.keys() & truth.own.keys()}
    form = tree.form(page.form, page.last_day)
    for unit, own, reported, version, measures, text in work.rows(_STORED, page.text):
        verdict.compare("figures in the read model")
        where = f"read model: {'own report' if own else 'figure'} {version} of {unit} {page}"
        if (unit, bool(own)) not in waiting:
            verdict.add(Name.PHANTOM, where, "nothing was reported that it could show")
            continue
        waiting.discard((unit, bool(own)))
        is_total = not own and unit in truth.totals
        columns = tree.columns(page.form, measures)
        true = _total(form, truth, unit, columns) if is_total else _own(form, truth, unit, columns)
        _compare(where, (reported, rows_of(text)), true, version, versions.get(unit, "") if is_total else "", verdict)
    for unit, missing_own in sorted(waiting):
        what = "own report" if missing_own else "figure"
        verdict.add(Name.STALE, f"read model: {what} of {unit} {page}", "is not there")


def _compare(
    where: str, found: tuple[int, Rows], true: tuple[int, Rows], version: str, newest: str, verdict: Verdict
) -> None:
    if version != newest:
        verdict.add(Name.STALE, where, f"{newest} is published")
    elif found != true:
        verdict.add(Name.WRONG_VALUE, where, f"shows {found} instead of {true}")


def _total(form: Form, truth: Truth, unit: str, columns: Sequence[Measure]) -> tuple[int, Rows]:
    total = truth.totals[unit]
    return total.reported, seen(form, total.table, columns, total=True)


def _own(form: Form, truth: Truth, unit: str, columns: Sequence[Measure]) -> tuple[int, Rows]:
    entry = truth.own[unit]
    return (0, ()) if entry is None else (1, seen(form, entry.table, columns, total=False))
