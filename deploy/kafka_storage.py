"""Which cluster a data folder belongs to, and its first formatting.

`cluster.json` in the data folder holds the cluster's id, made once and kept. Invariant: it is written before any
broker's storage exists, and each storage is formatted aside and renamed, so that a start cut off anywhere can be
repeated; what doesn't fit together afterwards was put there by somebody and is refused.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.kafka_config import BrokerSettings
from deploy.kafka_errors import ForeignDataError
from deploy.kafka_jars import VERSION

STORAGE = "data"


@dataclass(frozen=True, slots=True)
class Identity:
    """What `cluster.json` holds."""

    cluster_id: str
    brokers: int
    kafka: str


def random_cluster_id() -> str:
    """A random UUID as Kafka writes it: URL-safe base64 without padding, no leading dash, which reads as an option."""
    while True:
        name = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode("ascii").rstrip("=")
        if not name.startswith("-"):
            return name


def own_identity(settings: BrokerSettings) -> Identity:
    """The identity of the data folder, made on first use.

    Raises ForeignDataError when what the folder holds doesn't belong to it.
    """
    path = settings.data_dir / "cluster.json"
    if not path.exists():
        stored = next(settings.data_dir.glob(f"broker-*/{STORAGE}"), None)
        if stored is not None:
            raise ForeignDataError(settings.data_dir, f"cluster.json is missing beside {stored.parent.name}")
        identity = Identity(random_cluster_id(), settings.brokers, VERSION)
        write_durably(path, json.dumps(asdict(identity)) + "\n")
    identity = _read(path)
    if identity.brokers != settings.brokers:
        raise ForeignDataError(settings.data_dir, f"made for {identity.brokers} brokers, asked for {settings.brokers}")
    for broker_id in settings.broker_ids:
        _compare(settings, identity, broker_id)
    return identity


def _read(path: Path) -> Identity:
    try:
        return Identity(**json.loads(path.read_text("utf-8")))
    except (ValueError, TypeError) as error:
        raise ForeignDataError(path.parent, f"cluster.json can't be read: {error}") from error


def _compare(settings: BrokerSettings, identity: Identity, broker_id: int) -> None:
    storage = settings.broker_dir(broker_id) / STORAGE
    if not storage.exists():
        return
    meta = read_meta(storage)
    if meta.get("cluster.id") != identity.cluster_id:
        difference = f"cluster.json says {identity.cluster_id}, broker {broker_id} says {meta.get('cluster.id')}"
        raise ForeignDataError(settings.data_dir, difference)
    if meta.get("node.id") != str(broker_id):
        difference = f"the folder of broker {broker_id} holds the data of broker {meta.get('node.id')}"
        raise ForeignDataError(settings.data_dir, difference)


def read_meta(storage: Path) -> dict[str, str]:
    """Kafka's own record of what a storage is; empty when there is none."""
    try:
        lines = (storage / "meta.properties").read_text("utf-8").splitlines()
    except FileNotFoundError:
        return {}
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def storage_to_format(settings: BrokerSettings, broker_id: int) -> Path | None:
    """An empty folder to format, named `data.new`, or None when this broker has its storage."""
    fresh = settings.broker_dir(broker_id) / f"{STORAGE}.new"
    if fresh.with_name(STORAGE).exists():
        return None
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    return fresh


def write_durably(path: Path, text: str) -> None:
    """Write whole or not at all, also when the power fails."""
    aside = path.with_name(f"{path.name}.new")
    with aside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    aside.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
