"""An agent as an office runs it: a folder and a process of its own, killed and started again as a test wants."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx

from deploy.bound import bound_to_this_process
from deploy.operator_key import operator_key
from deploy.parts import CHECKOUT
from producers.agent.config import AgentConfig, local_token, save
from producers.agent.store import FILE, AgentStore, Counts
from producers.keys import NodeKey
from producers.registration import now_ms, send_acts, signed_act
from schemas.act import Act, KeyRegistered
from schemas.settings import Settings
from schemas.unit import UnitCode
from tests.support.waiting import eventually

STEADY_S = 0.3
READY_WITHIN_S = 60.0


def register(settings: Settings, key: NodeKey) -> None:
    """What the operator does for a new node."""
    act = Act(f"key_registered/{key.kid}", now_ms(), KeyRegistered(key.kid, key.unit, key.public))
    send_acts(settings, [signed_act(operator_key(settings.data), key.unit, act)])


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class OfficeAgent:
    """One agent's folder and, while it runs, its process."""

    def __init__(self, folder: Path, config: AgentConfig) -> None:
        self.folder = folder
        self.config = config
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        with closing(AgentStore(folder / FILE)) as store:
            self.key = store.make_key(UnitCode(config.unit))
        save(folder, config)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.config.port}"

    def start(self, **environment: str) -> None:
        """Start it; returns when it answers."""
        self.begin(**environment)
        eventually(self._answers, READY_WITHIN_S)

    def begin(self, **environment: str) -> None:
        """Start it and don't wait: it may end at once."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*bound_to_this_process(), sys.executable, "-m", "deploy.cli.main", "agent", "run", "--folder",
                 str(self.folder)],
                cwd=CHECKOUT, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """Its process, the newest."""
        assert self._process is not None
        return self._process.pid

    def has_ended(self) -> bool:
        """Whether nobody runs it now."""
        return self._process is None or self._process.poll() is not None

    def ended(self) -> int:
        """Wait until it ended; how."""
        assert self._process is not None
        return self._process.wait(READY_WITHIN_S)

    def kill(self) -> None:
        """As a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> int:
        """Politely; its exit code."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(30)

    def drop(self, name: str, content: Any) -> Path:
        """Put a file into `in`, whole at once."""
        text = content if isinstance(content, str) else json.dumps(content)
        part = self.folder / "in" / f"{name}.part"
        part.parent.mkdir(exist_ok=True)
        part.write_text(text, encoding="utf-8")
        return part.rename(part.with_name(name))

    def names(self, place: str) -> list[str]:
        """The files in one of the folders."""
        return sorted(path.name for path in (self.folder / place).glob("*"))

    def post(self, content: Any, key: str = "") -> httpx.Response:
        """A local request."""
        headers = {"Authorization": f"Bearer {local_token(self.folder)}", "Accept-Language": "en"}
        if key:
            headers["Idempotency-Key"] = f'"{key}"'
        return httpx.post(f"{self.url}/v1/reports", json=content, headers=headers, timeout=30)

    def counts(self) -> Counts:
        """What is where."""
        with closing(AgentStore(self.folder / FILE)) as store:
            return store.counts()

    def log(self) -> str:
        """What it said."""
        return (self.folder / "log").read_text(encoding="utf-8")

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log()
        try:
            return httpx.get(f"{self.url}/healthz", timeout=5).status_code in (200, 503)
        except httpx.HTTPError:
            return False


@contextmanager
def office(folder: Path, unit: str, gateway: str, token: str, port: int | None = None) -> Iterator[OfficeAgent]:
    """An agent that sends to a gateway, not started; it is gone after the block."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "token").write_text(token, encoding="utf-8")
    with _run(folder, unit=unit, gateway=gateway, token_file=str(folder / "token"), port=port or free_port()) as made:
        yield made


@contextmanager
def office_on_kafka(folder: Path, unit: str, settings: Settings) -> Iterator[OfficeAgent]:
    """One that writes to the log itself."""
    with _run(folder, unit=unit, bootstrap=settings.bootstrap, operator_key=settings.operator_key,
              prefix=settings.prefix, port=free_port()) as made:  # fmt: skip
        yield made


@contextmanager
def _run(folder: Path, **config: Any) -> Iterator[OfficeAgent]:
    made = OfficeAgent(folder, AgentConfig(**config, steady_s=STEADY_S))
    try:
        yield made
    finally:
        made.kill()
