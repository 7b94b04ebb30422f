"""What the master acknowledged is kept and reaches the shadow (R19), whatever became of either meanwhile.

Each scene keeps a ledger of the acknowledged writes, and holds both replicas against it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.directory.acknowledged import Acknowledged
from tests.directory.slapd_server import Slapd
from tests.e2e.waiting import until

from nightmail.directory import slapd
from nightmail.directory.replica import Configuration, Replica, configuration
from nightmail.directory.tree import Item

LAZY = "100000 60"
ROUNDS = 5


@pytest.fixture
def master(tmp_path: Path) -> Slapd:
    return Slapd(tmp_path / "master")


@pytest.fixture
def pair(master: Slapd, tmp_path: Path) -> Iterator[tuple[Slapd, Slapd]]:
    """Both run, and there are mailboxes to be changed and deleted."""
    with master, Slapd(tmp_path / "shadow", 2, master.uri) as shadow:
        yield master, shadow


def write(writes: Acknowledged, master: Slapd) -> None:
    """Let the master acknowledge writes of each kind, the deletion last: no entry has the number of that."""
    with master.as_account("writer") as directory:
        writes.add(directory, 5)
        writes.change(directory, 2)
        writes.delete(directory, 2)


def until_as_acknowledged(writes: Acknowledged, *servers: Slapd) -> None:
    for server in servers:
        until(lambda server=server: not writes.contradictions(server), f"{server.uri} has what was acknowledged")  # type: ignore[misc]


def write_then_kill_before_anything_is_shipped(writes: Acknowledged, master: Slapd, shadow: Slapd) -> None:
    shadow.kill()
    write(writes, master)
    master.kill()
    master.start()
    shadow.start()


def test_r19_a_master_killed_between_acknowledged_writes_loses_none_and_ships_all(pair: tuple[Slapd, Slapd]) -> None:
    writes = Acknowledged()
    for _ in range(ROUNDS):
        write(writes, pair[0])
        pair[0].kill()
        pair[0].start()
        assert not writes.contradictions(pair[0])
    until_as_acknowledged(writes, pair[1])
    assert writes.count == ROUNDS * 9


def test_r19_what_was_not_shipped_before_the_master_was_killed_is_shipped_after(pair: tuple[Slapd, Slapd]) -> None:
    writes = Acknowledged()
    write(writes, pair[0])
    until_as_acknowledged(writes, pair[1])
    for _ in range(ROUNDS):
        write_then_kill_before_anything_is_shipped(writes, *pair)
        assert not writes.contradictions(pair[0])
        until_as_acknowledged(writes, pair[1])


def lazily(replica: Replica) -> Configuration:
    """Our configuration, but for a checkpoint now and then."""
    made = configuration(replica)
    return made._replace(rest=tuple(_with(item, "olcSpCheckpoint", LAZY) for item in made.rest))


def _with(item: Item, attribute: str, value: str) -> Item:
    return Item(item.dn, {**item.attributes, attribute: (value,)}) if attribute in item.attributes else item


def test_without_a_checkpoint_at_every_write_a_deletion_is_lost_though_both_claim_to_be_equal(
    pair: tuple[Slapd, Slapd], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ablation: what the setting is for."""
    master, shadow = pair
    monkeypatch.setattr(slapd, "configuration", lazily)
    for server in pair:
        server.kill()
        server.start()
    writes = Acknowledged()
    write(writes, master)
    until_as_acknowledged(writes, shadow)
    write_then_kill_before_anything_is_shipped(writes, master, shadow)
    with master.as_account("writer") as directory:
        later = writes.add(directory)
    until(lambda: shadow.has(later[0]), "the shadow has what came later")
    until(lambda: shadow.state() == master.state(), "both say that they are equally far")
    assert not writes.contradictions(master)
    assert len(writes.contradictions(shadow)) == 2
    assert all("acknowledged: no entry" in each for each in writes.contradictions(shadow))


@pytest.mark.parametrize("restarted", [False, True])
def test_r19_what_was_deleted_while_the_shadow_was_away_is_gone_there_and_nothing_else(
    pair: tuple[Slapd, Slapd], restarted: bool
) -> None:
    """The log of deletions is in the master's memory: with it, and without it after a restart."""
    master, shadow = pair
    writes = Acknowledged()
    with master.as_account("writer") as directory:
        writes.add(directory, 60)
        until_as_acknowledged(writes, shadow)
        shadow.kill()
        writes.delete(directory, 30)
        writes.change(directory, 10)
        writes.add(directory, 10)
    if restarted:
        master.kill()
        master.start()
    shadow.start()
    until_as_acknowledged(writes, shadow)
    with master.as_account("writer") as directory:
        writes.delete(directory, 5)
        writes.add(directory, 5)
    until_as_acknowledged(writes, shadow, master)


def test_r19_more_deletions_than_the_log_of_them_holds_are_gone_at_the_shadow_too(
    pair: tuple[Slapd, Slapd], monkeypatch: pytest.MonkeyPatch
) -> None:
    master, shadow = pair

    def short(replica: Replica) -> Configuration:
        made = configuration(replica)
        return made._replace(rest=tuple(_with(item, "olcSpSessionlog", "3") for item in made.rest))

    monkeypatch.setattr(slapd, "configuration", short)
    master.kill()
    master.start()
    writes = Acknowledged()
    with master.as_account("writer") as directory:
        writes.add(directory, 30)
        until_as_acknowledged(writes, shadow)
        shadow.kill()
        writes.delete(directory, 20)
        writes.add(directory, 3)
    shadow.start()
    until_as_acknowledged(writes, shadow, master)
