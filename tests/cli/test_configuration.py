"""Which file a command reads its configuration from."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nightmail.cli import configuration
from nightmail.cli.configuration import find_config
from nightmail.errors import ConfigInvalid


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(configuration, "SYSTEM_WIDE", str(tmp_path / "etc.toml"))


def test_what_was_said_comes_first_then_the_environment_then_here_then_the_system(tmp_path: Path) -> None:
    environment = {"NIGHTMAIL_CONFIG": "environment.toml"}
    (tmp_path / "etc.toml").touch()
    assert find_config(None, {}) == str(tmp_path / "etc.toml")
    (tmp_path / "nightmail.toml").touch()
    assert find_config(None, {}) == "nightmail.toml"
    assert find_config(None, environment) == "environment.toml"
    assert find_config("given.toml", environment) == "given.toml"


def test_a_file_that_somebody_else_left_here_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nightmail.toml").touch()
    owner = os.geteuid() or 12_345
    if os.geteuid() == 0:
        os.chown(tmp_path / "nightmail.toml", owner, -1)
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(ConfigInvalid, match="no configuration"):
        find_config(None, {})


def test_no_file_at_all_is_said_so() -> None:
    with pytest.raises(ConfigInvalid, match=r"neither \./nightmail\.toml nor .* is there; name one with --config"):
        find_config(None, {})
