"""Catalogues in the log: released once, announced in every partition, refused where they would move anything."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from deploy.catalogue_release import ANNOUNCED, CatalogueRelease, announced, candidate, read_registers, remembered_trees
from deploy.errors import RefusedError
from deploy.kafka import BrokerSettings, Cluster
from deploy.operator_key import operator_key
from deploy.topic_set import create_topics
from schemas.catalogue import Announcement, Catalogue
from schemas.failpoint import Failpoint
from schemas.log import TopicReader
from schemas.settings import Settings, load_settings
from schemas.topics import REPORTS
from tests.support.released import released_catalogue

PORT = 27700
TREE = (
    "code,name,level,parent,valid_from,valid_to\nX,Land X,nation,,2020-01-01,\nX-1,Province 1,province,X,2020-01-01,\n"
)
BELOW = "X-2,Province 2,province,X-1,2020-01-01,\n"

Release = Callable[[dict[str, str]], Announcement]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(BrokerSettings(data_dir=tmp_path_factory.mktemp("kafka"), port=PORT)) as cluster:
        cluster.start()
        yield cluster


@pytest.fixture
def settings(cluster: Cluster, tmp_path: Path, request: pytest.FixtureRequest) -> Settings:
    """Topics of its own for each test."""
    operator = operator_key(tmp_path)
    prefix = f"{re.sub(r'[^a-z0-9]+', '-', request.node.name)}."
    settings = load_settings(
        data=tmp_path, bootstrap=cluster.bootstrap, operator_key=operator.public.hex(), prefix=prefix
    )
    create_topics(settings)
    return settings


@pytest.fixture
def release(settings: Settings) -> Release:
    """What each start does: ask for the catalogue of all trees given so far."""

    def ensure(given: dict[str, str]) -> Announcement:
        operator = operator_key(settings.data)
        wanted = small_catalogue({**remembered_trees(settings.data), **given})
        with_log = CatalogueRelease(settings, operator)
        try:
            return with_log.ensure(wanted, read_registers(settings, operator), given)
        finally:
            with_log.close()

    return ensure


@cache
def small_files() -> dict[str, bytes]:
    """The released forms and code lists without the 14,000 units, which would be read a hundred times here."""
    files = released_catalogue().files
    return {name: files[name] for name in files if name.startswith(("forms/", "codes/"))}


def small_catalogue(trees: dict[str, str]) -> Catalogue:
    catalogue = Catalogue(small_files())
    for name, text in trees.items():
        catalogue = catalogue.with_tree(text, name)
    return catalogue


def control_records(settings: Settings) -> dict[int, list[tuple[int, int]]]:
    """(epoch, serial) of each control record, by partition."""
    operator = operator_key(settings.data)
    found: dict[int, list[tuple[int, int]]] = {}
    with TopicReader(settings.bootstrap, settings.topic(REPORTS)) as reader:
        for record in reader.to_end():
            announcement = announced(record, operator)
            if announcement is not None:
                found.setdefault(record.partition, []).append((announcement.epoch, announcement.serial))
    return found


def everywhere(*numbers: tuple[int, int]) -> dict[int, list[tuple[int, int]]]:
    return {partition: list(numbers) for partition in range(4)}


def test_first_catalogue_is_announced_once_in_every_partition_however_often_one_starts(
    settings: Settings, release: Release
) -> None:
    first = release({})
    assert (first.epoch, first.serial) == (1, 1)
    assert release({}) == first
    assert control_records(settings) == everywhere((1, 1))


@pytest.mark.parametrize("partitions_done", [1, 3, 4])
def test_announcement_that_was_cut_off_is_completed_where_it_lacks(
    settings: Settings, release: Release, monkeypatch: pytest.MonkeyPatch, partitions_done: int
) -> None:
    with monkeypatch.context() as cut:
        cut.setenv("CHUNGSUC_FAILPOINT", f"release.after_control_record:{partitions_done}:raise")
        cut.setattr("schemas.failpoint._passed", {})
        with pytest.raises(Failpoint):
            release({})
    assert len(control_records(settings)) == partitions_done
    release({})
    assert control_records(settings) == everywhere((1, 1))


def test_without_its_note_the_announcement_is_found_in_the_log(settings: Settings, release: Release) -> None:
    release({})
    (settings.data / ANNOUNCED).unlink()
    release({})
    assert control_records(settings) == everywhere((1, 1))


def test_added_tree_raises_the_serial_and_is_remembered(settings: Settings, release: Release) -> None:
    release({})
    extended = release({"land-x": TREE})
    assert (extended.epoch, extended.serial) == (1, 2)
    assert release({}) == extended
    assert control_records(settings) == everywhere((1, 1), (1, 2))


def test_catalogue_that_moves_units_is_refused_and_nothing_of_it_is_kept(settings: Settings, release: Release) -> None:
    standing = release({"land-x": TREE})
    with pytest.raises(RefusedError, match="unit X-1 would get its first unit below"):
        release({"land-x": TREE + BELOW})
    assert release({}) == standing
    assert control_records(settings) == everywhere((1, 1))


def test_tree_that_can_not_be_read_is_refused_by_its_line() -> None:
    with pytest.raises(RefusedError, match="land-x line 2: valid_from '01/01/2020' is not a day"):
        candidate({"land-x": TREE.replace("2020-01-01", "01/01/2020")})


def test_log_of_another_operator_is_refused(settings: Settings, release: Release) -> None:
    release({})
    (settings.data / "operator.key").unlink()
    with pytest.raises(RefusedError, match="signed by another operator"):
        release({})
