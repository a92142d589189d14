"""`chungsuc principals`: who may say what, from a CSV to acts and tokens."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import click

from consumers.export import Layout, Lines
from deploy.catalogue_release import read_registers
from deploy.cli.options import data_folder, data_option, examples, format_option
from deploy.cli.output import print_lines, say
from deploy.errors import NotRunningError, RefusedError, UsageError
from deploy.operator_key import operator_key
from deploy.stack import running_stack
from producers.accounts import FILE as ACCOUNTS_FILE
from producers.accounts import Accounts
from producers.audit import FILE as AUDIT_FILE
from producers.audit import AuditLog, Event
from producers.entry.second_factor import SecondFactors
from producers.entry.sessions import FILE as ENTRY_FILE
from producers.entry.sessions import EntryFile
from producers.principals import COLUMNS, Change, Principals, Step, described, read_principals
from producers.registration import now_ms
from schemas.exit import Exit
from schemas.log import ActReader
from schemas.principal import PrincipalName
from schemas.register import PrincipalEntry, Registers
from schemas.report import Millis

csv_file = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group("principals", epilog=examples("principals plan accounts.csv", "principals apply accounts.csv"))
def principals() -> None:
    """Accounts of the gateway: who may report, read or oversee, for which unit and form, and until when."""


@contextmanager
def opened(data: Path | None) -> Iterator[tuple[Principals, Registers, Accounts]]:
    """The accounts of a running stack."""
    settings = running_stack(data_folder(data)).settings()
    operator = operator_key(settings.data)
    registers = read_registers(settings, operator)
    acts = ActReader(settings, Registers(operator.public, settings.act_delay_ms))
    audit = AuditLog(settings.data / AUDIT_FILE)
    with closing(acts), closing(Accounts(settings.data / ACCOUNTS_FILE)) as accounts:
        yield Principals(settings, operator, acts, accounts, audit), registers, accounts


@principals.command("plan", epilog=examples("principals plan accounts.csv"))
@click.argument("file", type=csv_file)
@data_option
def plan_command(file: Path, data: Path | None) -> None:
    """Show what applying FILE would change, and change nothing.

    FILE is CSV: principal,unit,role,forms,valid_from,valid_to,name,contact,subject. Roles: clerk, approver, superior
    (enters for units below), supervisor (reads), operator. Forms: ids with a space between, or * for all. An empty day
    is open. subject: by which `sub` the identity provider knows who acts as the account.
    """
    with opened(data) as (changing, registers, _):
        show(changes_of(file, changing, registers))


@principals.command("apply", epilog=examples("principals apply accounts.csv --tokens tokens.csv"))
@click.argument("file", type=csv_file)
@click.option(
    "--tokens",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="New file for the new tokens, readable by you only; without it they are printed.",
)
@data_option
def apply_command(file: Path, tokens: Path | None, data: Path | None) -> None:
    """Bind accounts as FILE says. New accounts get a token, which is shown here and never again.

    Repeating it changes nothing. Accounts that FILE does not name stay as they are.
    """
    with opened(data) as (changing, registers, _):
        changes = changes_of(file, changing, registers)
        if tokens is not None and tokens.exists():
            raise UsageError(f"{tokens} exists: tokens are never written over, choose another file")
        show(changes)
        give_out(changing.apply(changes), tokens)


@principals.command("reset", epilog=examples("principals reset 03390-vp-1"))
@click.argument("name")
@data_option
def reset_command(name: str, data: Path | None) -> None:
    """Take back an account's tokens and print a new one, once: for one that was lost or seen by others."""
    with opened(data) as (changing, registers, _):
        entry = registers.principal(name)
        if entry is None or not entry.bindings_at(Millis(now_ms() + 1)):
            raise UsageError(f"account {name} is bound to nothing: name it in a file and apply that")
        give_out({PrincipalName(name): changing.new_token(PrincipalName(name))}, None)


@principals.command("totp-reset", epilog=examples("principals totp-reset 03390-vp-1"))
@click.argument("name")
@data_option
def totp_reset_command(name: str, data: Path | None) -> None:
    """Take away an account's second factor (TOTP) on the entry pages: for who lost the device. Its tokens stay."""
    file = EntryFile(data_folder(data) / ENTRY_FILE)
    try:
        if not SecondFactors(file).drop(PrincipalName(name)):
            raise UsageError(f"account {name} has no second factor")
    finally:
        file.close()
    AuditLog(data_folder(data) / AUDIT_FILE).note(now_ms(), Event.SECOND_FACTOR_RESET, principal=name)
    say(f"{name}: logs in with its token alone until it turns the second factor on again")


