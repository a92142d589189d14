"""One Java process: its command line, its life, its last words.

Invariant: a broker doesn't outlive the process that started it, nor does a second start on the folder of a live one.
Three things see to it: the kernel sends SIGTERM when the starter dies (bound_exec.py); `process.json` in the broker's
folder names the process, so that one which lingers (stopped, or stuck in its shutdown) is ended before the next starts;
and a folder whose starter is alive is refused. Linux only (prctl, pidfd, /proc).
"""

from __future__ import annotations

import itertools
import json
import os
import re
import select
import signal
import subprocess
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.bound import bound_to_this_process
from deploy.kafka_config import LOG_SYSTEM_PROPERTY
from deploy.kafka_errors import BrokerDiedError, BrokerError, DataInUseError, NoSpaceError, PortTakenError
from deploy.kafka_storage import write_durably

# They would change the broker's options or class path behind our back.
_FOREIGN_VARIABLES = {"CLASSPATH", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "JDK_AOT_VM_OPTIONS"}

_TAIL_BYTES = 256 * 1024
_LINE_LENGTH = 300
_ORPHAN_TERM_S = 15.0
_ORPHAN_KILL_S = 10.0


@dataclass(frozen=True, slots=True)
class Java:
    """A Java runtime with Kafka on its class path.

    `archive` is a JDK 25 AOT cache (JEP 483, 514) with Kafka's classes, loaded and linked: without it a start takes
    more than twice as long. The JVM itself ignores one that doesn't fit the runtime or the jars.
    """

    program: Path
    jars: tuple[Path, ...]
    archive: Path | None = None

    def command(self, main: str, *arguments: str, log: Path, heap_mb: int, options: tuple[str, ...] = ()) -> list[str]:
        """The command line that runs a class of Kafka's, logging to `log` by `log4j2.properties` in its folder."""
        archive = () if self.archive is None else (f"-XX:AOTCache={self.archive}",)
        return [
            str(self.program),
            f"-Xmx{heap_mb}m",
            # Against G1 on two cores: the same start, and no collector threads beside the workers.
            "-XX:+UseSerialGC",
            "-XX:+ExitOnOutOfMemoryError",
            "-XX:-UsePerfData",
            "-Xlog:disable",
            "-Xlog:all=error:stderr",
            "-Djava.awt.headless=true",
            # Else each thread keeps an off-heap buffer as large as the largest record it ever sent.
            "-Djdk.nio.maxCachedBufferSize=1048576",
            "--sun-misc-unsafe-memory-access=allow",
            "--enable-native-access=ALL-UNNAMED",
            "-Dlog4j2.configurationFile=log4j2.properties",
            f"-D{LOG_SYSTEM_PROPERTY}={log}",
            *archive,
            *options,
            "-cp",
            os.pathsep.join(map(str, self.jars)),
            main,
            *arguments,
        ]


def clean_environment() -> dict[str, str]:
    """Our environment without what changes a JVM."""
    return {name: value for name, value in os.environ.items() if name not in _FOREIGN_VARIABLES}


@dataclass(frozen=True, slots=True)
class Ran:
    """A process, by pid and start time: a pid alone is given to another one sooner or later."""

    pid: int
    started: int

    @classmethod
    def now(cls, pid: int) -> Ran | None:
        """The process that has this pid now, None when there is none or only its zombie."""
        try:
            fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if fields[0] in "ZX" else cls(pid, int(fields[19]))

    def lives(self) -> bool:
        """It is still this one."""
        return Ran.now(self.pid) == self


