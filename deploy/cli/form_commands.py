"""Commands about forms: which there are, what each asks, and how a new one gets into a running stack."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path

import click

from consumers.export import Lines
from deploy.cli.options import Day, data_folder, data_option, examples
from deploy.cli.output import print_lines, print_table, say
from deploy.errors import UsageError
from deploy.form_intake import Intake, intake, take_in
from deploy.reporters import current_catalogue
from schemas.catalogue import ZONE, Catalogue
from schemas.form import Form
from schemas.json_schema import form_schema
from schemas.unit import OPEN, UnitCode

_COLUMNS = ("form", "version", "name", "periods", "columns", "in force from", "to")


@click.command(
    "forms",
    epilog=examples(
        "forms --unit 106 --on 2021-12-13",
        "forms --form vaccination-daily --on 2021-12-13",
        "forms --form hotline --format json",
    ),
)
@click.option("--unit", metavar="CODE", help="Say for whom; refused where no such unit is in force that day.")
@click.option("--on", "day", type=Day(), metavar="DATE", help="The day that is asked about.  [default: today]")
@click.option("--form", "form_id", metavar="ID", help="One form: its columns, codes, texts and checks.")
@click.option(
    "--format",
    "layout",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="For people, or the JSON Schema of each form.",
)
@data_option
def forms_command(*, unit: str | None, day: date | None, form_id: str | None, layout: str, data: Path | None) -> None:
    """List the forms in force on a day, or show one: columns in both languages, units of measure, how they add up.

    Reads the running stack's catalogue, or the one that the next start would have.
    """
    catalogue = current_catalogue(data_folder(data))
    on = day or datetime.now(ZONE).date()
    if unit is not None and catalogue.units.unit(UnitCode(unit), on) is None:
        raise UsageError(f"no unit {unit} on {on}")
    forms = sorted(_in_force(catalogue, on, form_id), key=lambda form: form.id)
    if not forms:
        known = ", ".join(sorted({form.id for form in catalogue.forms}))
        raise UsageError(f"no form {form_id} in force on {on}; there are {known}" if form_id else f"no form on {on}")
    if layout == "json":
        click.echo(json.dumps([form_schema(form, catalogue, on) for form in forms], ensure_ascii=False, indent=1))
    elif form_id is not None:
        _show(forms[0], catalogue, on)
    else:
        print_lines(Lines(_COLUMNS, tuple(_line(form) for form in forms)))


def _in_force(catalogue: Catalogue, on: date, form_id: str | None) -> Iterator[Form]:
    for one in {form.id for form in catalogue.forms}:
        form = catalogue.form_in_force(one, on)
        if form is not None and form_id in (None, one):
            yield form


def _line(form: Form) -> tuple[str | int, ...]:
    until = "" if form.valid_to == OPEN else form.valid_to.isoformat()
    periods = ", ".join(form.periods)
    return (form.id, form.version, form.label_vi, periods, len(form.columns), form.valid_from.isoformat(), until)


def _show(form: Form, catalogue: Catalogue, on: date) -> None:
    say(f"{form.label_vi}\n{form.label_en}\nversion {form.version}, from {form.valid_from}; {form.source}")
    say(f"periods: {', '.join(f'{of} ({of.example})' for of in form.periods)}")
    columns = [(d.name, d.label_vi, d.label_en, f"code of {d.code_list}", "", "") for d in form.dimensions]
    columns += [
        (m.name, m.label_vi, m.label_en, m.unit, m.across_units.value, m.over_time.value) for m in form.measures
    ]
    print_table(("column", "Vietnamese", "English", "unit", "over units", "over time"), columns)
    for name in dict.fromkeys(dimension.code_list for dimension in form.dimensions):
        entries = [entry for entry in catalogue.codes[name].values() if entry.in_force(on)]
        print_table(("code", "Vietnamese", "English"), [(e.code, e.label_vi, e.label_en) for e in entries], name)
    if form.sections:
        sections = [(s.name, s.label_vi, s.label_en, "required" if s.required else "") for s in form.sections]
        print_table(("text", "Vietnamese", "English", ""), sections, "texts")
    if form.checks:
        print_table(
            ("check", "rule", "when broken"), [(c.id, c.rule.text, c.level.value) for c in form.checks], "checks"
        )


@click.command(
    "forms-import",
    epilog=examples("forms-import hotline-2.avsc", "forms-import our-forms --dry-run", "forms-import need-kind.csv"),
)
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@data_option
def forms_import_command(paths: tuple[Path, ...], *, dry_run: bool, data: Path | None) -> None:
    """Take forms (.avsc) and code lists (.csv) into the catalogue: files, or folders of them.

    A running stack has them released and announced at once and goes on without a stop; else the next start releases
    them. They are kept in the data folder. A form already reported on can't change for the days that have passed.
    """
    where = data_folder(data)
    wanted = intake(where, paths)
    _tell(wanted)
    if dry_run or not wanted.changed:
        return
    say(take_in(where, wanted))


def _tell(wanted: Intake) -> None:
    changes = [*((name, "new") for name in wanted.added), *((name, "changed") for name in wanted.changed_files)]
    print_lines(Lines(("file", "change"), tuple(sorted(changes))))
