"""What is derived: checkpoints lost, damaged, stale; `figures` cut and grown again; the read model; who owns what."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from random import Random

from kafka.errors import KafkaError

from consumers.read_model.database import FILE_NAME
from deploy.stack import ProcessState
from schemas.exit import Exit
from schemas.log import LogUnreachable, TopicReader
from schemas.settings import Settings
from schemas.topics import FIGURES
from tests.faults.broken_log import append_again, cut, grow
from tests.faults.campaign.faults.kills import ROLLUPS
from tests.faults.campaign.kinds import Kind
from tests.faults.campaign.registry import Skipped, Wound, fault
from tests.faults.campaign.site import Site
from tests.faults.harness import metric
from tests.support.waiting import eventually, lives

_REFUSED_WITHIN_S = 120.0
_REBUILT_WITHIN_S = 400.0
_ANSWERS_WITHIN_S = 240.0
_MORE = (91, 92, 93)
_STALE_FOR_S = 5.0


@contextmanager
def _while_down(site: Site, names: tuple[str, ...]) -> Iterator[None]:
    """Killed, and not started again for the length of the block."""
    running = site.running
    running.pause("up")
    try:
        for name in names:
            pid = running.pid_or_none(name)
            if pid is not None and lives(pid):
                os.kill(pid, signal.SIGKILL)
        yield
    finally:
        running.resume("up")


def rebuilt(site: Site, names: tuple[str, ...], says: str) -> dict[str, float]:
    """One of these refuses in one line that says this and names the way out, which is taken. Returns its seconds."""
    running = site.running

    def refused() -> bool:
        return any(running.state(name) is ProcessState.STOPPED_FOR_GOOD for name in names)

    began = time.monotonic()
    eventually(refused, _REFUSED_WITHIN_S)
    seconds = {"refused after": time.monotonic() - began}
    words = [running.status(name).said for name in names if running.state(name) is ProcessState.STOPPED_FOR_GOOD]
    assert any(says in said and "chungsuc rebuild" in said for said in words), words
    began = time.monotonic()
    done = running.chungsuc("rebuild", timeout_s=_REBUILT_WITHIN_S)
    assert done.returncode == Exit.FINE, done.stderr
    return {**seconds, "rebuild": time.monotonic() - began}


def _checkpoints(site: Site) -> list[Path]:
    return [path for path in (site.data / "checkpoints").iterdir() if (path / "manifest.json").exists()]


def _emptied(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


@fault("checkpoint.lost", Kind.CHECKPOINT)
def lost(site: Site, random: Random) -> Wound:
    with _while_down(site, ROLLUPS):
        _emptied(site.data / "checkpoints")
    return Wound("all checkpoints", "the supervisor's waking up", restarted="rollup-1")


@fault("checkpoint.one-lost", Kind.CHECKPOINT)
def one_lost(site: Site, random: Random) -> Wound:
    with _while_down(site, ROLLUPS):
        found = _checkpoints(site)
        if not found:
            raise Skipped("there is no checkpoint yet")
        folder = random.choice(sorted(found))
        shutil.rmtree(folder)
    return Wound(f"checkpoint {folder.name}", "the supervisor's waking up", restarted="rollup-1")


@fault("checkpoint.stale", Kind.CHECKPOINT)
def stale(site: Site, random: Random) -> Wound:
    """All checkpoints as they were some seconds ago, as from a backup."""
    kept = site.folder / f"stale-{site.next_turn()}"
    with _while_down(site, ROLLUPS):
        shutil.copytree(site.data / "checkpoints", kept)
    time.sleep(_STALE_FOR_S)
    with _while_down(site, ROLLUPS):
        _emptied(site.data / "checkpoints")
        shutil.copytree(kept, site.data / "checkpoints", dirs_exist_ok=True)
    shutil.rmtree(kept)
    return Wound("all checkpoints", "the supervisor's waking up", restarted="rollup-1")


@fault("checkpoint.damaged", Kind.CHECKPOINT)
def damaged(site: Site, random: Random) -> Wound:
    """One bit is wrong: refused in one line, then `chungsuc rebuild`."""
    with _while_down(site, ROLLUPS):
        packs = [pack for folder in _checkpoints(site) for pack in folder.glob("pack-*.bin") if pack.stat().st_size]
        if not packs:
            raise Skipped("there is no checkpoint yet")
        pack = max(packs, key=lambda path: path.stat().st_size)
        content = bytearray(pack.read_bytes())
        content[random.randrange(len(content))] ^= 1 << random.randrange(8)
        pack.write_bytes(content)
    seconds = rebuilt(site, ROLLUPS, "is damaged")
    return Wound(f"{pack.parent.name}/{pack.name}", "the end of the rebuild", seconds=seconds)


@fault("checkpoint.log-cut", Kind.CHECKPOINT)
def log_cut(site: Site, random: Random) -> Wound:
    """The end of `figures` is lost on every broker: refused in one line, then `chungsuc rebuild`."""
    return _cut(site, random, grown=False, says="the log was cut")


@fault("checkpoint.log-grown", Kind.CHECKPOINT)
def log_grown(site: Site, random: Random) -> Wound:
    """The same, and it has grown past its old end again by other records."""
    return _cut(site, random, grown=True, says="has grown again")


def _cut(site: Site, random: Random, *, grown: bool, says: str) -> Wound:
    settings = site.settings
    partition = random.randrange(settings.partitions)
    site.running.drained()
    site.running.down()
    kafka = (site.folder if site.cluster else site.data) / "kafka"
    if site.cluster is not None:
        site.cluster.stop(20)
    gone = {cut(kafka, broker, settings.topic(FIGURES), partition, 3) for broker in range(1, site.brokers + 1)}
    assert len(gone) == 1, gone
    if site.cluster is not None:
        site.cluster.start()
        eventually(partial(_answers, settings), _ANSWERS_WITHIN_S, 1.0)
    if grown:
        topic = settings.topic(FIGURES)
        if site.cluster is not None:
            append_again(site.cluster.bootstrap, topic, partition, max(gone) + 2)
        else:
            grow(kafka, site.base, topic, partition, max(gone) + 2)
    site.running.up(wait=False)
    eventually(lambda: site.running.state("read-model") is not None, 120)
    seconds = rebuilt(site, (*ROLLUPS, "read-model"), says)
    return Wound(f"{FIGURES}-{partition}, {max(gone)} records", "the end of the rebuild", seconds=seconds)


def _answers(settings: Settings) -> bool:
    """Whether the leaders of all partitions know again how far theirs go."""
    try:
        with TopicReader(settings.bootstrap, settings.topic(FIGURES)) as reader:
            return bool(reader.ends())
    except (KafkaError, LogUnreachable):
        return False


def _files(site: Site) -> list[Path]:
    return [*site.data.glob(f"{FILE_NAME}*")]


@fault("read-model.deleted", Kind.READ_MODEL)
def deleted(site: Site, random: Random) -> Wound:
    """While its writer has it open."""
    for path in _files(site):
        path.unlink()
    return Wound("read model", "the deletion", restarted="read-model")


@fault("read-model.deleted-while-down", Kind.READ_MODEL)
def deleted_down(site: Site, random: Random) -> Wound:
    with _while_down(site, ("read-model",)):
        for path in _files(site):
            path.unlink()
    return Wound("read model", "the supervisor's waking up", restarted="read-model")


@fault("read-model.log-lost", Kind.READ_MODEL)
def log_lost(site: Site, random: Random) -> Wound:
    """SQLite's write-ahead log is gone: whole, and older than what was answered before."""
    with _while_down(site, ("read-model",)):
        for path in _files(site):
            if path.name != FILE_NAME:
                path.unlink()
    return Wound("read model", "the supervisor's waking up", restarted="read-model")


