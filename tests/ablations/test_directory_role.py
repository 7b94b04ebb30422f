"""The directory's master role: without any one of its safeguards a write that was acknowledged is lost, or undone."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import msgspec
import pytest
from sim.directory import Peers, World
from sim.directory_story import until_in_sync, until_written
from sim.loop import run, until
from sim.process import OUTSIDE
from sim.slapd import Slapd

from nightmail.directory.confirming import confirmed, look
from nightmail.directory.role import Follow, Role, Sighting, may_take
from nightmail.directory.role_log import RoleLog
from nightmail.errors import DirectoryUnavailable
from nightmail.supervisor import mastership
from nightmail.supervisor.gate import Gate

Patch = pytest.MonkeyPatch
Scene = Callable[[World], Awaitable[None]]


async def begun() -> World:
    """mx1 is the master, mx2 in sync, and an entry is on both."""
    world = World(2, random.Random(1))
    world.wire.is_quick = True
    for server in world.servers.values():
        server.start()
    await until_written(world, "shared", "w0")
    await until_in_sync(world)
    return world


async def until_master(world: World, name: str) -> None:
    slapd = world.slapds[name]
    await until(lambda: slapd.takes_writes and (role := world.role()) is not None and role.master == name, within_s=60)


async def until_in_sync_are(world: World, *names: str) -> None:
    await until(lambda: (role := world.role()) is not None and role.in_sync == names, within_s=60)


def part(world: World) -> None:
    """Nothing goes from one server to the other any more."""
    world.wire.cut.add(frozenset(("mx1", "mx2")))


async def lose(world: World) -> None:
    """mx1 dies, and mx2 gets what it can from it; who writes can reach mx2 all the while."""
    await world.servers["mx1"].crash()
    world.wire.cut.clear()


async def a_write_is_on_the_master_alone(world: World) -> None:
    part(world)
    writing = asyncio.create_task(world.write("shared", "w1", 1))
    await asyncio.sleep(0.1)
    await lose(world)
    await writing
    await until_master(world, "mx2")


async def the_shadow_hangs_and_the_master_dies(world: World) -> None:
    slapd = world.slapds["mx2"].process
    slapd.freeze()
    part(world)
    writing = asyncio.create_task(world.write("shared", "w1", 1))
    await asyncio.sleep(0.5)
    await lose(world)
    slapd.thaw()
    await writing
    await until_master(world, "mx2")


async def a_shadow_that_was_away_was_not_told_of_all(world: World) -> None:
    """As slapd does after some crashes: both say that they have come as far, and an entry is not there."""
    await world.servers["mx2"].crash()
    await until_written(world, "missed", "w1")
    await until_written(world, "shared", "w1")
    world.slapds["mx2"].passes_over = {"missed"}
    world.servers["mx2"].start()
    await asyncio.sleep(5)
    await lose(world)
    await asyncio.sleep(5)


async def something_is_written_while_a_shadow_is_compared(world: World) -> None:
    await world.servers["mx2"].crash()
    await until_in_sync_are(world, "mx1")
    compare = Peers.has_everything
    writing: list[asyncio.Task[bool]] = []

    async def compare_and_part(self: Peers, server: str) -> bool:
        is_alike = await compare(self, server)
        if is_alike and not writing:
            part(world)
            writing.append(asyncio.create_task(world.write("shared", "w1", 1), context=OUTSIDE.copy()))
            await asyncio.sleep(0.3)
        return is_alike

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Peers, "has_everything", compare_and_part)
        world.servers["mx2"].start()
        await until_in_sync_are(world, "mx1", "mx2")
    await lose(world)
    await writing[0]
    await until_master(world, "mx2")


async def the_old_master_returns_with_more_than_was_acknowledged(world: World) -> None:
    """Its clock was ahead: what it has looks newer than what was acknowledged after it died."""
    part(world)
    world.servers["mx1"].clock.wall_error_s += 20
    await world.slapds["mx1"].change("shared", "w1", 1)
    await lose(world)
    await until_written(world, "shared", "w2")
    world.servers["mx1"].start()
    await until_in_sync(world)
    await asyncio.sleep(20)
    await world.servers["mx2"].crash()
    await until_master(world, "mx1")


async def the_shadow_was_left_out_and_the_master_dies(world: World) -> None:
    await world.servers["mx2"].crash()
    await until_written(world, "shared", "w1")
    await lose(world)
    world.servers["mx2"].start()
    await asyncio.sleep(10)


async def the_slots_since_a_shadow_was_left_out_cannot_be_read(world: World) -> None:
    part(world)
    await until_in_sync_are(world, "mx1")
    await until_written(world, "shared", "w1")
    await world.servers["mx2"].crash()
    await lose(world)
    for key, data in world.objects.contents.items():
        if "/log/" in key and b'"in_sync":["mx1"]' in data:
            world.objects.contents[key] = b"damaged"
    world.servers["mx2"].start()
    await asyncio.sleep(10)


async def something_comes_late_from_the_old_master(world: World) -> None:
    world.wire.late = {"shared": 8.0}
    await world.slapds["mx1"].change("shared", "w1", -1)
    await asyncio.sleep(0.1)
    await lose(world)
    await until_written(world, "shared", "w2")
    await asyncio.sleep(10)


async def what_is_deleted_is_still_on_its_way(world: World) -> None:
    """It was added a moment ago, which nobody acknowledged."""
    world.wire.late = {"undone": 0.8}
    await world.slapds["mx1"].change("undone", "w1", 1)
    deleting = asyncio.create_task(world.write("undone", "w1", -1))
    await asyncio.sleep(0.3)
    await world.servers["mx1"].crash()
    await deleting
    await until_master(world, "mx2")


def gone_is_what_is_not_there(patch: Patch) -> None:
    """However far the replica has come."""

    async def lacks_entry(self: World, server: str, name: str, csn: str, *, is_gone: bool) -> str:
        entries, _ = await self.slapds[server].copy("")
        return "" if (name not in entries) == is_gone else "it is behind"

    patch.setattr(World, "lacks_entry", lacks_entry)


def acknowledged_by_the_master_alone(patch: Patch) -> None:
    async def lack(self: World, server: str, role: Role, name: str, csn: str, *, is_gone: bool = False) -> str:
        return ""

    patch.setattr(World, "_lack", lack)


def who_does_not_answer_is_passed_over(patch: Patch) -> None:
    """A shadow is left out at once, before that is on record."""
    original = World._lack

    async def lack(self: World, server: str, role: Role, name: str, csn: str, *, is_gone: bool = False) -> str:
        why = await original(self, server, role, name, csn, is_gone=is_gone)
        return "" if "does not answer" in why else why

    patch.setattr(World, "_lack", lack)


def in_sync_without_being_compared(patch: Patch) -> None:
    async def has_everything(self: Peers, server: str) -> bool:
        return True

    patch.setattr(Peers, "has_everything", has_everything)


def joining_is_not_waited_for(patch: Patch) -> None:
    patch.setattr(Role, "needed", property(lambda role: role.in_sync))


def the_old_master_merges(patch: Patch) -> None:
    """Whoever returns follows the new master with what it has."""
    patch.setattr(mastership, "part_of", lambda role, held: Follow(role.master, role.epoch, role.id))


def anybody_takes_the_role(patch: Patch) -> None:
    """Whether it is in sync or not."""

    def take_anyway(seen: Sighting, server: str, held: str, *, is_proven_dead: bool) -> bool:
        role = msgspec.structs.replace(seen.role, in_sync=tuple({*seen.role.in_sync, server}))
        return may_take(msgspec.structs.replace(seen, role=role), server, held, is_proven_dead=is_proven_dead)

    patch.setattr(mastership, "may_take", take_anyway)


def what_cannot_be_read_is_passed_over(patch: Patch) -> None:
    """The slot before it counts as the last one."""
    original = RoleLog.look

    async def look(self: RoleLog, known: Sighting | None) -> Sighting | None:
        seen = await original(self, known)
        return msgspec.structs.replace(seen, unread=0) if seen is not None else None

    patch.setattr(RoleLog, "look", look)


def the_new_master_goes_on_following(patch: Patch) -> None:
    async def lead(self: Slapd, epoch: int, master: str) -> None:
        await self.ask("", lambda: self.take_writes(epoch, master, is_alone=False))

    patch.setattr(Slapd, "lead", lead)
    patch.setattr(Gate, "_as_wanted", lambda self, wanted, part: part)


CASES: list[tuple[Scene, Callable[[Patch], None]]] = [
    (a_write_is_on_the_master_alone, acknowledged_by_the_master_alone),
    (the_shadow_hangs_and_the_master_dies, who_does_not_answer_is_passed_over),
    (a_shadow_that_was_away_was_not_told_of_all, in_sync_without_being_compared),
    (something_is_written_while_a_shadow_is_compared, joining_is_not_waited_for),
    (the_old_master_returns_with_more_than_was_acknowledged, the_old_master_merges),
    (the_shadow_was_left_out_and_the_master_dies, anybody_takes_the_role),
    (the_slots_since_a_shadow_was_left_out_cannot_be_read, what_cannot_be_read_is_passed_over),
    (what_is_deleted_is_still_on_its_way, gone_is_what_is_not_there),
    (something_comes_late_from_the_old_master, the_new_master_goes_on_following),
]


async def told(scene: Scene) -> list[str]:
    """What was lost or came back, for whoever is the master in the end."""
    world = await begun()
    await scene(world)
    role = world.role()
    if role is not None and world.slapds[role.master].takes_writes:
        world.ledger.check(world.slapds[role.master])
    for server in world.servers.values():
        await server.crash()
    return world.ledger.violations


@pytest.mark.parametrize(("scene", "ablation"), CASES, ids=lambda each: each.__name__)
def test_a_safeguard_keeps_what_is_lost_without_it(
    scene: Scene, ablation: Callable[[Patch], None], monkeypatch: Patch
) -> None:
    assert run(told(scene)) == []
    ablation(monkeypatch)
    assert run(told(scene)) != []


async def seen_late(world: World) -> bool:
    """A write is on the old master alone; it is looked for on the other one when that has become the master, and
    somebody has changed the same entry there. Whether it was acknowledged.
    """
    first, second = world.servers["mx1"], world.servers["mx2"]
    role = (await look(world.roles)).role
    part(world)
    csn = await first.slapd.change("shared", "w1", 1)
    await first.crash()

    async def lack(server: str, of: Role) -> str:
        await until(lambda: "w2" in second.slapd.entries["shared"].values)
        return await world._lack(server, of, "shared", csn)

    confirming = asyncio.create_task(confirmed(world.roles, role, lack, first.clock))
    await until_written(world, "shared", "w2")
    try:
        await confirming
    except DirectoryUnavailable:
        return False
    finally:
        await second.crash()
    return True


def test_what_a_new_master_has_instead_of_a_write_does_not_count_as_it(monkeypatch: Patch) -> None:
    async def story() -> bool:
        return await seen_late(await begun())

    assert not run(story())

    async def lack(self: World, server: str, role: Role, name: str, csn: str, *, is_gone: bool = False) -> str:
        return await self.lacks_entry(server, name, csn, is_gone=is_gone)

    monkeypatch.setattr(World, "_lack", lack)
    assert run(story())
