"""The samples of docs/samples, compiled and run against a real gateway behind a line that fails now and then."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.parts import CHECKOUT
from deploy.sandbox.faults import Fault, Faults
from tests.support.sandbox import sandbox_door
from tests.support.site import CLERK, Site, new_day

SAMPLES = CHECKOUT / "docs" / "samples"
COUNTED, REFUSED, CLASH = 0, 1, 3


@dataclass(frozen=True)
class Language:
    """What a sample needs, how it is compiled, how it is run; `package` is Debian's."""

    needs: Sequence[str]
    package: str
    compiled: Sequence[str]
    runs: Sequence[str]


LANGUAGES = {
    "curl": Language(["curl"], "curl", [], ["sh", f"{SAMPLES}/send.sh"]),
    "java": Language(["javac", "java"], "default-jdk-headless", ["javac", "-d", ".", f"{SAMPLES}/Send.java"],
                     ["java", "Send"]),
    "csharp": Language(["mcs", "mono"], "mono-mcs", ["mcs", "-out:Send.exe", f"{SAMPLES}/Send.cs"],
                       ["mono", "Send.exe"]),
    "php": Language(["php"], "php-cli", [], ["php", f"{SAMPLES}/send.php"]),
}  # fmt: skip


@dataclass
class Bad:
    """A line to the gateway, and its faults."""

    url: str
    faults: Faults
    token: str
    folder: Path

    def run(self, language: Language, day: str, **given: str) -> subprocess.CompletedProcess[str]:
        environment = {"GATEWAY_URL": self.url, "GATEWAY_TOKEN": self.token, "PERIOD": day, **given}
        return _called(language.runs, self.folder, environment)


@pytest.fixture(scope="module")
def bad(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bad]:
    with sandbox_door(tmp_path_factory.mktemp("sandbox"), site.stack.gateway) as (url, faults):
        yield Bad(url, faults, site.tokens[CLERK], tmp_path_factory.mktemp("samples"))


@pytest.fixture(scope="module", params=sorted(LANGUAGES))
def language(request: pytest.FixtureRequest, bad: Bad) -> Language:
    found = LANGUAGES[request.param]
    if lacking := [name for name in found.needs if shutil.which(name) is None]:
        message = f"{', '.join(lacking)} of Debian's package {found.package} is not here"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    if found.compiled:
        done = _called(found.compiled, bad.folder, {})
        assert done.returncode == 0, done.stdout + done.stderr
    return found


def test_sample_sends_and_waits_until_counted(language: Language, bad: Bad) -> None:
    bad.faults.clear()
    sent = bad.run(language, new_day(), AFTER="0")
    assert sent.returncode == COUNTED, sent.stderr
    assert "acknowledged: revision 1" in sent.stdout
    assert "counted up to the nation" in sent.stdout


@pytest.mark.long
def test_sample_waits_while_the_gateway_is_busy_and_tells_a_clash_and_a_refusal(language: Language, bad: Bad) -> None:
    day = new_day()
    bad.faults.clear()
    bad.faults.switch(Fault.BUSY, time.time() + 3)
    assert bad.run(language, day, AFTER="0").returncode == COUNTED
    clash = bad.run(language, day, AFTER="0", PERSONS="17")
    assert (clash.returncode, "another revision stands: 1" in clash.stderr) == (CLASH, True)
    refused = bad.run(language, day, PERSONS="-1")
    assert (refused.returncode, "persons is -1" in refused.stderr) == (REFUSED, True)


@pytest.mark.long
@pytest.mark.parametrize("fault", [Fault.LOST_ANSWER, Fault.TWICE, Fault.NO_LINE, Fault.SLOW, Fault.TOO_MANY])
def test_sample_gets_one_report_through_whatever_the_line_does(
    site: Site, language: Language, bad: Bad, fault: Fault
) -> None:
    day = new_day()
    before = len(site.records())
    bad.faults.clear()
    bad.faults.switch(fault, time.time() + 6)
    sent = bad.run(language, day)
    assert sent.returncode == COUNTED, sent.stderr
    assert len(site.records()) == before + 1


def _called(command: Sequence[str], folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    # Mono knows only the ordinary way of sharing a processor, whatever this process was started with.
    ordinary = ["chrt", "--other", "0"] if os.sched_getscheduler(0) != os.SCHED_OTHER else []
    return subprocess.run(
        [*ordinary, *command], cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True,
        check=False, timeout=150,
    )  # fmt: skip
