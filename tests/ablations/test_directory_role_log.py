"""The log of the directory's role, and the clock: without any one of the safeguards two servers go on taking writes, or
a write that was acknowledged is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import pytest
from sim.directory import World
from sim.directory_story import until_in_sync, until_written
from sim.loop import run
from sim.store import Objects
from tests.ablations.test_directory_role import (
    Patch,
    Scene,
    begun,
    lose,
    part,
    told,
    until_in_sync_are,
    until_master,
)

from nightmail.directory import confirming
from nightmail.directory.confirming import confirmed, look
from nightmail.directory.role import Role, Sighting, successor
from nightmail.directory.role_log import RoleLog
from nightmail.errors import DirectoryUnavailable
from nightmail.journal.records import Adopted
from nightmail.supervisor import mastership
from nightmail.supervisor.gate import Gate

LONG_ENOUGH_S = 100.0
"""So that slots which were followed are deleted."""


async def a_master_is_frozen_until_the_slots_after_its_own_may_be_deleted(world: World) -> None:
    """It goes on with the very slot by which it was deposed."""
    frozen = world.servers["mx1"].supervisor
    frozen.freeze()
    await until_master(world, "mx2")
    await asyncio.sleep(LONG_ENOUGH_S)
    frozen.thaw()
    await asyncio.sleep(5)


async def a_slot_is_taken_when_it_is_deleted_and_open_again(world: World) -> None:
    """mx2 begins to take it while mx1 is frozen, who goes on with it all the same."""
    take, waiting, may_go_on = RoleLog.take, asyncio.Event(), asyncio.Event()

    async def take_late(self: RoleLog, slot: int, role: Role) -> bool:
        waiting.set()
        await may_go_on.wait()
        return await take(self, slot, role)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RoleLog, "take", take_late)
        frozen = world.servers["mx1"].supervisor
        frozen.freeze()
        await waiting.wait()
        frozen.thaw()
        await asyncio.sleep(LONG_ENOUGH_S)
        may_go_on.set()
        await asyncio.sleep(3)


async def a_shadow_finds_its_store_empty(world: World) -> None:
    """As where it is not mounted there any more."""
    world.servers["mx2"].store.objects = Objects()
    await asyncio.sleep(10)


async def a_master_finds_its_store_empty(world: World) -> None:
    world.servers["mx1"].store.objects = Objects()
    await asyncio.sleep(10)


def what_was_followed_is_not_looked_for(patch: Patch) -> None:
    patch.setattr(RoleLog, "follow", RoleLog.put)


def a_log_whose_end_is_gone_stands_still(patch: Patch) -> None:
    original = RoleLog.look

    async def look_on(self: RoleLog, known: Sighting | None) -> Sighting | None:
        seen = await original(self, known)
        if seen is None and known is not None:
            return msgspec.structs.replace(known, looked_at=self._clock.elapsed())
        return seen

    patch.setattr(RoleLog, "look", look_on)
    nobody_looks_once_more(patch)
    what_was_followed_is_not_looked_for(patch)


def slots_that_begin_an_epoch_are_deleted(patch: Patch) -> None:
    def unmarked(role: Role | None, adopted: Adopted, held: str, *, promise_s: float, nonce: str) -> Role:
        return msgspec.structs.replace(successor(role, adopted, held, promise_s=promise_s, nonce=nonce), begins=False)

    patch.setattr(mastership, "successor", unmarked)
    what_was_followed_is_not_looked_for(patch)


def nobody_looks_once_more(patch: Patch) -> None:
    async def take(self: RoleLog, slot: int, role: Role) -> bool:
        await self.put(slot, role)
        return True

    patch.setattr(RoleLog, "take", take)


async def masters_without_the_role(scene: Scene) -> list[str]:
    """Who takes writes in the end though the role is another's."""
    world = await begun()
    await scene(world)
    role = world.role()
    assert role is not None
    found = [name for name, slapd in world.slapds.items() if slapd.takes_writes and name != role.master]
    for server in world.servers.values():
        await server.crash()
    return found


@pytest.mark.parametrize(
    ("scene", "ablation"),
    [
        (a_master_is_frozen_until_the_slots_after_its_own_may_be_deleted, slots_that_begin_an_epoch_are_deleted),
        (a_master_finds_its_store_empty, what_was_followed_is_not_looked_for),
        (a_shadow_finds_its_store_empty, a_log_whose_end_is_gone_stands_still),
        (a_slot_is_taken_when_it_is_deleted_and_open_again, nobody_looks_once_more),
    ],
    ids=lambda each: each.__name__,
)
def test_a_safeguard_of_the_log_keeps_a_second_master_away(
    scene: Scene, ablation: Callable[[Patch], None], monkeypatch: Patch
) -> None:
    assert run(masters_without_the_role(scene)) == []
    ablation(monkeypatch)
    assert run(masters_without_the_role(scene)) != []


async def a_master_had_a_clock_that_was_ahead(world: World) -> None:
    """What is written by a right one afterwards has older numbers: whoever follows passes over it."""
    first = world.servers["mx1"]
    first.clock.wall_error_s += 20
    await until_written(world, "shared", "w1")
    await first.crash()
    first.clock.wall_error_s -= 20
    await until_master(world, "mx2")
    first.start()
    await until_in_sync(world)
    await until_written(world, "shared", "w2")
    await world.servers["mx2"].crash()
    await until_master(world, "mx1")


async def a_shadow_comes_to_be_in_sync_while_somebody_writes(world: World) -> None:
    """He looked who is the master before that."""
    await world.servers["mx2"].crash()
    await until_in_sync_are(world, "mx1")
    role = (await look(world.roles)).role
    world.servers["mx2"].start()
    await until_in_sync_are(world, "mx1", "mx2")
    part(world)
    csn = await world.slapds["mx1"].change("shared", "w1", 1)

    async def lack(server: str, of: Role) -> str:
        return await world._lack(server, of, "shared", csn)

    async def write() -> None:
        try:
            await confirmed(world.roles, role, lack, world.clock)
        except DirectoryUnavailable:
            return
        world.ledger.note("shared", "w1", 1)

    writing = asyncio.create_task(write())
    await asyncio.sleep(0.1)
    await lose(world)
    await writing
    await until_master(world, "mx2")


def no_clock_is_looked_at(patch: Patch) -> None:
    patch.setattr(Gate, "_why_too_early", lambda self, newest: "")


def the_log_is_not_asked_after_the_write(patch: Patch) -> None:
    """Who needs to have it is taken from what was known before."""
    seen: list[Sighting] = []

    async def look_once(roles: RoleLog, known: Sighting | None = None) -> Sighting:
        if not seen or seen[0].role.in_sync != ("mx1",):
            seen[:] = [await look(roles, known)]
        return seen[0]

    patch.setattr(confirming, "look", look_once)


@pytest.mark.parametrize(
    ("scene", "ablation"),
    [
        (a_master_had_a_clock_that_was_ahead, no_clock_is_looked_at),
        (a_shadow_comes_to_be_in_sync_while_somebody_writes, the_log_is_not_asked_after_the_write),
    ],
    ids=lambda each: each.__name__,
)
def test_a_safeguard_keeps_what_is_lost_without_it(
    scene: Scene, ablation: Callable[[Patch], None], monkeypatch: Patch
) -> None:
    assert run(told(scene)) == []
    ablation(monkeypatch)
    assert run(told(scene)) != []
