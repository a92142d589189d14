"""The sandbox's door before any gateway, in a thread: what an integration meets on a bad evening."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.sandbox.door import SandboxDoor
from deploy.sandbox.faults import Faults


@contextmanager
def sandbox_door(folder: Path, gateway: str) -> Iterator[tuple[str, Faults]]:
    """Its address and its faults, for the length of the block."""
    host, port = gateway.rpartition("/")[2].split(":")
    faults = Faults(folder)
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(SandboxDoor(faults, host, int(port)).serve(0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", faults
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.run_until_complete(_end(loop))
        loop.close()


async def _end(loop: asyncio.AbstractEventLoop) -> None:
    """Whoever is still being answered is left alone with a cut line."""
    others = [task for task in asyncio.all_tasks(loop) if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
