"""Whoever sends and watches stands behind what is under test: on a real site they have machines of their own."""

from __future__ import annotations

import os
import threading

_STEPS = 10


def stand_back() -> None:
    """The calling thread, and what it starts from now on, gets a processor when nobody else wants one (nice 10)."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _STEPS)
