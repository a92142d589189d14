"""What all fault tests share: the marker of the long ones, and stacks of their own ports."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Note = Callable[[str, float], None]


@pytest.fixture
def note(record_property: Callable[[str, object], None], request: pytest.FixtureRequest) -> Note:
    """Keep a measured number of seconds: in the test's output and in the report."""

    def keep(what: str, seconds: float) -> None:
        record_property(what, round(seconds, 2))
        print(f"{request.node.name}: {what} {seconds:.2f} s")

    return keep
