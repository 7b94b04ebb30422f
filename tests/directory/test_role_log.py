"""The role's log: its end is found, a slot is taken once, and what is spent can go."""

from __future__ import annotations

import asyncio

import pytest
from sim.loop import in_virtual_time
from sim.store import Objects, SimulatedStore
from sim.world import VirtualClock
from tests.directory.test_role import adopted, role

from nightmail.directory.role import NOBODY, Sighting
from nightmail.directory.role_log import RoleLog
from nightmail.errors import Fenced, StoreUnavailable

SLOT = "directory/master/log/00000000000000000001"
LAST = "directory/master/log/00000000000000000002"


def log(objects: Objects) -> RoleLog:
    return RoleLog(SimulatedStore(objects), VirtualClock())


@in_virtual_time
async def test_the_end_is_found_and_how_long_it_stood_still() -> None:
    objects = Objects()
    assert await log(objects).look(None) is None
    for slot in range(3):
        await log(objects).put(slot, role(nonce=str(slot)))
    first = await log(objects).look(None)
    assert first is not None
    assert (first.slot, first.role) == (2, role(nonce="2"))
    await asyncio.sleep(5)
    later = await log(objects).look(first)
    assert later is not None
    assert later.since == first.since
    assert later.looked_at - later.since == pytest.approx(5, abs=0.1)
    await log(objects).put(3, role(nonce="3"))
    moved = await log(objects).look(later)
    assert moved is not None
    assert (moved.slot, moved.since > first.since) == (3, True)


@in_virtual_time
async def test_a_log_whose_end_is_gone_does_not_stand_still() -> None:
    objects = Objects()
    for slot in range(3):
        await log(objects).put(slot, role(nonce=str(slot)))
    known = await log(objects).look(None)
    await log(objects).put(3, role(nonce="3"))
    objects.remove(LAST)
    followed = await log(objects).look(known)
    assert followed is not None
    assert followed.role.nonce == "3"
    assert await log(Objects()).look(followed) is None
    begun = Objects()
    await log(begun).put(0, role(nonce="another"))
    assert await log(begun).look(followed) is None


@in_virtual_time
async def test_a_slot_is_taken_once() -> None:
    objects = Objects()
    assert await log(objects).take(0, role())
    with pytest.raises(Fenced):
        await log(objects).take(0, role(nonce="another"))
    assert await log(objects).take(1, role(adopted=adopted("mx2", 8)))


@in_virtual_time
async def test_who_finds_what_he_followed_to_be_gone_has_no_role() -> None:
    """As where the store is not mounted any more: nobody else would see it."""
    objects = Objects()
    assert await log(objects).take(0, role())
    await log(objects).follow(1, role(nonce="1"))
    with pytest.raises(Fenced, match=f"{SLOT}, which is ours, is not in the store any more"):
        await log(Objects()).follow(2, role(nonce="2"))
    assert not await log(Objects()).take(2, role(nonce="2"))
    for slot in (0, 1):
        objects.remove(SLOT[:-1] + str(slot))
    await log(objects).put(2, role(nonce="2"))
    for known in (None, Sighting(1, role(nonce="1"), 0.0, 0.0)):
        seen = await log(objects).look(known)
        assert seen is not None
        assert (seen.slot, seen.unread, seen.fault) == (
            2,
            1,
            f"{SLOT} is not there: the store was lost, or is another one",
        )
    assert await log(objects).take(3, role(nonce="3"))


@in_virtual_time
async def test_whoever_took_a_slot_that_was_open_again_owns_nothing() -> None:
    """J4: a slot beyond ours means that ours had been followed and deleted."""
    objects = Objects()
    for slot in range(3):
        await log(objects).put(slot, role(nonce=str(slot)))
    objects.remove(SLOT)
    assert not await log(objects).take(1, role(nonce="late"))


@in_virtual_time
async def test_last_slots_that_cannot_be_read_count_and_are_named_and_the_one_before_them_is_told() -> None:
    objects = Objects()
    for slot in range(3):
        await log(objects).put(slot, role(nonce=str(slot)))
    objects.contents[SLOT] = objects.contents[SLOT].replace(b"mx1", b"mx9")
    read = await log(objects).look(None)
    assert read is not None
    assert (read.slot, read.unread, read.fault) == (2, 0, "")
    last = objects.contents[LAST]
    objects.contents[LAST] = b"x"
    first = await log(objects).look(None)
    assert first is not None
    assert (first.slot, first.role.nonce, first.unread, first.epoch) == (2, "0", 2, 9)
    assert first.fault.startswith(f"{LAST} at byte 0: it is no slot of the master's role")
    await asyncio.sleep(5)
    later = await log(objects).look(first)
    assert later is not None
    assert (later.slot, later.role.nonce, later.unread, later.since) == (2, "0", 2, first.since)
    assert later.looked_at - later.since == pytest.approx(5, abs=0.1)
    objects.contents[LAST] = last
    mended = await log(objects).look(later)
    assert mended is not None
    assert (mended.slot, mended.role.nonce, mended.unread, mended.since) == (2, "2", 0, first.since)


@in_virtual_time
async def test_one_that_was_known_is_told_where_nothing_after_it_can_be_read() -> None:
    objects = Objects()
    await log(objects).put(0, role(nonce="0"))
    await log(objects).put(1, role(nonce="1"))
    known = await log(objects).look(None)
    await log(objects).put(2, role(nonce="2"))
    objects.contents[LAST] = objects.contents[LAST].replace(b"mx1", b"mx9")
    seen = await log(objects).look(known)
    assert seen is not None
    assert (seen.slot, seen.role.nonce, seen.unread) == (2, "1", 1)
    assert seen.fault == f"{LAST} at byte 0: its check sum is wrong"
    await log(objects).put(3, role(nonce="3"))
    healed = await log(objects).look(seen)
    assert healed is not None
    assert (healed.slot, healed.role.nonce, healed.unread, healed.fault) == (3, "3", 0, "")


@in_virtual_time
async def test_a_log_that_cannot_be_read_at_all_is_nobodys() -> None:
    objects = Objects()
    await log(objects).put(0, role())
    await log(objects).put(1, role())
    objects.contents.update(dict.fromkeys(objects.contents, b"x"))
    seen = await log(objects).look(None)
    assert seen is not None
    assert (seen.slot, seen.role, seen.unread) == (1, NOBODY, 2)


@in_virtual_time
async def test_slots_that_begin_an_epoch_are_kept_and_so_is_one_that_cannot_be_read() -> None:
    objects = Objects()
    for slot in range(4):
        await log(objects).put(slot, role(begins=slot == 0))
    objects.contents[SLOT] = b"damaged"
    assert await log(objects).spent(3) == [2]
    await log(objects).delete([2])
    assert sorted(int(key[-1]) for key in objects.contents) == [0, 1, 3]


@in_virtual_time
async def test_a_wish_is_found_by_the_master_of_its_epoch_and_goes_with_it() -> None:
    objects = Objects()
    await log(objects).wish("mx2", 7)
    assert await log(objects).wishes(7) == ["mx2"]
    assert await log(objects).wishes(8) == []
    assert await log(objects).wishes(7) == []
    await log(objects).wish("mx2", 8)
    await log(objects).forget_wish("mx2", 8)
    assert await log(objects).wishes(8) == []


@in_virtual_time
async def test_a_store_that_is_away_is_said_to_be() -> None:
    store = SimulatedStore(Objects())
    store.cut()
    with pytest.raises(StoreUnavailable):
        await RoleLog(store, VirtualClock()).look(None)
