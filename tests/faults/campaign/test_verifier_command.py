"""A segment judged again from its folder, by the command."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from schemas.exit import Exit
from tests.faults.campaign.planting import D, found, small
from tests.faults.campaign.verifier.__main__ import main
from tests.faults.campaign.verifier.anomaly import Name


def run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["verifier", str(folder)])
    return main()


def test_exact_segment_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not found(small(), tmp_path)
    assert run(tmp_path, monkeypatch) == Exit.FINE
    assert capsys.readouterr().out.endswith("EXACT: sent 3, acknowledged 3, lost 0, double 0, wrong 0\n")


def test_anomaly_is_printed_with_its_evidence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lab = small()
    lab.emit(D, to="L")
    assert found(lab, tmp_path)
    assert run(tmp_path, monkeypatch) == Exit.FAILED
    said = capsys.readouterr().out
    assert "misdirected write: figures" in said
    assert "went to L, A must get it" in said


def test_folder_without_evidence_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(tmp_path, monkeypatch)
    assert stopped.value.code == Exit.USAGE
    assert "history.jsonl is not there" in capsys.readouterr().err


def test_every_anomaly_is_explained_on_the_page() -> None:
    """The page's words, from which it is generated, name each of them in the table of anomalies."""
    words = (Path(__file__).parent / "reliability.md").read_text("utf-8")
    rows = [line.split("|")[1].strip() for line in words.splitlines() if line.startswith("| ")]
    named = {name for row in rows for name in row.split(", ")}
    assert {name.value for name in Name} <= named
