"""The second factor of accounts on the pages: TOTP (RFC 6238), a code of six digits that changes every 30 seconds.

Its secret has to be readable by the server, so it lies in the file that only the server's user reads. A code counts
once, and attempts are limited by account: who holds a stolen token can't try all codes.
"""

from __future__ import annotations

import hmac

import pyotp

from producers.entry.sessions import EntryFile
from producers.gateway.limits import Limits
from schemas.principal import PrincipalName
from schemas.report import Millis

ISSUER = "Chung Suc"
_STEP_MS = 30_000
_TRIES_PER_S, _TRIES_AT_ONCE = 1 / 30, 10
_TABLE = """
CREATE TABLE IF NOT EXISTS second_factors (
  principal TEXT PRIMARY KEY, secret TEXT NOT NULL, confirmed INTEGER NOT NULL DEFAULT 0,
  step INTEGER NOT NULL DEFAULT 0
) STRICT
"""


class SecondFactors:
    """The second factors of one data folder."""

    def __init__(self, file: EntryFile) -> None:
        self._file = file
        self._tries = Limits(_TRIES_PER_S, _TRIES_AT_ONCE)
        with file.using() as database:
            database.execute(_TABLE)

    def needed(self, name: PrincipalName) -> bool:
        """Whether the account logs in with a code too."""
        with self._file.using() as database:
            row = database.execute("SELECT 1 FROM second_factors WHERE principal = ? AND confirmed", (name,)).fetchone()
        return row is not None

    def begin(self, name: PrincipalName) -> str | None:
        """A new secret, to be shown once and confirmed by a first code; None where one is in force already."""
        secret = pyotp.random_base32()
        with self._file.using() as database:
            changed = database.execute(
                "INSERT INTO second_factors (principal, secret) VALUES (?, ?) ON CONFLICT DO UPDATE "
                "SET secret = excluded.secret, step = 0 WHERE NOT confirmed", (name, secret),
            ).rowcount  # fmt: skip
        return secret if changed else None

    def proves(self, name: PrincipalName, code: str, now: Millis) -> bool:
        """Whether a code is right and was not used before; the first one puts the factor in force."""
        if self._tries.take(name, 1, now / 1000):
            return False
        with self._file.using() as database:
            row = database.execute("SELECT secret, step FROM second_factors WHERE principal = ?", (name,)).fetchone()
            step = None if row is None else _step(row[0], code, now)
            if row is None or step is None or step <= row[1]:
                return False
            database.execute("UPDATE second_factors SET step = ?, confirmed = 1 WHERE principal = ?", (step, name))
        self._tries.give_back(name, 1)
        return True

    def drop(self, name: PrincipalName) -> bool:
        """Take it away, for who lost the device; whether there was one."""
        with self._file.using() as database:
            return database.execute("DELETE FROM second_factors WHERE principal = ?", (name,)).rowcount > 0


def address_of(name: PrincipalName, secret: str) -> str:
    """The `otpauth` address that authenticator programs take."""
    return pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=ISSUER)


def _step(secret: str, code: str, now: Millis) -> int | None:
    """The step of time whose code this is: now, just before or just after."""
    plain = "".join(code.split())
    totp = pyotp.TOTP(secret)
    for step in (now // _STEP_MS, now // _STEP_MS - 1, now // _STEP_MS + 1):
        if hmac.compare_digest(totp.generate_otp(step).encode(), plain.encode("utf-8", "replace")):
            return int(step)
    return None
