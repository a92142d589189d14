"""Become another program that dies with the process that started this one.

Run by path (`python -I -S kafka_exec.py PARENT PROGRAM ARGUMENT...`), so that the process that starts it needs no
`preexec_fn`, which may deadlock in a process with threads. The kernel sends SIGTERM when the *thread* that forked ends
(prctl(2), PR_SET_PDEATHSIG), also after `kill -9` of its process; the mark survives the exec below, and the pid stays.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Ask for the signal, make sure that the parent didn't die before that, and exec."""
    parent, program = int(arguments[0]), arguments[1]
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(f"parent {parent} is gone")
    os.execv(program, arguments[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
