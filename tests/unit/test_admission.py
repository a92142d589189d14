"""Admission: every reason of the contract's closed list, in its order, and the legal records at their edges."""

from __future__ import annotations

import string
from dataclasses import replace
from itertools import combinations

import pytest

from schemas.admission import Admitted
from schemas.rejection import Reason, Rejection
from schemas.sentences import SENTENCES, sentence_en, sentence_vi
from tests.support.faults import FAULTS, broken
from tests.support.signed import (
    ADMISSION,
    TESTING,
    Draft,
    decided,
    rejection,
)

CONTRACT_ORDER = [
    "too_large",
    "not_decodable",
    "unknown_form",
    "header_invalid",
    "unknown_unit",
    "stale_name",
    "wrong_key",
    "wrong_partition",
    "unknown_key",
    "key_not_valid",
    "bad_signature",
    "not_authorised",
    "form_not_in_force",
    "period_invalid",
    "period_future",
    "kind_rows",
    "too_many_rows",
    "duplicate_row",
    "unknown_code",
    "value_missing",
    "value_range",
    "check_failed",
    "internal_error",
]


# What a form needs a day for can't be broken together with the text that names the day.
EXCLUDED = {
    (Reason.FORM_NOT_IN_FORCE, Reason.PERIOD_INVALID),
    (Reason.PERIOD_INVALID, Reason.PERIOD_FUTURE),
}


def test_reasons_are_the_contracts_closed_list_in_its_order() -> None:
    assert [reason.value for reason in Reason] == CONTRACT_ORDER


def test_every_reason_that_bytes_can_reach_has_a_record_that_breaks_it() -> None:
    assert set(Reason) - set(FAULTS) == {Reason.VALUE_MISSING, Reason.INTERNAL_ERROR}
    assert isinstance(decided(Draft()), Admitted)


@pytest.mark.parametrize("reason", FAULTS)
def test_record_that_breaks_one_rule_is_rejected_for_it(reason: Reason) -> None:
    assert rejection(broken(reason)).reason is reason


@pytest.mark.parametrize(("first", "second"), [pair for pair in combinations(FAULTS, 2) if pair not in EXCLUDED])
def test_of_two_broken_rules_the_earlier_one_is_named(first: Reason, second: Reason) -> None:
    assert rejection(broken(second, first)).reason is first


@pytest.mark.parametrize("reason", FAULTS)
def test_sentences_name_field_value_and_expectation_in_both_languages(reason: Reason) -> None:
    found = rejection(broken(reason))
    for text in (found.field, found.value):
        assert text
        assert text in sentence_vi(found)
        assert text in sentence_en(found)
    assert found.expected
    assert found.expected in sentence_en(found)
    assert (found.expected_vi or found.expected) in sentence_vi(found)
    said_vi, said_en = (found.message_vi, found.message_en) if found.message_vi else SENTENCES[reason]
    assert sentence_vi(found).startswith(said_vi)
    assert sentence_en(found).startswith(said_en)


def test_every_reason_has_a_sentence_of_its_own_in_both_languages() -> None:
    assert set(SENTENCES) == set(Reason)
    for language in (0, 1):
        assert len({sentences[language] for sentences in SENTENCES.values()}) == len(Reason)
    for vietnamese, english in SENTENCES.values():
        assert set(vietnamese) - set(string.printable), vietnamese
        assert not set(english) - set(string.printable), english


def test_broken_check_speaks_with_the_forms_own_sentence_and_its_numbers() -> None:
    found = rejection(broken(Reason.CHECK_FAILED))
    assert sentence_vi(found).startswith("Số người dương tính (151) lớn hơn số người được xét nghiệm (150)")
    assert sentence_en(found).startswith("More positive persons (151) than persons tested (150)")


def test_missing_value_is_named_where_another_format_lets_one_through(monkeypatch: pytest.MonkeyPatch) -> None:
    draft = Draft(rows=[{**TESTING, "tubes": None}])
    monkeypatch.setattr("schemas.admission.decode_report", lambda form, value: draft.report())
    found = ADMISSION.decide(replace(Draft().received()))
    assert isinstance(found, Rejection)
    assert (found.reason, found.field) == (Reason.VALUE_MISSING, "tubes")
