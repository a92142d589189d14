"""Accounts on a running stack, made as the command line makes them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing

from deploy.operator_key import operator_key
from producers.accounts import FILE as ACCOUNTS_FILE
from producers.accounts import Accounts
from producers.audit import FILE as AUDIT_FILE
from producers.audit import AuditLog
from producers.principals import Principals, read_principals
from schemas.log import ActReader
from schemas.register import Registers
from schemas.settings import Settings


def apply_accounts(settings: Settings, content: str) -> tuple[Registers, Mapping[str, str]]:
    """Bind accounts by a CSV; what is registered then, and the new tokens by account."""
    operator = operator_key(settings.data)
    acts = ActReader(settings, Registers(operator.public, 0))
    with closing(acts), closing(Accounts(settings.data / ACCOUNTS_FILE)) as held:
        catalogue = acts.refresh().newest_catalogue()
        assert catalogue is not None
        wanted, problems = read_principals(content, catalogue)
        assert problems == []
        changing = Principals(settings, operator, acts, held, AuditLog(settings.data / AUDIT_FILE))
        tokens = changing.apply(changing.plan(wanted))
        assert changing.apply(changing.plan(wanted)) == {}
        return acts.refresh(), {str(name): token for name, token in tokens.items()}
