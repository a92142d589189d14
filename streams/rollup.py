"""Rollup: one recursive processor for all levels. Contributions in, totals and receipts out.

`figures` is keyed by the receiving unit, so all contributions to a unit meet in one partition, whose ledger folds them;
its changed totals go to its superior's key in the same topic. Depth is data. What is committed is the ledger's own: all
below is folded, and every total and receipt below is acknowledged by the broker (design decisions 6 to 8).
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass

import numpy as np
from prometheus_client import Counter, Gauge, Histogram

from schemas.failpoint import failpoint
from schemas.figure import ABSENT
from schemas.log import ActReader
from schemas.metrics import READY
from schemas.precedence import Outcome
from schemas.register import Registers
from schemas.settings import Settings, load_settings
from schemas.signature import PublicKey
from schemas.topics import FIGURES, RECEIPTS, ROLLUP_GROUP
from streams.app import OutForGood, Refused, Worker, configure_logging
from streams.batching import Batch
from streams.columns import read_columns
from streams.identity import LogIdentity, extents_of
from streams.ledger import CatalogueBehind, Ledger, Totals
from streams.metrics import BATCH_RECORDS, BATCH_SECONDS, NEXT_OFFSET
from streams.outgoing import Outgoing, Queued
from streams.receipts import Receipts, ReceiptWriter, records
from streams.restore import Held, restore

log = logging.getLogger("chungsuc.rollup")

FOLDED = Counter("chungsuc_figures_folded_total", "Records of figures folded.")
OUTCOMES = Counter("chungsuc_receipts_total", "Reports by what became of them.", ["outcome"])
EMITTED = Counter("chungsuc_totals_emitted_total", "Totals sent and acknowledged.")
ACKNOWLEDGED = Histogram(
    "chungsuc_total_acknowledged_seconds",
    "From acceptance of the newest report in a total to the total's acknowledgement.",
    ["level"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
CHECKPOINT_TIME = Gauge(
    "chungsuc_checkpoint_timestamp_seconds", "When the newest checkpoint was written.", ["partition"]
)
CHECKPOINT_BYTES = Counter("chungsuc_checkpoint_bytes_total", "Bytes of checkpoints written.")
RESTORE_SECONDS = Gauge("chungsuc_restore_seconds", "How long the last restore of a partition took.", ["partition"])

_BATCHES_PER_EMISSION = 8
_NAMES = [outcome.value for outcome in Outcome]


@dataclass(frozen=True, slots=True)
class Emission:
    """Changed totals of each partition and the records that carry them and the receipts."""

    totals: list[tuple[int, Held, Totals]]
    queued: Queued


class Rollup:
    """The stage that folds `figures`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.topic = settings.topic(FIGURES)
        self.group = settings.topic(ROLLUP_GROUP)
        self._receipts_topic = settings.topic(RECEIPTS)
        self._registers = Registers(PublicKey(bytes.fromhex(settings.operator_key)), settings.act_delay_ms)
        self._held: dict[int, Held] = {}
        self._done: dict[int, int] = {}
        self._pending: dict[int, list[Receipts]] = {}
        self._writers: dict[int, ReceiptWriter] = {}
        self._since_emission = 0
        self._emitted_at = time.monotonic()
        self._next_checkpoint = time.monotonic() + settings.checkpoint_every_s
        self._turn = asyncio.Lock()
        self._sending: asyncio.Task[None] | None = None

    async def start(self, worker: Worker) -> None:
        """Connect and read the catalogue."""
        self._worker = worker
        self._out = Outgoing(self._settings, lambda: failpoint("rollup.after_produce"))
        await self._out.start()
        await self._out.partitions(self.topic)
        self._receipt_partitions = await self._out.partitions(self._receipts_topic)
        await asyncio.to_thread(self._read_acts)
        self._ticking = asyncio.create_task(self._tick())

    def _read_acts(self) -> None:
        self._identity = LogIdentity.of(self._settings, self.topic)
        self._acts = ActReader(self._settings, self._registers)
        self._acts.refresh()
        catalogue = self._registers.newest_catalogue()
        if catalogue is None:
            raise Refused("no catalogue in `acts`; start the stack with `chungsuc up`, which releases one")
        self._catalogue = catalogue

    async def stop(self) -> None:
        """Send what is pending, write a last checkpoint, give the connections back."""
        self._ticking.cancel()
        async with self._turn:
            await self._emit()
            self._checkpoint(list(self._held))
        await self._out.stop()

    def committable(self, topic: str, partition: int) -> int | None:
        """All below is folded, and every total and receipt below is acknowledged."""
        return self._done.get(partition)

    async def assigned(self, partitions: set[int]) -> None:
        """Restore the ledgers of new partitions, let go of lost ones."""
        async with self._turn:
            for partition in set(self._held) - partitions:
                self._held.pop(partition).checkpoints.release()
                self._writers.pop(partition)
                self._done.pop(partition, None)
            fresh = sorted(partitions - set(self._held))
            committed = {partition: await self._worker.committed(partition) for partition in fresh}
            extents = await asyncio.to_thread(extents_of, self._settings, self.topic, fresh)
            for partition in fresh:
                began = time.monotonic()
                held = await restore(
                    self._settings,
                    self.topic,
                    partition,
                    committed[partition],
                    extents[partition],
                    self._identity,
                    self._catalogue,
                    self._fold,
                )
                self._held[partition] = held
                self._writers[partition] = ReceiptWriter(self._receipt_partitions, held.ledger)
                self._done[partition] = held.ledger.next_offset
                RESTORE_SECONDS.labels(str(partition)).set(time.monotonic() - began)
            if self._held and self._ticking.done():
                self._ticking = asyncio.create_task(self._tick())
        READY.set(1)

    async def process(self, batch: Batch, *, more_waiting: bool) -> None:
        """Fold a batch; send what changed when nothing else waits, or at the latest every few batches."""
        began = time.perf_counter()
        async with self._turn:
            held = self._held.get(batch.partition)
            if held is None or batch.last < held.ledger.next_offset:
                return
            if batch.first > held.ledger.next_offset:
                await held.catch_up(self._settings, self.topic, batch.partition, batch.first, self._fold)
            await self._fold(held, batch)
            self._since_emission += 1
            late = time.monotonic() - self._emitted_at > self._settings.emit_every_ms / 1000
            if not more_waiting:
                await self._emit()
            elif late or self._since_emission >= _BATCHES_PER_EMISSION:
                await self._emit_meanwhile()
        BATCH_RECORDS.labels("rollup").observe(len(batch.records))
        BATCH_SECONDS.labels("rollup").observe(time.perf_counter() - began)

    async def _fold(self, held: Held, batch: Batch, *, silently: bool = False) -> None:
        """Fold one batch into its ledger. `silently`: its receipts were acknowledged before a restart."""
        failpoint("rollup.fold")
        columns, offsets = read_columns(batch.records.values), batch.records.offsets
        try:
            folded = held.ledger.fold(columns, offsets)
        except CatalogueBehind:
            await asyncio.to_thread(self._use_newer_catalogue)
            held.ledger.use(self._catalogue)
            try:
                folded = held.ledger.fold(columns, offsets)
            except CatalogueBehind as error:
                raise Refused(
                    f"a contribution in {self.topic}-{batch.partition} was made under a catalogue that `acts` "
                    f"lacks: {error}"
                ) from error
        held.saw(batch.records[-1])
        FOLDED.inc(len(batch.records))
        if silently:
            return
        for partition, receipts in self._writers[batch.partition].of_batch(columns, offsets, folded).items():
            self._pending.setdefault(partition, []).append(receipts)
        counts = np.bincount(folded.outcomes[folded.outcomes >= 0], minlength=len(_NAMES))
        for name, count in zip(_NAMES, counts.tolist(), strict=True):
            if count:
                OUTCOMES.labels(name).inc(count)

    def _use_newer_catalogue(self) -> None:
        self._acts.refresh()
        self._catalogue = self._registers.newest_catalogue() or self._catalogue

    async def _emit(self) -> None:
        """Send all changed totals and the receipts so far, and wait until the broker has them."""
        await self._landed()
        await self._land(self._emission())
        if time.monotonic() > self._next_checkpoint:
            self._checkpoint(list(self._held))

    async def _emit_meanwhile(self) -> None:
        """Send in the background: folding goes on while the broker writes. One such emission at a time."""
        await self._landed()
        if time.monotonic() > self._next_checkpoint:
            await self._emit()
        else:
            self._sending = asyncio.create_task(self._worker.guarded(self._land(self._emission())))

    async def _landed(self) -> None:
        if self._sending is not None:
            await self._sending
            self._sending = None

    def _emission(self) -> Emission:
        self._since_emission = 0
        self._emitted_at = time.monotonic()
        totals = [(partition, held, held.ledger.totals()) for partition, held in self._held.items()]
        for _, _, changed in totals:
            self._out.by_key(self.topic, changed.keys, changed.values)
        pending, self._pending = self._pending, {}
        for partition, receipts in pending.items():
            for value in records(receipts):
                self._out.to_partition(self._receipts_topic, partition, value)
        return Emission(totals, self._out.take())

    async def _land(self, emission: Emission) -> None:
        """Send an emission; what it covers is done once the broker has acknowledged all of it."""
        failpoint("rollup.before_produce")
        await self._out.send(emission.queued)
        failpoint("rollup.after_ack")
        now_ms = time.time() * 1000
        for partition, held, totals in emission.totals:
            Ledger.acknowledged(totals)
            if self._held.get(partition) is held:
                self._done[partition] = totals.upto
            EMITTED.inc(len(totals.keys))
            NEXT_OFFSET.labels("rollup", str(partition)).set(totals.upto)
            for level, newest in totals.times:
                if newest != ABSENT:
                    ACKNOWLEDGED.labels(level).observe(max(0.0, (now_ms - newest) / 1000))

    def _checkpoint(self, partitions: list[int]) -> None:
        """Write checkpoints; only ever called when everything folded is acknowledged."""
        began = time.monotonic()
        for partition in partitions:
            held = self._held[partition]
            if held.saved_at != held.ledger.next_offset and held.checkpoints.hold():
                CHECKPOINT_BYTES.inc(held.checkpoints.save(held.ledger, held.last))
                held.saved_at = held.ledger.next_offset
                CHECKPOINT_TIME.labels(str(partition)).set_to_current_time()
        ended = time.monotonic()
        # Large ledgers take longer to write: never more than a tenth of the time.
        self._next_checkpoint = ended + max(self._settings.checkpoint_every_s, 9 * (ended - began))

    async def _tick(self) -> None:
        """Send what a quiet log would otherwise leave waiting."""
        pause = self._settings.emit_every_ms / 1000
        while True:
            await asyncio.sleep(pause)
            if self._since_emission or self._pending or time.monotonic() > self._next_checkpoint:
                await self._worker.guarded(self._tick_once())

    async def _tick_once(self) -> None:
        async with self._turn:
            await self._emit()

    async def quarantine(self, batch: Batch) -> None:
        """A contribution can't be left out without a wrong total, so rollup stops for good."""
        raise OutForGood(
            f"record {batch.first} of {self.topic}-{batch.partition} has made rollup raise three times; it "
            "can't be left out without a wrong total. See docs/operations.md, 'rollup stopped for good'"
        )


def main() -> None:
    """`python -m streams.rollup`."""
    configure_logging()
    settings = load_settings()
    Worker(settings, Rollup(settings)).run()


if __name__ == "__main__":
    main()
