"""Settings of every process: read once from environment variables with the prefix `CHUNGSUC_`, then frozen.

A misspelt variable would silently mean a default, so unknown names with the prefix are refused. Every setting is in
`docs/operations.md`; a test holds the two together.
"""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from schemas.failpoint import VARIABLE as FAILPOINT_VARIABLE

PREFIX = "CHUNGSUC_"


class SettingsError(ValueError):
    """A variable with our prefix that means nothing."""


class Settings(BaseSettings):
    """What a process needs to know before it starts."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    data: Path = Field(Path(".chungsuc"), description="folder that holds all state of one stack")
    bootstrap: str = Field("", description="host:port[,…] of an existing Kafka cluster; empty: the embedded broker")
    operator_key: str = Field("", description="public half of the first operator key, hex; written by `up`")
    prefix: str = Field("", description="put before every topic and group name: several systems on one cluster")
    partitions: int = Field(4, ge=1, description="partitions of reports, figures, receipts and rejected; chosen once")
    keyless_partitions: int = Field(1, ge=1, description="partitions of acts and issued; chosen once")
    replication: int = Field(1, ge=1, description="copies of each partition; 3 in production")
    act_delay_ms: int = Field(
        0,
        ge=0,
        description="after its broker time an act takes force; above the brokers' "
        "clock difference: 5000 with several brokers",
    )
    emit_every_ms: int = Field(200, ge=1, description="the longest a changed total waits to be sent")
    checkpoint_every_s: float = Field(5.0, gt=0, description="seconds between two checkpoints of a ledger")
    session_timeout_s: float = Field(10.0, gt=0, description="after this silence a worker's partitions go to another")
    worker_id: str = Field("worker-1", description="instance id of a stream worker: one id, one folder, one lock")
    metrics_port: int = Field(0, ge=0, description="port of this process's /metrics on loopback; 0: none")
    page_port: int = Field(0, ge=0, description="port of the page and the query API on loopback")
    gateway_port: int = Field(0, ge=0, description="port of the gateway on loopback")
    gateway_unit: str = Field("*", description="unit at and below which the gateway attests; *: everybody")
    gateway_reports_per_s: float = Field(100.0, gt=0, description="reports a second that one account may send for long")
    gateway_burst: int = Field(2000, ge=1, description="reports that one account may send at once")
    oidc_issuer: str = Field("", description="issuer of the identity provider (OpenID Connect); empty: none")
    oidc_audience: str = Field("chungsuc", description="audience that the identity provider's tokens for us name")
    entry_session_hours: float = Field(12.0, gt=0, description="how long a login on the entry pages lasts")
    stalled_after_s: float = Field(
        60.0,
        gt=0,
        description="a worker that owns nothing or stands still for so long "
        "ends itself, and its supervisor starts it again",
    )

    def topic(self, name: str) -> str:
        """The full name of a topic (or group) on this cluster."""
        return f"{self.prefix}{name}"


def load_settings(**given: object) -> Settings:
    """The settings of this process. Raises SettingsError for an unknown variable with our prefix."""
    known = {f"{PREFIX}{name}".upper() for name in Settings.model_fields} | {FAILPOINT_VARIABLE}
    if unknown := sorted(name for name in os.environ if name.upper().startswith(PREFIX) and name.upper() not in known):
        raise SettingsError(f"unknown setting {', '.join(unknown)}; see docs/operations.md for the list")
    return Settings(**given)  # type: ignore[arg-type]
