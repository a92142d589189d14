"""The courier while no broker answers: what was kept is told, nothing new is kept, and nobody waits for nothing."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path

import pytest

from producers.errors import KeysError
from producers.gateway.courier import Courier, Outcome
from producers.gateway.intake import Job
from producers.gateway.refusal import Refusal, Slug
from producers.gateway.store import FILE, GatewayStore
from schemas.principal import ALL_UNITS
from schemas.settings import load_settings
from tests.support.signed import OPERATOR, registers
from tests.unit.test_gateway_intake import item, job

pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"
)  # kafka-python leaves its sockets open when a producer can't connect


@pytest.fixture
def courier(tmp_path: Path) -> Iterator[Courier]:
    with closing(GatewayStore(tmp_path / FILE)) as store:
        store.mark_in_force(store.next_key(ALL_UNITS, registers()).kid)
    made = Courier(
        load_settings(data=tmp_path, bootstrap="127.0.0.1:1", operator_key=OPERATOR.public.hex()), attempt_s=0.2
    )
    made.start()
    assert made.ready.wait(10)
    yield made
    made.stop()
    gc.collect()


def answer(found: Future[list[Outcome]]) -> Refusal:
    """The one refusal of a request, of its report or of the whole."""
    try:
        (one,) = found.result(20)
    except Refusal as refusal:
        return refusal
    assert isinstance(one, Refusal), one
    return one


def waiting(courier: Courier, tmp_path: Path) -> int:
    with closing(GatewayStore(tmp_path / FILE)) as store:
        return store.waiting()


def test_first_is_kept_and_told_so_and_what_comes_after_is_not_kept(courier: Courier, tmp_path: Path) -> None:
    first = answer(courier.submit(job(item(1), key="k")))
    assert (first.slug, first.status, first.members["kept"]) == (Slug.AWAY, 503, True)
    assert first.headers["Retry-After"] == "5"
    assert courier.away
    second = answer(courier.submit(job(item(2), key="l")))
    assert (second.slug, dict(second.members)) == (Slug.AWAY, {})
    again = answer(courier.submit(job(item(1), key="k")))
    assert again.members["revision"] == 1
    assert waiting(courier, tmp_path) == 1


def test_same_key_is_refused_while_the_first_request_is_under_way(courier: Courier) -> None:
    first = courier.submit(job(item(1), key="k"))
    with pytest.raises(Refusal) as caught:
        courier.submit(job(item(1), key="k"))
    assert caught.value.slug is Slug.REQUEST_IN_FLIGHT
    other: Job = job(item(2), key="l")
    assert answer(courier.submit(other)).slug is Slug.AWAY
    assert answer(first).slug is Slug.AWAY
    assert answer(courier.submit(job(item(1), key="k"))).slug is Slug.AWAY


def test_request_that_was_given_up_does_not_end_the_courier(courier: Courier) -> None:
    courier.submit(job(item(1), key="a"))
    courier.submit(job(item(2), key="b")).cancel()
    assert answer(courier.submit(job(item(3), key="c"))).slug is Slug.AWAY
    assert courier.failure is None


def test_after_the_stop_nothing_is_taken(courier: Courier) -> None:
    courier.stop()
    with pytest.raises(Refusal) as caught:
        courier.submit(job(item(1)))
    assert caught.value.slug is Slug.AWAY


def test_gateway_without_a_key_ends_and_says_why(tmp_path: Path) -> None:
    courier = Courier(load_settings(data=tmp_path, bootstrap="127.0.0.1:1", operator_key=OPERATOR.public.hex()))
    courier.start()
    courier.stop()
    assert isinstance(courier.failure, KeysError)
