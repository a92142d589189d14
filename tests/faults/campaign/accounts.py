"""Accounts of communes, as an operator makes them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from schemas.unit import UnitCode
from tests.faults.harness import Running


def accounts(running: Running, units: Sequence[UnitCode], folder: Path) -> dict[UnitCode, str]:
    """A clerk for each unit; their tokens. What was given and said lies in `folder`."""
    wanted, given = folder / "accounts.csv", folder / "tokens.csv"
    lines = [f"{unit}-vp-1,{unit},clerk,*,,,,\n" for unit in units]
    wanted.write_text("principal,unit,role,forms,valid_from,valid_to,name,contact\n" + "".join(lines), "utf-8")
    done = running.chungsuc("principals", "apply", str(wanted), "--tokens", str(given))
    assert done.returncode == 0, done.stderr
    with given.open(encoding="utf-8", newline="") as file:
        tokens = {row["principal"]: row["token"] for row in csv.DictReader(file)}
    return {unit: tokens[f"{unit}-vp-1"] for unit in units}
