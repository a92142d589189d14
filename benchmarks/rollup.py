"""How many reports a second one rollup worker folds to exact totals at three levels.

The workload of the issue: reports of 20 integers from 10,000 communes over 100 days in day order, 10 % corrections, 5 %
exact duplicates, 5 % out of order, their contributions already in `figures`. The worker has core 0; broker and harness
share core 1. The figure counts only if every national total equals an oracle that adds by other code. Receipts and
checkpoints are on. `--days` and `--communes` make it shorter.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
from aiokafka import AIOKafkaProducer

from deploy.catalogue_release import CatalogueRelease, read_registers
from deploy.kafka import Cluster
from deploy.kafka_config import BrokerSettings
from deploy.operator_key import operator_key
from deploy.topic_set import create_topics
from schemas.catalogue import Catalogue
from schemas.codec import decode_figure
from schemas.figure import Figure, FigureKind, ScopeCode, Slot, State, days_since_1970
from schemas.form import Form, FormId
from schemas.log import TopicReader
from schemas.period import PeriodText
from schemas.report import Digest, KeyId, Millis, Offset, Revision
from schemas.settings import Settings, load_settings
from schemas.topics import FIGURES, RECEIPTS, partition_of
from schemas.unit import UBND, UnitCode
from streams.columns import write_contribution

FIRST_DAY = date(2021, 8, 1)
PARTITIONS = 4
_HERE = Path(__file__).parent


def tree(communes: int) -> str:
    """A nation of 63 provinces and 700 districts (fewer for few communes)."""
    districts, provinces = max(1, communes * 700 // 10_000), max(1, communes * 63 // 10_000)
    rows = ["code,name,level,parent,valid_from,valid_to", "N,Nation,nation,,2021-01-01,"]
    rows += [f"P{p:02d},Province {p},province,N,2021-01-01," for p in range(provinces)]
    rows += [f"D{d:03d},District {d},district,P{d % provinces:02d},2021-01-01," for d in range(districts)]
    rows += [f"C{c:05d},Commune {c},commune,D{c % districts:03d},2021-01-01," for c in range(communes)]
    return "\n".join(rows) + "\n"


def workload(communes: int, days: int, seed: int) -> Iterator[tuple[int, int, int, npt.NDArray[np.int64]]]:
    """(commune, day, revision, 20 integers) in the order of arrival."""
    chance = random.Random(seed)
    numbers = np.random.default_rng(seed)
    held: list[tuple[int, int, int, npt.NDArray[np.int64]]] = []
    for day in range(days):
        tables = numbers.integers(0, 1000, (communes, 20))
        order = list(range(communes))
        chance.shuffle(order)
        for commune in order:
            report = (commune, day, 1, tables[commune])
            if chance.random() < 0.05:
                held.append(report)
                continue
            yield report
            luck = chance.random()
            if luck < 0.05:
                yield report
            elif luck < 0.15:
                yield (commune, day, 2, numbers.integers(0, 1000, 20))
            while held and chance.random() < 0.05:
                yield held.pop(chance.randrange(len(held)))
    yield from held


async def load(
    settings: Settings, form: Form, catalogue: Catalogue, communes: int, days: int, seed: int
) -> tuple[int, dict[int, npt.NDArray[np.int64]]]:
    """Write the contributions. Returns how many, and the nation's exact total of each day."""
    producer = AIOKafkaProducer(bootstrap_servers=settings.bootstrap, acks="all", max_batch_size=900_000)
    await producer.start()
    topic = settings.topic(FIGURES)
    standing: dict[tuple[int, int], tuple[int, npt.NDArray[np.int64]]] = {}
    builders = [producer.create_batch() for _ in range(PARTITIONS)]
    superiors = [catalogue.units.superior(UnitCode(f"C{c:05d}"), FIRST_DAY) for c in range(communes)]
    keys = [str(superior).encode() for superior in superiors]
    texts = [PeriodText((FIRST_DAY + timedelta(days=day)).isoformat()) for day in range(days)]
    valid_from = days_since_1970(date(2021, 1, 1))
    count = 0
    now = int(time.time() * 1000)
    for commune, day, revision, table in workload(communes, days, seed):
        known = standing.get((commune, day))
        if known is None or revision > known[0]:
            standing[commune, day] = (revision, table)
        value = write_contribution(
            Figure(
                kind=FigureKind.OWN,
                state=State.REPORT,
                form=form.id,
                scope=ScopeCode.OWN,
                line=UBND,
                period=texts[day],
                slot=Slot.OWN,
                unit=UnitCode(f"C{commune:05d}"),
                valid_from=valid_from,
                form_version=form.fingerprint,
                epoch=1,
                catalogue=catalogue.serial,
                values=table.tobytes(),
                revision=Revision(revision),
                source_partition=0,
                source_offset=Offset(count),
                accepted_at=Millis(now),
                issued_at=Millis(now),
                digest=Digest(table.tobytes()[:32]),
                kid=KeyId(f"kid-C{commune:05d}-1"),
            )
        )
        partition = partition_of(keys[commune], PARTITIONS)
        if builders[partition].append(key=keys[commune], value=value, timestamp=None) is None:
            await producer.send_batch(builders[partition], topic, partition=partition)
            builders[partition] = producer.create_batch()
            builders[partition].append(key=keys[commune], value=value, timestamp=None)
        count += 1
    for partition, builder in enumerate(builders):
        if builder.record_count():
            await producer.send_batch(builder, topic, partition=partition)
    await producer.stop()
    totals = {day: np.zeros(20, np.int64) for day in range(days)}
    for (_, day), (_, table) in standing.items():
        totals[day] += table
    return count, totals


