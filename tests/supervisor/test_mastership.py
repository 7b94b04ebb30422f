"""A server's part in the role of the directory's master, in virtual time; `tests/sim` has what chance decides."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sim.directory import World
from sim.directory_story import until_in_sync, until_written
from sim.loop import in_virtual_time, until
from structlog.testing import capture_logs
from tests.directory.test_role import adopted, role

from nightmail.errors import ConfigInvalid


@asynccontextmanager
async def servers(count: int = 2) -> AsyncIterator[World]:
    """A master, mx1, and shadows that are in sync."""
    world = World(count, random.Random(1))
    world.wire.is_quick = True
    for server in world.servers.values():
        server.start()
    await until_written(world, "shared", "w0")
    await until_in_sync(world)
    try:
        yield world
    finally:
        for server in world.servers.values():
            await server.crash()
        assert world.ledger.violations == []


def master(world: World) -> str:
    role = world.role()
    return role.master if role is not None and world.slapds[role.master].takes_writes else ""


@in_virtual_time
async def test_writes_go_on_within_the_lease_and_a_second_after_the_master_died() -> None:
    async with servers() as world:
        died_at = asyncio.get_running_loop().time()
        await world.servers["mx1"].crash()
        await until_written(world, "shared", "w1")
        assert master(world) == "mx2"
        assert asyncio.get_running_loop().time() - died_at < 2


@in_virtual_time
async def test_a_healthy_master_keeps_its_role() -> None:
    async with servers(3) as world:
        await asyncio.sleep(600)
        role = world.role()
        assert role is not None
        assert (role.epoch, master(world)) == (1, "mx1")
        assert len([key for key in world.objects.contents if "/log/" in key]) < 300, "old slots are deleted"


@in_virtual_time
async def test_one_that_is_asked_hands_it_over_and_nobody_begins_anew() -> None:
    async with servers(3) as world:
        with capture_logs() as logs:
            wanting = world.servers["mx3"].mastership
            assert wanting is not None
            assert await wanting.promote()
            await until_in_sync(world)
        assert master(world) == "mx3"
        assert not [line for line in logs if "anew" in line["event"]]
        role = world.role()
        assert await wanting.promote(), "it is the master already"
        assert world.role() == role


@in_virtual_time
async def test_a_master_whose_replica_hangs_does_not_renew() -> None:
    async with servers() as world:
        hung = world.slapds["mx1"].process
        hung.freeze()
        await until(lambda: master(world) == "mx2", within_s=10)
        hung.thaw()
        await until_written(world, "shared", "w1")
        await until_in_sync(world)


@in_virtual_time
async def test_who_lacks_something_may_not_take_the_role_by_itself_and_may_by_force() -> None:
    async with servers() as world:
        await world.servers["mx2"].crash()
        await until_written(world, "alone", "w1")
        world.ledger.written.pop(("alone", "w1"))  # it will be lost, as whoever forces it knows
        await world.servers["mx1"].crash()
        world.servers["mx2"].start()
        await asyncio.sleep(60)
        assert master(world) == ""
        left = world.servers["mx2"].mastership
        assert left is not None
        with pytest.raises(ConfigInvalid, match="mx2 is not in sync with the master, mx1"):
            await left.promote()
        assert await left.force()
        world.servers["mx1"].start()
        await until_in_sync(world)
        assert "alone" not in world.slapds["mx1"].entries


@in_virtual_time
async def test_the_role_is_not_forced_from_a_master_that_keeps_it() -> None:
    async with servers() as world:
        shadow = world.servers["mx2"].mastership
        assert shadow is not None
        with pytest.raises(ConfigInvalid, match="mx1 keeps the role"):
            await shadow.force()


@in_virtual_time
async def test_a_shadow_that_is_told_of_everything_and_lacks_something_begins_anew() -> None:
    async with servers() as world:
        await world.servers["mx2"].crash()
        await until_written(world, "missed", "w1")
        await until_written(world, "shared", "w1")  # by which the shadow takes itself to be level
        world.slapds["mx2"].passes_over = {"missed"}
        world.servers["mx2"].start()
        await asyncio.sleep(50)
        role = world.role()
        assert role is not None
        assert role.joining == ("mx2",)
        await until_in_sync(world)
        assert "missed" in world.slapds["mx2"].entries


@in_virtual_time
async def test_a_shadow_that_is_joining_when_it_starts_is_given_its_time() -> None:
    async with servers() as world:
        await world.servers["mx2"].crash()
        await until_written(world, "missed", "w1")
        await until_written(world, "shared", "w1")
        world.slapds["mx2"].passes_over = {"missed"}
        world.servers["mx2"].start()
        await until(lambda: (role := world.role()) is not None and role.joining == ("mx2",), within_s=10)
        await world.servers["mx2"].crash()
        world.servers["mx2"].start()
        with capture_logs() as logs:
            await asyncio.sleep(50)
        assert not [line for line in logs if line["event"] == "directory replica is not in sync"]
        await until_in_sync(world)


@in_virtual_time
async def test_a_store_that_was_lost_makes_nobody_master() -> None:
    async with servers() as world:
        for key in list(world.objects.contents):
            world.objects.remove(key)
        for server in world.servers.values():
            await server.crash()
            server.start()
        await asyncio.sleep(60)
        assert world.role() is None
        newest = world.servers["mx2"].mastership
        assert newest is not None
        assert "is not in the store" in newest.fault
        assert await newest.force()
        await until_in_sync(world)
        assert master(world) == "mx2"


@pytest.mark.parametrize("epoch", [1, 5])
@in_virtual_time
async def test_what_is_of_another_log_is_not_set_aside_where_another_directory_was_begun(epoch: int) -> None:
    async with servers() as world:
        first, second = world.servers.values()
        await second.crash()
        await until_written(world, "shared", "w1")  # it is left out
        await first.crash()
        first.slapd.write(f"{epoch} of a log that was lost")
        for key in list(world.objects.contents):
            world.objects.remove(key)
        world.ledger.written.clear()
        begun = role(adopted=adopted("mx2", 1), in_sync=("mx2",), begins=True)
        await world.roles.put(0, begun)
        first.start()
        await asyncio.sleep(60)
        assert "shared" in first.slapd.entries
        assert first.mastership is not None
        assert f"are of epoch {epoch} of a log that was lost" in first.mastership.fault
        assert await first.mastership.force()
        assert world.epoch() == epoch + 1
        assert master(world) == "mx1"


@in_virtual_time
async def test_a_master_whose_entries_are_void_does_not_take_the_role_up_again_but_by_force() -> None:
    """As after `reseed`, because its machine was set back, while no other one runs."""
    async with servers() as world:
        first, second = world.servers.values()
        await second.crash()
        await until_written(world, "shared", "w1")
        await first.crash()
        first.slapd.write("void")
        first.start()
        await asyncio.sleep(60)
        assert master(world) == ""
        assert first.mastership is not None
        assert "its entries are of void" in first.mastership.fault
        assert await first.mastership.force()
        role = world.role()
        assert role is not None
        assert (role.master, role.after, role.continues) == ("mx1", "", False)


def damage_last_slot(world: World) -> str:
    """What was written there is not there; its key."""
    last = max(key for key in world.objects.contents if "/log/" in key)
    world.objects.contents[last] = b"damaged"
    return last


@in_virtual_time
async def test_a_master_goes_on_where_its_last_slot_cannot_be_read() -> None:
    async with servers() as world:
        damage_last_slot(world)
        await until_written(world, "shared", "w1")
        role = world.role()
        assert role is not None
        assert (role.epoch, role.in_sync) == (1, ("mx1", "mx2"))


@in_virtual_time
async def test_a_last_slot_that_cannot_be_read_makes_nobody_master_but_whom_an_operator_says() -> None:
    async with servers() as world:
        first, second = world.servers.values()
        await first.crash()
        await second.crash()
        key = damage_last_slot(world)
        first.start()
        second.start()
        await asyncio.sleep(60)
        assert master(world) == ""
        for server in (first, second):
            assert server.mastership is not None
            assert server.mastership.fault.startswith(f"{key} at byte 0")
            assert "promote --force" in server.mastership.fault
        assert second.mastership is not None
        with pytest.raises(ConfigInvalid, match="mx2 is not in sync with the master; start"):
            await second.mastership.promote()
        assert await second.mastership.force()
        await until_in_sync(world)
        assert master(world) == "mx2"
        assert key in world.objects.contents, "it is kept"
