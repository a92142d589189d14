"""Kafka's jars: pinned, cached per user, and never started unchecked.

`kafka-4.3.1.sha256` names each jar by its coordinates and SHA-256; nothing else is put on the class path. The jars lie
in `$XDG_CACHE_HOME/chungsuc/kafka-4.3.1/jars` (`~/.cache` by default). Invariant: a file under a jar's final name was
complete and right when it was put there, because it is fetched into a folder of its own, compared, and then renamed.
When every jar is there and right, jgo isn't even imported: a start without a network stays a start without a network.

    jars = KafkaJars(cache_folder()).ready()
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.kafka_errors import JarDamagedError, JarsUnavailableError, NoSpaceError

if TYPE_CHECKING:
    from jgo.maven import MavenContext

VERSION = "4.3.1"
PINS = Path(__file__).with_name(f"kafka-{VERSION}.sha256")

# The jars take 44 MB; the start archive, which kafka_process.py makes once, takes 70.
CACHE_NEEDS_MB = 150

_PARALLEL = 4
_ATTEMPTS = 2
_CONNECT_TIMEOUT_S = 20


@dataclass(frozen=True, slots=True)
class Pin:
    """One jar: where it comes from, and what it must be."""

    sha256: str
    coordinates: str

    @property
    def file_name(self) -> str:
        """`org.apache.kafka:kafka-clients:4.3.1` lies as `kafka-clients-4.3.1.jar`."""
        _, artifact, version = self.coordinates.split(":")
        return f"{artifact}-{version}.jar"


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where this user's copy of this Kafka lies (XDG base directory specification; a relative value is ignored)."""
    named = Path(environ.get("XDG_CACHE_HOME", ""))
    base = named if named.is_absolute() else Path.home() / ".cache"
    return base / "chungsuc" / f"kafka-{VERSION}"


def read_pins(path: Path = PINS) -> list[Pin]:
    """The pinned jars, in the order of the file: `sha256  group:artifact:version` a line."""
    return [Pin(*line.split()) for line in path.read_text("utf-8").splitlines() if line]


def sha256_of(path: Path) -> str | None:
    """The file's SHA-256 in hexadecimal, None when there is no such file."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None


def require_space(folder: Path, needed_mb: int) -> None:
    """Raise NoSpaceError unless the disk of the folder (which exists) has that many MB for this user."""
    free_mb = shutil.disk_usage(folder).free // 2**20
    if free_mb < needed_mb:
        raise NoSpaceError(folder, free_mb, needed_mb)


@dataclass(frozen=True, slots=True)
class KafkaJars:
    """The pinned jars in one cache folder."""

    folder: Path
    pins: Sequence[Pin] = ()

    def ready(self) -> list[Path]:
        """The jars' paths, each just compared with its pin; those absent or damaged are fetched first.

        Raises JarsUnavailableError, JarDamagedError, NoSpaceError.
        """
        pins = self.pins or read_pins()
        if self._wrong(pins):
            with self._locked():
                wrong = self._wrong(pins)  # another process may have fetched them while this one waited
                if wrong:
                    require_space(self.folder, CACHE_NEEDS_MB)
                    self._fetch(wrong)
        return [self._path(pin) for pin in pins]

    def _path(self, pin: Pin) -> Path:
        return self.folder / "jars" / pin.file_name

    def _wrong(self, pins: Sequence[Pin]) -> list[Pin]:
        with ThreadPoolExecutor(_PARALLEL) as pool:
            found = pool.map(sha256_of, [self._path(pin) for pin in pins])
            return [pin for pin, sha256 in zip(pins, found, strict=True) if sha256 != pin.sha256]

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        (self.folder / "jars").mkdir(parents=True, exist_ok=True)
        with (self.folder / "fetch.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _fetch(self, pins: Sequence[Pin]) -> None:
        for left_over in self.folder.glob("fetching-*"):  # of a process that was killed; the lock says none lives
            shutil.rmtree(left_over, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix="fetching-", dir=self.folder) as staging:
            pool = ThreadPoolExecutor(_PARALLEL)
            try:
                jobs = [pool.submit(self._fetch_one, pin, Path(staging)) for pin in pins]
                for path in _shown((job.result() for job in as_completed(jobs)), len(jobs)):
                    path.chmod(0o644)
            finally:
                # Without cancelling, one jar that can't be fetched is waited for 45 times.
                pool.shutdown(cancel_futures=True)

    def _fetch_one(self, pin: Pin, staging: Path) -> Path:
        found = ""
        for attempt in range(_ATTEMPTS):
            fetched = self._download(pin, staging / str(attempt))
            found = sha256_of(fetched) or ""
            if found == pin.sha256:
                with fetched.open("rb") as file:
                    os.fsync(file.fileno())  # a rename that outlives its content would poison the cache
                return fetched.rename(self._path(pin))
        raise JarDamagedError(pin.file_name, found, PINS)

    def _download(self, pin: Pin, folder: Path) -> Path:
        for last in (False, True):
            try:
                fetched: Path = _maven(folder).create_dependency(pin.coordinates).artifact.resolve()
            except (OSError, RuntimeError) as error:  # requests' errors are OSErrors
                if getattr(error, "errno", None) == errno.ENOSPC:
                    raise NoSpaceError(self.folder) from error
                if last:
                    raise JarsUnavailableError(pin.file_name, _reason(error), self.folder) from error
                shutil.rmtree(folder, ignore_errors=True)
            else:
                return fetched
        raise AssertionError


def _maven(folder: Path) -> MavenContext:
    """The resolver of jgo over its default repository and those of the user's jgo settings (a mirror, for instance)."""
    from jgo.config import GlobalSettings
    from jgo.maven import MavenContext

    context = MavenContext(repo_cache=folder, timeout=_CONNECT_TIMEOUT_S)
    context.remote_repos |= GlobalSettings.load().repositories
    return context


def _reason(error: Exception) -> str:
    """A few words instead of requests' paragraph with its nested object names."""
    name = type(error).__name__
    if "Timeout" in name:
        return "no answer"
    if "Proxy" in name:
        return "the proxy can't be reached"
    if "SSL" in name:
        return "the certificate was not accepted"
    return "no connection" if isinstance(error, OSError) else "not found in the repository"


def _shown(paths: Iterable[Path], total: int) -> Iterator[Path]:
    """Pass the paths on, showing progress on standard error: a bar on a terminal, else a line per jar."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import track

        title = f"Fetching Apache Kafka {VERSION}"
        yield from track(paths, title, total=total, console=Console(stderr=True))
        return
    for number, path in enumerate(paths, 1):
        print(f"Apache Kafka {VERSION}: fetched {path.name} ({number}/{total})", file=sys.stderr, flush=True)
        yield path
