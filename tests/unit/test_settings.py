"""Settings: read once from our variables, refused where a name means nothing, each described."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from schemas.failpoint import VARIABLE
from schemas.settings import PREFIX, Settings, SettingsError, load_settings


@pytest.mark.parametrize("name", ["CHUNGSUC_WORKRES", "CHUNGSUC_", "CHUNGSUC_DATA_DIR", "chungsuc_typo"])
def test_unknown_variable_with_our_prefix_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "2")
    with pytest.raises(SettingsError, match=name) as refused:
        load_settings()
    assert "\n" not in str(refused.value)


def test_variables_of_others_are_none_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHUNGSUCX", "2")
    monkeypatch.setenv("XCHUNGSUC_DATA", "2")
    assert load_settings().data == Path(".chungsuc")


def test_every_setting_is_read_from_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = dict.fromkeys(Settings.model_fields, "7") | {"data": "/a/folder", "bootstrap": "h:1", "prefix": "p."}
    for name, text in texts.items():
        monkeypatch.setenv(f"{PREFIX}{name}".upper(), text)
    settings = load_settings()
    for name, text in texts.items():
        assert str(getattr(settings, name)) in (text, f"{text}.0")
    assert settings.topic("reports") == "p.reports"


def test_failpoint_is_no_setting_and_not_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "nowhere:1")
    assert VARIABLE.removeprefix(PREFIX).lower() not in Settings.model_fields
    load_settings()


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_has_a_description_and_a_default(name: str) -> None:
    field = Settings.model_fields[name]
    assert field.description
    assert len(field.description) > 10
    assert not field.is_required()


@pytest.mark.parametrize(("name", "text"), [("PARTITIONS", "0"), ("PARTITIONS", "four"), ("ACT_DELAY_MS", "-1")])
def test_value_out_of_range_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    monkeypatch.setenv(f"{PREFIX}{name}", text)
    with pytest.raises(ValidationError, match=name.lower()):
        load_settings()


def test_settings_do_not_change_after_they_were_read() -> None:
    settings = load_settings()
    with pytest.raises(ValidationError):
        settings.partitions = 5


def test_nothing_listens_and_no_delay_is_assumed_unless_set() -> None:
    settings = load_settings()
    assert (settings.metrics_port, settings.page_port, settings.act_delay_ms) == (0, 0, 0)
