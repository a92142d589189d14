"""The plan of the house: `deploy → consumers | streams | producers → schemas`, read from the imports themselves."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAY_IMPORT: dict[str, set[str]] = {
    "schemas": set(),
    "producers": {"schemas"},
    "streams": {"schemas"},
    "consumers": {"schemas"},
    "deploy": {"schemas", "producers", "streams", "consumers"},
}
OUTSIDE = {"tests", "benchmarks"}
"""They may import every room, and no room imports them."""


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Line and first name of every import of a file, in functions and behind TYPE_CHECKING too."""
    package = path.relative_to(path.parents[len(path.parts) - 2]).parts[0] if not path.is_absolute() else None
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.lineno, (node.module or "").partition(".")[0]
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, package or "."


def wrong_arrows(root: Path) -> list[str]:
    """Every import against the plan, as `file:line imports room`."""
    rooms = MAY_IMPORT.keys() | OUTSIDE
    return [
        f"{path.relative_to(root)}:{line} imports {name}"
        for room, allowed in MAY_IMPORT.items()
        for path in sorted((root / room).rglob("*.py"))
        for line, name in imported(path)
        if name == "." or (name in rooms and name != room and name not in allowed)
    ]


def test_every_arrow_points_down() -> None:
    assert wrong_arrows(ROOT) == []


def test_every_room_is_there_and_no_other_package_is() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages == MAY_IMPORT.keys() | OUTSIDE


@pytest.mark.parametrize(
    ("room", "text"),
    [
        ("schemas", "import streams.ledger"),
        ("schemas", "from producers import outbox"),
        ("streams", "from consumers.verify import x"),
        ("streams", "def f():\n    from producers.keys import y"),
        ("consumers", "if TYPE_CHECKING:\n    import streams"),
        ("producers", "import os, deploy.stack as s"),
        ("streams", "from tests.support import figures"),
        ("consumers", "from ..streams import page"),
    ],
)
def test_planted_import_against_the_plan_is_found(tmp_path: Path, room: str, text: str) -> None:
    (tmp_path / room / "inner").mkdir(parents=True)
    file = tmp_path / room / "inner" / "planted.py"
    file.write_text(text)
    (found,) = wrong_arrows(tmp_path)
    assert found.startswith(f"{room}/inner/planted.py:")


@pytest.mark.parametrize(
    ("room", "text"),
    [("deploy", "import streams.app"), ("streams", "from streams.page import Page"), ("schemas", "import numpy, json"),
     ("consumers", "from schemas.unit import Unit"), ("producers", '"""from streams import x"""')],
)  # fmt: skip
def test_import_along_the_plan_is_not_found(tmp_path: Path, room: str, text: str) -> None:
    (tmp_path / room).mkdir()
    (tmp_path / room / "fine.py").write_text(text)
    assert wrong_arrows(tmp_path) == []
