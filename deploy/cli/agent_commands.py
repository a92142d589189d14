"""`chungsuc agent`: the outbox of an office that sends on its own: set up, run, ask how it does."""

from __future__ import annotations

import json
import logging
from contextlib import closing
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import click

from deploy.cli.options import examples
from deploy.cli.output import print_table, say
from deploy.errors import NotRunningError, UsageError
from producers.agent.config import AgentConfig, ConfigError, load, save
from producers.agent.process import run
from producers.agent.status import look
from producers.agent.store import FILE, AgentStore
from producers.registration import now_ms
from schemas.catalogue import ZONE
from schemas.exit import Exit
from schemas.unit import UnitCode

_FOLDER = Path("chungsuc-agent")
_STUCK_S = 24 * 3600

folder_option = click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=_FOLDER,
    show_default=True,
    metavar="DIR",
    help="The agent's own folder: its outbox, its key, and the folders in, kept, done, refused.",
)


@click.group(
    "agent",
    epilog=examples(
        "agent init --unit 03390 --gateway http://127.0.0.1:17021 --token-file token", "agent run", "agent status"
    ),
)
def agent() -> None:
    """An office's own outbox: keeps reports on disk, sends them when there is a line."""


@agent.command(
    "init",
    epilog=examples(
        "agent init --unit 03390 --gateway https://gateway.example --token-file /etc/chungsuc/token",
        "agent init --unit 03390 --bootstrap kafka.example:9092 --operator-key 5f3c…",
    ),
)
@folder_option
@click.option("--unit", required=True, metavar="UNIT", help="Code of the unit that reports.")
@click.option("--gateway", default="", metavar="URL", help="Send over HTTP to this gateway.")
@click.option(
    "--token-file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Holds the token of an account that is bound to the unit.",
)
@click.option("--bootstrap", default="", metavar="HOST:PORT", help="Write to this Kafka cluster instead.")
@click.option("--operator-key", default="", metavar="HEX", help="Public half of its operator key.")
@click.option("--prefix", default="", metavar="TEXT", help="What its topics' names begin with.")
@click.option("--port", type=click.IntRange(1, 65535), default=17080, show_default=True, metavar="N",
              help="Port on loopback for local requests, health and metrics.")  # fmt: skip
def init_command(
    folder: Path, unit: str, gateway: str, token_file: Path | None, bootstrap: str, operator_key: str, prefix: str,
    port: int,
) -> None:  # fmt: skip
    """Set an agent up: its folder and its signing key. Prints what the operator registers the key with.

    Repeating it changes the way out and keeps the key. Reports are kept from then on, and go out once the key counts.
    """
    try:
        config = AgentConfig(
            unit=unit, gateway=gateway, token_file="" if token_file is None else str(token_file.absolute()),
            bootstrap=bootstrap, operator_key=operator_key, prefix=prefix, port=port,
        )  # fmt: skip
    except ValueError as error:
        raise UsageError(str(error).splitlines()[2].strip().removeprefix("Value error, ")) from error
    folder.mkdir(parents=True, exist_ok=True)
    with closing(AgentStore(folder / FILE)) as store:
        key = store.make_key(UnitCode(unit))
    save(folder, config)
    say("The operator registers this agent's key with:")
    click.echo(f"chungsuc keys register --unit {unit} --kid {key.kid} --public-key {key.public.hex()}")


@agent.command("run", epilog=examples("agent run", "agent run --folder /srv/chungsuc-agent"))
@folder_option
def run_command(folder: Path) -> None:
    """Run the agent until Ctrl-C or SIGTERM: take files from `in` and local requests, send, read receipts."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for noisy in ("kafka", "uvicorn", "httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    run(folder.absolute(), load(folder))


@agent.command("status", epilog=examples("agent status", "agent status --format json"))
@folder_option
@click.option("--format", "layout", type=click.Choice(["table", "json"]), default="table", show_default=True,
              help="For people, or everything that is known.")  # fmt: skip
def status_command(folder: Path, layout: str) -> None:
    """Show what waits and since when. Exit code 1 where something needs a person: refused, held, or old."""
    if not (folder / FILE).exists():
        raise ConfigError(f"there is no agent in {folder}: set one up with `chungsuc agent init`")
    with closing(AgentStore(folder / FILE)) as store:
        found = look(store, folder, now_ms())
    if layout == "json":
        click.echo(json.dumps(asdict(found), ensure_ascii=False, indent=1))
    else:
        contact = "never" if not found.last_contact else (
            datetime.fromtimestamp(found.last_contact, ZONE).isoformat(timespec="seconds")
        )  # fmt: skip
        print_table(("what", "is"), [
            ("unit, key", f"{found.unit} {found.kid}"),
            ("process", "not running" if found.pid is None else str(found.pid)),
            ("waiting", f"{found.waiting:,}, the oldest for {found.oldest_waiting_s:,} s"),
            ("of these held back", f"{found.held:,} {'; '.join(found.held_said)}"),
            ("sent, no receipt yet", f"{found.unsettled:,}"),
            ("refused, rejected, in conflict", f"{found.wrong:,}"),
            ("files still in `in`", f"{found.files_in:,}"),
            ("last contact", contact),
            ("this clock ahead", f"{found.clock_ahead_s:,} s"),
            ("last error", found.last_error),
            ("nothing can be kept", found.refusing),
        ])  # fmt: skip
    if found.refusing or found.held or found.oldest_waiting_s > _STUCK_S:
        raise click.exceptions.Exit(Exit.FAILED)
    if found.pid is None:
        raise NotRunningError(f"no agent runs on {folder}: start it with `chungsuc agent run --folder {folder}`")
