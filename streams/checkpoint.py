"""Checkpoints: a cache of a prefix of one partition of `figures`, usable by any worker of the host.

Immutable page files and a manifest that names them with their digests (write, fsync, rename). Deleting them changes the
start time only. A checkpoint that can't be trusted is never used silently: damaged, of another cluster or topic, of
another fold, or of a log that was cut and has grown again (the record before `next_offset` is no longer the one seen):
`Unfit` says which, and the worker stops. Written only when everything below `next_offset` has been acknowledged.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from schemas.failpoint import failpoint
from streams.book import CHILD
from streams.identity import LogIdentity
from streams.ledger import FOLD_VERSION, Ledger

_MAGIC = np.lib.format.magic(1, 0)
_ARRAYS = ("children", "cells", "given", "rows", "version", "epoch")


class Unfit(Exception):
    """The checkpoint can't be used."""


@dataclass(frozen=True, slots=True)
class LastRecord:
    """The record before a checkpoint's next offset, as it was seen."""

    offset: int
    time: int
    digest: str

    @classmethod
    def of(cls, offset: int, time: int, value: bytes | None) -> LastRecord:
        """From the record itself."""
        return cls(offset, time, hashlib.sha256(value or b"").hexdigest())


class Checkpoints:
    """The checkpoints of one partition, in one folder. One process of the host writes at a time."""

    def __init__(self, folder: Path, identity: LogIdentity) -> None:
        self._folder = folder
        self._identity = identity
        self._lock: IO[bytes] | None = None
        self._pages: dict[str, dict[str, Any]] = {}
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def _manifest(self) -> Path:
        return self._folder / "manifest.json"

    def hold(self) -> bool:
        """Become the writer. False while another process is (a stopped one, until it ends)."""
        if self._lock is None:
            file = (self._folder / "lock").open("ab")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                return False
            self._lock = file
        return True

    def release(self) -> None:
        """The partition is another worker's now."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def next_offset(self) -> int | None:
        """Where the checkpoint ends, or None without one. Raises Unfit."""
        manifest = self._read_manifest()
        return None if manifest is None else int(manifest["next_offset"])

    def last_record(self) -> LastRecord | None:
        """The record before `next_offset` as it was seen. Raises Unfit."""
        manifest = self._read_manifest()
        return LastRecord(**manifest["last"]) if manifest and manifest["last"] else None

    def load(self, ledger: Ledger) -> None:
        """Fill an empty ledger. Raises Unfit for a damaged checkpoint."""
        manifest = self._read_manifest()
        if manifest is None:
            return
        try:
            slots = self._read_file(manifest["slots"])
            lengths = np.frombuffer(slots, "<u4", manifest["slot_count"])
            ends = 4 * len(lengths) + np.cumsum(lengths)
            ledger.load_slots(
                [slots[end - size : end] for end, size in zip(ends.tolist(), lengths.tolist(), strict=True)]
            )
            for page in manifest["pages"]:
                ledger.load_page(bytes.fromhex(page["run"]), self._read_page(page))
        except (OSError, ValueError, KeyError, IndexError, EOFError) as error:
            raise Unfit(f"checkpoint {self._folder} is damaged: {error}") from error
        ledger.next_offset = int(manifest["next_offset"])
        self._pages = {page["run"]: page for page in manifest["pages"]}

    def save(self, ledger: Ledger, last: LastRecord | None) -> int:
        """Write what has changed since the last checkpoint. Returns the bytes written. Needs `hold()`."""
        pages, written = self._write_pages(ledger)
        runs = ledger.slot_runs
        content = np.array([len(run) for run in runs], "<u4").tobytes() + b"".join(runs)
        slots = self._write_file("slots", content)
        failpoint("checkpoint.before_manifest")
        manifest = {
            "identity": asdict(self._identity),
            "fold": FOLD_VERSION,
            "epoch": ledger.epoch,
            "next_offset": ledger.next_offset,
            "last": asdict(last) if last else None,
            "slot_count": len(runs),
            "slots": slots,
            "pages": list(pages.values()),
        }
        text = json.dumps(manifest)
        envelope = json.dumps({"sha256": hashlib.sha256(text.encode()).hexdigest(), "manifest": text})
        temporary = self._folder / "manifest.new"
        _write_through(temporary, envelope.encode())
        temporary.replace(self._manifest)
        _sync_folder(self._folder)
        self._pages = pages
        self._clear({slots["name"], *(page["name"] for page in pages.values())})
        return int(written + slots["size"])

    def _write_pages(self, ledger: Ledger) -> tuple[dict[str, dict[str, Any]], int]:
        """All pages' places, the changed ones in one new pack: one file to sync, however many pages have changed."""
        sparse = self._sparse_packs()
        pages: dict[str, dict[str, Any]] = {}
        fresh: list[tuple[str, bytes]] = []
        for run, page in ledger.pages.items():
            known = self._pages.get(run.hex())
            if page.changed or known is None or known["name"] in sparse:
                fresh.append((run.hex(), _page_bytes(ledger.page_state(run))))
                page.changed = False
            else:
                pages[run.hex()] = known
        if not fresh:
            return pages, 0
        pack = self._write_file("pack", b"".join(content for _, content in fresh))
        at = 0
        for run_hex, content in fresh:
            digest = hashlib.sha256(content).hexdigest()
            pages[run_hex] = {"run": run_hex, "name": pack["name"], "at": at, "size": len(content), "sha256": digest}
            at += len(content)
        return pages, int(pack["size"])

    def _sparse_packs(self) -> set[str]:
        """Packs of which less than half is still in use: what is left of them moves to the new one."""
        used: dict[str, int] = {}
        for page in self._pages.values():
            used[page["name"]] = used.get(page["name"], 0) + page["size"]
        return {name for name, size in used.items() if 2 * size < (self._folder / name).stat().st_size}

    def _read_page(self, page: Mapping[str, Any]) -> dict[str, Any]:
        with (self._folder / str(page["name"])).open("rb") as file:
            file.seek(int(page["at"]))
            content = file.read(int(page["size"]))
        if hashlib.sha256(content).hexdigest() != page["sha256"]:
            raise ValueError(f"{page['name']} is not what was written")
        state: dict[str, Any] = {}
        at = 0
        for name in _ARRAYS:
            state[name], at = _array(content, at)
        if state["children"].dtype != CHILD:
            raise ValueError("its columns are not this version's")
        state["dims"], state["receivers"] = json.loads(content[at:])
        return state

    def _write_file(self, kind: str, content: bytes) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        name = f"{kind}-{digest[:32]}.bin"
        path = self._folder / name
        if not path.exists() or path.stat().st_size != len(content):
            temporary = path.with_suffix(".new")
            _write_through(temporary, content)
            temporary.replace(path)
        return {"name": name, "sha256": digest, "size": len(content)}

    def _read_file(self, about: Mapping[str, Any]) -> bytes:
        content = (self._folder / str(about["name"])).read_bytes()
        if hashlib.sha256(content).hexdigest() != about["sha256"]:
            raise ValueError(f"{about['name']} is not what was written")
        return content

    def _read_manifest(self) -> dict[str, Any] | None:
        try:
            envelope = json.loads(self._manifest.read_bytes())
            text = envelope["manifest"]
            if hashlib.sha256(text.encode()).hexdigest() != envelope["sha256"]:
                raise ValueError("its digest does not fit")
            manifest: dict[str, Any] = json.loads(text)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Unfit(f"checkpoint {self._folder} is damaged: manifest.json: {error}") from error
        if manifest["identity"] != asdict(self._identity):
            raise Unfit(f"checkpoint {self._folder} belongs to another cluster or topic")
        if manifest["fold"] != FOLD_VERSION:
            raise Unfit(f"checkpoint {self._folder} was made by fold {manifest['fold']}, this is {FOLD_VERSION}")
        return manifest

    def _clear(self, kept: set[str]) -> None:
        for path in self._folder.iterdir():
            if path.suffix in (".bin", ".new") and path.name not in kept:
                path.unlink(missing_ok=True)


