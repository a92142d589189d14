"""`chungsuc audit`: who logged in, reported, was refused or changed something, and whether the log of it is whole."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from consumers.export import Layout, Lines
from deploy.cli.options import Moment, data_folder, data_option, examples, format_option
from deploy.cli.output import print_lines, say
from producers.audit import FILE, Event, broken_at, read
from schemas.catalogue import ZONE
from schemas.exit import Exit

_ABOUT_EVERYTHING = frozenset({"at", "event", "principal", "before"})


@click.command("audit", epilog=examples("audit --since 2026-11-22T07:30", "audit --principal 03390-vp-1 --event login"))
@click.option("--principal", metavar="NAME", help="Only this account's lines.")
@click.option("--event", type=click.Choice([event.value for event in Event]), help="Only lines of this kind.")
@click.option(
    "--since", type=Moment(), metavar="TIME", help="Only from this time on, Vietnamese where no offset is given."
)
@format_option
@data_option
def audit_command(
    principal: str | None, event: str | None, since: datetime | None, layout: str, data: Path | None
) -> None:
    """Print the audit log, oldest line first: logins, submissions, refusals, changes of accounts and keys.

    The chain of the lines is checked too: exit code 1, and the first line that does not follow from the one before it,
    where one was changed or left out. Works without a running stack. What other columns don't tell is in `about`.
    """
    path = data_folder(data) / FILE
    broken = broken_at(path)
    rows = [
        shown(line)
        for line in read(path)
        if (principal is None or line.get("principal") == principal)
        and (event is None or line.get("event") == event)
        and (since is None or datetime.fromisoformat(line["at"]) >= since)
    ]
    print_lines(Lines(("at", "event", "principal", "about"), tuple(rows)), Layout(layout))
    if broken is not None:
        say(f"{path}: line {broken} does not follow from the one before it: changed, or cut by a power failure")
        raise click.exceptions.Exit(Exit.FAILED)


def shown(line: dict[str, Any]) -> tuple[str, str, str, str]:
    """A line of the log as columns; its time is told in Vietnam's."""
    at = datetime.fromisoformat(line["at"]).astimezone(ZONE).isoformat(timespec="milliseconds")
    about = {name: value for name, value in line.items() if name not in _ABOUT_EVERYTHING}
    return at, line["event"], line.get("principal") or "", json.dumps(about, ensure_ascii=False)
