"""The operator's key: made at the first `up`, kept in the data folder for nobody else to read (contract 4).

Acts that register keys or release catalogues, and control records, count only when this key signed them. Its public
half goes to every process as a setting.
"""

from __future__ import annotations

import os
from pathlib import Path

from deploy.errors import RefusedError
from deploy.files import write_bytes
from schemas.report import KeyId
from schemas.signature import Ed25519Key

FILE = "operator.key"
KID = KeyId("operator-1")
_SEED_BYTES = 32


def operator_key(data: Path) -> Ed25519Key:
    """The key of the folder, made now if it has none. Raises RefusedError for a file that others may read."""
    path = data / FILE
    if not path.exists():
        write_bytes(path, Ed25519Key.generate(KID).seed.hex().encode(), 0o600)
    if path.stat().st_mode & 0o077:
        raise RefusedError(f"{path} is readable by others: it signs acts, so `chmod 600 {path}` and consider it known")
    try:
        seed = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except ValueError:
        seed = b""
    if len(seed) != _SEED_BYTES:
        raise RefusedError(f"{path} does not hold a key of {_SEED_BYTES} bytes in hex: put the right file back")
    return Ed25519Key(KID, seed)


def has_operator_key(data: Path) -> bool:
    """Whether this folder can sign acts."""
    return os.access(data / FILE, os.R_OK)
