"""What our web processes have in common: a loopback listener, a wish to stop that is never lost, headers of pages."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType


def page_headers(*more: str) -> Mapping[str, str]:
    """Headers of every page: this host's style, scripts and icon and nothing else, no inline code, no frame.

    `more`: directives that some pages need beside these, such as `worker-src 'self'`.
    """
    sources = ("style-src", "script-src", "img-src", "connect-src", "form-action")
    policy = ["default-src 'none'", *(f"{name} 'self'" for name in sources), *more, "frame-ancestors 'none'",
              "base-uri 'none'"]  # fmt: skip
    return {
        "Content-Security-Policy": "; ".join(policy),
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    }


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
        # Connections inherit it. asyncio sets it only where it made the socket: an answer in two parts then waits for
        # the acknowledgement of the first, which the other side holds back for 40 ms.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(backlog)
        yield listener
