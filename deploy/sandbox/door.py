"""The sandbox's door: passes HTTP requests on to the gateway, one per connection, and plays the faults that are on.

The gateway itself is the real one and knows nothing of this; what a fault does is done on the way, as a bad line, a
proxy or a busy evening would.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

from deploy.sandbox.faults import Fault, Faults

_SLOW_S = 3.0
_MOST_HEAD = 64 * 1024
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_CONNECTION = re.compile(rb"\r\n(?:connection|expect): *[^\r\n]*", re.IGNORECASE)
_EXPECTS = re.compile(rb"\r\nexpect: *100-continue", re.IGNORECASE)
_PLAYED: Mapping[Fault, tuple[int, str, str, str]] = {
    Fault.BUSY: (503, "away", "Hệ thống tạm thời chưa nhận được", "2"),
    Fault.TOO_MANY: (429, "too-many-requests", "Gửi quá nhanh", "1"),
}


@dataclass(frozen=True, slots=True)
class SandboxDoor:
    """Between a port and the gateway at `host:port`."""

    faults: Faults
    host: str
    port: int

    async def serve(self, port: int) -> asyncio.Server:
        """Listen on loopback."""
        return await asyncio.start_server(self._entered, "127.0.0.1", port, limit=_MOST_HEAD)

    async def _entered(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            answer = await self._answer(reader, writer)
            if answer is not None:
                writer.write(answer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the client went away, or the gateway did; either sees a line that was cut
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes | None:
        """All bytes of the answer; None for a line that is cut."""
        on = self.faults.active(time.time())
        if Fault.NO_LINE in on:
            return None
        head = await reader.readuntil(b"\r\n\r\n")
        if _EXPECTS.search(head):
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await _body(head, reader)
        for fault in (Fault.BUSY, Fault.TOO_MANY):
            if fault in on:
                return _played(fault)
        if Fault.SLOW in on:
            await asyncio.sleep(_SLOW_S)
        request = _CONNECTION.sub(b"", head[:-2]) + b"Connection: close\r\n\r\n" + body
        if Fault.TWICE in on:
            await self._passed_on(request)
        answer = await self._passed_on(request)
        return None if Fault.LOST_ANSWER in on else answer

    async def _passed_on(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            writer.write(request)
            return await reader.read(-1)
        finally:
            writer.close()


async def _body(head: bytes, reader: asyncio.StreamReader) -> bytes:
    length = _LENGTH.search(head)
    if length:
        return await reader.readexactly(int(length[1]))
    if not _CHUNKED.search(head):
        return b""
    parts = b""
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line.split(b";")[0], 16)
        parts += line + await reader.readexactly(size + 2)
        if size == 0:
            return parts


def _played(fault: Fault) -> bytes:
    status, name, title, retry_after = _PLAYED[fault]
    problem = {"type": f"urn:chungsuc:problem:{name}", "title": title, "status": status,
               "detail": "Sự cố giả của hộp thử. A fault of the sandbox."}  # fmt: skip
    content = json.dumps(problem, ensure_ascii=False).encode()
    head = (
        f"HTTP/1.1 {status} Fault\r\nContent-Type: application/problem+json\r\nRetry-After: {retry_after}\r\n"
        f"Content-Length: {len(content)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + content
