"""Starting a program that does not outlive this process."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from signal import SIGKILL, Signals

_EXEC = Path(__file__).with_name("bound_exec.py")


def bound_to_this_process(number: Signals = SIGKILL) -> list[str]:
    """What to put before a command line, so that the kernel signals the program when this process's main thread ends.

    SIGKILL where the program is safe against it by design: one that is stopped or busy would outlive a polite signal
    and meet its successor.
    """
    return [sys.executable, "-I", "-S", str(_EXEC), str(os.getpid()), str(int(number))]
