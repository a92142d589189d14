"""`python -m deploy.asyncapi_page`: `docs/asyncapi.json`, an AsyncAPI 3 description of the topics as the code has them.

For whoever reads or writes the topics with a program of their own: each topic with its settings, each message with its
Avro schema, one for every version of every form. Depends on the repository's files alone; a test fails while the file
on disk is not what this writes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from schemas.catalogue import ANNOUNCEMENT_TYPE, RELEASED, Catalogue
from schemas.codec import header_schema
from schemas.exit import Exit
from schemas.form import Form
from schemas.report import REPORT_TYPE
from schemas.topics import ACTS, FIGURES, ISSUED, RECEIPTS, REJECTED, REPORTS, TOPICS, Topic, topic_config

PAGE = Path(__file__).resolve().parent.parent / "docs" / "asyncapi.json"
RECORDS = Path(__file__).resolve().parent.parent / "schemas" / "records"
AVRO = "application/vnd.apache.avro+json;version=1.9.0"

Node = dict[str, Any]

_PURPOSE = {
    REPORTS: "Signed reports as sent, byte for byte, and control records that announce catalogues. Kept for ever.",
    FIGURES: "Contributions of units and totals of their superiors, one fixed schema for all forms. Kept for ever.",
    RECEIPTS: "What became of each report; many receipts in a record.",
    REJECTED: "Reports that were not admitted, byte for byte, with the reason in their headers.",
    ACTS: "What people decide: keys, accounts, catalogues. Signed, kept for ever.",
    ISSUED: "Statutory reports as signed. Kept for ever.",
}
_KEYS = {
    REPORTS: "code of the reporting unit; none on a control record",
    FIGURES: "code of the unit that receives: the superior, a root's own code for its total",
    REJECTED: "as received",
}
_ANNOTATIONS = {"form", "sections", "dimension", "measure", "overlapping", "label_vi", "label_en", "source", "doc"}


def document(catalogue: Catalogue) -> Node:
    """The whole description."""
    forms = sorted(catalogue.forms, key=lambda form: (form.id, form.version))
    reports = {_message_of(form): _report(form) for form in forms}
    records = {
        "control": _record("announcement", "A control record", ANNOUNCEMENT_TYPE),
        "figure": _record("figure", "A contribution or a total"),
        "receipts": _record("receipts", "Receipts"),
        "act": _record("act", "An act"),
    }
    in_topic = {REPORTS: [*reports, "control"], FIGURES: ["figure"], RECEIPTS: ["receipts"], REJECTED: [*reports],
                ACTS: ["act"]}  # fmt: skip
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Chung Sức",
            "version": version("chungsuc"),
            "description": "Topics of the reporting backbone. Values are Avro single-object encoding: C3 01, the"
            " schema's CRC-64-AVRO fingerprint (8 bytes, little-endian), the body. Rules: docs/contract.md.",
            "license": {"name": "see the repository"},
        },
        "defaultContentType": "application/avro",
        "channels": {topic.name: _channel(topic, in_topic.get(topic.name, [])) for topic in TOPICS},
        "operations": {
            "sendReport": _operation("receive", REPORTS, "A unit's own system sends a signed report."),
            "readReceipts": _operation("send", RECEIPTS, "A unit's own system learns what became of its reports."),
            "readFigures": _operation("send", FIGURES, "Whoever keeps a read model follows the figures."),
            "readRejected": _operation("send", REJECTED, "An operator sees what was not admitted."),
        },
        "components": {"messages": {**reports, **records}, "messageTraits": {"signed": _signed()}},
    }


def _channel(topic: Topic, messages: list[str]) -> Node:
    found: Node = {
        "address": topic.name,
        "description": _PURPOSE[topic.name],
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {"kafka": {"topic": topic.name, "topicConfiguration": _configuration(topic)}},
    }
    return found


def _configuration(topic: Topic) -> Node:
    config = topic_config(topic, 1)
    return {
        "cleanup.policy": [config["cleanup.policy"]],
        "retention.ms": topic.retention_ms,
        "max.message.bytes": topic.max_message_bytes,
    }


def _operation(action: str, topic: str, summary: str) -> Node:
    """Actions are those of the backbone: it receives what a unit sends."""
    return {"action": action, "channel": {"$ref": f"#/channels/{topic}"}, "summary": summary}


def _message_of(form: Form) -> str:
    return f"report.{form.id}.{form.version}"


def _report(form: Form) -> Node:
    raw = json.loads(form.text)
    raw["fields"][0]["type"] = header_schema()
    return {
        "name": _message_of(form),
        "title": form.label_en,
        "summary": form.label_vi,
        "description": f"fingerprint {form.fingerprint.hex()}, in force from {form.valid_from}. docs/forms.md",
        "contentType": "application/avro",
        "traits": [{"$ref": "#/components/messageTraits/signed"}],
        "payload": {"schemaFormat": AVRO, "schema": _plain(raw)},
        "bindings": {"kafka": {"key": {"type": "string", "description": _KEYS[REPORTS]}}},
    }


def _record(name: str, title: str, event_type: str = "") -> Node:
    schema = json.loads((RECORDS / f"{name}.avsc").read_text(encoding="utf-8"))
    found: Node = {"name": name, "title": title, "payload": {"schemaFormat": AVRO, "schema": _plain(schema)}}
    if event_type:
        found["description"] = f"ce_type {event_type}; no key; signed by the operator"
    if name in ("figure",):
        found["bindings"] = {"kafka": {"key": {"type": "string", "description": _KEYS[FIGURES]}}}
    return found


def _signed() -> Node:
    text: Node = {"type": "string"}
    properties: Node = {
        "ce_specversion": {"const": "1.0"},
        "ce_type": {"const": REPORT_TYPE},
        "ce_source": {**text, "description": "the key id"},
        "ce_id": {**text, "description": "form/unit/line/period/entered_by or -/revision"},
        "ce_time": {**text, "format": "date-time", "description": "the issue time, UTC"},
        "content-type": {"const": "application/avro"},
        "kid": {**text, "description": "the key id"},
        "sig": {**text, "description": "64 raw bytes: Ed25519 over the bytes that docs/contract.md names"},
        "traceparent": {**text, "description": "W3C Trace Context; not signed"},
    }
    required = [name for name in properties if name != "traceparent"]
    return {"headers": {"type": "object", "properties": properties, "required": required}}


def _plain(schema: Any) -> Any:
    """An Avro schema without the annotations, which are docs/forms.md's."""
    if isinstance(schema, Mapping):
        return {name: _plain(value) for name, value in schema.items() if name not in _ANNOTATIONS}
    return [_plain(one) for one in schema] if isinstance(schema, list) else schema


def text() -> str:
    """The file's text."""
    return json.dumps(document(Catalogue.from_folder(RELEASED)), ensure_ascii=False, indent=1) + "\n"


def main() -> int:
    """Write the file, or with `--check` say whether it is up to date. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m deploy.asyncapi_page", description="docs/asyncapi.json")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 when the file is out of date")
    given = parser.parse_args()
    if not given.check:
        PAGE.write_text(text(), encoding="utf-8")
        return Exit.FINE
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text():
        return Exit.FINE
    sys.stderr.write(f"{PAGE.name} is out of date: run `python -m deploy.asyncapi_page`\n")
    return Exit.FAILED


if __name__ == "__main__":
    sys.exit(main())
