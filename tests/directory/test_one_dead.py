"""One of the replicas is dead, or hangs: what goes on, what fails, and that it fails at once (R21, R23)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.directory.acknowledged import Acknowledged
from tests.directory.slapd_server import SUFFIX, Slapd
from tests.directory.test_lookups import asking
from tests.e2e.waiting import until

from nightmail.directory.sessions import Access
from nightmail.directory.tree import Item, item_of
from nightmail.directory.writing import Directory
from nightmail.errors import DirectoryUnavailable

AT_ONCE_S = 0.1
PATIENCE_S = 0.5
PEOPLE = 10
ALICE = item_of("mailboxes", "alice@x.org", "", SUFFIX)
OPERATIONS: dict[str, Callable[[Directory], object]] = {
    "add": lambda directory: directory.add([item_of("mailboxes", "new@x.org", "", SUFFIX)]),
    "modify": lambda directory: directory.replace([Item(ALICE.dn, {"sn": ("changed",)})]),
    "delete": lambda directory: directory.delete([ALICE.dn]),
}

both_ways = pytest.mark.parametrize("how", ["killed", "frozen"])


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Slapd, Slapd]]:
    with Slapd(tmp_path / "master") as master, Slapd(tmp_path / "shadow", 2, master.uri) as shadow:
        with master.as_account("writer") as directory:
            directory.add(
                [*(item_of("mailboxes", f"user{number}@x.org", "", SUFFIX) for number in range(PEOPLE)), ALICE]
            )
        until(lambda: shadow.has(ALICE.dn), "everybody is on the shadow")
        yield master, shadow


def strike(server: Slapd, how: str) -> None:
    if how == "frozen":
        server.freeze()
    else:
        server.kill()


def all_are_found(servers: tuple[Slapd, Slapd], alive: Slapd) -> bool:
    """Whether addresses are looked up by whoever begins to ask now, and nobody is unknown."""

    async def scene() -> bool:
        async with asking(*servers) as asks:
            await asks.until_asked(alive)
            return all([(await asks.ask(f"user{number}@x.org"))[0].is_mailbox for number in range(PEOPLE)])

    return asyncio.run(scene())


def failing_s(master: Slapd, operation: Callable[[Directory], object]) -> float:
    """How long a write takes to fail."""
    began = time.monotonic()
    with pytest.raises(DirectoryUnavailable, match=master.uri), Directory(master.uri, quick(master)) as directory:
        operation(directory)
    return time.monotonic() - began


def quick(server: Slapd) -> Access:
    access = server.access("writer")
    return Access(name=access.name, password=access.password, authority=access.authority, timeout_s=PATIENCE_S)


@both_ways
@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS.keys())
def test_r21_with_the_master_dead_reads_go_on_and_writes_fail_at_once_until_it_is_back(
    pair: tuple[Slapd, Slapd], operation: Callable[[Directory], object], how: str
) -> None:
    master, shadow = pair
    strike(master, how)
    quickest_s = min(failing_s(master, operation) for _ in range(2))
    assert quickest_s < (AT_ONCE_S if how == "killed" else 4 * PATIENCE_S)
    with shadow.as_account("writer") as directory, pytest.raises(DirectoryUnavailable):
        operation(directory)
    assert all_are_found(pair, shadow)
    master.kill()
    master.start()
    with master.as_account("writer") as directory:
        operation(directory)
        written = directory.written
    with shadow.as_account("reader") as directory:
        until(lambda: directory.has_all(written), "it is on the shadow")


@both_ways
def test_r23_with_the_shadow_dead_everything_goes_on_at_the_master(pair: tuple[Slapd, Slapd], how: str) -> None:
    master, shadow = pair
    writes = Acknowledged()
    strike(shadow, how)
    with master.as_account("writer") as directory:
        writes.add(directory, 20)
        writes.change(directory, 10)
        writes.delete(directory, 5)
        assert len([*directory.search(SUFFIX, "(uid=box*)")]) == 15
    assert all_are_found(pair, master)
    assert not writes.contradictions(master)
    shadow.kill()
    shadow.start()
    until(lambda: not writes.contradictions(shadow), "the shadow has all of it")
