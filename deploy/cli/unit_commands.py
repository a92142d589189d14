"""Commands about reporters: who they are and whom they answer to, out as tables and in by a plan."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path

import click

from consumers.export import Layout, Lines, Value, for_terminal
from deploy.cli.options import Day, data_folder, data_option, examples, format_option
from deploy.cli.output import print_lines, say
from deploy.errors import UsageError
from deploy.files import write_bytes
from deploy.reporters import apply, below, current_catalogue, everything_below, exported, heads_of, intake
from schemas.catalogue import ZONE
from schemas.head import Heads
from schemas.reporters import Change, days
from schemas.unit import LineName, Unit, UnitCode, Units, span

_COLUMNS = ("code", "name", "kind", "level", "place", "superiors", "head", "title", "phone", "valid_from", "valid_to")


@click.command(
    "units",
    epilog=examples(
        "units --unit 106 --on 2021-12-13",
        "units --unit H35.14.26 --on 2021-12-13 --line health --format csv",
        "units --unit 106 --export reporters",
    ),
)
@click.option("--unit", default="VN", show_default=True, metavar="CODE", help="The unit, with those below it.")
@click.option("--on", "day", type=Day(), metavar="DATE", help="The day that is asked about.  [default: today]")
@click.option("--line", metavar="LINE", help="Only those that answer to it on this line, such as health.")
@click.option(
    "--export",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write the unit and all below it, of all days, as units.csv, superiors.csv and heads.csv.",
)
@format_option
@data_option
def units_command(
    *, unit: str, day: date | None, line: str | None, folder: Path | None, layout: str, data: Path | None
) -> None:
    """List a unit, those that answer to it and the organisations placed in it: superiors, head, phone, validity.

    Reads the running stack's catalogue, or the one that the next start would have.
    """
    where = data_folder(data)
    units = current_catalogue(where).units
    code, on = UnitCode(unit), day or datetime.now(ZONE).date()
    if code not in units:
        raise UsageError(f"no unit {unit} in the catalogue")
    if line is not None and line not in units.lines:
        raise UsageError(f"no line {line}; there are {', '.join(sorted(units.lines))}")
    heads = heads_of(where, units)
    if folder is not None:
        _export(folder, units, heads, code)
        return
    found = below(units, code, on, LineName(line) if line else None)
    if not found or found[0].code != code:
        spans = ", ".join(span(one.valid_from, one.valid_to) for one in units.versions(code))
        raise UsageError(f"no unit {unit} on {on}; it was there {spans}")
    lines = Lines(_COLUMNS, tuple(_row(units, heads, one, on) for one in found))
    print_lines(for_terminal(lines) if layout == Layout.TABLE else lines, layout)


def _row(units: Units, heads: Heads, unit: Unit, on: date) -> tuple[Value, ...]:
    head = heads.head(unit.code, on)
    answers = (f"{line} {above}" for line in sorted(units.lines) if (above := units.superior(unit.code, on, line)))
    contact = (head.name, head.title, head.phone) if head else ("", "", "")
    return (unit.code, unit.name, unit.kind.value, unit.level, unit.place, ", ".join(answers), *contact,
            *days(unit.valid_from, unit.valid_to))  # fmt: skip


def _export(folder: Path, units: Units, heads: Heads, code: UnitCode) -> None:
    for name, text in exported(units, heads, everything_below(units, code)).items():
        write_bytes(folder / name, text.encode(), mode=0o600)
        say(f"{folder / name}: {text.count(chr(10)) - 1} rows")


@click.command(
    "units-import",
    epilog=examples("units-import units.csv superiors.csv heads.csv", "units-import heads.csv --apply"),
)
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--apply", "wanted", is_flag=True, help="Take it in; without this only the plan is printed.")
@format_option
@data_option
def units_import_command(files: tuple[Path, ...], *, wanted: bool, layout: str, data: Path | None) -> None:
    """Plan, and with --apply take in, tables of units, superiors or heads; each file is told by its header.

    Columns: code,name,level,kind,place,valid_from,valid_to, or line,code,superior,valid_from,valid_to, or
    code,name,title,phone,valid_from,valid_to. A row about a known unit (and line) from a known day replaces it; a head
    without a name is erased. One row that does not fit, and nothing is taken in.
    """
    where = data_folder(data)
    catalogue = current_catalogue(where)
    found = intake(catalogue, heads_of(where, catalogue.units), files)
    print_lines(Lines(("change", "table", "row", "was"), tuple(_planned(found.changes))), layout)
    say(f"{len(found.changes)} changes, {found.unchanged} rows as they are")
    if wanted:
        say(apply(where, catalogue, found))
    elif found.changes:
        say("nothing is changed yet: add --apply")


def _planned(changes: tuple[Change, ...]) -> Iterator[tuple[Value, ...]]:
    for change in changes:
        yield change.what, change.table, ",".join(change.now), ",".join(change.was)
