"""Real OpenLDAP: half of a part is taken for the whole by nobody, and a slapd that hangs is given up."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from tests.directory.sites import PARTS, Sites, SiteSlapd, person
from tests.directory.slapd_server import SUFFIX

from nightmail.directory.accounts import first_entries
from nightmail.directory.ldif import ldif_of
from nightmail.directory.one_change_more import _opened
from nightmail.directory.sessions import Access
from nightmail.directory.slapd import find_installation, load
from nightmail.errors import ConfigInvalid, DirectoryUnavailable
from nightmail.world import SystemClock


@pytest.fixture
def sites(tmp_path: Path) -> Sites:
    return Sites(tmp_path)


def says_how_far_it_is(server: SiteSlapd, site: str) -> bool:
    """Whether a database of a server that does not run would be taken for one that has all there is (contextCSN)."""
    number = 1 + server.replica.databases.index(server.of(site))
    words = [find_installation().slapd, "-T", "cat", "-n", f"{number}", "-F", f"{server.replica.directory}/slapd.d"]
    said = subprocess.run(words, capture_output=True, check=True, text=True).stdout
    assert "nmSite=" in said
    return "contextCSN:" in said


def half_load(server: SiteSlapd, site: str) -> None:
    """Have it as slapd leaves it that was ended while it took what its master has."""
    part, database = next(each for each in zip(PARTS, server.replica.databases, strict=True) if each[0].site == site)
    pieces = [ldif_of([*first_entries(part, SUFFIX, server.replica.accounts), person(site)])]
    load(server.replica, database, find_installation(), pieces, "before")


def test_a_part_that_is_half_loaded_is_not_taken_for_whole_by_the_master_of_another_part(sites: Sites) -> None:
    half_load(sites.mx1, "dr")
    sites.mx1.prepared()
    assert says_how_far_it_is(sites.mx1, "main")
    assert not says_how_far_it_is(sites.mx1, "dr")


def test_whoever_has_half_of_a_part_does_not_become_its_master(sites: Sites) -> None:
    half_load(sites.mx1, "dr")
    sites.mx1.prepared()
    sites.obey(main="mx1", dr="mx1")
    with pytest.raises(ConfigInvalid, match=r"nmSite=dr.* has not all .*directory reseed --site dr"):
        sites.mx1.prepared()


class Hurrying:
    """A clock by which every look at it is two seconds later."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def elapsed(self) -> float:
        self.now_s += 2.0
        return self.now_s

    def wall(self) -> float:
        return self.now_s


@pytest.fixture
def hanging(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A process, and where one takes connections for it, and says nothing."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{tmp_path}/ldapi")
        listening.listen(64)
        process = subprocess.Popen(["sleep", "600"])
        try:
            yield process, f"ldapi://{quote(f'{tmp_path}/ldapi', safe='')}"
        finally:
            process.kill()
            process.wait()


def test_a_slapd_that_hangs_is_given_up_in_time(hanging: tuple[subprocess.Popen[bytes], str]) -> None:
    clock = Hurrying()
    with pytest.raises(DirectoryUnavailable, match="TIMEOUT"):
        _opened(*hanging, Access(name="cn=writer", password="secret", timeout_s=0.1), clock, threading.Event())
    assert clock.now_s < 20


def test_a_slapd_that_hangs_keeps_nobody_from_stopping(hanging: tuple[subprocess.Popen[bytes], str]) -> None:
    stopping = threading.Event()
    stopping.set()
    with pytest.raises(DirectoryUnavailable, match="it was not asked"):
        _opened(*hanging, Access(name="cn=writer", password="secret"), SystemClock(), stopping)
