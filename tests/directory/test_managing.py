"""A gated replica, as real slapd: it takes writes when it is told to, and never because it did before (R22)."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.directory.slapd_server import SUFFIX, Slapd
from tests.e2e.waiting import until

from nightmail.directory.comparing import has_everything, see
from nightmail.directory.managing import Manager, Part
from nightmail.directory.tree import item_of
from nightmail.directory.writing import Directory
from nightmail.errors import ConfigInvalid, DirectoryUnavailable


class Gated(Slapd):
    """A replica that begins as nothing."""

    def __init__(self, directory: Path, number: int, *, is_filled: bool = False) -> None:
        super().__init__(directory, number, "" if is_filled else "ldap://127.0.0.1:1")
        self.change(provider="")
        self.replica = msgspec.structs.replace(self.replica, is_gated=True)
        self.manager = Manager(self.replica, 2.0)

    def add(self, number: int) -> str:
        """Add an entry; its name."""
        item = item_of("mailboxes", f"user{number}@example.org", "", SUFFIX)
        with Directory(self.uri, self.access("writer"), is_gated=True) as directory:
            directory.add([item])
        return item.dn

    def is_up(self) -> bool:
        """Whether its manager gets in."""
        try:
            self.manager.look()
        except DirectoryUnavailable:
            return False
        return True


@pytest.fixture
def first(tmp_path: Path) -> Iterator[Gated]:
    with Gated(tmp_path / "first", 1, is_filled=True) as running:
        yield running


@pytest.fixture
def second(first: Gated, tmp_path: Path) -> Iterator[Gated]:
    first.manager.lead(1, "mx1")
    with Gated(tmp_path / "second", 2) as running:
        running.manager.follow(first.uri, "mx1", 1)
        until(super(Gated, running).is_up, "it has the accounts")
        until(lambda: running.manager.look()[1] == first.manager.look()[1], "it has what the first one has")
        yield running


def test_it_takes_no_writes_before_it_is_told_nor_after_its_next_start(first: Gated) -> None:
    for _ in range(2):
        assert first.manager.look()[0] == Part()
        with pytest.raises(DirectoryUnavailable, match="it is not the master any more"):
            first.add(1)
        first.manager.lead(7, "mx1")
        assert first.manager.look()[0] == Part("mx1", 7, is_open=True)
        first.add(os.getpid())
        with first.as_account("writer") as directory:
            directory.delete([f"uid=user{os.getpid()}@example.org,ou=people,{SUFFIX}"])
        first.kill()
        first.start()


def test_who_may_write_can_read_while_no_writes_are_taken(first: Gated) -> None:
    with first.as_account("writer") as directory:
        assert any(directory.search(SUFFIX))


def test_peoples_passwords_are_no_way_around_the_gate(first: Gated) -> None:
    first.manager.lead(1, "mx1")
    name = first.add(1)
    first.manager.shut()
    with first.as_account("writer") as directory, pytest.raises(ConfigInvalid, match="Insufficient access"):
        directory.modify(name, [(2, "userPassword", [b"secret"])])


def test_a_shadow_has_what_the_master_has_and_takes_no_writes(first: Gated, second: Gated) -> None:
    name = first.add(1)
    until(lambda: second.has(name), "it is there")
    assert second.manager.look()[0] == Part("mx1", 1, is_open=False, provider=first.uri)
    with pytest.raises(DirectoryUnavailable, match="shadow context"):
        second.add(2)
    with second.as_account("reader") as replica:
        assert see(replica, SUFFIX)[:2] == (1, False)


def test_the_shadow_of_a_master_that_hangs_takes_its_place_and_nothing_more_from_it(
    first: Gated, second: Gated
) -> None:
    assert first.process is not None
    first.process.send_signal(signal.SIGSTOP)
    second.manager.lead(2, "mx2")
    name = second.add(2)
    first.process.send_signal(signal.SIGCONT)
    late = first.add(1)  # its gate is open still: nobody told it
    first.manager.shut()
    with pytest.raises(DirectoryUnavailable, match="it is not the master any more"):
        first.add(3)
    assert second.has(name)
    assert not second.has(late)


def test_the_last_writes_are_over_once_it_is_shut_for_good(first: Gated) -> None:
    first.manager.lead(1, "mx1")
    first.manager.shut(is_last=True)
    with pytest.raises(DirectoryUnavailable, match="operation restricted"):
        first.add(1)
    first.manager.lead(2, "mx1")
    assert first.has(first.add(1))


def test_a_master_that_handed_over_follows_with_what_it_has(first: Gated, second: Gated) -> None:
    first.add(1)
    until(lambda: has_everything(first.uri, second.uri, first.access("replicator")), "both have everything")
    first.manager.shut(is_last=True)
    second.manager.lead(2, "mx2")
    first.manager.follow(second.uri, "mx2", 2)
    name = second.add(2)
    until(lambda: first.has(name), "the old master is a shadow")


def test_what_a_shadow_lacks_has_of_old_or_has_too_much_is_found(first: Gated, second: Gated) -> None:
    access = first.access("replicator")
    name = first.add(1)
    until(lambda: has_everything(first.uri, second.uri, access), "both have everything")
    second.manager.follow("ldap://127.0.0.1:1", "mx1", 1)
    with first.as_account("writer") as directory:
        directory.modify(name, [(2, "sn", [b"changed"])])
    assert not has_everything(first.uri, second.uri, access)
    with first.as_account("writer") as directory:
        directory.delete([name])
    assert not has_everything(first.uri, second.uri, access)
    second.manager.follow(first.uri, "mx1", 1)
    until(lambda: has_everything(first.uri, second.uri, access), "both have everything again")


def test_one_that_does_not_run_or_hangs_is_said_to_be_away(first: Gated) -> None:
    first.freeze()
    quick = Manager(first.replica, 0.2)
    with pytest.raises(DirectoryUnavailable):
        quick.look()
    first.kill()
    with pytest.raises(DirectoryUnavailable):
        quick.lead(1, "mx1")
