"""A shadow that differs from its master, whatever made it so, is as its master once it has started (R19)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.directory.slapd_server import SUFFIX, Slapd
from tests.e2e.waiting import until

from nightmail.directory.copying import copy_of
from nightmail.directory.slapd import find_installation, load
from nightmail.directory.tree import item_of

PEOPLE = [item_of("mailboxes", f"user{number}@example.org", "", SUFFIX) for number in range(3)]


@pytest.fixture
def master(tmp_path: Path) -> Iterator[Slapd]:
    with Slapd(tmp_path / "master") as running:
        yield running


def states(replica: Slapd) -> set[tuple[str, ...]]:
    """All entries with the numbers of their changes."""
    with replica.as_account("reader") as directory:
        found = directory.search(SUFFIX, attributes=["entryCSN"])
        return {(item.dn, *item.attributes.get("entryCSN", ())) for item in found}


@pytest.mark.parametrize("is_master_up", [True, False])
def test_what_was_deleted_is_taken_away_and_what_is_lacking_comes(
    master: Slapd, tmp_path: Path, is_master_up: bool
) -> None:
    with master.as_account("writer") as directory:
        directory.add(PEOPLE)
        everything = [*copy_of([master.uri], SUFFIX, master.access("replicator"))]
        directory.delete([PEOPLE[1].dn])
        now = [*copy_of([master.uri], SUFFIX, master.access("replicator"))]
    outdated = [piece for piece in everything if PEOPLE[1].dn in piece]
    differing = [*(piece for piece in now if PEOPLE[2].dn not in piece), *outdated]
    shadow = Slapd(tmp_path / "shadow", 2, master.uri)
    load(shadow.replica, shadow.database, find_installation(), differing, "before")
    if not is_master_up:
        master.kill()
    with shadow:
        if not is_master_up:
            assert shadow.has(PEOPLE[1].dn)
            master.start()
        until(lambda: states(shadow) == states(master), "the shadow has what the master has")
        assert not shadow.has(PEOPLE[1].dn)
        assert shadow.has(PEOPLE[2].dn)
