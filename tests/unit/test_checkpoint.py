"""A checkpoint that can't be trusted is refused in one line; one that can gives the same ledger."""

from __future__ import annotations

import io
from datetime import date, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas.codec import encode_figure
from streams import checkpoint
from streams.checkpoint import Checkpoints, LastRecord, Unfit
from streams.columns import read_columns
from streams.identity import LogIdentity
from streams.ledger import Ledger
from streams.packed import Packed
from tests.property.test_ledger import CATALOGUE
from tests.support.figures import Sent, as_figure

HERE = LogIdentity("cluster", "topic", 4)
DAY = date(2021, 12, 13)


def filled(days: int = 1) -> Ledger:
    """Three communes, a page for each day."""
    ledger = Ledger(CATALOGUE)
    sent = [
        Sent(
            unit,
            "covid-doses",
            DAY - timedelta(day),
            1,
            (0, at),
            rows=((("dose1", 5), ("dose2", 1), ("dose3", 0), ("dose4", 0)),),
            accepted_at=10 + at,
        )
        for at, (unit, day) in enumerate(product(("a1", "a2", "b1"), range(days)))
    ]
    records = [encode_figure(as_figure(CATALOGUE, one)) for one in sent]
    ledger.fold(read_columns(Packed.of(records)), np.arange(len(sent)))
    return ledger


def saved(folder: Path) -> Checkpoints:
    checkpoints = Checkpoints(folder, HERE)
    assert checkpoints.hold()
    checkpoints.save(filled(), LastRecord.of(2, 99, b"x"))
    checkpoints.release()
    return checkpoints


def test_restored_ledger_sends_the_same_totals(tmp_path: Path) -> None:
    saved(tmp_path)
    ledger = Ledger(CATALOGUE)
    checkpoints = Checkpoints(tmp_path, HERE)
    checkpoints.load(ledger)
    assert ledger.next_offset == checkpoints.next_offset() == 3
    assert checkpoints.last_record() == LastRecord.of(2, 99, b"x")
    assert ledger.totals().values == filled().totals().values


def test_header_that_pages_share_is_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[bytes] = []
    parse = np.lib.format.read_array_header_1_0

    def counting(stream: io.BytesIO) -> Any:
        parsed.append(stream.getvalue())
        return parse(stream)

    checkpoints = Checkpoints(tmp_path, HERE)
    assert checkpoints.hold()
    checkpoints.save(filled(days=50), None)
    checkpoints.release()
    checkpoint._header.cache_clear()
    monkeypatch.setattr(np.lib.format, "read_array_header_1_0", counting)
    ledger = Ledger(CATALOGUE)
    checkpoints.load(ledger)
    assert len(ledger.pages) == 50
    assert len(parsed) == len(set(parsed)) < 12
    assert ledger.totals().values == filled(days=50).totals().values


def test_without_a_checkpoint_the_ledger_stays_empty(tmp_path: Path) -> None:
    ledger = Ledger(CATALOGUE)
    Checkpoints(tmp_path, HERE).load(ledger)
    assert ledger.next_offset == 0


def test_checkpoint_of_another_cluster_or_topic_is_refused(tmp_path: Path) -> None:
    saved(tmp_path)
    for other in (
        LogIdentity("another", "topic", 4),
        LogIdentity("cluster", "another", 4),
        LogIdentity("cluster", "topic", 8),
    ):
        with pytest.raises(Unfit, match="another cluster or topic"):
            Checkpoints(tmp_path, other).load(Ledger(CATALOGUE))


@pytest.mark.parametrize("kind", ["pack", "slots"])
def test_damaged_file_is_refused(tmp_path: Path, kind: str) -> None:
    saved(tmp_path)
    (path,) = tmp_path.glob(f"{kind}-*.bin")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(Unfit, match="damaged"):
        Checkpoints(tmp_path, HERE).load(Ledger(CATALOGUE))


def test_missing_page_is_refused(tmp_path: Path) -> None:
    saved(tmp_path)
    next(tmp_path.glob("pack-*.bin")).unlink()
    with pytest.raises(Unfit, match="damaged"):
        Checkpoints(tmp_path, HERE).load(Ledger(CATALOGUE))


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"not json", b'{"manifest": "x", "sha256": "y"}'])
def test_damaged_manifest_is_refused(tmp_path: Path, content: bytes) -> None:
    saved(tmp_path)
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(Unfit, match="damaged"):
        Checkpoints(tmp_path, HERE).load(Ledger(CATALOGUE))


def test_only_one_process_writes(tmp_path: Path) -> None:
    first, second = Checkpoints(tmp_path, HERE), Checkpoints(tmp_path, HERE)
    assert first.hold()
    assert not second.hold()
    first.release()
    assert second.hold()
    second.release()


def test_unchanged_pages_are_not_written_again_and_old_ones_are_cleared(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, HERE)
    assert checkpoints.hold()
    ledger = filled()
    checkpoints.save(ledger, None)
    before = {path.name for path in tmp_path.glob("pack-*.bin")}
    later = Sent(
        "a1",
        "covid-doses",
        date(2021, 12, 14),
        1,
        (0, 9),
        accepted_at=1,
        rows=((("dose1", 1), ("dose2", 0), ("dose3", 0), ("dose4", 0)),),
    )
    ledger.fold(read_columns(Packed.of([encode_figure(as_figure(CATALOGUE, later))])), np.array([3]))
    checkpoints.save(ledger, None)
    after = {path.name for path in tmp_path.glob("pack-*.bin")}
    assert before < after
    corrected = Sent(
        "a1",
        "covid-doses",
        DAY,
        2,
        (0, 10),
        accepted_at=1,
        rows=((("dose1", 7), ("dose2", 0), ("dose3", 0), ("dose4", 0)),),
    )
    ledger.fold(read_columns(Packed.of([encode_figure(as_figure(CATALOGUE, corrected))])), np.array([4]))
    checkpoints.save(ledger, None)
    assert len(list(tmp_path.glob("pack-*.bin"))) == 2
    assert not before & {path.name for path in tmp_path.glob("pack-*.bin")}
    checkpoints.release()
