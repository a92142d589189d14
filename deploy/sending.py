"""What sends reports on a running stack: the units' outboxes and keys in its data folder, the operator's key beside."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import date, datetime
from pathlib import Path

from deploy.catalogue_release import read_registers
from deploy.errors import NotRunningError, UsageError
from deploy.operator_key import operator_key
from deploy.stack import Stack
from producers.delivery import Summary, deliver
from producers.history import replay
from producers.simulator import simulated_day
from schemas.form import Form, FormId
from schemas.unit import UBND, LineName, UnitCode

Progress = Callable[[int, int], None]


class Sender:
    """Sends through the outboxes of a stack's host, by the catalogue released last."""

    def __init__(self, stack: Stack) -> None:
        self._settings = stack.settings()
        self.operator = operator_key(self._settings.data)
        catalogue = read_registers(self._settings, self.operator).newest_catalogue()
        if catalogue is None:
            raise NotRunningError(f"no catalogue has been released on {self._settings.bootstrap} yet")
        self.catalogue = catalogue

    def replay(
        self,
        file: Path,
        form: str,
        until: datetime | None = None,
        progress: Progress | None = None,
        line: str = UBND,
    ) -> Summary:
        """A history, through each unit's own outbox. Raises UsageError for an unknown form or line, ProducerError."""
        if line not in self.catalogue.units.lines:
            raise UsageError(f"there is no line {line}; there are {', '.join(sorted(self.catalogue.units.lines))}")
        return replay(
            self._settings,
            self.operator,
            self.catalogue,
            file,
            self.versions(form),
            until=until,
            line=LineName(line),
            progress=progress,
        )

    def simulate(
        self,
        under: str,
        days: Sequence[date],
        seed: int,
        *,
        exclude: Collection[str] = (),
        forms: Collection[str] | None = None,
        progress: Progress | None = None,
    ) -> Summary:
        """Believable days of everybody below a unit, delivered at once. Raises UsageError for a form, ProducerError."""
        left_out = [UnitCode(code) for code in exclude]
        wanted = None if forms is None else [FormId(form) for form in forms if self.versions(form)]
        sends = [
            one.send
            for day in days
            for one in simulated_day(self.catalogue, UnitCode(under), day, seed=seed, exclude=left_out, forms=wanted)
        ]
        return deliver(self._settings, self.operator, self.catalogue, sends, progress)

    def versions(self, name: str) -> list[Form]:
        """All versions of a form. Raises UsageError naming the forms there are."""
        found = [form for form in self.catalogue.forms if form.id == name]
        if not found:
            known = ", ".join(sorted({form.id for form in self.catalogue.forms}))
            raise UsageError(f"there is no form {name}; there are {known}")
        return found