@fault("read-model.truncated", Kind.READ_MODEL)
def truncated(site: Site, random: Random) -> Wound:
    """The file ends in its middle: refused in one line, then `chungsuc rebuild`."""
    with _while_down(site, ("read-model",)):
        for path in _files(site):
            if path.name != FILE_NAME:
                path.unlink()
        file = site.data / FILE_NAME
        os.truncate(file, random.randrange(1, max(2, file.stat().st_size)))
    seconds = rebuilt(site, ("read-model",), "not a usable database")
    return Wound("read model", "the end of the rebuild", seconds=seconds)


@fault("storm.2-5-2", Kind.STORM)
def storm(site: Site, random: Random) -> Wound:
    """Three more rollup workers come, and go one by one: two politely, one by force, or the other way round."""
    ports = {number: site.base + 60 + at for at, number in enumerate(_MORE)}
    with ExitStack() as stack:
        more = [
            stack.enter_context(site.running.worker("streams.rollup", f"rollup-{number}", ports[number]))
            for number in _MORE
        ]
        ready = eventually(_ready(ports), 90)
        for process in random.sample(more, len(more)):
            number = random.choice((signal.SIGTERM, signal.SIGKILL))
            process.send_signal(number)
            process.wait(30)
            time.sleep(random.uniform(0.0, 1.0))
    return Wound(f"{ready} more rollup workers", "the last one's end")


def _ready(ports: dict[int, int]) -> Callable[[], int]:
    def look() -> int:
        count = sum(metric(port, "chungsuc_ready") > 0 for port in ports.values())
        return count if count == len(ports) else 0

    return look
