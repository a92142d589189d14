"""Accounts, their tokens, the audit log and the limits: what is shown once, found changed, or too much."""

from __future__ import annotations

import threading
from datetime import date
from pathlib import Path

import pytest

from producers.accounts import Accounts, AccountsError, Person
from producers.audit import AuditError, AuditLog, Event, broken_at, read
from producers.gateway.limits import Limits
from producers.principals import Step, described, planned, read_principals
from schemas.act import PrincipalBound
from schemas.principal import Binding, PrincipalName, Role
from schemas.report import Millis
from schemas.unit import UnitCode
from tests.support.signed import CATALOGUE, REGISTERED, act_record, registers

NAME, NOW = PrincipalName("c1-vp"), Millis(1_641_000_000_000)


def test_token_proves_its_account_until_it_is_revoked_and_is_in_no_file(tmp_path: Path) -> None:
    accounts = Accounts(tmp_path / "principals.sqlite")
    token = accounts.new_token(NAME, NOW)
    proven = accounts.proven_by(token, NOW)
    assert proven is not None
    assert proven[0] == NAME
    assert accounts.proven_by(token[:-1] + ("0" if token[-1] != "0" else "1"), NOW) is None
    assert accounts.proven_by(token.replace(NAME, "c2-vp"), NOW) is None
    assert accounts.tokens(NAME)[0].first_used_at == NOW
    assert accounts.revoke(NAME, NOW) == 1
    assert not accounts.stands(proven[1])
    assert accounts.proven_by(token, NOW) is None
    accounts.close()
    secret = token.rpartition("_")[2]
    assert not any(secret.encode() in path.read_bytes() for path in tmp_path.iterdir())


def test_people_behind_an_account_can_be_corrected(tmp_path: Path) -> None:
    accounts = Accounts(tmp_path / "principals.sqlite")
    assert accounts.person(NAME) == Person()
    accounts.set_person(NAME, Person("Văn phòng", "1"))
    accounts.set_person(NAME, Person("Văn phòng xã", "2"))
    assert accounts.person(NAME) == Person("Văn phòng xã", "2")
    accounts.close()


def test_file_of_tokens_that_others_can_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.sqlite").touch(0o644)
    with pytest.raises(AccountsError, match="readable by others"):
        Accounts(tmp_path / "p.sqlite")


def test_audit_log_shows_where_it_was_changed(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    log = AuditLog(path)
    for number in range(5):
        log.note(NOW, Event.LOGIN, principal=f"p{number}")
    assert broken_at(path) is None
    assert [line["principal"] for line in read(path)] == [f"p{n}" for n in range(5)]
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], lines[2].replace(b"p2", b"p9"), *lines[3:]]))
    assert broken_at(path) == 4
    path.write_bytes(b"".join([*lines[:2], *lines[3:]]))
    assert broken_at(path) == 3
    path.write_bytes(b"".join(lines) + b'{"half')
    log.note(NOW, Event.LOGIN, principal="after a power cut")
    assert broken_at(path) == 6
    assert path.stat().st_mode & 0o077 == 0


def test_lines_of_several_writers_make_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"

    def write() -> None:
        for _ in range(20):
            AuditLog(path).note(NOW, Event.LOGIN)

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(list(read(path))) == 80
    assert broken_at(path) is None


def test_audit_log_that_can_not_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(AuditError, match="can't be written"):
        AuditLog(tmp_path / "file" / "audit.log").note(NOW, Event.LOGIN)


def test_bucket_empties_at_once_and_fills_at_its_rate() -> None:
    limits = Limits(10, 20)
    assert limits.take("a", 20, 0.0) == 0
    assert limits.take("a", 5, 0.0) == 1
    assert limits.take("b", 5, 0.0) == 0
    assert limits.take("a", 15, 0.0) == 2
    assert limits.take("a", 15, 1.5) == 0
    assert limits.take("a", 1, 1.5) == 1
    limits.give_back("a", 1)
    assert limits.take("a", 1, 1.5) == 0


