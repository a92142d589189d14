"""The nodes of a segment as the campaign holds them: started, started again when killed, ordered, ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

from deploy.bound import bound_to_this_process
from deploy.parts import CHECKOUT
from tests.faults.campaign.history import FILE as HISTORY
from tests.faults.campaign.node import Who
from tests.support.waiting import eventually, lives

_WATCH_EVERY_S = 0.1
_ORDER_WITHIN_S = 240.0
_ENDS_WITHIN_S = 240.0


@dataclass
class NodeProcess:
    """One node's process. While `held`, it is not started again."""

    folder: Path
    who: Who
    environment: dict[str, str]
    held: bool = False
    restarts: int = 0
    process: subprocess.Popen[bytes] | None = None
    _orders: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        """Start it anew where it is."""
        (self.folder / "orders").mkdir(parents=True, exist_ok=True)
        self.who.save(self.folder)
        with (self.folder / "node.log").open("ab") as output:
            self.process = subprocess.Popen(
                [*bound_to_this_process(), sys.executable, "-m", "tests.faults.campaign.node", str(self.folder)],
                cwd=CHECKOUT,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    @property
    def name(self) -> str:
        """As faults call it."""
        return f"node-{self.who.number}"

    @property
    def pid(self) -> int:
        """Its process."""
        assert self.process is not None
        return self.process.pid

    @property
    def history(self) -> Path:
        """What it told."""
        return self.folder / HISTORY

    def look(self) -> None:
        """Start it again if it has ended."""
        with self._lock:
            if not self.held and self.process is not None and self.process.poll() is not None:
                self.restarts += 1
                self.start()

    def kill(self, *, hold: bool = False) -> None:
        """SIGKILL; with `hold` it stays down until `release`."""
        with self._lock:
            self.held = hold
            assert self.process is not None
            self.process.kill()
            self.process.wait()

    def release(self) -> None:
        """Let it be started again."""
        self.held = False

    def pause(self) -> None:
        """SIGSTOP."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        if lives(self.pid):
            os.kill(self.pid, signal.SIGCONT)

    def order(self, **order: object) -> None:
        """Give an order and return when it is carried out to the last acknowledgement."""
        self._orders += 1
        path = self.folder / "orders" / f"{self._orders:05}.json"
        aside = path.with_suffix(".new")
        aside.write_text(json.dumps(order), "utf-8")
        aside.rename(path)
        eventually(lambda: not path.exists(), _ORDER_WITHIN_S)

    def end(self) -> None:
        """Let it finish what it has in hand; returns when it has ended."""
        self.release()
        (self.folder / "end").touch()

        def ended() -> bool:
            if self.process is not None and self.process.poll() == 0:
                return True
            self.look()
            return False

        eventually(ended, _ENDS_WITHIN_S)


class Nodes:
    """All nodes, watched by a thread until `end`."""

    def __init__(self, nodes: list[NodeProcess]) -> None:
        self.all = nodes
        self._ending = threading.Event()
        self._watch = threading.Thread(target=self._run, name="nodes", daemon=True)

    def start(self) -> None:
        """Start all."""
        for node in self.all:
            node.start()
        self._watch.start()

    def _run(self) -> None:
        while not self._ending.wait(_WATCH_EVERY_S):
            for node in self.all:
                node.look()

    def end(self) -> None:
        """Return when all have ended by themselves."""
        self._ending.set()
        self._watch.join()
        for node in self.all:
            node.end()

    def kill(self) -> None:
        """End all at once, for good."""
        self._ending.set()
        if self._watch.is_alive():
            self._watch.join()
        for node in self.all:
            if node.process is not None:
                node.kill(hold=True)
