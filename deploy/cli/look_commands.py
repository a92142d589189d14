"""Commands that look at figures: what stands out or does not add up, and what they come to."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import click

from consumers.export import Layout, Lines, Value
from consumers.findings import findings
from consumers.numbers import Numbers, Span
from deploy.cli.options import Day, as_of_options, data_folder, data_option, examples, format_option
from deploy.cli.output import print_lines, say
from deploy.errors import UsageError
from deploy.reading import millis, open_read_model
from deploy.stack import running_stack
from schemas.catalogue import Catalogue
from schemas.finding import Finding
from schemas.read_model import Axis
from schemas.unit import UnitCode

_FINDING_COLUMNS = ("check", "unit", "name", "form", "period", "row", "field", "value", "expected", "difference",
                    "message_vi", "message_en")  # fmt: skip
_SHOWN = ("check", "unit", "period", "message_vi")


@click.command(
    "findings",
    epilog=examples(
        "findings --unit 12 --on 2021-12-15",
        "findings --unit 106 --from 2021-12-13 --on 2021-12-19 --format json",
        "findings --unit 106 --on 2021-12-15 --as-of 2021-12-15T16:30:00 --axis issued --check same-table-twice",
    ),
)
@click.option("--unit", required=True, metavar="CODE", help="The unit that is looked at, with everybody below it.")
@click.option("--on", "last", required=True, type=Day(), metavar="DATE", help="The day, or the last one.")
@click.option("--from", "first", type=Day(), metavar="DATE", help="The first day.  [default: that day alone]")
@click.option("--check", "only", multiple=True, metavar="ID", help="Only this check; may be given again.")
@as_of_options
@format_option
@data_option
def findings_command(
    *,
    unit: str,
    last: date,
    first: date | None,
    only: tuple[str, ...],
    as_of: datetime | None,
    axis: str,
    layout: str,
    data: Path | None,
) -> None:
    """List what does not add up or stands out: checks across forms, levels, units and days (docs/checks.md).

    A finding refuses nothing. Exit code 0, whatever is found; the checks are those of the catalogue.
    """
    with open_read_model(running_stack(data_folder(data)).settings()) as model:
        numbers = Numbers(model, None if as_of is None else millis(as_of), Axis(axis))
        if unknown := sorted({*only} - {check.id for check in numbers.catalogue.checks}):
            known = ", ".join(check.id for check in numbers.catalogue.checks)
            raise UsageError(f"no check {unknown[0]}; there are {known}")
        found = findings(numbers, UnitCode(unit), Span(first or last, last), only)
        rows = tuple(_finding(numbers.catalogue, one, last) for one in found)
    if layout == Layout.TABLE:
        places = [_FINDING_COLUMNS.index(name) for name in _SHOWN]
        print_lines(Lines(_SHOWN, tuple(tuple(row[place] for place in places) for row in rows)), layout)
        say(f"{len(rows)} findings")
    else:
        print_lines(Lines(_FINDING_COLUMNS, rows), layout)


def _finding(catalogue: Catalogue, one: Finding, day: date) -> tuple[Value, ...]:
    unit = catalogue.units.unit(one.unit, day)
    return (one.check, one.unit, unit.name if unit else "", one.form, one.period, "/".join(one.row), one.field,
            one.value, one.expected, one.difference, one.message_vi, one.message_en)  # fmt: skip
