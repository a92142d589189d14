"""A process that the tests of the supervisor put under watch: it serves metrics, says ready, and ends as it is told.

python -m tests.support.plain_worker   ends with 5 where a file `refuse-NAME` for its name lies in its data folder
"""

from __future__ import annotations

import signal
import sys
from types import FrameType

from schemas.exit import Exit
from schemas.metrics import READY, serve_metrics
from schemas.settings import load_settings


def main() -> None:
    """Serve until SIGTERM."""
    settings = load_settings()
    if (settings.data / f"refuse-{settings.worker_id}").exists():
        print("refused: the checkpoint is of another cluster; `chungsuc rebuild` makes it anew", flush=True)
        sys.exit(Exit.REFUSED)
    serve_metrics(settings.metrics_port)
    READY.set(1)

    def stop(number: int, frame: FrameType | None) -> None:
        sys.exit(0)

    signal.signal(signal.SIGTERM, stop)
    while True:
        signal.pause()


if __name__ == "__main__":
    main()
