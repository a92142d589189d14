"""Requests made from the gateway's own description: no 5xx, no trace, no answer that it does not describe."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from openapi_spec_validator import OpenAPIV30SpecValidator, OpenAPIV31SpecValidator

from producers.gateway.openapi import description, downgraded
from schemas.principal import PrincipalName
from tests.support.site import SUPERIOR, Site

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def test_both_documents_are_openapi() -> None:
    OpenAPIV31SpecValidator(description()).validate()
    OpenAPIV30SpecValidator(downgraded(description())).validate()


@pytest.mark.parametrize("examples", [3, pytest.param(200, marks=pytest.mark.long)])
def test_no_request_that_the_description_allows_or_forbids_makes_the_gateway_fail(
    site: Site, tmp_path: Path, examples: int
) -> None:
    log = site.settings.data / "logs" / "gateway.log"
    before = log.read_text(encoding="utf-8").count("Traceback")
    seconds = "8" if examples < 10 else "200"
    done = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", "run", f"{site.stack.gateway}/v1/openapi.json",
         "--header", f"Authorization: Bearer {site.tokens[PrincipalName(SUPERIOR)]}", "--checks", CHECKS,
         "--max-examples", str(examples), "--phases", "examples,fuzzing", "--max-time", seconds, "--seed", "1",
         "--no-color", "--request-timeout", "30", "--suppress-health-check", "all"],
        cwd=tmp_path, env={**os.environ, "PYTHONWARNINGS": "ignore"}, capture_output=True, text=True, check=False,
        timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    assert log.read_text(encoding="utf-8").count("Traceback") == before
    assert httpx.get(f"{site.stack.gateway}/healthz", timeout=10).status_code == 200
