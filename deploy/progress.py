"""Progress of long work, on stderr and only where a person watches."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


class Meter(Protocol):
    """Hears how far the work is."""

    def __call__(self, done: int, total: int | None = None, about: str | None = None) -> None:
        """`done` of `total`; `about` names what is being done now."""


@contextmanager
def meter(about: str) -> Iterator[Meter]:
    """A progress bar while the block runs; without a terminal, silence."""
    if not sys.stderr.isatty():
        yield _silent
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(about, total=None)

        def show(done: int, total: int | None = None, about: str | None = None) -> None:
            progress.update(task, completed=done, total=total, description=about)

        yield show


def _silent(done: int, total: int | None = None, about: str | None = None) -> None:
    """Nobody watches."""
