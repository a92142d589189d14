"""Commands that look at figures: what stands out or does not add up, and what they come to."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import click

from consumers.cumulative import running
from consumers.export import Layout, Lines
from consumers.findings import finding_lines, findings
from consumers.indicators import DutyCounts, indicator_lines, measured
from consumers.numbers import Blank, Number, Numbers, Span
from deploy.cli.options import Day, as_of_options, data_folder, data_option, examples, format_option, line_option
from deploy.cli.output import print_lines, say, tell_late_on_the_way
from deploy.errors import UsageError
from deploy.reading import millis, open_read_model
from deploy.stack import running_stack
from schemas.form import FormId
from schemas.read_model import Axis
from schemas.unit import LineName, UnitCode

_RUNNING_COLUMNS = ("row", "measure", "label_vi", "brought_forward", "in_period", "cumulative", "reason_vi")
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
        lines = finding_lines(numbers, found, last)
    if layout == Layout.TABLE:
        places = [lines.columns.index(name) for name in _SHOWN]
        print_lines(Lines(_SHOWN, tuple(tuple(row[place] for place in places) for row in lines.rows)), layout)
        say(f"{len(found)} findings")
    else:
        print_lines(lines, layout)


@click.command(
    "indicators",
    epilog=examples(
        "indicators --unit 106 --from 2021-12-13 --to 2021-12-19",
        "indicators --unit 106 --from 2021-12-13 --to 2021-12-19 --children --id commune-level --format json",
    ),
)
@click.option("--unit", required=True, metavar="CODE", help="The unit.")
@click.option("--from", "first", required=True, type=Day(), metavar="DATE", help="First day, inclusive.")
@click.option("--to", "last", required=True, type=Day(), metavar="DATE", help="Last day, inclusive.")
@click.option("--children", is_flag=True, help="The places directly below it too.")
@click.option("--id", "only", multiple=True, metavar="ID", help="Only this indicator; may be given again.")
@as_of_options
@format_option
@data_option
def indicators_command(
    *,
    unit: str,
    first: date,
    last: date,
    children: bool,
    only: tuple[str, ...],
    as_of: datetime | None,
    axis: str,
    layout: str,
    data: Path | None,
) -> None:
    """Print indicators from totals: value, or why there is none, with the two numbers and how many reports count."""
    with open_read_model(running_stack(data_folder(data)).settings()) as model:
        numbers = Numbers(model, None if as_of is None else millis(as_of), Axis(axis))
        released = numbers.catalogue.indicators
        if unknown := sorted({*only} - released.ratios.keys() - released.levels.keys()):
            raise UsageError(f"no indicator {unknown[0]}; there are {', '.join([*released.ratios, *released.levels])}")
        code = UnitCode(unit)
        below = [c for c in numbers.units.children(code, last) if numbers.units.expected(c, last)] if children else []
        duties = DutyCounts(numbers, millis(datetime.now(UTC)))
        found = measured(numbers, [code, *below], Span(first, last), duties)
        lines = indicator_lines(numbers, (one for one in found if not only or one.indicator in only), last)
    print_lines(lines, layout)
    tell_late_on_the_way(duties.late_on_the_way)


def _cell(number: Number) -> int | None:
    return None if isinstance(number, Blank) else number


@click.command(
    "cumulative",
    epilog=examples(
        "cumulative --unit 106 --form vaccination-daily --from 2021-12-13 --to 2021-12-19",
        "cumulative --unit 106 --form testing-daily --from 2021-12-13 --to 2021-12-19 --since 2021-11-15 --format csv",
    ),
)
@click.option("--unit", required=True, metavar="CODE", help="The unit whose total is wanted.")
@click.option("--form", required=True, metavar="ID", help="The form.")
@click.option("--from", "first", required=True, type=Day(), metavar="DATE", help="First day of the period, inclusive.")
@click.option("--to", "last", required=True, type=Day(), metavar="DATE", help="Last day of the period, inclusive.")
@click.option("--since", type=Day(), metavar="DATE", help="Where it begins to add up.  [default: the first report]")
@as_of_options
@line_option
@format_option
@data_option
def cumulative_command(
    *,
    unit: str,
    form: str,
    first: date,
    last: date,
    since: date | None,
    as_of: datetime | None,
    axis: str,
    line: str,
    layout: str,
    data: Path | None,
) -> None:
    """Print what each cell brought forward, has in the period, and has come to (lũy kế), by its rule over time."""
    with open_read_model(running_stack(data_folder(data)).settings()) as model:
        numbers = Numbers(model, None if as_of is None else millis(as_of), Axis(axis))
        found = running(numbers, UnitCode(unit), FormId(form), Span(first, last), since, LineName(line))
    rows = tuple(
        ("/".join(one.row), one.measure.name, one.measure.label_vi, _cell(one.brought_forward), _cell(one.in_period),
         _cell(one.cumulative), _reason(one.cumulative)) for one in found
    )  # fmt: skip
    print_lines(Lines(_RUNNING_COLUMNS, rows), layout)


def _reason(number: Number) -> str:
    return number.reason_vi if isinstance(number, Blank) else ""
