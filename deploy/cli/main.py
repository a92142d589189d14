"""`chungsuc`: the command line. Data goes to stdout, messages to stderr, and the exit code tells what happened.

Every failure that can be foreseen is one line; what can't is exit code 70, one line, and a trace in a file.
"""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from datetime import UTC, datetime
from pathlib import Path

import click
from kafka.errors import KafkaError
from pydantic import ValidationError

from consumers.verify import NotVerifiable
from deploy.cli import (
    agent_commands,
    audit_commands,
    form_commands,
    key_commands,
    look_commands,
    principal_commands,
    read_commands,
    regime_commands,
    sandbox_commands,
    send_commands,
    sheet_commands,
    stack_commands,
    unit_commands,
)
from deploy.cli.options import examples
from deploy.errors import StackError
from deploy.kafka_errors import BrokerError, JarsUnavailableError, NotReadyError
from producers.agent.config import ConfigError
from producers.agent.process import BusyError
from producers.errors import ProducerError, PublishError
from schemas.exit import Exit
from schemas.log import LogUnreachable
from schemas.read_model import NotReady, ReadModelError
from schemas.settings import SettingsError

EXIT_CODES = (
    "\n\nExit codes: 0 fine, 1 a check failed or figures differ, 2 usage, 3 timeout, 4 not running or not reachable, "
    "5 refused, 70 a bug."
)
INTERRUPTED = 130


@click.group(
    epilog=examples(
        "up --detach",
        "replay vaccination-daily.csv --form vaccination-daily",
        "drain",
        "figures --unit 106 --form vaccination-daily",
        "down",
    )
    + EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="chungsuc", prog_name="chungsuc")
def cli() -> None:
    """Signed reports in over Kafka, exact figures out at every level."""


for _command in (
    stack_commands.up,
    stack_commands.down,
    stack_commands.status,
    send_commands.replay_command,
    send_commands.simulate_command,
    sheet_commands.sheets,
    stack_commands.drain_command,
    read_commands.figures_command,
    read_commands.texts_command,
    read_commands.rejected_command,
    read_commands.receipts_command,
    look_commands.findings_command,
    look_commands.indicators_command,
    look_commands.cumulative_command,
    form_commands.forms_command,
    form_commands.forms_import_command,
    unit_commands.units_command,
    unit_commands.units_import_command,
    regime_commands.regimes_command,
    regime_commands.obligations_command,
    regime_commands.decide_command,
    regime_commands.return_command,
    stack_commands.verify_command,
    stack_commands.rebuild_command,
    principal_commands.principals,
    key_commands.keys,
    audit_commands.audit_command,
    agent_commands.agent,
    sandbox_commands.sandbox,
):
    cli.add_command(_command)


def main() -> None:
    """Run the command and exit with its code."""
    try:
        code = run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output (`head`) has enough; without this Python complains once more while it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = Exit.FINE
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """The exit code of a command; what it has to say about a failure is said."""
    try:
        result = cli.main(arguments, prog_name="chungsuc", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except Exception as error:
        message, code = told(error)
        click.echo(f"chungsuc: {' '.join(message.split())}", err=True)
        return code
    return result if isinstance(result, int) else Exit.FINE


def told(error: Exception) -> tuple[str, Exit]:
    """What a failure is called, and its exit code."""
    match error:
        case StackError():
            return str(error), error.exit
        case JarsUnavailableError() | NotReadyError() | NotReady() | LogUnreachable() | PublishError():
            return str(error), Exit.UNREACHABLE
        case BrokerError() | SettingsError() | ConfigError() | BusyError():
            return str(error), Exit.REFUSED
        case ValidationError():
            first = error.errors()[0]
            return f"setting CHUNGSUC_{str(first['loc'][0]).upper()}: {first['msg']}", Exit.REFUSED
        case ReadModelError():
            return str(error), Exit.USAGE
        case ProducerError() | NotVerifiable():
            return str(error), Exit.FAILED
        case KafkaError():
            return f"the cluster does not answer as it should: {error!r}", Exit.UNREACHABLE
    return f"a bug: {type(error).__name__}: {error}; the trace is in {_keep_trace(error)}", Exit.BUG


def _keep_trace(error: Exception) -> Path:
    """Write the trace where only this user reads it: it may hold what a report says."""
    handle, name = tempfile.mkstemp(prefix="chungsuc-", suffix=".trace")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(f"{datetime.now(UTC).isoformat()} {' '.join(sys.argv)}\n")
        traceback.print_exception(error, file=file)
    return Path(name)


if __name__ == "__main__":
    main()