def _page_bytes(state: Mapping[str, Any]) -> bytes:
    out = io.BytesIO()
    for name in _ARRAYS:
        np.lib.format.write_array(out, np.ascontiguousarray(state[name]), (1, 0), allow_pickle=False)
    out.write(json.dumps([state["dims"], state["receivers"]], ensure_ascii=False).encode())
    return out.getvalue()


def _array(content: bytes, at: int) -> tuple[npt.NDArray[Any], int]:
    """The array in NumPy's format that begins at a place, and the place behind it.

    NumPy parses each header as Python source, which takes longer than all the rest; pages share a few dozen of them.
    """
    if content[at : at + len(_MAGIC)] != _MAGIC:
        raise ValueError("an array of another format")
    at += len(_MAGIC)
    end = at + 2 + int.from_bytes(content[at : at + 2], "little")
    shape, dtype = _header(content[at:end])
    array = np.frombuffer(content, dtype, math.prod(shape), end).reshape(shape).copy()
    return array, end + array.nbytes


@lru_cache(maxsize=4096)
def _header(text: bytes) -> tuple[tuple[int, ...], np.dtype[Any]]:
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(io.BytesIO(text))
    if fortran and len(shape) > 1:
        raise ValueError("an array of columns")
    return shape, dtype


def _write_through(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
