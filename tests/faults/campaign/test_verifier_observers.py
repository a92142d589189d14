"""The verifier bites: what observers saw go back, what they still show, and what they could not read."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest

from schemas.report import Millis
from tests.faults.campaign.history import Ended, Outage, Seen
from tests.faults.campaign.lab import Account, Lab
from tests.faults.campaign.planting import (
    D,
    accepted,
    found,
    judged,
    report_of,
    small,
)
from tests.faults.campaign.verifier.anomaly import Name

# Observers


def seen_by(lab: Lab, observer: str, account: Account) -> Seen:
    """What an observer saw of an account."""
    return next(e for e in lab.events if isinstance(e, Seen) and e.observer == observer and e.unit == account[0])


def grown() -> Lab:
    """The district's total was seen twice, the second one newer."""
    lab = Lab()
    lab.send(report_of("c1"))
    lab.emit_all()
    lab.see(D)
    lab.send(report_of("c2"))
    lab.emit_all()
    lab.observe()
    return lab


def test_total_seen_as_it_grows_is_no_anomaly(tmp_path: Path) -> None:
    assert not found(grown(), tmp_path, observed=False)


@pytest.mark.parametrize("observer", ["figures", "read model", "page"])
def test_version_that_goes_back_before_an_observer_is_non_monotonic(observer: str, tmp_path: Path) -> None:
    lab = grown()
    first, second = (e for e in lab.events if isinstance(e, Seen) and e.observer == observer and e.unit == "D")
    at = lab.events.index(second)
    lab.events[at:at] = [second, first]
    assert found(lab, tmp_path, observed=False) == {Name.NON_MONOTONIC: 1}


@pytest.mark.parametrize("observer", ["figures", "read model", "page"])
def test_older_total_that_an_observer_still_shows_at_the_end_is_stale(observer: str, tmp_path: Path) -> None:
    lab = grown()
    _, second = (e for e in lab.events if isinstance(e, Seen) and e.observer == observer and e.unit == "D")
    lab.events.remove(second)
    assert found(lab, tmp_path, observed=False) == {Name.STALE: 1}


def test_observer_that_never_saw_what_others_saw_is_stale(tmp_path: Path) -> None:
    lab = grown()
    lab.events = [e for e in lab.events if not (isinstance(e, Seen) and e.observer == "page" and e.unit == "D")]
    assert found(lab, tmp_path, observed=False) == {Name.STALE: 1}


def test_observer_that_could_not_read_at_the_end_is_unavailable(tmp_path: Path) -> None:
    lab = grown()
    ended = next(e for e in lab.events if isinstance(e, Ended) and e.observer == "page")
    lab.events[lab.events.index(ended)] = Outage("page", Millis(5), Millis(-1), "refused")
    assert found(lab, tmp_path, observed=False) == {Name.UNREADABLE: 1}


def test_read_model_that_has_not_stored_the_newest_is_stale(tmp_path: Path) -> None:
    lab = Lab()
    lab.send(report_of("c1"))
    lab.emit_all()
    early = deepcopy(lab.records)
    lab.send(report_of("c2"))
    lab.emit_all()
    late, lab.records = lab.records, early
    lab.store(tmp_path)
    lab.records = late
    kinds = found(lab, tmp_path, stored=False)
    assert kinds == {Name.STALE: 4}  # three totals and the leaf


@pytest.mark.parametrize(
    ("then", "name"), [("superseded", Name.REGRESSION), ("duplicate", Name.REGRESSION), ("accepted", None)]
)
def test_receipt_that_falls_back_before_an_observer_is_a_regression(
    then: str, name: Name | None, tmp_path: Path
) -> None:
    lab = small()
    lab.tell(accepted(lab), "accepted")
    lab.tell(accepted(lab), then)
    assert found(lab, tmp_path) == ({} if name is None else {name: 1})


def test_levels_that_no_longer_count_a_report_are_a_regression(tmp_path: Path) -> None:
    lab = small()
    for counted in (0, 2, 3, 2):
        lab.tell(accepted(lab), "accepted", counted)
    assert found(lab, tmp_path) == {Name.REGRESSION: 1}


def test_observation_of_an_epoch_whose_log_is_gone_is_counted_as_unchecked(tmp_path: Path) -> None:
    lab = grown()
    first = seen_by(lab, "page", D)
    lab.events.insert(0, replace(first, epoch=0, version=7777))
    verdict = judged(lab, tmp_path)
    assert verdict.word == "EXACT"
    assert verdict.unchecked == 1