class BrokerProcess:
    """A broker's running or ended process, a child of this one, in its own session (Ctrl-C doesn't reach it)."""

    def __init__(self, broker_id: int, folder: Path, log: Path, command: list[str], spawner: Executor) -> None:
        """Start it in `folder`, from the spawner's thread: the kernel ends the broker when that thread ends."""
        self.broker_id = broker_id
        self.log = log
        self._folder = folder
        self._log_start = log.stat().st_size if log.exists() else 0
        self._popen = spawner.submit(self._spawn, command).result()
        starter = Ran.now(os.getpid())
        broker = Ran.now(self._popen.pid)
        if starter is not None and broker is not None:
            record = {"broker": asdict(broker), "starter": asdict(starter)}
            write_durably(folder / "process.json", json.dumps(record) + "\n")

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        with self._output.open("wb") as output:
            return subprocess.Popen(
                [*bound_to_this_process(signal.SIGTERM), *command],
                cwd=self._folder,
                env=clean_environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def _output(self) -> Path:
        return self._folder / "java.out"

    @property
    def pid(self) -> int:
        """Its process id, also that of the JVM (bound_exec.py execs)."""
        return self._popen.pid

    def is_alive(self) -> bool:
        """It has not ended."""
        return self._popen.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Signal it, if it lives."""
        self._popen.send_signal(number)

    def ended_within(self, timeout_s: float) -> bool:
        """Wait for its end, at most that long."""
        try:
            self._popen.wait(max(timeout_s, 0))
        except subprocess.TimeoutExpired:
            return False
        return True

    def death(self) -> BrokerError | None:
        """Why it ended, None while it lives.

        NoSpaceError and PortTakenError where the log says so, else BrokerDiedError.
        """
        code = self._popen.poll()
        if code is None:
            return None
        text = self._log_text()
        if "No space left on device" in text:
            return NoSpaceError(self._folder)
        taken = re.search(r"failed to bind to \S+:(\d+): Address already in use", text)
        if taken:  # by a program that was faster than the start between our look and the broker's
            return PortTakenError(int(taken[1]))
        ending = f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"
        return BrokerDiedError(self.broker_id, ending, last_words(text, self._output), self.log)

    def _log_text(self) -> str:
        """What this run logged last."""
        try:
            with self.log.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                start = self._log_start if self._log_start <= size else 0  # it was rolled over
                file.seek(max(start, size - _TAIL_BYTES))
                return file.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return ""


def last_words(log_text: str, output: Path) -> str:
    """The last error a broker logged, with its cause, else the last line of the log, else what the JVM said."""
    lines = log_text.splitlines()
    errors = [at for at, line in enumerate(lines) if re.match(r"\S+ (ERROR|FATAL) ", line)]
    if errors:
        # The error itself is often "fatal exception"; the exception comes next, and its cause last.
        trace = list(itertools.takewhile(lambda line: not re.match(r"\d{4}-\d\d-\d\dT", line), lines[errors[-1] + 1 :]))
        causes = [line for line in trace if line.startswith("Caused by: ")] or trace[:1]
        return " ".join([lines[errors[-1]], *causes[-1:]])[:_LINE_LENGTH]
    spoken = lines or [line for line in output.read_text("utf-8", "replace").splitlines() if line]
    return spoken[-1][:_LINE_LENGTH] if spoken else ""


def end_orphan(folder: Path) -> None:
    """End the broker that an earlier starter, dead by now, left on this folder.

    Raises DataInUseError when that starter lives.
    """
    try:
        record = json.loads((folder / "process.json").read_text("utf-8"))
        broker, starter = Ran(**record["broker"]), Ran(**record["starter"])
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return
    if not broker.lives():
        return
    if starter.lives():
        raise DataInUseError(folder.parent, starter.pid)
    try:
        handle = os.pidfd_open(broker.pid)
    except ProcessLookupError:
        return
    try:
        if broker.lives():  # asked again: the handle is that of whoever had the pid when it was opened
            signal.pidfd_send_signal(handle, signal.SIGTERM)
            signal.pidfd_send_signal(handle, signal.SIGCONT)
            if not _ended(handle, _ORPHAN_TERM_S):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                _ended(handle, _ORPHAN_KILL_S)
    except ProcessLookupError:
        return
    finally:
        os.close(handle)


def _ended(handle: int, timeout_s: float) -> bool:
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))
