"""Whom an account acts for on the pages, and what an address of a report means. Default deny, as everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from producers.entry.frame import Visit
from producers.gateway.door import Door
from producers.gateway.refusal import Refusal, Slug, refused
from producers.gateway.registry import Registry
from schemas.form import Form, FormId
from schemas.period import Period, PeriodError, parse_period
from schemas.principal import SUBMITTING, Role, may_read, may_submit
from schemas.report import Scope, Series
from schemas.unit import UBND, LineName, Unit, UnitCode

_OVERSEEING = frozenset({Role.SUPERIOR, Role.SUPERVISOR, Role.OPERATOR})


@dataclass(frozen=True, slots=True)
class Target:
    """One report that may be written on a page: whose, on which form, for which period, and who enters it."""

    unit: Unit
    form: Form
    period: Period
    line: LineName
    entered_by: UnitCode | None

    @property
    def series(self) -> Series:
        """What its revisions count within."""
        return Series(self.line, self.unit.code, self.form.id, self.period.text, self.entered_by, Scope.OWN)

    @property
    def address(self) -> str:
        """Where it is written."""
        return address_of(self.unit.code, self.form.id, self.period, self.line)


class Places:
    """Reads addresses for a visit."""

    def __init__(self, registry: Registry, door: Door) -> None:
        self._registry = registry
        self._door = door

    def own(self, visit: Visit) -> list[UnitCode]:
        """The units that the account reports for, those first that it was bound to first."""
        return self._units(visit, SUBMITTING)

    def overseen(self, visit: Visit) -> list[UnitCode]:
        """The units whose subordinates it sees."""
        return self._units(visit, _OVERSEEING)

    def _units(self, visit: Visit, roles: frozenset[Role]) -> list[UnitCode]:
        held = visit.caller.bindings
        return list(dict.fromkeys(b.unit for b in held if b.role in roles and b.in_force(visit.caller.day)))

    def read(self, visit: Visit) -> Unit:
        """The unit that an address names, which the account may read. Raises Refusal."""
        units, code = self._registry.catalogue().units, UnitCode(visit.request.path_params["unit"])
        if not may_read(visit.caller.bindings, units, code, visit.caller.day):
            raise Door.not_for(code)
        versions = units.versions(code)
        if not versions:
            raise _nothing(f"đơn vị {code}", f"unit {code}")
        return units.unit(code, visit.caller.day) or versions[-1]

    def may_write(self, visit: Visit, target: Target) -> bool:
        """Whether the account may send that report."""
        bindings, day = visit.caller.bindings, visit.caller.day
        if target.entered_by is not None:
            return may_submit(bindings, target.entered_by, target.form.id, day, for_other=True)
        return may_submit(bindings, target.unit.code, target.form.id, day, for_other=False)

    def target(self, visit: Visit) -> Target:
        """The report that an address names, which the account may read. Raises Refusal."""
        self.read(visit)
        catalogue, asked = self._registry.catalogue(), visit.request.path_params
        code, line = UnitCode(asked["unit"]), LineName(visit.request.query_params.get("line", UBND))
        try:
            period = parse_period(asked["period"])
        except PeriodError as error:
            raise _nothing(f"kỳ {asked['period'][:50]}", f"period {asked['period'][:50]}") from error
        form = catalogue.form_in_force(FormId(asked["form"]), period.last_day)
        unit = catalogue.units.unit(code, period.last_day)
        if form is None or unit is None or line not in catalogue.units.lines:
            raise _nothing(f"biểu {asked['form'][:50]} của đơn vị {code} kỳ {period.text}",
                           f"form {asked['form'][:50]} of unit {code} for {period.text}")  # fmt: skip
        own = Target(unit, form, period, line, None)
        superior = catalogue.units.superior(code, period.last_day, line)
        if self.may_write(visit, own) or superior is None:
            return own
        entered = Target(unit, form, period, line, superior)
        return entered if self.may_write(visit, entered) else own

    def writable(self, visit: Visit) -> Target:
        """The report that an address names, which the account may write. Raises Refusal."""
        target = self.target(visit)
        if not self.may_write(visit, target):
            raise Door.not_for(target.unit.code)
        return target


def address_of(unit: str, form: str, period: Period, line: LineName = UBND, page: str = "forms") -> str:
    """The address of a report's page (`forms`) or of its history (`history`)."""
    path = f"/units/{quote(unit)}/{page}/{quote(form)}/{quote(period.text, safe=':')}"
    return path if line == UBND else f"{path}?line={quote(line)}"


def _nothing(vietnamese: str, english: str) -> Refusal:
    return refused(Slug.NOT_FOUND, f"Không có {vietnamese}.", f"There is no {english}.")
