"""Commands that send reports: replay, simulate."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import click

from deploy.cli.options import Day, Moment, data_folder, data_option, examples, line_option
from deploy.cli.output import say
from deploy.progress import meter
from deploy.sending import Sender
from deploy.stack import running_stack
from producers.delivery import Summary
from schemas.exit import Exit

_SHOWN_PROBLEMS = 20


@click.command(
    "replay",
    epilog=examples(
        "replay vaccination-daily.csv --form vaccination-daily",
        "replay history.csv.gz --form covid-doses --until 2021-10-01T00:00:00+07:00",
        "replay stations.csv --form vaccination-daily --line health",
    ),
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--form", required=True, metavar="ID", help="The form whose columns the file has.")
@click.option(
    "--until",
    type=Moment(),
    metavar="TIMESTAMP",
    help="Only what was published up to then, inclusive. Without an offset: Vietnamese time.",
)
@line_option
@data_option
def replay_command(file: Path, form: str, until: datetime | None, line: str, data: Path | None) -> None:
    """Send a history of published reports, each unit's rows through its own outbox and signed with its key.

    FILE is CSV, plain or .gz: published_at,unit,period,kind[,sent_by],<dimensions>,<measures>. Returns after the last
    acknowledgement. Repeating it changes nothing. A line that can't be read is named, its send left out: exit code 1.
    """
    sender = Sender(running_stack(data_folder(data)))
    with meter("sending") as show:
        summary = sender.replay(file, form, until, show, line)
    report(summary)


@click.command(
    "simulate",
    epilog=examples(
        "simulate --under 106 --day 2021-12-13", "simulate --under 12 --day 2021-12-13 --seed 7 --form hotline"
    ),
)
@click.option("--under", required=True, metavar="UNIT", help="Code of the unit below which everybody reports.")
@click.option("--day", required=True, type=Day(), metavar="DATE", help="The day that they report on.")
@click.option(
    "--form", "forms", multiple=True, metavar="ID", help="Only this form; may be given again.  [default: all]"
)
@click.option("--seed", type=int, default=1, show_default=True, metavar="N", help="Another seed plays another day.")
@data_option
def simulate_command(under: str, day: date, forms: tuple[str, ...], seed: int, data: Path | None) -> None:
    """Play a believable day of every unit below UNIT in all forms: late, corrected, withdrawn, sent twice, offline.

    The same seed is the same day, so repeating it changes nothing.
    """
    sender = Sender(running_stack(data_folder(data)))
    with meter("sending") as show:
        summary = sender.simulate(under, [day], seed, forms=forms or None, progress=show)
    report(summary)


def report(summary: Summary) -> None:
    """Say what became of the sends; exit code 1 when some were left out."""
    for problem in summary.problems[:_SHOWN_PROBLEMS]:
        say(str(problem))
    if len(summary.problems) > _SHOWN_PROBLEMS:
        say(f"… and {len(summary.problems) - _SHOWN_PROBLEMS:,} more")
    if summary.moved:
        say(
            f"{summary.moved:,} of them bear a time of issue just after the newest of their series, which a clock that "
            "was ahead had issued: check the clock of whoever sent that"
        )
    click.echo(
        f"sends {summary.sends:,}  new {summary.new:,}  known {summary.known:,}  acknowledged {summary.acked:,}  "
        f"problems {len(summary.problems):,}"
    )
    if summary.problems:
        raise click.exceptions.Exit(Exit.FAILED)
