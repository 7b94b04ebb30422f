"""A replica whose file is damaged: it is named and ended, the other one serves, a reseed mends it."""

from __future__ import annotations

import asyncio
import contextlib
import random
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.directory.acknowledged import Acknowledged
from tests.directory.slapd_server import Slapd
from tests.directory.test_lookups import asking, eventually
from tests.e2e.waiting import until
from tests.eventloop import on_a_loop

from nightmail.directory.slapd import note_damage
from nightmail.supervisor.replica import ReplicaChild
from nightmail.world import SystemClock

MAILBOXES = 100
PAGE = 4096
HEAD = 2 * PAGE
KEY_OF_AN_INDEX = 4


def head_overwritten(data: bytes) -> bytes:
    return random.Random(4).randbytes(HEAD) + data[HEAD:]


def all_but_the_head_zeroed(data: bytes) -> bytes:
    return data[:HEAD] + bytes(len(data) - HEAD)


def cut(data: bytes) -> bytes:
    return data[:HEAD]


def indexes_overwritten(data: bytes) -> bytes:
    """As LMDB lays a page out: its number, 2 octets, its kind, where its room begins and ends, places of its nodes."""
    damaged = bytearray(data)
    for page in range(HEAD, len(data), PAGE):
        kind, begin = struct.unpack_from("<HH", data, page + 10)
        if kind & 3 and begin > 16:
            (node,) = struct.unpack_from("<H", data, page + 16)
            (key_size,) = struct.unpack_from("<H", data, page + node + 6)
            if key_size == KEY_OF_AN_INDEX:
                struct.pack_into("<H", damaged, page + 10, 0)
    assert damaged != data
    return bytes(damaged)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Slapd, Slapd, Acknowledged]]:
    """A shadow that was stopped, its master, and what both have."""
    writes = Acknowledged()
    with Slapd(tmp_path / "master") as master, Slapd(tmp_path / "shadow", 2, master.uri) as shadow:
        with master.as_account("writer") as directory:
            writes.add(directory, MAILBOXES)
        until(lambda: not writes.contradictions(shadow), "the shadow has everything")
        shadow.kill()
        yield master, shadow, writes


def damage(server: Slapd, damaged: Callable[[bytes], bytes]) -> None:
    """Damage its file, up to the last octet that means anything: it is as long as all the room that there may be."""
    file = Path(server.database.path, "data.mdb")
    with file.open("rb") as opened:
        data = opened.read(file.stat().st_blocks * 512)
    file.write_bytes(damaged(data))


@contextlib.asynccontextmanager
async def supervised(server: Slapd) -> AsyncIterator[ReplicaChild]:
    child = ReplicaChild(server.prepared, partial(note_damage, server.database), SystemClock())
    running = asyncio.create_task(child.run())
    try:
        yield child
    finally:
        running.cancel()
        await asyncio.wait([running])


@pytest.mark.parametrize("damaged", [head_overwritten, all_but_the_head_zeroed, cut, indexes_overwritten])
@on_a_loop
async def test_a_damaged_replica_is_named_and_ended_the_other_one_serves_and_a_reseed_mends_it(
    pair: tuple[Slapd, Slapd, Acknowledged], damaged: Callable[[bytes], bytes]
) -> None:
    master, shadow, writes = pair
    damage(shadow, damaged)
    async with supervised(shadow) as child, asking(shadow, master) as asks:
        await asks.until_asked(master)
        await eventually(lambda: child.state == "not set up")
        assert "the entries are damaged: " in child.fault
        assert "`nightmail directory reseed`" in child.fault
        await eventually(lambda: not asks.lookups.is_ready(shadow.uri))
        for number in range(MAILBOXES):
            assert (await asks.ask(f"box{number}@x.org"))[0].is_mailbox
    await asyncio.to_thread(shadow.begin_anew, master.dump())
    assert not writes.contradictions(shadow)
