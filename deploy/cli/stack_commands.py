"""Commands about a whole stack: up, down, status, drain, verify, rebuild."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from dataclasses import asdict
from functools import partial
from pathlib import Path

import click

from consumers.verify import verify
from deploy.cli.options import data_folder, data_option, examples
from deploy.cli.output import print_table, say
from deploy.detached import up_detached
from deploy.drain import Behind, drain
from deploy.errors import NotRunningError, RefusedError, StackError, TimedOutError
from deploy.files import write_json
from deploy.plan import Plan
from deploy.ports import DEFAULT_BASE, MOST_WORKERS, Ports
from deploy.progress import meter
from deploy.reading import stored_offsets
from deploy.stack import ProcessState, holder, read_stack, running_stack
from deploy.supervisor import REQUEST, Supervisor
from deploy.throwaway import stop_stack
from schemas.exit import Exit
from schemas.settings import Settings, load_settings

_REBUILD_WITHIN_S = 600.0
_LOOK_EVERY_S = 0.05

tree_file = click.Path(exists=True, dir_okay=False, path_type=Path)
folder = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command(
    epilog=examples("up", "up --data /srv/lai-chau --port-base 18000 --workers 2 --detach", "up --units more-units.csv")
)
@data_option
@click.option(
    "--port-base",
    type=click.IntRange(1024, 65_000),
    default=DEFAULT_BASE,
    show_default=True,
    metavar="N",
    help="First of the stack's ports; every other port moves with it.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, MOST_WORKERS),
    default=1,
    show_default=True,
    metavar="N",
    help="Rollup workers, which share the partitions of `figures`.",
)
@click.option(
    "--units",
    "trees",
    type=tree_file,
    multiple=True,
    metavar="FILE",
    help="One more tree of units (code,name,level,parent,valid_from,valid_to); remembered in the data folder.",
)
@click.option("--detach", is_flag=True, help="Return once the stack is ready; stop it with `chungsuc down`.")
@click.option("--catalogue", "catalogues", type=folder, multiple=True, hidden=True)
def up(
    *,
    data: Path | None,
    port_base: int,
    workers: int,
    trees: tuple[Path, ...],
    detach: bool,
    catalogues: tuple[Path, ...],
) -> None:
    """Start the stack and keep it going: broker, ingest, rollup, read model, page, exporter.

    Prints one line beginning with "ready:" when every part is healthy. Ctrl-C or `chungsuc down` stops all cleanly.
    """
    where = data_folder(data)
    if detach:
        arguments = ["--data", str(where), "--port-base", str(port_base), "--workers", str(workers)]
        for option, paths in (("--units", trees), ("--catalogue", catalogues)):
            for path in paths:
                arguments += [option, str(path.absolute())]
        click.echo(up_detached(where, arguments).ready_line())
        return
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("kafka").setLevel(logging.ERROR)
    plan = Plan(where, Ports(port_base), workers, trees, catalogues, load_settings(data=where))
    asyncio.run(Supervisor(plan).run())


@click.command(epilog=examples("down", "down --data /srv/lai-chau"))
@data_option
def down(data: Path | None) -> None:
    """Stop the stack cleanly; what it holds is kept for the next `up`."""
    where = data_folder(data)
    if stop_stack(where) is None:
        raise NotRunningError(f"no stack runs on {where}")
    say("stopped")


@click.command(epilog=examples("status", "status --format json"))
@data_option
@click.option(
    "--format",
    "layout",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="For people, or everything that is known.",
)
def status(data: Path | None, layout: str) -> None:
    """Show which process is in which state. Exit code 0 when every part is ready, else 1."""
    stack = running_stack(data_folder(data))
    if layout == "json":
        click.echo(json.dumps({**asdict(stack), "ready": stack.ready}, ensure_ascii=False, indent=1))
    else:
        rows = [
            (p.name, p.state.value, "" if p.pid is None else str(p.pid), p.restarts, p.address, p.said)
            for p in stack.processes
        ]
        print_table(("process", "state", "pid", "restarts", "address", "last words"), rows)
    if not stack.ready:
        raise click.exceptions.Exit(Exit.FAILED)


@click.command("drain", epilog=examples("drain", "drain --timeout 300"))
@data_option
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    metavar="S",
    help="Seconds after which to give up, with exit code 3.",
)
def drain_command(data: Path | None, timeout_s: float) -> None:
    """Wait until every report sent so far is counted at every level and stored."""
    drained(running_stack(data_folder(data)).settings(), timeout_s)


@click.command("verify", epilog=examples("verify", "verify --data /srv/lai-chau"))
@data_option
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0),
    default=300.0,
    show_default=True,
    metavar="S",
    help="Seconds to wait for the drain before comparing.",
)
def verify_command(data: Path | None, timeout_s: float) -> None:
    """Prove the figures: drain, fold all of `reports` by independent code, compare every unit's rows and coverage.

    Prints how many figures were compared and how many differ. Exit code 1 on any difference.
    """
    settings = running_stack(data_folder(data)).settings()
    drained(settings, timeout_s)
    with meter("comparing") as show:
        result = verify(settings, show)
    click.echo(f"compared {result.compared:,}  differing {result.differing:,}")
    for line in result.differences:
        click.echo(line)
    if result.differing:
        raise click.exceptions.Exit(Exit.FAILED)


@click.command("rebuild", epilog=examples("rebuild", "rebuild --data /srv/lai-chau"))
@data_option
def rebuild_command(data: Path | None) -> None:
    """Make figures and read model anew from `reports` and `acts`, under a new epoch.

    The way out when a worker refuses to start: a damaged checkpoint, a log that was cut or belongs to another cluster.
    Needs a running stack (`chungsuc up`), stops its workers meanwhile and brings it back to ready.
    """
    where = data_folder(data)
    stack = running_stack(where)
    request = uuid.uuid4().hex
    write_json(where / REQUEST, {"id": request})
    deadline = time.monotonic() + _REBUILD_WITHIN_S
    told = ""
    while True:
        seen = read_stack(where)
        if seen is None or holder(where) != stack.supervisor_pid:
            raise NotRunningError(f"the stack on {where} ended meanwhile; the next `chungsuc up` completes the rebuild")
        state = seen.rebuild
        if state is not None and state.id == request:
            if state.step != told:
                told = state.step
                say(told)
            if state.done and state.error:
                raise StackError(state.error)
            if state.done:
                break
        if time.monotonic() > deadline:
            raise TimedOutError(f"not rebuilt after {_REBUILD_WITHIN_S:.0f} s; `chungsuc status` tells how far it is")
        time.sleep(_LOOK_EVERY_S)
    if not seen.ready:
        unready = "; ".join(seen.unready_lines())
        refused = any(process.state is ProcessState.STOPPED_FOR_GOOD for process in seen.processes)
        raise RefusedError(unready) if refused else TimedOutError(unready)


def drained(settings: Settings, timeout_s: float) -> None:
    """Drain with a progress bar."""
    with meter("draining") as show:

        def tell(behind: Behind) -> None:
            show(0, behind.records, f"waiting for {behind.stage}: {behind.records:,} records")

        drain(settings, partial(stored_offsets, settings), timeout_s, tell)
