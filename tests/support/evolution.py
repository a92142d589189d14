"""Whether every version of a form can be read as every other (FULL_TRANSITIVE), and added up with it.

A commune that was offline for months comes back with an old version, and its figures go into the columns in force.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from itertools import permutations
from typing import Any

import fastavro

from schemas.codec import PREFIX_BYTES, encode_report
from schemas.form import Form
from schemas.period import PeriodText
from schemas.report import Cell, Header, Kind, Millis, Report, Revision
from schemas.unit import UnitCode


def breaches(forms: Iterable[Form]) -> list[str]:
    """Why versions of a form don't go together, one line for each ordered pair and fault; empty when all do."""
    by_id: dict[str, list[Form]] = {}
    for form in forms:
        by_id.setdefault(form.id, []).append(form)
    return [
        f"{written.id}: version {written.version} as {read.version}: {fault}"
        for versions in by_id.values() for written, read in permutations(versions, 2)
        for fault in _faults(written, read)
    ]  # fmt: skip


def sample(form: Form, *, blank: bool) -> Report:
    """A report with one row; optional measures blank or given."""
    header = Header(UnitCode("03406"), PeriodText("2021-12-15"), Kind.REPORT, Revision(1), 1, Millis(1))
    row: dict[str, Cell] = {dimension.name: f"a-code-of-{dimension.code_list}" for dimension in form.dimensions}
    for number, measure in enumerate(form.measures, 1):
        row[measure.name] = None if blank and measure.optional else number
    return Report(form.id, header, [row], {"difficulties": "Thiếu que lấy mẫu"})


def _faults(written: Form, read: Form) -> Iterator[str]:
    if [(d.name, d.code_list) for d in written.dimensions] != [(d.name, d.code_list) for d in read.dimensions]:
        yield "other dimensions: rows would not meet"
    known = {measure.name: measure for measure in read.measures}
    for measure in written.measures:
        other = known.get(measure.name)
        if other and (measure.unit, measure.across_units, measure.over_time) != (
            other.unit, other.across_units, other.over_time,
        ):  # fmt: skip
            yield f"{measure.name} adds up otherwise"
    for blank in (True, False):
        report = sample(written, blank=blank)
        body = io.BytesIO(encode_report(written, report)[PREFIX_BYTES:])
        try:
            found: Any = fastavro.schemaless_reader(body, written.schema, read.schema)
        except Exception as error:  # fastavro raises several kinds, all of which mean the same here
            yield f"can't be read: {error}"
            return
        shared = {name: cell for name, cell in report.rows[0].items() if name in found["rows"][0]}
        if {name: found["rows"][0][name] for name in shared} != shared:
            yield "values change"
        for measure in read.measures:
            if measure.name not in shared and found["rows"][0][measure.name] != (None if measure.optional else 0):
                yield f"{measure.name} was not written and is neither 0 nor blank"
