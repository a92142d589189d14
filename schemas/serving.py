"""What every web process of ours has around uvicorn: a loopback listener, and a wish to stop that is never lost."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Wish:
    """The wish to stop, made by SIGTERM or Ctrl-C from now on.

    uvicorn has handlers of its own only while it serves, and raises the signal once more when it has ended; without a
    handler of ours that one would end the process with 143.
    """

    def __init__(self) -> None:
        self.made = False
        for wanted in (signal.SIGTERM, signal.SIGINT):
            signal.signal(wanted, self._make)

    def _make(self, number: int, frame: FrameType | None) -> None:
        self.made = True


@contextmanager
def listening(port: int, backlog: int) -> Iterator[socket.socket]:
    """A listener on loopback, closed at the end; port 0 takes a free one. Raises OSError where the port is taken."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(backlog)
        yield listener
