"""Running commands as a shell does."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest

from nightmail.cli import main


class Done(NamedTuple):
    exit_code: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs `nightmail WORDS...` in this process; what it printed and its exit code."""
    for variable in ("NIGHTMAIL_CONFIG", "COLUMNS", "FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(variable, raising=False)

    def command(*words: str, program: str = "nightmail") -> Done:
        monkeypatch.setattr(sys, "argv", [program, *words])
        code = main.run()
        sys.stdout.flush()
        return Done(code, *capfd.readouterr())

    return command
