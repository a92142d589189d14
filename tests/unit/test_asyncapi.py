"""docs/asyncapi.json: valid AsyncAPI 3, and the topics and schemas that the code really uses."""

from __future__ import annotations

import gzip
import json
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import fastavro
import pytest
from jsonschema import Draft7Validator

from deploy.asyncapi_page import PAGE, text
from schemas.form import Form
from schemas.form_reader import fingerprint_of
from schemas.topics import TOPICS
from tests.support.released import released_catalogue

SPECIFICATION = Path(__file__).parents[1] / "data" / "asyncapi" / "3.0.0.json.gz"


@cache
def written() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(PAGE.read_text(encoding="utf-8"))
    return found


def faults(document: dict[str, Any]) -> list[str]:
    """What the specification's own schema finds wrong."""
    validator = Draft7Validator(json.loads(gzip.decompress(SPECIFICATION.read_bytes())))
    return [error.message[:200] for error in validator.iter_errors(document)]


def references(node: object) -> set[str]:
    if isinstance(node, dict):
        here = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return here.union(*map(references, node.values()))
    return set().union(*map(references, node)) if isinstance(node, list) else set()


def resolved(document: Any, reference: str) -> object:
    for step in reference.removeprefix("#/").split("/"):
        document = document[step.replace("~1", "/").replace("~0", "~")]
    return document


def test_file_on_disk_is_what_the_code_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == text(), "run `python -m deploy.asyncapi_page`"


def test_file_is_valid_by_the_schema_of_the_specification() -> None:
    assert faults(written()) == []


def test_planted_faults_are_seen() -> None:
    bad = deepcopy(written())
    bad["operations"]["sendReport"]["action"] = "publish"
    bad["channel"] = {}
    assert len(faults(bad)) >= 1


def test_every_reference_leads_somewhere() -> None:
    for reference in references(written()):
        assert resolved(written(), reference)


def test_every_topic_is_a_channel_with_its_settings() -> None:
    channels = written()["channels"]
    assert set(channels) == {topic.name for topic in TOPICS}
    for topic in TOPICS:
        settings = channels[topic.name]["bindings"]["kafka"]["topicConfiguration"]
        assert settings["max.message.bytes"] == topic.max_message_bytes
        assert settings["retention.ms"] == topic.retention_ms


FORMS = {f"{form.id}-{form.version}": form for form in released_catalogue().forms}


@pytest.mark.parametrize("form", FORMS.values(), ids=list(FORMS))
def test_every_form_version_is_a_message_whose_schema_has_its_fingerprint(form: Form) -> None:
    message = written()["components"]["messages"][f"report.{form.id}.{form.version}"]
    schema = fastavro.parse_schema(message["payload"]["schema"], {})
    assert fingerprint_of(schema) == form.fingerprint
    assert "dimension" not in json.dumps(schema)
