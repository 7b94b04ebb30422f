"""Real OpenLDAP: what a master does before it lets anybody in, and what it leaves alone."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.directory.sites import PARTS, Sites, SiteSlapd, person
from tests.directory.slapd_server import SUFFIX

from nightmail.directory.accounts import first_entries
from nightmail.directory.ldif import ldif_of
from nightmail.directory.slapd import find_installation, load
from nightmail.errors import ConfigInvalid


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
