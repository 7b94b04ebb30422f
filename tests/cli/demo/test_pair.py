"""What the demonstration needs of the machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nightmail.cli.demo.pair import find_haproxy
from nightmail.cli.failing import CommandFailed


def test_without_haproxy_it_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="install the package haproxy") as failure:
        find_haproxy(str(tmp_path))
    assert failure.value.exit_code == os.EX_UNAVAILABLE


def test_haproxy_is_found_where_the_system_keeps_it(tmp_path: Path) -> None:
    program = tmp_path / "haproxy"
    program.touch(0o755)
    assert find_haproxy(f"/nowhere:{tmp_path}") == str(program)
