"""A shadow that differs from its master, whatever made it so, is as its master once it has started (R19)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.directory.slapd_server import SUFFIX, Slapd
from tests.e2e.waiting import until

from nightmail.directory.copying import copy_of
from nightmail.directory.slapd import find_installation, load
from nightmail.directory.tree import item_of

UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
PEOPLE = [item_of("mailboxes", f"user{number}@example.org", "", SUFFIX) for number in range(4)]


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
        everything = [*copy_of(master.uri, SUFFIX, master.access("replicator"))]
        directory.delete([PEOPLE[1].dn])
        now = [*copy_of(master.uri, SUFFIX, master.access("replicator"))]
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


def copied(replica: Slapd) -> list[str]:
    """All entries with everything that one can begin with."""
    return [*copy_of(replica.uri, SUFFIX, replica.access("replicator"))]


def is_followed(master: Slapd) -> bool:
    """Whether a shadow is connected to a master."""
    with master.as_account("reader") as directory:
        found = directory.search("cn=Connections,cn=Monitor", attributes=["monitorConnectionAuthzDN"])
        return any(
            item.attributes.get("monitorConnectionAuthzDN") == (master.access("replicator").name,) for item in found
        )


def test_what_a_killed_master_kept_and_never_shipped_comes_once_it_runs_again(master: Slapd, tmp_path: Path) -> None:
    """It was killed between changes and its note of how far it is, and its shadow is back before it is written to."""
    with master.as_account("writer") as directory:
        directory.add(PEOPLE[:1])
        directory.add(PEOPLE[1:2])  # alone, so that it is the last one that the master has noted
    with Slapd(tmp_path / "shadow", 2, master.uri) as shadow:
        until(lambda: states(shadow) == states(master), "the shadow has what the master has")
        kept = [piece for piece in copied(master) if PEOPLE[0].dn not in piece]
        [like] = [piece for piece in kept if PEOPLE[1].dn in piece]
        added = UUID.sub("00000000-0000-4000-8000-000000000000", like.replace("user1@", "user2@"))
        master.begin_anew([*kept, added.replace("#000000#001#", "#ffffff#001#")])
        until(lambda: is_followed(master), "the shadow is back")
        with master.as_account("writer") as directory:
            directory.add(PEOPLE[3:])
        until(lambda: shadow.has(PEOPLE[3].dn), "the shadow has what is written now")
        until(lambda: states(shadow) == states(master), "the shadow has what the master has")
        assert not shadow.has(PEOPLE[0].dn)
        assert shadow.has(PEOPLE[2].dn)
