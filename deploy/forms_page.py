"""`python -m deploy.forms_page`: `docs/forms.md` from the released catalogue, so that what people read is what counts.

The text depends on the catalogue's files alone: no clock, no order of a file system. A test fails while the file on
disk is not what this writes.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path

from schemas.catalogue import RELEASED, Catalogue
from schemas.code_list import CodeEntry
from schemas.exit import Exit
from schemas.form import AcrossUnits, Check, CheckLevel, Form, Measure, OverTime
from schemas.unit import OPEN

PAGE = Path(__file__).resolve().parent.parent / "docs" / "forms.md"
WIDTH = 150
_ACROSS = {AcrossUnits.SUM: "added", AcrossUnits.NONE: "never"}
_OVER = {OverTime.SUM: "added", OverTime.LAST: "last", OverTime.NONE: "never"}
_INTRODUCTION = """\
What each form (biểu mẫu) asks, as released with this version. Written by `python -m deploy.forms_page` from
`schemas/released/`; change the form's `.avsc` file, never this page.

How to read it: a *dimension* says what a row is about and takes a code of its list; a *measure* is a whole number.
*Over units* tells how several units' numbers make their superior's, *over time* how several periods make one figure:
added, the last one of each unit (a stock), or never, because the same person or thing would be counted twice. Beside
the figures a report carries texts in the form's *sections*; they are never added, a superior reads them unit by unit.
A check that *rejects* keeps the report out; one that *warns* lets it in and is named in its receipt."""


def page(catalogue: Catalogue) -> str:
    """The whole page."""
    forms = sorted(catalogue.forms, key=lambda form: (form.id, form.version))
    used = sorted({dimension.code_list for form in forms for dimension in form.dimensions})
    links = [line for form in forms for line in _wrapped(f"- [{form.label_en}](#{_anchor(form)}) ({form.label_vi})")]
    parts = ["# Forms", _INTRODUCTION, "\n".join(links)]
    for form in forms:
        parts += _form(form)
    parts.append("## Code lists")
    for name in used:
        parts += [f"### {name}", "\n".join(_codes(catalogue.codes[name]))]
    return "\n\n".join(parts) + "\n"


def _form(form: Form) -> Iterator[str]:
    yield f"## {_title(form)}"
    until = "" if form.valid_to == OPEN else f" to {form.valid_to}"
    yield "\n".join(
        [
            f"- Vietnamese: {form.label_vi}",
            f"- English: {form.label_en}",
            f"- In force: from {form.valid_from}{until}; version {form.version}",
            *_wrapped(f"- Periods: {', '.join(f'{of} (`{of.example}`)' for of in form.periods)}"),
            f"- Rows: at most {form.max_rows} in a report, {form.max_total_rows} in a total",
            *_wrapped(f"- Texts: {_sections(form)}"),
            *_wrapped(f"- Source: {form.source}"),
        ]
    )
    if form.dimensions:
        rows = [(f"`{d.name}`", d.label_vi, d.label_en, f"[{d.code_list}](#{d.code_list})") for d in form.dimensions]
        yield _table(("dimension", "Vietnamese", "English", "codes"), rows)
        if form.overlapping:
            yield "Rows overlap: one person or thing may stand in several, so the rows of a table are never added."
    else:
        yield "No dimension: a report has one row."
    yield _table(
        ("measure", "Vietnamese", "English", "unit", "over units", "over time", "values"),
        [_measure(measure) for measure in form.measures],
    )
    yield "\n".join(line for check in form.checks for line in _check(check)) if form.checks else "No check."


def _sections(form: Form) -> str:
    shown = [f"`{s.name}` {s.label_vi}{' (required)' if s.required else ''}" for s in form.sections]
    return ", ".join(shown) or "any"


def _title(form: Form) -> str:
    return form.id if form.version == 1 else f"{form.id} version {form.version}"


def _anchor(form: Form) -> str:
    return _title(form).replace(" ", "-")


def _measure(measure: Measure) -> tuple[str, ...]:
    least = "any" if measure.minimum is None else f"≥ {measure.minimum}"
    return (
        f"`{measure.name}`",
        measure.label_vi,
        measure.label_en,
        measure.unit,
        _ACROSS[measure.across_units],
        _OVER[measure.over_time],
        f"{least}, may be blank" if measure.optional else least,
    )


def _check(check: Check) -> Iterator[str]:
    effect = "rejects" if check.level is CheckLevel.REJECT else "warns"
    over = "the sums of the table" if check.over_table else "each row"
    yield from _wrapped(f"- Check `{check.id}` ({effect}, over {over}): `{check.rule.text}`")
    yield from _wrapped(f"  - {check.message_vi}")
    yield from _wrapped(f"  - {check.message_en}")


def _codes(entries: dict[str, CodeEntry]) -> Iterator[str]:
    for entry in entries.values():
        until = "" if entry.valid_to == OPEN else f" to {entry.valid_to}"
        labels = dict.fromkeys((entry.label_vi, entry.label_en))
        more = [f"from {entry.valid_from}{until}"]
        more += [f"counted as `{entry.counted_as}` after that"] if entry.counted_as else []
        more += [f"under `{entry.parent}`"] if entry.parent else []
        more += [entry.source] if entry.source else []
        yield from _wrapped(f"- `{entry.code}`: {'; '.join(labels)} ({'; '.join(more)})")


def _table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [columns, ("---",) * len(columns), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _wrapped(text: str) -> list[str]:
    """Lines of a list item; what follows the first is indented under it."""
    indent = " " * (len(text) - len(text.lstrip()) + 2)
    return textwrap.wrap(text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def main() -> int:
    """Write the page, or with `--check` say whether it is up to date. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m deploy.forms_page", description="docs/forms.md from the catalogue")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 when the page is out of date")
    given = parser.parse_args()
    text = page(Catalogue.from_folder(RELEASED))
    if not given.check:
        PAGE.write_text(text, encoding="utf-8")
        return Exit.FINE
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text:
        return Exit.FINE
    sys.stderr.write(f"{PAGE.name} is out of date: run `python -m deploy.forms_page`\n")
    return Exit.FAILED


if __name__ == "__main__":
    sys.exit(main())
