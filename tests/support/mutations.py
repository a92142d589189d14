"""Wrong input of every kind, from one that is right: seeded, so that what was found once is found again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from random import Random
from typing import Any

from schemas.signature import SignedRecord

_STRANGE: tuple[Any, ...] = (
    None, True, -1, 0, 10**13, 2**63, -(2**70), 1.5, "", " ", "\x00", "🙂", "x" * 300, "0" * 20, "2021-13-45",
    "../../x", "'; DROP TABLE sends; --", [], {}, [[]], {"a": {"b": []}}, "\ud800", "VN", "subtree", "T:", "NaN",
)  # fmt: skip


def mutated_json(random: Random, report: Mapping[str, Any]) -> bytes:
    """The body of a request: a report with one to three things changed, or text that is hardly JSON."""
    found = deepcopy(dict(report))
    for _ in range(random.randint(1, 3)):
        _change(random, found)
    text = json.dumps(found).encode()
    return _torn(random, text) if random.random() < 0.25 else text


def mutated_record(random: Random, record: SignedRecord) -> SignedRecord:
    """A record of `reports` of which something was torn, flipped, exchanged or left out."""
    key, value, headers = record.key, record.value, list(record.headers)
    match random.randrange(6):
        case 0:
            value = _torn(random, value)
        case 1:
            value = random.randbytes(random.randint(0, 400))
        case 2:
            value = value + random.randbytes(random.randint(1, 20))
        case 3:
            at = random.randrange(len(headers))
            headers[at] = (headers[at][0], _torn(random, headers[at][1]) + b"x")
        case 4:
            headers.pop(random.randrange(len(headers)))
        case _:
            key = random.choice([None, b"", b"106", b"\xff\xfe", (key or b"") + b"0"])
    return SignedRecord(key, value, tuple(headers))


def _change(random: Random, node: dict[str, Any]) -> None:
    name = random.choice([*node, "surprise"])
    child = node.get(name)
    if isinstance(child, list) and child and isinstance(child[0], dict) and random.random() < 0.7:
        _change(random, child[random.randrange(len(child))])
    elif isinstance(child, list) and random.random() < 0.3:
        child.extend(child * random.randint(1, 3))
    elif random.random() < 0.2:
        node.pop(name, None)
    else:
        node[name] = deepcopy(random.choice(_STRANGE))


def _torn(random: Random, content: bytes) -> bytes:
    if not content:
        return b"\x00"
    at = random.randrange(len(content))
    match random.randrange(4):
        case 0:
            return content[:at]
        case 1:
            return content[:at] + bytes([content[at] ^ (1 << random.randrange(8))]) + content[at + 1 :]
        case 2:
            return content[:at] + random.randbytes(random.randint(1, 8)) + content[at:]
        case _:
            return content[at:] + content[:at]
