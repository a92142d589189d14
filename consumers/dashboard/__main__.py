"""`python -m consumers.dashboard`: the page as a process, on a loopback port.

Ready when it listens and the read model can answer. SIGTERM ends it; open live connections are closed, exit code 0.
"""

from __future__ import annotations

import asyncio
import logging
import sys

import uvicorn

from consumers.dashboard.app import application
from consumers.dashboard.source import Source, is_there
from consumers.read_model.database import FILE_NAME, DatabaseRefused
from schemas.exit import Exit
from schemas.metrics import READY, serve_metrics
from schemas.read_model import NotReady
from schemas.serving import Wish, listening
from schemas.settings import Settings, SettingsError, load_settings

logger = logging.getLogger("chungsuc.page")

_LOOK_EVERY_S = 0.2
_LAST_REQUESTS_S = 3
_BACKLOG = 128


async def _become_ready(server: uvicorn.Server, source: Source, wish: Wish) -> None:
    while not server.should_exit:
        if wish.made:
            server.should_exit = True
            return
        try:
            if server.started and await source.ask(is_there):
                READY.set(1)
                logger.info("ready")
                return
        except NotReady:
            pass
        except DatabaseRefused:
            server.should_exit = True
            raise
        await asyncio.sleep(_LOOK_EVERY_S)


async def _serve(settings: Settings, wish: Wish) -> None:
    source = Source(settings.data / FILE_NAME)
    with listening(settings.page_port, _BACKLOG) as listener:
        logger.info("page at http://127.0.0.1:%d", listener.getsockname()[1])
        server = uvicorn.Server(uvicorn.Config(
            application(source), log_config=None, access_log=False, lifespan="off", server_header=False,
            timeout_graceful_shutdown=_LAST_REQUESTS_S,
        ))  # fmt: skip
        becoming_ready = asyncio.create_task(_become_ready(server, source, wish))
        try:
            await server.serve(sockets=[listener])
            await becoming_ready
        finally:
            source.close()


def main() -> int:
    """Run until SIGTERM. Returns the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    try:
        settings = load_settings()
        wish = Wish()
        serve_metrics(settings.metrics_port)
        asyncio.run(_serve(settings, wish))
    except (SettingsError, DatabaseRefused) as error:
        logger.error("stopped for good: %s", error)
        return Exit.REFUSED
    except OSError as error:
        logger.error("can't listen: %s", error)
        return Exit.UNREACHABLE
    except Exception:
        logger.exception("a bug")
        return Exit.BUG
    return Exit.FINE


if __name__ == "__main__":
    sys.exit(main())
