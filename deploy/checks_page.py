"""`python -m deploy.checks_page`: `docs/checks.md` from the released catalogue, so that people read what counts.

The introduction is `checks_page.md` beside this module. A test fails while the page on disk is not what this writes.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from schemas.catalogue import RELEASED, Catalogue
from schemas.cross_check import At, CheckKind, CrossCheck, Every
from schemas.exit import Exit
from schemas.term import Over, Term
from schemas.unit import UBND

PAGE = Path(__file__).resolve().parent.parent / "docs" / "checks.md"
WIDTH = 150
INTRODUCTION = Path(__file__).with_suffix(".md")


def page(catalogue: Catalogue) -> str:
    """The whole page."""
    parts = ["# Checks", INTRODUCTION.read_text(encoding="utf-8").rstrip(), "## The released checks"]
    for check in catalogue.checks:
        parts += [f"### {check.id}", "\n".join(_check(check))]
    return "\n\n".join(parts) + "\n"


def _check(check: CrossCheck) -> Iterator[str]:
    yield f"- Vietnamese: {check.label_vi}"
    yield f"- English: {check.label_en}"
    yield f"- Kind: `{check.kind}`{_whose(check)}"
    if check.value is not None and check.expected is not None:
        yield f"- Must hold: `{check.value.text} {check.comparison} {check.expected.text}`{_by(check)}"
    for name, term in check.terms.items():
        yield from _wrapped(f"- `{name}`: {term_words(term)}")
    if check.kind in (CheckKind.JUMP, CheckKind.OUTLIER):
        back = f", of the {check.days} days before" if check.kind is CheckKind.JUMP else ", of its siblings"
        least = f"{check.threshold:g} spreads and {check.least} away"
        yield f"- Stands out: more than {least}; {check.fewest} values at least{back}"
    elif check.least:
        yield f"- Looked at from {check.least} on"
    if check.rates:
        rates = "; ".join(f"`{code}` {rate:,}" for code, rate in check.rates.items())
        yield from _wrapped(f"- Rates: {rates}")
    yield from _wrapped(f"- {check.message_vi}")
    yield from _wrapped(f"- {check.message_en}")
    yield from _wrapped(f"- Source: {check.source}")


def _whose(check: CrossCheck) -> str:
    if check.kind is not CheckKind.COMPARE:
        return ""
    whose = "each unit's own report" if check.at is At.REPORT else "totals of all levels"
    return f", {whose}, {'each period' if check.every is Every.PERIOD else 'all days at once'}"


def _by(check: CrossCheck) -> str:
    return f", by {', '.join(f'`{name}`' for name in check.by)}" if check.by else ""


def term_words(term: Term) -> str:
    """A term for people."""
    rows = "".join(f", {name} {' or '.join(sorted(codes))}" for name, codes in term.where.items())
    over = {
        Over.DAYS: "", Over.TO_DATE: ", to date", Over.BEFORE: ", before the first day",
        Over.WEEK: ", the last seven days",
    }[term.over]  # fmt: skip
    line = "" if term.line == UBND else f", line {term.line}"
    optional = ", 0 where nothing was reported" if term.optional else ""
    return f"`{term.value.text}` of `{term.form}`{rows}{over}{line}{optional}"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def main() -> int:
    """Write the page, or with `--check` say whether it is up to date. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.checks_page", description="docs/checks.md from the catalogue"
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 when the page is out of date")
    given = parser.parse_args()
    text = page(Catalogue.from_folder(RELEASED))
    if not given.check:
        PAGE.write_text(text, encoding="utf-8")
        return Exit.FINE
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text:
        return Exit.FINE
    sys.stderr.write(f"{PAGE.name} is out of date: run `python -m deploy.checks_page`\n")
    return Exit.FAILED


if __name__ == "__main__":
    sys.exit(main())
