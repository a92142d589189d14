"""`chungsuc sheets`: the day's set of forms as a workbook, and reports out of a workbook."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import click

from consumers.export import Lines
from deploy.cli.options import Day, PeriodName, data_folder, data_option, examples, format_option, line_option
from deploy.cli.output import print_lines, say
from deploy.cli.send_commands import report
from deploy.errors import UsageError
from deploy.sheets import Sheets, read_file, write_file
from deploy.stack import running_stack
from producers.sheets.flaw import SheetError
from producers.sheets.learned import read_pairs
from producers.sheets.marking import marked as marked_copy
from producers.sheets.reading import Reading, State
from schemas.catalogue import ZONE
from schemas.exit import Exit
from schemas.period import Period

_LANGUAGES = ("vi", "en")
_MAX_MAPPED = 100

unit_option = click.option("--unit", required=True, metavar="CODE", help="The unit that reports.")
period_option = click.option(
    "--period", type=PeriodName(), metavar="P", help="The period: 2021-12-13, 2021-W50, 2021-12, …"
)
map_option = click.option(
    "--map",
    "mapped",
    multiple=True,
    metavar="HEADING=COLUMN",
    help="What a heading stands for; remembered for the unit. An empty column: not to be read. May be given again.",
)
sheet_file = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group(
    "sheets",
    epilog=examples("sheets out set.xlsx --unit 03390 --on 2021-12-13", "sheets in set.xlsx --unit 03390 --preview"),
)
def sheets() -> None:
    """Workbooks: the forms that a unit owes, out; what they say, or what an office's own tables say, in."""


