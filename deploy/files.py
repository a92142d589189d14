"""Small files that must be whole or absent, also when the power fails."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_json(path: Path, content: Mapping[str, Any], *, durable: bool = True) -> None:
    """Replace `path` by `content`, as one step that readers see whole or not at all; if durable, a power loss too."""
    write_bytes(path, json.dumps(content, ensure_ascii=False, indent=1).encode(), durable=durable)


def write_bytes(path: Path, content: bytes, mode: int = 0o644, *, durable: bool = True) -> None:
    """The same for raw bytes, with the file's permissions."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        if durable:
            os.fsync(file.fileno())
    aside.replace(path)
    if not durable:
        return
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_json(path: Path) -> dict[str, Any] | None:
    """What `write_json` wrote, None where there is no such file or it holds no JSON object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return content if isinstance(content, dict) else None
