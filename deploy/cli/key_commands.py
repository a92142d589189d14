"""`chungsuc keys`: which keys may sign, since when and until when, and whether what they signed is all there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

import click

from consumers.export import Layout, Lines
from deploy.cli.options import data_folder, data_option, examples, format_option
from deploy.cli.output import print_lines, say
from deploy.errors import NotRunningError
from deploy.operator_key import operator_key
from deploy.stack import running_stack
from producers.audit import FILE as AUDIT_FILE
from producers.audit import AuditLog
from producers.key_changes import KeyChanges
from producers.sequences import FILE as SEQUENCES_FILE
from producers.sequences import Sequences, Signed
from schemas.catalogue import ZONE, Catalogue
from schemas.exit import Exit
from schemas.log import ActReader, TopicReader
from schemas.register import NEVER, Registers
from schemas.report import KeyId, Millis
from schemas.settings import Settings
from schemas.topics import REPORTS
from schemas.unit import UnitCode

_SHOWN = 20


@click.group("keys", epilog=examples("keys list --unit 03390", "keys rotate kid-03390-1"))
def keys() -> None:
    """Keys that sign reports: of units, and of gateways that attest for accounts."""


@contextmanager
def opened(data: Path | None) -> Iterator[tuple[KeyChanges, Catalogue, Settings, Registers]]:
    """The keys of a running stack."""
    settings = running_stack(data_folder(data)).settings()
    operator = operator_key(settings.data)
    registers = Registers(operator.public, settings.act_delay_ms)
    with closing(ActReader(settings, registers)) as acts:
        catalogue = acts.refresh().newest_catalogue()
        if catalogue is None:
            raise NotRunningError("no catalogue has been released yet")
        yield KeyChanges(settings, operator, acts, AuditLog(settings.data / AUDIT_FILE)), catalogue, settings, registers


@keys.command("list", epilog=examples("keys list", "keys list --unit 03390 --format csv"))
@click.option("--unit", metavar="UNIT", help="Only keys of this unit.")
@format_option
@data_option
def list_command(unit: str | None, layout: str, data: Path | None) -> None:
    """Show keys with the times between which they may sign. "here": the private half is on this host."""
    with opened(data) as (changing, _, _, _):
        rows = [
            (key.entry.kid, key.entry.unit, "gateway" if key.entry.attests else "unit", moment(key.entry.after),
             moment(key.entry.until), key.entry.reason, "here" if key.here else "", key.entry.public_key.hex())
            for key in changing.listed(UnitCode(unit) if unit else None)
        ]  # fmt: skip
    columns = ("kid", "unit", "kind", "valid_after", "valid_until", "reason", "private_half", "public_key")
    print_lines(Lines(columns, tuple(rows)), Layout(layout))


@keys.command(
    "register",
    epilog=examples("keys register --unit 03390", "keys register --unit 03390 --kid node-7 --public-key 5f3c…"),
)
@click.option("--unit", required=True, metavar="UNIT", help="Code of the unit that signs with it.")
@click.option("--public-key", "public", default="", metavar="HEX", help="Public half of a key made elsewhere.")
@click.option("--kid", default="", metavar="ID", help="Name of a key made elsewhere.")
@data_option
def register_command(unit: str, public: str, kid: str, data: Path | None) -> None:
    """Register a key of a unit: one made elsewhere by its public half, else the one that this host keeps for it."""
    with opened(data) as (changing, catalogue, _, _):
        click.echo(changing.register(UnitCode(unit), catalogue, public, kid))


@keys.command("rotate", epilog=examples("keys rotate kid-03390-1", "keys rotate kid-gateway-1 --reason yearly"))
@click.argument("kid")
@click.option("--reason", default="rotated", show_default=True, metavar="TEXT", help="Kept with the revocation.")
@data_option
def rotate_command(kid: str, reason: str, data: Path | None) -> None:
    """Put a new key in the place of KID, whose private half is on this host, and revoke KID. No report is lost.

    A node elsewhere makes its new key itself: register that, let it sign, then revoke the old one.
    """
    with opened(data) as (changing, catalogue, _, _):
        click.echo(changing.rotate(KeyId(kid), catalogue, reason))


@keys.command("revoke", epilog=examples("keys revoke kid-03390-1 --reason 'laptop stolen'"))
@click.argument("kid")
@click.option("--reason", required=True, metavar="TEXT", help="Kept in the log, for ever.")
@data_option
def revoke_command(kid: str, reason: str, data: Path | None) -> None:
    """Take no report under KID any more. What was accepted before stays. Can't be undone."""
    with opened(data) as (changing, _, _, _):
        changing.revoke(KeyId(kid), reason)
        say(f"{kid} is revoked: {reason}")


@keys.command("check", epilog=examples("keys check", "keys check --unit 03390"))
@click.option("--unit", metavar="UNIT", help="Only keys of this unit.")
@data_option
def check_command(unit: str | None, data: Path | None) -> None:
    """Look for gaps and forks in what each key has signed. Exit code 1 when there are any.

    A gap: a report that was signed and never arrived. A fork: one number on two contents, so two hosts sign with one
    key, or a node was set back to an old copy. Reads `reports` from where the last look ended.
    """
    with opened(data) as (changing, catalogue, settings, registers):
        wanted = [key.entry.kid for key in changing.listed(UnitCode(unit) if unit else None)]
        with closing(Sequences(settings.data / SEQUENCES_FILE)) as sequences:
            with TopicReader(settings.bootstrap, settings.topic(REPORTS), sequences.positions()) as reports:
                sequences.follow(reports, catalogue, registers)
            found = [sequences.of(kid) for kid in wanted]
    wrong = [one for one in found if one.gaps or one.forks]
    for one in wrong:
        click.echo(said_of(one))
    click.echo(f"keys {len(found):,}  reports {sum(one.reports for one in found):,}  with gaps or forks {len(wrong):,}")
    if wrong:
        raise click.exceptions.Exit(Exit.FAILED)


def said_of(signed: Signed) -> str:
    """A key's gaps and forks in one line."""
    gaps = ", ".join(f"{first}" if first == last else f"{first} to {last}" for first, last in signed.gaps[:_SHOWN])
    forks = ", ".join(f"{sequence} at {places}" for sequence, places in signed.forks[:_SHOWN])
    parts = [f"missing {gaps}" if gaps else "", f"twice {forks}" if forks else ""]
    return f"{signed.kid}: {'; '.join(part for part in parts if part)} (of {signed.highest})"


def moment(millis: Millis) -> str:
    """A time in Vietnam, empty for never."""
    return "" if millis == NEVER else datetime.fromtimestamp(millis / 1000, ZONE).isoformat(timespec="seconds")
