"""Become another program that the kernel signals as soon as the process that started it ends.

Run by path (`python -I -S bound_exec.py PARENT SIGNAL PROGRAM ARGUMENT...`), so that the starter needs no `preexec_fn`,
which may deadlock in a process with threads. The mark (prctl(2), PR_SET_PDEATHSIG) survives the exec, and the pid
stays; it is tied to the *thread* that forked, and holds also after `kill -9` of its process.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Ask for the signal, make sure that the parent did not die before that, and exec."""
    parent, signal, program = int(arguments[0]), int(arguments[1]), arguments[2]
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(f"parent {parent} is gone")
    os.execv(program, arguments[2:])


if __name__ == "__main__":
    main(sys.argv[1:])
