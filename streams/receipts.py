"""Receipts of a folded batch, written as bytes: many per record, because one record each would cost a quarter.

What stands in a figure from form to kid is repeated as it is; numbers are one numpy array. Warnings, the checks of
level `warn` that a report breaks, are evaluated over all tables of a page at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from schemas.codec import MARKER, record_schema
from schemas.figure import State
from schemas.form import Check, CheckLevel, Form
from schemas.receipt import HEAD
from schemas.topics import partition_of
from streams.arrays import Int64s
from streams.columns import Columns, read_slot, string, varint
from streams.ledger import Folded, Ledger

PREFIX: bytes = MARKER + record_schema("receipts")[1]
LARGEST_RECORD_BYTES = 900_000
"""Below the topic's limit of 1 MiB, with room for the batch around it."""

_NO_WORDS = b"\0\0\0"
_COPIED = ("revision", "source_offset", "accepted_at", "digest", "source_partition")


class ReceiptWriter:
    """Encodes receipts by partition of `receipts`."""

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions
        self._partition_of_slot: dict[bytes, int] = {}

    def of_batch(self, columns: Columns, offsets: Int64s, folded: Folded, ledger: Ledger) -> dict[int, list[bytes]]:
        """Encoded receipts of every report in a folded batch, by partition."""
        chosen = np.flatnonzero(folded.outcomes >= 0)
        found: dict[int, list[bytes]] = {}
        if not len(chosen):
            return found
        heads = np.zeros(len(chosen), HEAD)
        for name in _COPIED:
            heads[name] = columns.heads[name][chosen]
        heads["outcome"] = folded.outcomes[chosen]
        heads["highest_revision"] = folded.highest[chosen]
        heads["figures_offset"] = offsets[chosen]
        raw, size = heads.tobytes(), HEAD.itemsize
        words = _warnings(columns, chosen, ledger)
        listed = chosen.tolist()
        runs, slots = columns.runs, columns.slots
        places = self._partition_of_slot
        for run in {slots[index] for index in listed} - places.keys():
            places[run] = partition_of(read_slot(run)[1].encode(), self._partitions)
        partitions = np.array([places[slots[index]] for index in listed])
        for partition in np.unique(partitions).tolist():
            found[partition] = [
                raw[at * size : (at + 1) * size] + runs[listed[at]] + (words.get(listed[at], _NO_WORDS))
                for at in np.flatnonzero(partitions == partition).tolist()
            ]
        return found


def records(receipts: Sequence[bytes]) -> Iterator[bytes]:
    """Receipts of one partition as records of bounded size."""
    part: list[bytes] = []
    size = 0
    for receipt in receipts:
        if part and size + len(receipt) > LARGEST_RECORD_BYTES:
            yield PREFIX + varint(len(part)) + b"".join(part) + b"\0"
            part, size = [], 0
        part.append(receipt)
        size += len(receipt)
    if part:
        yield PREFIX + varint(len(part)) + b"".join(part) + b"\0"


def _warnings(columns: Columns, chosen: Int64s, ledger: Ledger) -> dict[int, bytes]:
    """Reason, field and detail, encoded, of each accepted report that breaks a check of level `warn`."""
    words: dict[int, bytes] = {}
    reports = chosen[columns.heads["state"][chosen] == State.REPORT]
    by_page: dict[bytes, list[int]] = {}
    for index in reports.tolist():
        by_page.setdefault(columns.pages[index], []).append(index)
    for run, all_of_page in by_page.items():
        form = ledger.pages[run].form
        checks = [check for check in form.checks if check.level is CheckLevel.WARN]
        same = columns.heads["form_version"][all_of_page] == np.void(form.fingerprint)
        indices = [index for index, is_same in zip(all_of_page, same.tolist(), strict=True) if is_same]
        if not checks or not indices:
            continue
        broken: dict[int, list[tuple[str, str]]] = {}
        for check in checks:
            for at, message in _broken(check, form, [columns.values[index] for index in indices]):
                broken.setdefault(indices[at], []).append((check.id, message))
        for index, said in broken.items():
            ids, messages = ",".join(check_id for check_id, _ in said), "; ".join(message for _, message in said)
            words[index] = b"\0" + string(ids) + string(messages)
    return words


def _broken(check: Check, form: Form, values: Sequence[bytes]) -> Iterator[tuple[int, str]]:
    """(index of the table, Vietnamese sentence) of each table that breaks the check, by its first such row."""
    cells = np.frombuffer(b"".join(values), np.int64).reshape(-1, len(form.measures))
    counts = np.array([len(value) for value in values]) // (8 * len(form.measures))
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
