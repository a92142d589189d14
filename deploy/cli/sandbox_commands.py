"""`chungsuc sandbox`: something to integrate against, with faults on demand."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import click

from deploy.cli.options import examples
from deploy.cli.output import say
from deploy.ports import SANDBOX_BASE
from deploy.sandbox.faults import Fault, Faults
from deploy.sandbox.process import down, reset, run, running_sandbox, up_detached

folder_option = click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".chungsuc-sandbox"),
    show_default=True,
    metavar="DIR",
    help="The sandbox's own folder; `reset` deletes it.",
)


@click.group(
    "sandbox", epilog=examples("sandbox up --detach", "sandbox fault lost-answer --seconds 30", "sandbox down")
)
def sandbox() -> None:
    """A whole stack to try an integration against: accounts with tokens, faults on demand. Not for real reports."""


@sandbox.command("up", epilog=examples("sandbox up", "sandbox up --detach --port-base 18100"))
@folder_option
@click.option("--port-base", type=click.IntRange(1024, 65_000), default=SANDBOX_BASE, show_default=True, metavar="N",
              help="First of its ports; the gateway to send to is at N + 60.")  # fmt: skip
@click.option("--detach", is_flag=True, help="Return once it is ready; stop it with `chungsuc sandbox down`.")
def up_command(folder: Path, port_base: int, *, detach: bool) -> None:
    """Start it and print its accounts' tokens and the gateway's address."""
    if detach:
        click.echo("\n".join(up_detached(folder.absolute(), port_base).lines()))
        return
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    run(folder.absolute(), port_base)


@sandbox.command("down", epilog=examples("sandbox down"))
@folder_option
def down_command(folder: Path) -> None:
    """Stop it; accounts, tokens and reports are kept for the next `up`."""
    down(folder.absolute())
    say("stopped")


@sandbox.command("reset", epilog=examples("sandbox reset"))
@folder_option
def reset_command(folder: Path) -> None:
    """Forget all reports and accounts and start anew on the same ports, with new tokens."""
    click.echo("\n".join(reset(folder.absolute()).lines()))


@sandbox.command("fault", epilog=examples(*(f"sandbox fault {fault.value}" for fault in (Fault.BUSY, Fault.TWICE))))
@click.argument("name", type=click.Choice([fault.value for fault in Fault]))
@click.option("--seconds", type=click.FloatRange(min=0), default=20.0, show_default=True, metavar="S",
              help="For how long; 0 ends it now.")  # fmt: skip
@folder_option
def fault_command(name: str, seconds: float, folder: Path) -> None:
    """Let something go wrong for a while, as it does in real life; several may be on at once."""
    fault = Fault(name)
    running_sandbox(folder.absolute())
    Faults(folder.absolute()).switch(fault, time.time() + seconds)
    say(f"{fault.value}: {fault.said}, for {seconds:g} s" if seconds else f"{fault.value} has ended")


# The list of faults stands in one place only.
fault_command.help = "\n".join([
    "Let something go wrong for a while, as it does in real life; several may be on at once.", "", "\b",
    *(f"{fault.value:<15} {fault.said}" for fault in Fault),
])  # fmt: skip
