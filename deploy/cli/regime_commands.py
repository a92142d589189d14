"""Commands about what is owed: regimes, obligations, decisions on single obligations, reports returned."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import click

from consumers.export import Layout, for_terminal
from consumers.obligations import obligation_lines, obligations, regime_lines, summary_lines
from deploy.cli.options import Command, Day, Moment, PeriodName, data_folder, data_option, examples, format_option
from deploy.cli.output import print_lines, say, tell_late_on_the_way
from deploy.decisions import decide, send_back
from deploy.errors import UsageError
from deploy.reading import millis, open_read_model
from deploy.reporters import current_catalogue, heads_of
from deploy.stack import running_stack
from schemas.act import Decided, ObligationDecided, ReportReturned
from schemas.catalogue import ZONE
from schemas.form import FormId
from schemas.obligations import Moment as Known
from schemas.obligations import subject_to
from schemas.period import Period
from schemas.read_model import Axis
from schemas.regime import RegimeId
from schemas.unit import UBND, LineName, UnitCode

_WIDE = ("name", "issuer", "basis", "confirmed")
"""What a terminal has no room for."""


@click.command("regimes", epilog=examples("regimes", "regimes --unit 106 --on 2021-12-13", "regimes --format json"))
@click.option("--unit", metavar="CODE", help="Only what is asked of this unit or of those below it that day, or today.")
@click.option("--on", "day", type=Day(), metavar="DATE", help="Only those in force that day.")
@format_option
@data_option
def regimes_command(unit: str | None, day: date | None, layout: str, data: Path | None) -> None:
    """List the regimes: what is asked of whom, how often, with which cut-off and by when.

    CSV and JSON have names and basis too.
    """
    catalogue = current_catalogue(data_folder(data))
    regimes = [one for one in catalogue.regimes if day is None or one.in_force(day)]
    if unit is not None:
        on = day or datetime.now(ZONE).date()
        if catalogue.units.unit(UnitCode(unit), on) is None:
            raise UsageError(f"no unit {unit} on {on}")
        regimes = [*subject_to(regimes, catalogue.units, UnitCode(unit), on)]
    lines = regime_lines(regimes)
    print_lines(for_terminal(lines, _WIDE) if layout == Layout.TABLE else lines, layout)
    if layout == Layout.TABLE and (left_out := len(catalogue.regimes) - len(regimes)):
        say(f"{left_out} more in the catalogue: `chungsuc regimes` lists all")


@click.command(
    "obligations",
    epilog=examples(
        "obligations --unit 106 --on 2021-12-13",
        "obligations --unit 106 --from 2021-12-13 --to 2021-12-19 --summary",
        "obligations --unit 106 --on 2021-12-15 --as-of 2021-12-15T18:00:00 --axis issued --format csv",
    ),
)
@click.option("--unit", required=True, metavar="CODE", help="The unit, with everybody below it.")
@click.option("--on", "day", type=Day(), metavar="DATE", help="Reports due that day.")
@click.option("--from", "first", type=Day(), metavar="D", help="Reports due from that day on.")
@click.option("--to", "last", type=Day(), metavar="D", help="Reports due up to that day.")
@click.option("--regime", "regimes", multiple=True, metavar="ID", help="Only of this regime; may be given again.")
@click.option("--summary", is_flag=True, help="Only how many are owed, in time, late, missing, by regime.")
@click.option("--as-of", type=Moment(), metavar="TIMESTAMP", help="As known at that moment, inclusive.")
@click.option(
    "--axis",
    type=click.Choice([axis.value for axis in Axis]),
    default=Axis.ACCEPTED.value,
    show_default=True,
    help="Judged by the broker's time of acceptance, or, for a history, by the sender's time of issue.",
)
@format_option
@data_option
def obligations_command(
    *,
    unit: str,
    day: date | None,
    first: date | None,
    last: date | None,
    regimes: tuple[str, ...],
    summary: bool,
    as_of: datetime | None,
    axis: str,
    layout: str,
    data: Path | None,
) -> None:
    """Print who owes which report by when, and whether it came: in time, late, missing, extended, open, not subject.

    A table is followed by its summary. Without a day: what is due today.
    """
    first, last = _days(day, first, last)
    where = data_folder(data)
    at = Known(millis(as_of or datetime.now(UTC)), Axis(axis))
    with open_read_model(running_stack(where).settings()) as model:
        catalogue = model.catalogue()
        if unknown := sorted({*regimes} - {regime.id for regime in catalogue.regimes}):
            raise UsageError(f"no regime {', '.join(unknown)}; `chungsuc regimes` lists them")
        wanted = {RegimeId(name) for name in regimes} if regimes else None
        found = obligations(model, UnitCode(unit), first, last, at, wanted)
    heads = heads_of(where, catalogue.units)

    def phone(code: UnitCode, on: date) -> str:
        head = heads.head(code, on)
        return f"{head.name}, {head.phone}" if head else ""

    lines = obligation_lines(found, phone)
    if not summary:
        print_lines(for_terminal(lines) if layout == Layout.TABLE else lines, layout)
    if summary or layout == Layout.TABLE:
        if not summary:
            click.echo()
        print_lines(summary_lines(found), layout)
    if at.axis is Axis.ACCEPTED:
        tell_late_on_the_way(sum(one.late_on_the_way for one in found))


def said_by_the_superior(command: Command) -> Command:
    """What every decision of a superior tells: whether it takes an earlier one back, who decided, why, when, where."""
    for option in (
        data_option,
        click.option("--issued", type=Moment(), metavar="TIMESTAMP", help="When it was decided.  [default: now]"),
        click.option("--reason", required=True, metavar="TEXT", help="Why; shown with the obligation."),
        click.option("--by", required=True, metavar="CODE", help="The unit above it that decides."),
        click.option("--restore", is_flag=True, help="Take back what was decided before."),
    ):
        command = option(command)
    return command


@click.command(
    "decide",
    epilog=examples(
        "decide --regime green-zone --unit 03390 --period T:2021-12-14:vung-xanh --until 2021-12-24T17:00:00 "
        '--by 106 --reason "chờ kết quả xét nghiệm"',
        'decide --regime support-friday --unit 03415 --period 2021-12-17 --not-subject --by 106 --reason "không có"',
        'decide --regime support-friday --unit 03415 --period 2021-12-17 --restore --by 106 --reason "nhầm"',
    ),
)
@click.option("--regime", required=True, metavar="ID", help="The regime.")
@click.option("--unit", required=True, metavar="CODE", help="Whose obligation.")
@click.option("--period", required=True, type=PeriodName(), metavar="P", help="For which of the regime's periods.")
@click.option("--until", type=Moment(), metavar="TIMESTAMP", help="Extend: in time up to this moment, inclusive.")
@click.option("--not-subject", is_flag=True, help="Lift: the unit does not owe it.")
@said_by_the_superior
def decide_command(
    *,
    regime: str,
    unit: str,
    period: Period,
    until: datetime | None,
    not_subject: bool,
    restore: bool,
    by: str,
    reason: str,
    issued: datetime | None,
    data: Path | None,
) -> None:
    """Extend a deadline, exempt a unit from a report, or take either back, as a signed act. Figures do not change."""
    if (until is not None) + not_subject + restore != 1:
        raise UsageError("give one of --until, --not-subject and --restore")
    what = Decided.EXTENDED if until else Decided.NOT_SUBJECT if not_subject else Decided.RESTORED
    about = ObligationDecided(
        regime,
        UnitCode(unit),
        period.text,
        what,
        None if until is None else millis(until),
        UnitCode(by),
        reason.strip(),
    )
    decide(running_stack(data_folder(data)), about, millis(issued or datetime.now(UTC)))
    say(f"{what.value}: {regime} of {unit} for {period}")


@click.command(
    "return",
    epilog=examples(
        "return --form vaccination-daily --unit 03430 --period 2021-12-14 --until 2021-12-16T17:00:00 --by 106 "
        '--reason "số hủy lớn hơn số nhận"',
        'return --form vaccination-daily --unit 03430 --period 2021-12-14 --restore --by 106 --reason "số liệu đúng"',
    ),
)
@click.option("--form", required=True, metavar="FORM", help="Of which form.")
@click.option("--unit", required=True, metavar="CODE", help="Whose report; the one that counts now is returned.")
@click.option("--period", required=True, type=PeriodName(), metavar="P", help="For which period.")
@click.option("--line", default=UBND, show_default=True, metavar="LINE", help="On which line.")
@click.option("--until", type=Moment(), metavar="TIMESTAMP", help="By when the correction is due, inclusive.")
@said_by_the_superior
def return_command(
    *,
    form: str,
    unit: str,
    period: Period,
    line: str,
    until: datetime | None,
    restore: bool,
    by: str,
    reason: str,
    issued: datetime | None,
    data: Path | None,
) -> None:
    """Return a report for correction, or take that back, as a signed act.

    The report stays counted; what it fulfilled is owed again until a corrected one comes.
    """
    if (until is not None) == restore:
        raise UsageError("give one of --until and --restore")
    stack = running_stack(data_folder(data))
    with open_read_model(stack.settings()) as model:
        sent = model.history(UnitCode(unit), FormId(form), period.text, LineName(line))
    report = next((one for one in sent if one.standing), None)
    if report is None:
        raise UsageError(f"no report of {unit} counts in {form} for {period} on {line}: there is nothing to return")
    about = ReportReturned(
        report.source, report.unit, None if until is None else millis(until), UnitCode(by), reason.strip()
    )
    send_back(stack, about, report, millis(issued or datetime.now(UTC)))
    say(f"{'return taken back' if restore else 'returned'}: {form} of {unit} for {period}, revision {report.revision}")


def _days(day: date | None, first: date | None, last: date | None) -> tuple[date, date]:
    if day is not None and (first or last):
        raise UsageError("give --on, or --from and --to")
    if day is None and first is None and last is None:
        day = datetime.now(ZONE).date()
    begin, end = day or first or last, day or last or first
    assert begin is not None
    assert end is not None
    if end < begin:
        raise UsageError(f"--to {end} lies before --from {begin}")
    return begin, end
