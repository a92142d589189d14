"""Commands about forms: which there are, what each asks, and how a new one gets into a running stack."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
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
from schemas.form import Form, FormId
from schemas.json_schema import form_schema
from schemas.obligations import subject_to
from schemas.regime import RegimeId
from schemas.unit import OPEN, UnitCode

_COLUMNS = ("form", "version", "name", "periods", "columns", "in force from", "to")


@click.command(
    "forms",
    epilog=examples(
        "forms --unit 106 --on 2021-12-13",
        "forms --unit 106 --on 2021-12-13 --all",
        "forms --form vaccination-daily --on 2021-12-13",
        "forms --form hotline --format json",
    ),
)
@click.option("--unit", metavar="CODE", help="Only what regimes ask of this unit or of those below it that day.")
@click.option("--all", "everything", is_flag=True, help="With --unit: also the forms that no regime asks of it.")
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
def forms_command(
    *, unit: str | None, everything: bool, day: date | None, form_id: str | None, layout: str, data: Path | None
) -> None:
    """List the forms in force on a day, or show one: columns in both languages, units of measure, how they add up.

    Reads the running stack's catalogue, or the one that the next start would have.
    """
    catalogue = current_catalogue(data_folder(data))
    on = day or datetime.now(ZONE).date()
    if unit is None and everything:
        raise UsageError("--all needs --unit: without a unit all forms are listed")
    asked = None if unit is None else _asked(catalogue, UnitCode(unit), on)
    forms = sorted(_in_force(catalogue, on, form_id), key=lambda form: form.id)
    if not forms:
        known = ", ".join(sorted({form.id for form in catalogue.forms}))
        raise UsageError(f"no form {form_id} in force on {on}; there are {known}" if form_id else f"no form on {on}")
    if layout == "json":
        click.echo(json.dumps([form_schema(form, catalogue, on) for form in forms], ensure_ascii=False, indent=1))
    elif form_id is not None:
        _show(forms[0], catalogue, on)
    elif asked is None:
        print_lines(Lines(_COLUMNS, tuple(_line(form) for form in forms)))
    else:
        shown = [form for form in forms if everything or form.id in asked]
        rows = ((*_line(form)[:4], ", ".join(asked.get(form.id, ()))) for form in shown)
        print_lines(Lines((*_COLUMNS[:4], "asked by"), tuple(rows)))
        if left_out := len(forms) - len(shown):
            say(f"{left_out} more forms are in force that no regime asks of {unit} or those below it: --all shows them")


def _asked(catalogue: Catalogue, unit: UnitCode, on: date) -> Mapping[FormId, list[RegimeId]]:
    """The forms that regimes ask of a unit or of those below it, with these. Raises UsageError for no such unit."""
    if catalogue.units.unit(unit, on) is None:
        raise UsageError(f"no unit {unit} on {on}")
    found: dict[FormId, list[RegimeId]] = {}
    for regime in subject_to(catalogue.regimes, catalogue.units, unit, on):
        found.setdefault(regime.form, []).append(regime.id)
    return found


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
