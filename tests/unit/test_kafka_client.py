"""Every kafka-python client of the product takes the options that all share."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

from schemas.kafka_client import RECONNECT_WITHIN_MS, client_options

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("schemas", "producers", "streams", "consumers", "deploy")
CLIENTS = {"KafkaAdminClient", "KafkaConsumer", "KafkaProducer"}


def clients_in(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CLIENTS:
            yield node


def takes_the_options(call: ast.Call) -> bool:
    return any(
        keyword.arg is None
        and isinstance(keyword.value, ast.Call)
        and ast.unparse(keyword.value.func) == "client_options"
        for keyword in call.keywords
    )


@pytest.mark.parametrize("room", ROOMS)
def test_every_client_takes_the_shared_options(room: str) -> None:
    calls = [
        (f"{path.relative_to(ROOT)}:{call.lineno}", call)
        for path in (ROOT / room).rglob("*.py")
        for call in clients_in(ast.parse(path.read_text("utf-8")))
    ]
    assert calls
    assert [where for where, call in calls if not takes_the_options(call)] == []


def test_a_client_with_options_of_its_own_is_found() -> None:
    (call,) = clients_in(ast.parse("KafkaProducer(bootstrap_servers=[], **more())"))
    assert not takes_the_options(call)


@pytest.mark.parametrize("client", [KafkaAdminClient, KafkaConsumer, KafkaProducer])
def test_options_are_known_to_each_client(client: type) -> None:
    defaults = client.DEFAULT_CONFIG  # type: ignore[attr-defined]
    assert set(client_options("a:1,b:2", "me")) <= set(defaults)
    assert defaults["reconnect_backoff_max_ms"] > RECONNECT_WITHIN_MS
