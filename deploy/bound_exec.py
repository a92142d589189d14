"""Become another program that the kernel kills as soon as the process that started it ends.

Run by path (`python -I -S bound_exec.py PARENT PROGRAM ARGUMENT...`), so that the starter needs no `preexec_fn`, which
may deadlock in a process with threads. SIGKILL, because a worker is safe against it by design, whereas one that is
stopped or busy would outlive a polite signal and meet its successor. The mark (prctl(2), PR_SET_PDEATHSIG) survives
the exec; it is tied to the *thread* that forked, which must be the starter's main one.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Ask for the signal, make sure that the parent did not die before that, and exec."""
    parent, program = int(arguments[0]), arguments[1]
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(f"parent {parent} is gone")
    os.execv(program, arguments[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
