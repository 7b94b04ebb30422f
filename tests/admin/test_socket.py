"""The operator's socket: private, and reachable under a path of any length."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from nightmail.admin.socket import bind_admin_socket, connect_admin_socket


@pytest.mark.parametrize("length", [1, 200])
def test_it_is_the_users_own_and_takes_the_place_of_an_old_one(tmp_path: Path, length: int) -> None:
    directory = tmp_path / ("x" * length)
    directory.mkdir()
    bind_admin_socket(str(directory)).close()
    with bind_admin_socket(str(directory)), connect_admin_socket(str(directory), 1.0) as connection:
        assert connection.gettimeout() == 1.0
        assert stat.S_IMODE((directory / "admin.sock").stat().st_mode) == 0o600


def test_where_nobody_listens_there_is_nothing_to_connect_to(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        connect_admin_socket(str(tmp_path), 1.0)
    bind_admin_socket(str(tmp_path)).close()
    with pytest.raises(ConnectionRefusedError):
        connect_admin_socket(str(tmp_path), 1.0)
