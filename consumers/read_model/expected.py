"""Who is expected to report: whom the regimes ask, so that nobody is called missing who owes nothing (decision 21)."""

from __future__ import annotations

import sqlite3

from consumers.read_model.arrivals import decisions
from consumers.read_model.standing import Moment
from consumers.read_model.trees import Trees
from schemas.act import Decided
from schemas.catalogue import Catalogue
from schemas.form import FormId
from schemas.obligations import Moment as Known
from schemas.obligations import asking, decisions_at
from schemas.period import Period
from schemas.report import Millis
from schemas.unit import LineName, UnitCode

_NOW = Millis(2**62)
"""Later than every act."""


def asked_of(
    connection: sqlite3.Connection, catalogue: Catalogue, trees: Trees, form: FormId, line: LineName, period: Period,
    top: UnitCode, moment: Moment,
) -> frozenset[UnitCode] | None:  # fmt: skip
    """Whom of `top` and those below it regimes ask for a form and period, without who was exempted as known then.

    None where no regime is about the form on the period's last day: then nobody knows better than the tree.
    """
    occasions = asking(catalogue.regimes, form, line, period)
    if occasions is None:
        return None
    known = Known(_NOW if moment.as_of is None else moment.as_of, moment.axis)
    exempt = {
        about for about, one in decisions_at(decisions(connection), known).items()
        if one.about.decided is Decided.NOT_SUBJECT
    }  # fmt: skip
    return frozenset(
        code for regime, occasion in occasions for code in trees.obliged(regime, occasion, top)
        if (regime.id, code, occasion.period.text) not in exempt
    )  # fmt: skip