@sheets.command(
    "out",
    epilog=examples(
        "sheets out set.xlsx --unit 03390 --on 2021-12-13",
        "sheets out stock.xlsx --unit 03390 --form vaccine-stock --form vaccine-receipt --on 2021-12-13 --filled",
        "sheets out month.xlsx --unit 03390 --form monthly-report --period 2021-12",
    ),
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@unit_option
@click.option("--on", type=Day(), metavar="DATE", help="The day whose reports are due.  [default: today in Vietnam]")
@click.option("--form", "forms", multiple=True, metavar="ID", help="Only this form, due or not; may be given again.")
@period_option
@click.option("--filled", is_flag=True, help="With what was reported before, for corrections.")
@line_option
@data_option
def out_command(
    *,
    file: Path,
    unit: str,
    on: date | None,
    forms: tuple[str, ...],
    period: Period | None,
    filled: bool,
    line: str,
    data: Path | None,
) -> None:
    """Write FILE (.xlsx): a cover with deadlines, a sheet per form with lists and checks, a sheet for texts.

    Without --form: everything that the unit owes on the day. --period goes with --form.
    """
    if period is not None and not forms:
        raise UsageError("--period says of which period the forms are: name them with --form")
    found = Sheets(running_stack(data_folder(data)), unit, line)
    write_file(file, found.out(on or datetime.now(ZONE).date(), forms, period, filled=filled))
    click.echo(f"{file}")


@sheets.command(
    "in",
    epilog=examples(
        "sheets in set.xlsx --unit 03390 --preview",
        "sheets in set.xlsx --unit 03390",
        "sheets in own-table.xls --unit 03390 --form testing-daily --period 2021-12-13 --map 'Cách làm=method'",
        "sheets in set.xlsx --unit 03390 --preview --marked marked.xlsx --language en",
    ),
)
@click.argument("file", type=sheet_file)
@unit_option
@click.option("--form", metavar="ID", help="The form, of sheets that don't say theirs.")
@period_option
@click.option("--preview", is_flag=True, help="Only say what it says and what is wrong; send nothing.")
@click.option("--only-good", is_flag=True, help="Send the sheets without a flaw although others have some.")
@click.option(
    "--marked",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="COPY",
    help="Also write a copy (.xlsx) with every bad cell in red and its reason as a note.",
)
@map_option
@click.option("--by", metavar="CODE", help="The superior that enters for the unit (nhập hộ).")
@click.option(
    "--language", type=click.Choice(_LANGUAGES), default="vi", show_default=True, help="Language of the reasons."
)
@line_option
@format_option
@data_option
def in_command(
    *,
    file: Path,
    unit: str,
    form: str | None,
    period: Period | None,
    preview: bool,
    only_good: bool,
    marked: Path | None,
    mapped: tuple[str, ...],
    by: str | None,
    language: str,
    line: str,
    layout: str,
    data: Path | None,
) -> None:
    """Read FILE (.xlsx, .xls, .csv) and send the reports in it through the unit's outbox, signed with its key.

    A sheet is sent whole or not at all; while any has a flaw nothing is, unless --only-good. What was wrong is listed
    with Excel's names of the cells, and the exit code is 1.
    """
    found = Sheets(running_stack(data_folder(data)), unit, line, by)
    content, at = read_file(file), _LANGUAGES.index(language)
    if mapped:
        if form is None:
            raise UsageError("--map is about one form: name it with --form")
        found.learn(form, read_pairs(mapped))
    try:
        reading = found.read(content, form, period)
    except SheetError as error:
        say(f"{file}: {error.words[at]}")
        raise click.exceptions.Exit(Exit.FAILED) from error
    _show(reading, at, layout)
    if marked is not None:
        _write_marked(marked, content, reading, at)
    if preview or (reading.flaws and not only_good):
        if reading.flaws and not preview:
            say("nothing was sent: mend the cells above, or send the other sheets with --only-good")
    elif reading.reports():
        report(found.send(reading))
    else:
        say("nothing to send: every form is blank")
    if reading.flaws:
        raise click.exceptions.Exit(Exit.FAILED)


def _write_marked(path: Path, content: bytes, reading: Reading, language: int) -> None:
    write_file(path, marked_copy(content, reading.flaws, language))


def _show(reading: Reading, language: int, layout: str) -> None:
    """Each sheet with what it is, then every flaw."""
    pages = [page for page in reading.pages if page.state is not State.IGNORED]
    print_lines(
        Lines(
            ("sheet", "form", "period", "state", "rows", "flaws"),
            tuple(
                (page.page, page.form.id if page.form else "", page.period or "", page.state.value, len(page.rows),
                 len(page.flaws))
                for page in pages
            ),
        ),
        layout,
    )  # fmt: skip
    if reading.flaws:
        click.echo()
        print_lines(
            Lines(
                ("sheet", "cell", "column", "wrong", "reason"),
                tuple((f.page, f.cell, f.heading, f.wrong.value, f.words[language]) for f in reading.flaws),
            ),
            layout,
        )
    for page in reading.pages:
        for words in page.notes:
            say(f"{page.page}: {words[language]}")
    if reading.converted:
        say(
            (f"chữ {reading.converted} đã được chuyển sang Unicode", f"text in {reading.converted} was converted")[
                language
            ]
        )


@sheets.command(
    "map",
    epilog=examples(
        "sheets map --unit 03390 --form testing-daily",
        "sheets map 'Cách làm=method' 'Nhiệt độ=' --unit 03390 --form testing-daily",
    ),
)
@click.argument("pairs", nargs=-1, metavar="[HEADING=COLUMN]...")
@unit_option
@click.option("--form", required=True, metavar="ID", help="The form whose columns are meant.")
@format_option
@data_option
def map_command(pairs: tuple[str, ...], unit: str, form: str, layout: str, data: Path | None) -> None:
    """Remember what headings of a unit's own tables stand for, and list what is remembered.

    An empty column means that a heading is not to be read.
    """
    found = Sheets(running_stack(data_folder(data)), unit, "ubnd")
    if len(pairs) > _MAX_MAPPED:
        raise UsageError(f"at most {_MAX_MAPPED} headings at once")
    if pairs:
        found.learn(form, read_pairs(pairs))
    print_lines(Lines(("heading", "column"), tuple(sorted(found.learned(form).items()))), layout)
