"""What commands print: data on stdout as a table, CSV or JSON, and nothing else there; messages on stderr."""

from __future__ import annotations

from collections.abc import Sequence

import click

from consumers.export import Layout, Lines, Value, as_text


def print_lines(lines: Lines, layout: str = Layout.TABLE) -> None:
    """Print rows under their column names."""
    click.echo(as_text(lines, Layout(layout)), nl=False)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Value]], title: str = "") -> None:
    """A table for people, under a title."""
    if title:
        click.echo(f"\n{title}")
    print_lines(Lines(tuple(columns), tuple(tuple(row) for row in rows)))


def tell_late_on_the_way(reports: int) -> None:
    """Say that reports are late only by acceptance, which is so for all of a history that was replayed."""
    if reports:
        say(f"{reports} late reports were issued in time and accepted after it (a line was down, or a history was "
            "replayed): --axis issued judges by the time of issue")  # fmt: skip


def say(message: str) -> None:
    """A message for people, on stderr."""
    click.echo(message, err=True)
