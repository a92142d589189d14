"""What an agent is set up with, in `agent.json` of its folder: written by `chungsuc agent init`, read at each start.

A folder of its own and no environment: an office runs it beside other programs, started by whatever starts services.
"""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from producers.errors import ProducerError

FILE = "agent.json"
TOKEN_FILE = "local.token"


class ConfigError(ProducerError):
    """An agent that is not set up, or not as it must be."""


class AgentConfig(BaseModel):
    """One of `gateway` (with `token_file`) and `bootstrap` (with `operator_key`) is the way out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    unit: str = Field(min_length=1)
    gateway: str = ""
    token_file: str = ""
    bootstrap: str = ""
    operator_key: str = ""
    prefix: str = ""
    port: int = Field(default=17080, ge=1, le=65535)
    steady_s: float = Field(default=2.0, ge=0)

    @model_validator(mode="after")
    def _one_way(self) -> AgentConfig:
        if bool(self.gateway) == bool(self.bootstrap):
            raise ValueError("give either a gateway or a Kafka cluster")
        if self.gateway and not self.token_file:
            raise ValueError("a gateway needs a token file")
        if self.bootstrap and len(self.operator_key) != 64:
            raise ValueError("a Kafka cluster needs the public half of the operator key, 64 hex digits")
        return self


def save(folder: Path, config: AgentConfig) -> None:
    """Write it, and the token of local requests where there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE).write_text(config.model_dump_json(indent=1) + "\n", encoding="utf-8")
    if not (folder / TOKEN_FILE).exists():
        handle = os.open(folder / TOKEN_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(f"{secrets.token_urlsafe(24)}\n")


def load(folder: Path) -> AgentConfig:
    """Read it. Raises ConfigError."""
    path = folder / FILE
    try:
        return AgentConfig.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise ConfigError(f"there is no agent in {folder}: set one up with `chungsuc agent init`") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"{path}: {'.'.join(map(str, first['loc']))} {first['msg']}") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} can't be read: {error}") from error


def local_token(folder: Path) -> str:
    """What programs of this host show. Raises ConfigError."""
    try:
        return (folder / TOKEN_FILE).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the local token can't be read: {error}") from error
