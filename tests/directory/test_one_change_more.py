"""A master that starts is one change ahead of whoever follows it, and is the master of what it has."""

from __future__ import annotations

import threading
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs
from tests.directory.slapd_server import Slapd

from nightmail.directory.one_change_more import make_one_change_more
from nightmail.directory.slapd import find_installation
from nightmail.errors import ConfigInvalid
from nightmail.world import SystemClock


def test_a_master_is_one_change_further_with_each_start(tmp_path: Path) -> None:
    with Slapd(tmp_path / "master") as master:
        before = max(master.state())
        master.kill()
        master.start()
        assert max(master.state()) > before


def test_a_shadow_stays_where_it_is(tmp_path: Path) -> None:
    shadow = Slapd(tmp_path / "shadow", 2, "ldap://127.0.0.1:1")
    make_one_change_more(shadow.replica, find_installation(), SystemClock(), threading.Event())
    assert not (tmp_path / "shadow" / "entries" / "data.mdb").exists()


def test_entries_of_another_directory_are_not_served(tmp_path: Path) -> None:
    master = Slapd(tmp_path / "master")
    other = "dc=example,dc=net"
    [database] = master.replica.databases
    replica = msgspec.structs.replace(
        master.replica, suffix=other, databases=(msgspec.structs.replace(database, base=other),)
    )
    with pytest.raises(ConfigInvalid, match=f"its entries are not those of {other} with this secret; write suffix"):
        make_one_change_more(replica, find_installation(), SystemClock(), threading.Event())
    make_one_change_more(master.replica, find_installation(), SystemClock(), threading.Event())


def test_what_a_slapd_that_does_not_start_says_is_the_reason(tmp_path: Path) -> None:
    master = Slapd(tmp_path / "master")
    (tmp_path / "master" / "entries" / "data.mdb").write_bytes(b"no database" * 1000)
    with capture_logs() as logs:
        make_one_change_more(master.replica, find_installation(), SystemClock(), threading.Event())
    [line] = logs
    assert line["event"] == "directory master starts as it was"
    assert line["reason"].startswith("slapd ended: ")
    assert "MDB_INVALID" in line["reason"]
    assert len(line["reason"]) < 600
