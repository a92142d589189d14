"""The command line: every command explains itself with examples, and every failure is one line and its exit code."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from deploy.cli.main import cli, run
from producers.audit import AuditLog, Event
from schemas.exit import Exit
from schemas.report import Millis
from tests.support.released import released_catalogue

COMMANDS = {
    "up", "down", "status", "replay", "simulate", "drain", "figures", "rejected", "receipts", "verify", "rebuild",
    "units", "units-import", "principals", "keys", "audit", "findings",
    "indicators", "cumulative", "regimes", "obligations", "decide", "return",
    "forms", "forms-import", "texts", "sheets", "agent", "sandbox",
}  # fmt: skip


def every_command() -> Iterator[tuple[list[str], click.Command]]:
    """Each command with the words that call it, those of groups and the groups themselves."""
    for name, command in cli.commands.items():
        yield [name], command
        if isinstance(command, click.Group):
            for inner, one in command.commands.items():
                yield [name, inner], one


def example_lines(command: click.Command) -> list[str]:
    lines = (command.epilog or "").splitlines()
    return [line.strip() for line in lines if line.strip().startswith("chungsuc ")]


def test_there_are_exactly_the_commands_of_the_contract() -> None:
    assert set(cli.commands) == COMMANDS


@pytest.mark.parametrize(("words", "command"), [*every_command()], ids=str)
def test_help_has_examples_that_can_be_typed(
    words: list[str], command: click.Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*words, "--help"]) == 0
    shown = capsys.readouterr().out
    examples = example_lines(command)
    assert examples
    for example in examples:
        assert example in shown
        _, *typed = shlex.split(example)
        assert typed[: len(words)] == words
        command.make_parser(click.Context(command)).parse_args(typed[len(words) :])


def test_every_option_says_what_it_is_for() -> None:
    for words, command in every_command():
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert parameter.help, f"{words} {parameter.opts}"


@pytest.mark.parametrize(
    "arguments",
    [
        ["down"], ["status"], ["drain"], ["verify"], ["rebuild"], ["rejected"], ["receipts"],
        ["figures", "--unit", "106", "--form", "testing-daily"], ["simulate", "--under", "106", "--day", "2021-12-13"],
        ["principals", "list"], ["principals", "revoke", "x"], ["principals", "reset", "x"],
        ["keys", "list"], ["keys", "check"], ["keys", "rotate", "x"], ["keys", "revoke", "x", "--reason", "y"],
        ["keys", "register", "--unit", "x"],
        ["sheets", "out", "x.xlsx", "--unit", "03390"], ["sheets", "in", __file__, "--unit", "03390"],
        ["sheets", "map", "--unit", "03390", "--form", "testing-daily"],
    ],
)  # fmt: skip
def test_without_a_stack_each_command_says_so_in_one_line_and_exits_with_4(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*arguments, "--data", str(tmp_path)]) == Exit.UNREACHABLE
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("chungsuc: no stack runs on ")
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["figures"], ["figures", "--unit", "106", "--form", "x", "--from", "13/12/2021"], ["up", "--port-base", "80"],
        ["replay", "no-such-file.csv", "--form", "x"], ["fly"],
        ["figures", "--unit", "106", "--form", "x", "--as-of", "yesterday"],
    ],
)  # fmt: skip
def test_wrong_usage_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == Exit.USAGE
    assert capsys.readouterr().err


def test_unknown_setting_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("CHUNGSUC_PORT", "1")
    assert run(["status"]) == Exit.REFUSED
    assert "CHUNGSUC_PORT" in capsys.readouterr().err


def test_setting_out_of_range_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CHUNGSUC_PARTITIONS", "0")
    assert run(["status"]) == Exit.REFUSED
    said = capsys.readouterr().err
    assert "CHUNGSUC_PARTITIONS" in said
    assert said.count("\n") == 1


def test_bug_is_one_line_with_the_place_of_its_trace(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(data: Path) -> None:
        raise ZeroDivisionError(data)

    monkeypatch.setattr("deploy.cli.stack_commands.running_stack", broken)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert run(["status", "--data", str(tmp_path)]) == Exit.BUG
    said = capsys.readouterr().err
    (trace,) = tmp_path.glob("*.trace")
    assert str(trace) in said
    assert said.count("\n") == 1
    assert "ZeroDivisionError" in trace.read_text(encoding="utf-8")


def test_audit_prints_what_happened_and_tells_a_broken_chain(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = AuditLog(tmp_path / "audit.log")
    for number, event in enumerate([Event.LOGIN, Event.SUBMISSION, Event.LOGIN]):
        log.note(Millis(1_641_000_000_000 + number * 1000), event, principal="a-vp", report=number)
    asked = ["audit", "--data", str(tmp_path), "--format", "csv", "--event", "login", "--since", "2022-01-01T08:20:01"]
    assert run(asked) == Exit.FINE
    assert capsys.readouterr().out.splitlines() == [
        "at,event,principal,about", '2022-01-01T08:20:02.000+07:00,login,a-vp,"{""report"": 2}"',
    ]  # fmt: skip
    log.path.write_bytes(log.path.read_bytes().replace(b'"report":1', b'"report":9'))
    assert run(["audit", "--data", str(tmp_path)]) == Exit.FAILED
    assert "line 3 does not follow" in capsys.readouterr().err


def test_forms_and_regimes_of_a_unit_are_those_asked_of_it_and_below(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("form_commands", "regime_commands"):
        monkeypatch.setattr(f"deploy.cli.{module}.current_catalogue", lambda _: released_catalogue())

    def said(*arguments: str) -> tuple[set[str], str]:
        assert run([*arguments, "--data", str(tmp_path)]) == 0
        shown = capsys.readouterr()
        return {line.split()[0] for line in shown.out.splitlines()[1:] if line}, shown.out + shown.err

    asked, told = said("forms", "--unit", "106", "--on", "2021-12-15")
    assert asked == {"green-zone", "monthly-report", "review-report", "support-payout", "testing-daily",
                     "vaccination-daily"}  # fmt: skip
    assert "more forms are in force that no regime asks of 106" in told
    everything, _ = said("forms", "--unit", "106", "--on", "2021-12-15", "--all")
    assert len(everything) > 50
    assert said("forms", "--unit", "VN", "--on", "2022-12-30")[0] == {"monthly-report", "testing-daily",
                                                                      "vaccination-daily"}  # fmt: skip
    assert said("regimes", "--unit", "G01.35.26", "--on", "2021-12-15")[0] == {"review-interim"}
    assert said("regimes", "--unit", "01", "--on", "2021-12-15")[0] == {"vaccination-daily"}
    assert run(["regimes", "--unit", "x", "--on", "2021-12-15", "--data", str(tmp_path)]) == Exit.USAGE
    assert run(["forms", "--all", "--data", str(tmp_path)]) == Exit.USAGE
