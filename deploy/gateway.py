"""`python -m deploy.gateway`: the gateway with the read model that it asks, as a process of the stack."""

from __future__ import annotations

import logging
import sys

from kafka.errors import KafkaError

from consumers.obligations import obligations
from consumers.read_model.database import FILE_NAME, DatabaseRefused
from consumers.read_model.reader import SqliteReadModel
from producers.errors import KeysError, ProducerError
from producers.gateway.serve import serve
from schemas.exit import Exit
from schemas.log import LogUnreachable
from schemas.metrics import serve_metrics
from schemas.read_model import NotReady, ReadModel
from schemas.settings import SettingsError, load_settings

logger = logging.getLogger("chungsuc.gateway")


def main() -> int:
    """Run until SIGTERM. Returns the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for noisy in ("kafka", "uvicorn"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    try:
        settings = load_settings()

        def opener() -> ReadModel:
            try:
                return SqliteReadModel(settings.data / FILE_NAME)
            except DatabaseRefused as error:
                logger.error("%s", error)
                raise NotReady(str(error)) from error

        serve_metrics(settings.metrics_port)
        serve(settings, opener, obligations)
    except (SettingsError, KeysError) as error:
        logger.error("stopped for good: %s", error)
        return Exit.REFUSED
    except (LogUnreachable, KafkaError, OSError) as error:
        logger.error("the broker is away, or the port is taken: %r", error)
        return Exit.UNREACHABLE
    except ProducerError as error:
        logger.error("%s", error)
        return Exit.FAILED
    except Exception:
        logger.exception("a bug")
        return Exit.BUG
    return Exit.FINE


if __name__ == "__main__":
    sys.exit(main())