def test_count_above_the_burst_is_slow_and_not_impossible() -> None:
    limits = Limits(10, 20)
    assert limits.take("a", 50, 0.0) == 0
    assert limits.take("a", 1, 2.0) == 2
    assert limits.take("a", 1, 3.2) == 0


HEAD = "principal,unit,role,forms,valid_from,valid_to,name,contact\n"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("A b,c1,clerk,*,,,,", "no account's name"),
        ("a,99999,clerk,*,,,,", "no unit '99999'"),
        ("a,c1,boss,*,,,,", "no role 'boss'"),
        ("a,c1,clerk,no-such,,,,", "no form no-such"),
        ("a,c1,clerk,*,13/12/2021,,,", "not a day"),
        ("a,c1,clerk,*,2022-01-02,2022-01-01,,", "valid to 2022-01-01"),
    ],
)
def test_bad_line_is_named_with_its_number(line: str, said: str) -> None:
    wanted, (problem,) = read_principals(HEAD + "ok,c1,clerk,*,,,,\n" + line + "\n", CATALOGUE)
    assert [one.name for one in wanted] == ["ok"]
    assert problem.where == "line 3"
    assert said in problem.message


def test_subject_links_an_account_and_belongs_to_one_only(tmp_path: Path) -> None:
    head = HEAD.replace("contact", "contact,subject")
    wanted, problems = read_principals(head + "a,c1,clerk,*,,,,,s-1\nb,c2,clerk,*,,,,,\n", CATALOGUE)
    assert not problems
    assert [one.subject for one in wanted] == ["s-1", ""]
    assert [one.subject for one in read_principals(HEAD + "a,c1,clerk,*,,,,\n", CATALOGUE)[0]] == [None]
    (problem,) = read_principals(head + "a,c1,clerk,*,,,,,s-1\nb,c2,clerk,*,,,,,s-1\n", CATALOGUE)[1]
    assert (problem.where, problem.message) == ("line 3", "subject 's-1' is another account's too")
    accounts = Accounts(tmp_path / "principals.sqlite")
    accounts.set_subject(NAME, "s-1")
    accounts.set_subject(NAME, "s-2")
    assert (accounts.account_of("s-1"), accounts.account_of("s-2")) == (None, NAME)
    assert accounts.subject_of(NAME) == "s-2"
    accounts.set_subject(NAME, "")
    assert accounts.account_of("s-2") is None
    accounts.close()


def test_file_without_the_columns_is_refused() -> None:
    wanted, (problem,) = read_principals("name,unit\na,b\n", CATALOGUE)
    assert wanted == []
    assert "no column principal, role" in problem.message


def test_lines_of_one_account_are_its_bindings_and_excel_is_understood() -> None:
    text = "\ufeff" + HEAD + "a,c1,clerk,testing-small;testing-daily,2021-12-01,,Văn phòng,1\na,D,supervisor,,,,,\n"
    (wanted,), problems = read_principals(text, CATALOGUE)
    assert problems == []
    assert wanted.bindings == (
        Binding(UnitCode("D"), Role.SUPERVISOR),
        Binding(UnitCode("c1"), Role.CLERK, ("testing-daily", "testing-small"), date(2021, 12, 1)),
    )
    assert wanted.person == Person("Văn phòng", "1")
    assert described(wanted.bindings[1]) == "clerk of c1 for testing-daily testing-small 2021-12-01.."


def test_plan_tells_new_changed_and_same() -> None:
    found = registers()
    for name in ("b", "c"):
        act = act_record(PrincipalBound(PrincipalName(name), (Binding(UnitCode("c1"), Role.CLERK),)), name)
        found.apply(act.key, act.value, list(act.headers), REGISTERED)
    text = HEAD + "a,c1,clerk,*,,,,\nb,c1,clerk,*,,,,\nc,c1,approver,*,,,,\n"
    wanted, _ = read_principals(text, CATALOGUE)
    changes = planned(wanted, found, REGISTERED)
    assert [(change.wanted.name, change.step) for change in changes] == [
        ("a", Step.NEW), ("b", Step.SAME), ("c", Step.CHANGED),
    ]  # fmt: skip
