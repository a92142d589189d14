"""`python -m deploy.checks_page`: `docs/checks.md` and `docs/indicators.md` from the released catalogue.

The introductions are `checks_page.md` and `indicators_page.md` beside this module. A test fails while a page on disk
is not what this writes.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

from schemas.catalogue import RELEASED, Catalogue
from schemas.cross_check import At, CheckKind, CrossCheck, Every
from schemas.exit import Exit
from schemas.indicator import Side
from schemas.term import Over, Term
from schemas.unit import UBND

DOCS = Path(__file__).resolve().parent.parent / "docs"
WIDTH = 150
INTRODUCTIONS = Path(__file__).parent


def pages(catalogue: Catalogue) -> Mapping[Path, str]:
    """Both pages, whole, by their file."""
    return {DOCS / "checks.md": _checks(catalogue), DOCS / "indicators.md": _indicators(catalogue)}


def _introduction(name: str) -> str:
    return (INTRODUCTIONS / name).read_text(encoding="utf-8").rstrip()


def _checks(catalogue: Catalogue) -> str:
    parts = ["# Checks", _introduction("checks_page.md"), "## The released checks"]
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
        zero = "; days with nothing left out" if check.skip_zero else ""
        yield f"- Stands out: more than {least}; {check.fewest} values at least{back}{zero}"
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


def _indicators(catalogue: Catalogue) -> str:
    parts = ["# Indicators", _introduction("indicators_page.md"), "## The released indicators"]
    for one in catalogue.indicators.ratios.values():
        lines = [
            f"- Vietnamese: {one.label_vi}",
            f"- English: {one.label_en}",
            *_wrapped(f"- {_side(one.numerator)} over {_side(one.denominator)}, × {one.scale:,} ({one.unit})"),
            *_wrapped(f"- Source: {one.source}"),
        ]
        parts += [f"### {one.id}", "\n".join(lines)]
    for scale in catalogue.indicators.levels.values():
        rows = [f"| {step.least} | {step.covered} | {step.uncovered} |" for step in scale.steps]
        head = f"| `{scale.rate}` from | level, `{scale.coverage}` ≥ {scale.enough} | level, less |"
        source = _wrapped(f"Source: {scale.source}")
        parts += [f"### {scale.id}", f"{scale.label_vi}; {scale.label_en}. For: {', '.join(sorted(scale.at_levels))}."]
        parts += ["\n".join([head, "| --- | --- | --- |", *rows]), "\n".join(source)]
    return "\n\n".join(parts) + "\n"


def _side(side: Side) -> str:
    if side.term is not None:
        return term_words(side.term)
    return f"the population ({side.population})" if side.population else f"reports {side.duties}"


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
    """Write the pages, or with `--check` say whether they are up to date. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m deploy.checks_page", description="checks.md and indicators.md")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 when a page is out of date")
    given = parser.parse_args()
    stale = []
    for path, text in pages(Catalogue.from_folder(RELEASED)).items():
        if not given.check:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(path.name)
    if not stale:
        return Exit.FINE
    sys.stderr.write(f"{', '.join(stale)} out of date: run `python -m deploy.checks_page`\n")
    return Exit.FAILED


if __name__ == "__main__":
    sys.exit(main())