@principals.command("revoke", epilog=examples("principals revoke 03390-vp-1"))
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@data_option
def revoke_command(names: tuple[str, ...], data: Path | None) -> None:
    """Take back everything that accounts may do, and their tokens: for people who leave. What they sent stays."""
    with opened(data) as (changing, registers, accounts):
        for name in names:
            if registers.principal(name) is None and not accounts.tokens(PrincipalName(name)):
                raise UsageError(f"there is no account {name}")
        for name in names:
            stood = changing.revoke(PrincipalName(name))
            say(f"{name}: may do nothing any more, {stood} tokens taken back")


@principals.command("list", epilog=examples("principals list", "principals list --format csv"))
@format_option
@data_option
def list_command(layout: str, data: Path | None) -> None:
    """Show accounts: bindings, whether a token stands and was ever used, and who answers for them."""
    with opened(data) as (_, registers, accounts):
        rows = [row for entry in registers.principals() for row in rows_of(entry, accounts)]
    columns = ("principal", "unit", "role", "forms", "valid_from", "valid_to", "token", "name", "contact", "subject")
    print_lines(Lines(columns, tuple(rows)), Layout(layout))


def changes_of(file: Path, changing: Principals, registers: Registers) -> list[Change]:
    """What a file changes. Its bad lines are said, and end the command with 1."""
    catalogue = registers.newest_catalogue()
    if catalogue is None:
        raise NotRunningError("no catalogue has been released yet")
    wanted, problems = read_principals(file.read_text(encoding="utf-8-sig"), catalogue)
    for problem in problems:
        say(str(problem))
    if problems or not wanted:
        say("nothing was changed" if problems else f"{file} names no account; columns are {','.join(COLUMNS)}")
        raise click.exceptions.Exit(Exit.FAILED)
    return changing.plan(wanted)


def show(changes: list[Change]) -> None:
    """Say what changes, on stderr: stdout is for tokens."""
    for change in changes:
        if change.step is Step.SAME:
            continue
        say(f"{change.step.value} {change.wanted.name}")
        for binding in sorted(set(change.before) - set(change.wanted.bindings)):
            say(f"  - {described(binding)}")
        for binding in sorted(set(change.wanted.bindings) - set(change.before)):
            say(f"  + {described(binding)}")
    same = sum(change.step is Step.SAME for change in changes)
    say(f"{len(changes) - same} accounts change, {same} stay as they are")


def give_out(tokens: Mapping[PrincipalName, str], file: Path | None) -> None:
    """Print tokens, or write them where only this user reads them."""
    if not tokens:
        return
    if file is None:
        out = csv.writer(sys.stdout, lineterminator="\n")
        out.writerow(("principal", "token"))
        out.writerows(tokens.items())
        return
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise RefusedError(f"{file} can't be written: {error}; `chungsuc principals reset` makes new tokens") from error
    with os.fdopen(handle, "w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows([("principal", "token"), *tokens.items()])
    say(f"{len(tokens)} tokens are in {file}: hand them out and delete it")


def rows_of(entry: PrincipalEntry, accounts: Accounts) -> list[tuple[str, ...]]:
    """The lines of one account, one per binding; one that may do nothing has one line."""
    token, person = token_state(accounts, entry.name), accounts.person(entry.name)
    about = (token, person.name, person.contact, accounts.subject_of(entry.name))
    bindings = entry.bindings_at(Millis(now_ms() + 1))
    if not bindings:
        return [(entry.name, "", "", "", "", "", *about)]
    return [
        (entry.name, b.unit, b.role.value, " ".join(b.forms), b.valid_from.isoformat(), b.valid_to.isoformat(), *about)
        for b in bindings
    ]  # fmt: skip


def token_state(accounts: Accounts, name: PrincipalName) -> str:
    """Whether the account can log in, and ever did."""
    standing = [token for token in accounts.tokens(name) if token.revoked_at is None]
    if not standing:
        return "none"
    return "used" if any(token.first_used_at is not None for token in standing) else "never used"
