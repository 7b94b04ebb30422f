"""A replica whose database or disk is full takes no writes, says so and what to do, and is read as ever."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest
from tests.directory.acknowledged import Acknowledged
from tests.directory.slapd_server import SUFFIX, Slapd
from tests.directory.test_lookups import asking
from tests.e2e.waiting import until
from tests.faults.small_disk import SmallDisk, small_disk

from nightmail.directory.parts import Part
from nightmail.directory.standing import Standing, look_at
from nightmail.directory.tree import item_of
from nightmail.errors import DirectoryUnavailable
from nightmail.world import SystemClock

SMALL = 1 << 20
AMPLE = 1 << 30
ALICE = item_of("mailboxes", "alice@x.org", "", SUFFIX)


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., tuple[Slapd, Slapd]]]:
    """Starts a master and its shadow, with so much room each, or the master's in a given place."""
    with ExitStack() as running:

        def start(master_bytes: int = AMPLE, shadow_bytes: int = AMPLE, place: Path = tmp_path) -> tuple[Slapd, Slapd]:
            master = running.enter_context(Slapd(place / "master", room_bytes=master_bytes))
            shadow = running.enter_context(Slapd(tmp_path / "shadow", 2, master.uri, room_bytes=shadow_bytes))
            with master.as_account("writer") as directory:
                directory.add([ALICE])
            return master, shadow

        yield start


def enlarge(server: Slapd) -> None:
    server.kill()
    server.replica = msgspec.structs.replace(server.replica, room_bytes=AMPLE)
    server.start()


def write_until_refused(writes: Acknowledged, master: Slapd) -> str:
    """Add mailboxes until there is no room for one; what is said then."""
    with master.as_account("writer") as directory:
        for _ in range(5_000):
            try:
                writes.add(directory)
            except DirectoryUnavailable as refusal:
                return str(refusal)
    raise AssertionError("it is never full")


def is_found_by_lookups(*servers: Slapd) -> bool:
    """Whether addresses are looked up at all these replicas, and alice is found."""

    async def scene() -> bool:
        async with asking(*servers) as asks:
            for server in servers:
                await asks.until_asked(server)
            [known] = await asks.ask("alice@x.org")
            for number in range(len(servers)):
                await asks.ask(f"nobody{number}@x.org")
            return known.is_mailbox and all(asks.lookups.asked.values())

    return asyncio.run(scene())


def standing_of(master: Slapd, shadow: Slapd) -> dict[str, Standing]:
    uris = {"mx1": master.uri, "mx2": shadow.uri}
    return {each.server: each for each in look_at(uris, {Part(SUFFIX): "mx1"}, master.access("reader"), SystemClock())}


def until_as_acknowledged(writes: Acknowledged, *servers: Slapd) -> None:
    for server in servers:
        until(lambda server=server: not writes.contradictions(server), f"{server.uri} has what was acknowledged")  # type: ignore[misc]


def test_a_full_database_of_the_master_refuses_writes_with_the_remedy_and_is_read_on(
    begin: Callable[..., tuple[Slapd, Slapd]],
) -> None:
    master, shadow = begin(master_bytes=SMALL)
    writes = Acknowledged()
    said = write_until_refused(writes, master)
    assert master.uri in said
    assert "size_limit_mib is its limit" in said
    until_as_acknowledged(writes, master, shadow)
    assert is_found_by_lookups(master, shadow)
    [warning] = standing_of(master, shadow)["mx1"].warnings
    assert "% full, and a full one takes no writes: raise [directory] size_limit_mib" in warning
    enlarge(master)
    assert standing_of(master, shadow)["mx1"].warnings == ()
    with master.as_account("writer") as directory:
        writes.add(directory, 50)
        writes.delete(directory, 10)
    until_as_acknowledged(writes, master, shadow)


def test_a_shadow_whose_database_is_full_falls_behind_says_so_and_catches_up(
    begin: Callable[..., tuple[Slapd, Slapd]],
) -> None:
    master, shadow = begin(shadow_bytes=SMALL)
    writes = Acknowledged()
    until(lambda: shadow.has(ALICE.dn), "the shadow has what was there")
    with master.as_account("writer") as directory:
        writes.add(directory, 1_500)
    until(lambda: standing_of(master, shadow)["mx2"].warnings, "the shadow is full")
    assert standing_of(master, shadow)["mx2"].behind
    assert is_found_by_lookups(master)
    assert not writes.contradictions(master)
    enlarge(shadow)
    until_as_acknowledged(writes, shadow)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path, 64 << 20) as mounted:
        yield mounted


def test_a_full_disk_of_the_master_refuses_writes_with_the_remedy_and_nothing_acknowledged_is_lost(
    begin: Callable[..., tuple[Slapd, Slapd]], disk: SmallDisk
) -> None:
    master, shadow = begin(place=disk.path)
    writes = Acknowledged()
    with master.as_account("writer") as directory:
        writes.add(directory, 20)
    with disk.full():
        assert "its database or its disk may be full" in write_until_refused(writes, master)
        until_as_acknowledged(writes, master, shadow)
        assert is_found_by_lookups(master, shadow)
        master.kill()
    master.start()
    with master.as_account("writer") as directory:
        writes.add(directory, 20)
        writes.delete(directory, 10)
    until_as_acknowledged(writes, master, shadow)
    master.kill()
