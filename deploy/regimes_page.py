"""`python -m deploy.regimes_page`: regimes in `docs/regimes.md` from the released catalogue, which is what counts."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from consumers.obligations import deadline_text, regime_lines
from schemas.catalogue import RELEASED, Catalogue
from schemas.exit import Exit
from schemas.regime import Regime
from schemas.regime_reader import read_ladders
from schemas.unit import OPEN

PAGE = Path(__file__).resolve().parents[1] / "docs" / "regimes.md"
WIDTH = 118

MARK = "## Ladders\n"
"""Above it people write, from it on this program does."""


def page(written: str, catalogue: Catalogue) -> str:
    """The whole page, from the one that is there."""
    parts = [
        written.partition(MARK)[0] + MARK.rstrip(),
        _ladders(catalogue),
        "## Regimes as released",
        _table(catalogue),
    ]
    for regime in catalogue.regimes:
        parts += _regime(regime)
    return "\n\n".join(parts) + "\n"


def _ladders(catalogue: Catalogue) -> str:
    lines = [
        "Presets of practice, none of them law.",
        "",
        "| ladder | Vietnamese | cut-off | deadlines |",
        "| --- | --- | --- | --- |",
    ]
    for name, ladder in sorted(read_ladders(catalogue.files).items()):
        steps = "; ".join(
            f"{part.level} {part.time}".strip() + (f" + {part.working_days} working days" if part.working_days else "")
            for part in ladder.deadline
        )
        lines.append(f"| `{name}` | {ladder.label_vi} | {ladder.cut_off} | {steps} |")
    return "\n".join(lines)


def _table(catalogue: Catalogue) -> str:
    lines = regime_lines(catalogue.regimes)
    wanted = ("regime", "kind", "form", "frequency", "cut_off", "deadline")
    places = [lines.columns.index(column) for column in wanted]
    rows = [wanted, ("---",) * len(wanted), *(tuple(str(row[place]) for place in places) for row in lines.rows)]
    return "\n".join("| " + " | ".join(cell.replace("_", "-") for cell in row) + " |" for row in rows)


def _regime(regime: Regime) -> Iterator[str]:
    basis = regime.basis
    until = "" if regime.valid_to == OPEN else f" to {regime.valid_to}"
    named = ", ".join(filter(None, (basis.document, basis.article, basis.issuer)))
    who = dict(zip(regime_lines([regime]).columns, regime_lines([regime]).rows[0], strict=True))["reporters"]
    yield f"### {regime.id}"
    yield "\n".join(
        line
        for text in (
            f"- Vietnamese: {regime.name_vi} ({regime.kind.label_vi})",
            f"- English: {regime.name_en}",
            f"- Basis: {named}" + ("" if basis.confirmed else " (to be confirmed by the office)"),
            f"- In force: from {regime.valid_from}{until}",
            f"- Who: {who}; to whom: {'; '.join(regime.recipients_vi)}",
            f"- Deadlines: {'; '.join(map(deadline_text, regime.deadlines))}",
            *(f"- Occasion: `{one.period}`" + (f", event {one.event:%Y-%m-%d %H:%M}" if one.event else "")
              for one in regime.occasions),
            f"- Content: {regime.content_vi}",
            f"- Outline: {'; '.join(regime.outline_vi)}",
            f"- Way: {regime.way_vi}",
        )
        for line in textwrap.wrap(text, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    )  # fmt: skip


def main() -> int:
    """Write the page, or with `--check` say whether it is up to date. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.regimes_page", description="docs/regimes.md from the catalogue"
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 when the page is out of date")
    given = parser.parse_args()
    written = PAGE.read_text(encoding="utf-8")
    text = page(written, Catalogue.from_folder(RELEASED))
    if not given.check:
        PAGE.write_text(text, encoding="utf-8")
        return Exit.FINE
    if written == text:
        return Exit.FINE
    sys.stderr.write(f"{PAGE.name} is out of date: run `python -m deploy.regimes_page`\n")
    return Exit.FAILED


if __name__ == "__main__":
    sys.exit(main())
