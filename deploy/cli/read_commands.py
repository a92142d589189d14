"""Commands that read: figures, texts, rejected, receipts."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import click

from consumers.export import Lines, figure_lines, receipt_lines, rejection_lines
from consumers.texts import texts_below
from deploy.cli.options import (
    Day,
    PeriodName,
    as_of_options,
    data_folder,
    data_option,
    examples,
    format_option,
    line_option,
)
from deploy.cli.output import print_lines
from deploy.reading import millis, open_read_model
from deploy.stack import running_stack
from schemas.form import FormId
from schemas.period import Period, PeriodType
from schemas.read_model import Axis, FigureQuery, RowKind
from schemas.unit import LineName, UnitCode

unit_option = click.option("--unit", metavar="CODE", help="Only those of this unit.")


@click.command(
    "figures",
    epilog=examples(
        "figures --unit 106 --form vaccination-daily --from 2021-12-13 --to 2021-12-19",
        "figures --unit 106 --form vaccination-daily --from 2021-11-15 --to 2021-12-14 --sum --format csv",
        "figures --unit 106 --form testing-daily --period 2021-12-14",
        "figures --unit H35.14.26 --form vaccination-daily --line health",
        "figures --unit 106 --form testing-daily --children --as-of 2021-12-15T16:30:00 --axis issued",
    ),
)
@click.option("--unit", required=True, metavar="CODE", help="The unit whose figures are wanted.")
@click.option("--form", required=True, metavar="ID", help="The form.")
@click.option("--from", "first", type=Day(), metavar="D", help="First day, inclusive.")
@click.option("--to", "last", type=Day(), metavar="D", help="Last day, inclusive.")
@click.option(
    "--period", type=PeriodName(), metavar="P", help="Only this period: 2021-12-13, 2021-W50, 2021-12, 2021-Q4."
)
@click.option(
    "--type",
    "of",
    type=click.Choice([of.value for of in PeriodType]),
    metavar="TYPE",
    help=f"Only periods of this type: {', '.join(PeriodType)}.",
)
@click.option("--sum", "summed", is_flag=True, help="One table over all periods, each measure by its rule over time.")
@click.option("--children", is_flag=True, help="The units below as counted, and the unit's own report.")
@click.option(
    "--kind",
    type=click.Choice([kind.value for kind in RowKind]),
    default=RowKind.TOTAL.value,
    show_default=True,
    help="Its own report, or that plus everything below it.",
)
@as_of_options
@line_option
@format_option
@data_option
def figures_command(
    *,
    unit: str,
    form: str,
    first: date | None,
    last: date | None,
    period: Period | None,
    of: str | None,
    summed: bool,
    children: bool,
    kind: str,
    as_of: datetime | None,
    axis: str,
    line: str,
    layout: str,
    data: Path | None,
) -> None:
    """Print figures of a unit, one line per period and combination of dimensions, with how many units reported."""
    query = FigureQuery(
        UnitCode(unit),
        FormId(form),
        first,
        last,
        RowKind(kind),
        summed,
        children,
        None if as_of is None else millis(as_of),
        Axis(axis),
        LineName(line),
        of=None if of is None else PeriodType(of),
        period=None if period is None else period.text,
    )
    with open_read_model(running_stack(data_folder(data)).settings()) as model:
        lines = figure_lines(model.figures(query))
    print_lines(lines, layout)


@click.command(
    "texts",
    epilog=examples(
        "texts --unit 106 --form monthly-report --period 2021-12",
        "texts --unit 106 --form testing-daily --period 2021-12-15 --format json",
    ),
)
@click.option("--unit", required=True, metavar="CODE", help="The unit, with everybody below it.")
@click.option("--form", required=True, metavar="ID", help="The form.")
@click.option("--period", required=True, type=PeriodName(), metavar="PERIOD", help="One period, such as 2021-12.")
@line_option
@format_option
@data_option
def texts_command(*, unit: str, form: str, period: Period, line: str, layout: str, data: Path | None) -> None:
    """Print the texts of the reports that count, unit by unit: results, difficulties, causes, proposals, notes."""
    settings = running_stack(data_folder(data)).settings()
    with open_read_model(settings) as model:
        found = texts_below(model, settings, UnitCode(unit), FormId(form), period.text, LineName(line))
    rows = tuple((one.unit.code, one.unit.name, one.label_vi, one.text, str(one.source)) for one in found)
    print_lines(Lines(("unit", "name", "section", "text", "source"), rows), layout)


@click.command("rejected", epilog=examples("rejected", "rejected --unit 03390 --format json"))
@unit_option
@format_option
@data_option
def rejected_command(unit: str | None, layout: str, data: Path | None) -> None:
    """Print the reports that could not be accepted, newest first, with reason, field and sentence."""
    with open_read_model(running_stack(data_folder(data)).settings()) as model:
        lines = rejection_lines(model.rejections(UnitCode(unit) if unit else None))
    print_lines(lines, layout)


@click.command("receipts", epilog=examples("receipts --unit 03390", "receipts --format csv"))
@unit_option
@format_option
@data_option
def receipts_command(unit: str | None, layout: str, data: Path | None) -> None:
    """Print what became of each report: accepted, duplicate, superseded, conflict or rejected, newest first."""
    with open_read_model(running_stack(data_folder(data)).settings()) as model:
        lines = receipt_lines(model.receipts(UnitCode(unit) if unit else None))
    print_lines(lines, layout)
