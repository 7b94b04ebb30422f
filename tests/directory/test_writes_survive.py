"""What the master acknowledged is kept and reaches the shadow (R19), whatever became of either meanwhile.

Each scene keeps a ledger of the acknowledged writes, and holds both replicas against it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.directory import slapd_server
from tests.directory.acknowledged import Acknowledged
from tests.directory.slapd_server import Slapd
from tests.e2e.waiting import until

from nightmail.directory import slapd
from nightmail.directory.replica import Configuration, Replica, configuration
from nightmail.directory.tree import Item

LAZY = "100000 60"
USUAL_LOG = "10000"
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


def changed(**settings: str) -> Callable[[Replica], Configuration]:
    """Our configuration, with other settings of what others are told of changes."""

    def change(item: Item) -> Item:
        others = {name: (value,) for name, value in settings.items()}
        return Item(item.dn, {**item.attributes, **others}) if "olcSpCheckpoint" in item.attributes else item

    def made(replica: Replica) -> Configuration:
        ours = configuration(replica)
        return ours._replace(rest=tuple(map(change, ours.rest)))

    return made


def test_without_a_checkpoint_at_every_write_a_deletion_is_late_until_something_else_is_written(
    pair: tuple[Slapd, Slapd], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ablation: what the setting is for."""
    master, shadow = pair
    monkeypatch.setattr(slapd_server, "make_one_change_more", lambda *_: None)
    monkeypatch.setattr(slapd, "configuration", changed(olcSpCheckpoint=LAZY))
    shadow.believe_itself()
    for server in pair:
        server.kill()
        server.start()
    writes = Acknowledged()
    write(writes, master)
    until_as_acknowledged(writes, shadow)
    write_then_kill_before_anything_is_shipped(writes, master, shadow)
    until(lambda: shadow.has_said("Server is unwilling to perform"), "the master takes itself to be behind")
    assert not writes.contradictions(master)
    assert [each for each in writes.contradictions(shadow) if "acknowledged: no entry" in each]
    with master.as_account("writer") as directory:
        writes.add(directory)
    until_as_acknowledged(writes, shadow)


def test_with_a_log_of_deletions_too_it_is_lost_though_both_claim_to_be_equal(
    pair: tuple[Slapd, Slapd], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ablation: what is usual, a checkpoint now and then and a log."""
    master, shadow = pair
    monkeypatch.setattr(slapd_server, "make_one_change_more", lambda *_: None)
    monkeypatch.setattr(slapd, "configuration", changed(olcSpCheckpoint=LAZY, olcSpSessionlog=USUAL_LOG))
    shadow.believe_itself()
    for server in pair:
        server.kill()
        server.start()
    writes = Acknowledged()
    write(writes, master)
    until_as_acknowledged(writes, shadow)
    write_then_kill_before_anything_is_shipped(writes, master, shadow)
    with master.as_account("writer") as directory:
        [later] = writes.add(directory)
    until(lambda: shadow.has(later), "the shadow has what came later")
    until(lambda: shadow.state() == master.state(), "both say that they are equally far")
    assert not writes.contradictions(master)
    assert len(writes.contradictions(shadow)) == 2
    assert all("acknowledged: no entry" in each for each in writes.contradictions(shadow))


@pytest.mark.parametrize("restarted", [False, True])
def test_r19_what_was_deleted_while_the_shadow_was_away_is_gone_there_and_nothing_else(
    pair: tuple[Slapd, Slapd], restarted: bool
) -> None:
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


def take_without_noting_it(writes: Acknowledged, master: Slapd, shadow: Slapd) -> None:
    """Leave a shadow dead that has an entry, and has not yet written down that it is so far; and delete the entry."""
    with master.as_account("writer") as directory:
        writes.add(directory, 3)
        until(lambda: shadow.state() == master.state(), "the shadow is as far as its master")
        before = shadow.state()
        [taken] = writes.add(directory)
        until(lambda: shadow.state() == master.state() and shadow.has(taken), "the shadow has taken one more")
        now, lines = shadow.state(), shadow.dump()
        shadow.kill()
        [noted], [not_noted] = set(before) - set(now), set(now) - set(before)
        shadow.load(line.replace(not_noted, noted) if line.startswith("contextCSN") else line for line in lines)
        writes.delete(directory, 4)
        writes.add(directory, 2)


def test_r19_what_a_shadow_took_and_died_before_it_noted_it_is_gone_there_once_it_is_deleted(
    pair: tuple[Slapd, Slapd],
) -> None:
    writes = Acknowledged()
    take_without_noting_it(writes, *pair)
    pair[1].start()
    until_as_acknowledged(writes, pair[1], pair[0])


def test_with_a_log_of_deletions_it_stays_there_though_both_claim_to_be_equal(
    pair: tuple[Slapd, Slapd], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ablation: why there is none."""
    master, shadow = pair
    monkeypatch.setattr(slapd_server, "make_one_change_more", lambda *_: None)
    monkeypatch.setattr(slapd, "configuration", changed(olcSpSessionlog=USUAL_LOG))
    master.kill()
    master.start()
    writes = Acknowledged()
    take_without_noting_it(writes, master, shadow)
    shadow.believe_itself()
    shadow.start()
    until(lambda: shadow.state() == master.state(), "both say that they are equally far")
    [left] = writes.contradictions(shadow)
    assert "acknowledged: no entry" in left
