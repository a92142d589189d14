"""Files with secrets are their owner's alone, and opening one twice harms nobody who has it open."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from producers.agent.store import FILE, AgentStore
from producers.private_file import made_private
from schemas.unit import UnitCode

LOOK = "import sqlite3, sys; d = sqlite3.connect(sys.argv[1]); print(d.execute('SELECT kid FROM agent_key').fetchone())"


def test_file_is_made_for_its_owner_and_one_that_others_may_read_is_told(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    assert made_private(path)
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    assert not made_private(path)


def test_second_opening_leaves_the_locks_of_the_first_so_that_another_process_can_come_and_go(tmp_path: Path) -> None:
    with closing(AgentStore(tmp_path / FILE)) as first:
        first.make_key(UnitCode("c1"))
        AgentStore(tmp_path / FILE).close()
        subprocess.run([sys.executable, "-c", LOOK, str(tmp_path / FILE)], check=True, capture_output=True)
        assert (tmp_path / f"{FILE}-wal").exists()
        first.note("after", "kept")
        with closing(sqlite3.connect(tmp_path / FILE)) as other:
            assert other.execute("SELECT value FROM agent_notes").fetchall() == [("kept",)]
            assert other.execute("PRAGMA integrity_check").fetchone() == ("ok",)
