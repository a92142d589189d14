"""Options that several commands share, and the kinds of value they take."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from consumers.export import Layout
from producers.history import read_time
from schemas.period import Period, PeriodError, parse_period
from schemas.read_model import Axis
from schemas.settings import Settings, load_settings
from schemas.unit import UBND

Command = TypeVar("Command", bound=Callable[..., Any])


class Moment(click.ParamType):
    """A time such as 2021-12-16T07:30:00+07:00; without an offset it is Vietnamese time."""

    name = "timestamp"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """An aware time."""
        if isinstance(value, datetime):
            return value
        try:
            return read_time(value)
        except ValueError:
            self.fail(f"{value!r} is not a time such as 2021-12-16T07:30:00+07:00", param, ctx)


class Day(click.ParamType):
    """A day such as 2021-12-13."""

    name = "day"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """The date."""
        if isinstance(value, date):
            return value
        try:
            return date.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is not a day such as 2021-12-13", param, ctx)


class PeriodName(click.ParamType):
    """A period such as 2021-12-13, 2021-W50 or 2021-12."""

    name = "period"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Period:
        """The period."""
        if isinstance(value, Period):
            return value
        try:
            return parse_period(value)
        except PeriodError as error:
            self.fail(str(error), param, ctx)


def examples(*commands: str) -> str:
    """The examples under a command's help, line by line as they are typed."""
    return "\b\nExamples:\n" + "\n".join(f"  chungsuc {command}" for command in commands)


def data_option(command: Command) -> Command:
    """`--data DIR`."""
    return click.option(
        "--data",
        type=click.Path(file_okay=False, path_type=Path),
        metavar="DIR",
        help="Folder that holds all state of the stack.  [default: ./.chungsuc, or CHUNGSUC_DATA]",
    )(command)


def format_option(command: Command) -> Command:
    """`--format table|csv|json`."""
    return click.option(
        "--format",
        "layout",
        type=click.Choice([layout.value for layout in Layout]),
        default=Layout.TABLE.value,
        show_default=True,
        help="How the lines are printed.",
    )(command)


def line_option(command: Command) -> Command:
    """`--line LINE`."""
    return click.option(
        "--line",
        default=UBND,
        show_default=True,
        metavar="LINE",
        help="The hierarchy: ubnd, or one of organisations such as health.",
    )(command)


def as_of_options(command: Command) -> Command:
    """`--as-of TIMESTAMP` and `--axis`."""
    as_of = click.option("--as-of", type=Moment(), metavar="TIMESTAMP", help="As known at that moment, inclusive.")
    axis = click.option(
        "--axis",
        type=click.Choice([axis.value for axis in Axis]),
        default=Axis.ACCEPTED.value,
        show_default=True,
        help="Known by the broker's time of acceptance, or by the sender's time of issue.",
    )
    return as_of(axis(command))


def data_folder(given: Path | None) -> Path:
    """The stack's folder, absolute: as given, else the setting's."""
    settings: Settings = load_settings() if given is None else load_settings(data=given)
    return settings.data.absolute()
