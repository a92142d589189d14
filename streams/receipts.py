"""Receipts of a folded batch, written as bytes: many per record, because one record each would cost a quarter.

What stands in a figure from form to kid is repeated as it is; numbers are one numpy array. Warnings, the checks of
level `warn` that a report breaks, are evaluated over all tables of a page at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from schemas.codec import MARKER, record_schema
from schemas.figure import State
from schemas.form import Check, CheckLevel, Form
from schemas.receipt import HEAD
from schemas.topics import partition_of
from streams.arrays import Int64s, taken, whole_rows
from streams.columns import Columns, string, varint
from streams.ledger import Folded, Ledger
from streams.packed import Packed, window

PREFIX: bytes = MARKER + record_schema("receipts")[1]
LARGEST_RECORD_BYTES = 900_000
"""Below the topic's limit of 1 MiB, with room for the batch around it."""

_NO_WORDS = b"\0\0\0"
_COPIED = ("revision", "source_offset", "accepted_at", "digest", "source_partition")


@dataclass(frozen=True, slots=True)
class Receipts:
    """Encoded receipts of one partition, one after the other, and the bytes of each."""

    content: bytes
    sizes: Int64s


class ReceiptWriter:
    """Encodes the receipts of one ledger by partition of `receipts`."""

    def __init__(self, partitions: int, ledger: Ledger) -> None:
        self._partitions = partitions
        self._ledger = ledger
        self._partition_of_slot: npt.NDArray[np.int16] = np.zeros(0, np.int16)

    def of_batch(self, columns: Columns, offsets: Int64s, folded: Folded) -> dict[int, Receipts]:
        """Encoded receipts of every report in a folded batch, by partition, each in the order of the batch."""
        chosen = np.flatnonzero(folded.outcomes >= 0)
        if not len(chosen):
            return {}
        partitions = self._known_partitions()[folded.slots[chosen]]
        order = np.argsort(partitions, kind="stable")
        chosen, partitions = chosen[order], partitions[order]
        words = _warnings(columns, folded)
        runs = columns.runs.take(chosen)
        sizes = HEAD.itemsize + runs.sizes + len(_NO_WORDS)
        warned = [(at, words[index]) for at, index in enumerate(chosen.tolist()) if index in words] if words else []
        for at, said in warned:
            sizes[at] += len(said) - len(_NO_WORDS)
        ends = np.cumsum(sizes)
        starts = ends - sizes
        out = np.zeros(int(ends[-1]), np.uint8)
        window(out, HEAD.itemsize)[starts] = whole_rows(_heads(columns, offsets, folded, chosen))
        words_at = starts + HEAD.itemsize
        runs.put(out, words_at)
        words_at = words_at + runs.sizes
        for at, said in warned:
            out[words_at[at] : ends[at]] = np.frombuffer(said, np.uint8)
        found: dict[int, Receipts] = {}
        for partition in np.unique(partitions).tolist():
            first, last = np.searchsorted(partitions, (partition, partition + 1)).tolist()
            found[partition] = Receipts(out[starts[first] : ends[last - 1]].tobytes(), sizes[first:last])
        return found

    def _known_partitions(self) -> npt.NDArray[np.int16]:
        """The partition of `receipts` for each slot of the ledger."""
        known, names = len(self._partition_of_slot), self._ledger.slot_names
        if known < len(names):
            new = [partition_of(unit.encode(), self._partitions) for _, unit, _ in names[known:]]
            self._partition_of_slot = np.r_[self._partition_of_slot, np.array(new, np.int16)]
        return self._partition_of_slot


def _heads(columns: Columns, offsets: Int64s, folded: Folded, chosen: Int64s) -> npt.NDArray[np.void]:
    heads = np.zeros(len(chosen), HEAD)
    source = taken(columns.heads, chosen)
    for name in _COPIED:
        heads[name] = source[name]
    heads["outcome"] = folded.outcomes[chosen]
    heads["highest_revision"] = folded.highest[chosen]
    heads["figures_offset"] = offsets[chosen]
    return heads


def records(receipts: Sequence[Receipts]) -> Iterator[bytes]:
    """Receipts of one partition as records of bounded size."""
    content = b"".join([some.content for some in receipts])
    ends = np.cumsum(np.concatenate([some.sizes for some in receipts]))
    first, begin = 0, 0
    while first < len(ends):
        last = max(first + 1, int(np.searchsorted(ends, begin + LARGEST_RECORD_BYTES, side="right")))
        end = int(ends[last - 1])
        yield PREFIX + varint(last - first) + content[begin:end] + b"\0"
        first, begin = last, end


def _warnings(columns: Columns, folded: Folded) -> dict[int, bytes]:
    """Reason, field and detail, encoded, of each accepted report that breaks a check of level `warn`."""
    words: dict[int, bytes] = {}
    for number, page in enumerate(folded.pages):
        form = page.form
        checks = [check for check in form.checks if check.level is CheckLevel.WARN]
        if not checks:
            continue
        here = np.flatnonzero((folded.page_of == number) & (folded.outcomes >= 0))
        heads = taken(columns.heads, here)
        indices = here[(heads["state"] == State.REPORT) & (heads["form_version"] == np.void(form.fingerprint))]
        broken: dict[int, list[tuple[str, str]]] = {}
        for check in checks:
            for at, message in _broken(check, form, columns.values.take(indices)):
                broken.setdefault(int(indices[at]), []).append((check.id, message))
        for index, said in broken.items():
            ids, messages = ",".join(check_id for check_id, _ in said), "; ".join(message for _, message in said)
            words[index] = b"\0" + string(ids) + string(messages)
    return words


def _broken(check: Check, form: Form, values: Packed) -> Iterator[tuple[int, str]]:
    """(index of the table, Vietnamese sentence) of each table that breaks the check, by its first such row."""
    cells = values.joined().view(np.int64).reshape(-1, len(form.measures))
    counts = values.sizes // (8 * len(form.measures))
    tables = np.repeat(np.arange(len(values)), counts)
    if check.over_table:
        filled = np.flatnonzero(counts)
        cells = np.add.reduceat(cells, (np.cumsum(counts) - counts)[filled], axis=0) if len(filled) else cells[:0]
        tables = filled
    by_name: Mapping[str, npt.NDArray[np.int64]] = {
        measure.name: cells[:, at] for at, measure in enumerate(form.measures)
    }
    seen: set[int] = set()
    for row in np.flatnonzero(~np.asarray(check.rule(by_name), bool)).tolist():
        table = int(tables[row])
        if table not in seen:
            seen.add(table)
            yield table, check.message_vi.format_map({name: int(column[row]) for name, column in by_name.items()})