def topic_bytes(data: Path, topic: str) -> int:
    """Bytes of a topic's segments on disk."""
    return sum(path.stat().st_size for path in data.rglob(f"{topic}-*/*.log"))


def measure(communes: int, days: int, seed: int, port: int) -> dict[str, float]:
    """One run; raises SystemExit if a national total is wrong."""
    data = Path(tempfile.mkdtemp(prefix="chungsuc-bench-"))
    os.sched_setaffinity(0, {1})
    try:
        with Cluster(BrokerSettings(data_dir=data / "kafka", port=port)) as cluster:
            cluster.start()
            operator = operator_key(data)
            settings = load_settings(data=data, bootstrap=cluster.bootstrap, operator_key=operator.public.hex())
            create_topics(settings)
            catalogue = Catalogue({"forms/bench-20.avsc": (_HERE / "bench-20.avsc").read_bytes()}).with_tree(
                tree(communes), "bench"
            )
            release = CatalogueRelease(settings, operator)
            release.ensure(catalogue, read_registers(settings, operator), {})
            release.close()
            form = catalogue.form_in_force(FormId("bench-20"), FIRST_DAY)
            assert form is not None
            count, totals = asyncio.run(load(settings, form, catalogue, communes, days, seed))
            print(f"{count:,} contributions written", file=sys.stderr)
            return _run(settings, data, count, totals, port)
    finally:
        shutil.rmtree(data, ignore_errors=True)


def _run(
    settings: Settings, data: Path, count: int, totals: dict[int, npt.NDArray[np.int64]], port: int
) -> dict[str, float]:
    before = topic_bytes(data, FIGURES)
    with TopicReader(settings.bootstrap, settings.topic(FIGURES)) as probe:
        ends = probe.ends()
    environment = {
        **os.environ,
        "CHUNGSUC_DATA": str(data),
        "CHUNGSUC_BOOTSTRAP": settings.bootstrap,
        "CHUNGSUC_OPERATOR_KEY": settings.operator_key,
        "CHUNGSUC_WORKER_ID": "rollup-1",
        "CHUNGSUC_METRICS_PORT": str(port + 40),
    }
    with (data / "rollup.log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "streams.rollup"],
            env=environment,
            stderr=log,
            stdout=log,
            preexec_fn=lambda: os.sched_setaffinity(0, {0}),  # noqa: PLW1509  (the harness has no thread yet)
        )
    try:
        began = _first_record(worker, data / "rollup.log")
        ended = _exact(settings, ends, totals, worker)
        peak = _peak_mb(worker.pid)
        cpu = sum(float(x) for x in Path(f"/proc/{worker.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13])
    finally:
        worker.terminate()
        worker.wait(20)
    cpu_s = cpu / os.sysconf("SC_CLK_TCK")
    seconds = ended - began
    written = topic_bytes(data, FIGURES) - before + topic_bytes(data, RECEIPTS)
    return {
        "reports": count,
        "seconds": round(seconds, 2),
        "reports_per_s": round(count / seconds),
        "integers_per_s": round(20 * count / seconds),
        "cpu_s_per_million_integers": round(cpu_s / (20 * count / 1e6), 3),
        "peak_mb": round(peak),
        "bytes_written_per_report": round(written / count, 1),
    }


def _first_record(worker: subprocess.Popen[bytes], log: Path) -> float:
    """The moment the last partition is restored: nothing has been folded before it."""
    while b"restored figures-3" not in log.read_bytes():
        if worker.poll() is not None:
            raise SystemExit(f"the worker ended with {worker.returncode}:\n{log.read_text()}")
        time.sleep(0.002)
    return time.monotonic()


def _exact(
    settings: Settings, ends: dict[int, int], totals: dict[int, npt.NDArray[np.int64]], worker: subprocess.Popen[bytes]
) -> float:
    """The moment at which every day's national total is out and exact."""
    newest: dict[str, tuple[int, bytes]] = {}
    wanted = {(FIRST_DAY + timedelta(days=day)).isoformat(): total.tobytes() for day, total in totals.items()}
    deadline = time.monotonic() + 600
    with TopicReader(settings.bootstrap, settings.topic(FIGURES), ends) as probe:
        while time.monotonic() < deadline and worker.poll() is None:
            for record in probe.poll(0.1):
                if record.key == b"N" and record.value is not None:
                    figure = decode_figure(record.value)
                    if figure.kind is FigureKind.ROOT and figure.version > newest.get(figure.period, (-1, b""))[0]:
                        newest[figure.period] = (figure.version, figure.values)
            if all(newest.get(day, (0, b""))[1] == total for day, total in wanted.items()):
                return time.monotonic()
    wrong = [day for day, total in wanted.items() if newest.get(day, (0, b""))[1] != total]
    raise SystemExit(f"{len(wrong)} of {len(wanted)} national totals are not exact; worker: {worker.poll()}")


def _peak_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0.0


def main() -> None:
    """Run and print one JSON line per run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--communes", type=int, default=10_000)
    parser.add_argument("--days", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--port", type=int, default=26_300)
    given = parser.parse_args()
    if (os.cpu_count() or 1) < 2:
        raise SystemExit("the benchmark needs two cores: one for the worker, one for broker and harness")
    for run in range(given.runs):
        print(json.dumps(measure(given.communes, given.days, given.seed + run, given.port)), flush=True)
    print(f"harness peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB", file=sys.stderr)


if __name__ == "__main__":
    main()
