"""The directory's master role: without any one of its safeguards, writes that were acknowledged are lost or undone."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable

import msgspec
import pytest
from sim.directory import Peers, Slapd, World
from sim.directory_story import tell, until_in_sync, until_written
from sim.loop import run, until

from nightmail.directory.confirming import confirmed, look
from nightmail.directory.role import Follow, Role, Sighting, may_take
from nightmail.errors import DirectoryUnavailable
from nightmail.supervisor import mastership

Ablation = Callable[[pytest.MonkeyPatch], None]


def acknowledged_by_the_master_alone(patch: pytest.MonkeyPatch) -> None:
    async def lack(self: World, server: str, role: Role, name: str, csn: str) -> str:
        return ""

    patch.setattr(World, "_lack", lack)


def who_does_not_answer_is_passed_over(patch: pytest.MonkeyPatch) -> None:
    """A shadow is left out at once, before that is recorded."""
    original = World._lack

    async def lack(self: World, server: str, role: Role, name: str, csn: str) -> str:
        why = await original(self, server, role, name, csn)
        return "" if "does not answer" in why else why

    patch.setattr(World, "_lack", lack)


def joining_without_being_compared(patch: pytest.MonkeyPatch) -> None:
    async def has_everything(self: Peers, server: str) -> bool:
        return True

    patch.setattr(Peers, "has_everything", has_everything)


def joining_is_not_waited_for(patch: pytest.MonkeyPatch) -> None:
    """What is written while a shadow is being compared is acknowledged without it."""
    patch.setattr(Role, "needed", property(lambda role: role.in_sync))


def the_old_master_merges(patch: pytest.MonkeyPatch) -> None:
    """Whoever returns follows the new master with what it has."""
    patch.setattr(mastership, "part_of", lambda role, held: Follow(role.master, role.epoch))


def anybody_takes_the_role(patch: pytest.MonkeyPatch) -> None:
    """Whether it is in sync or not, whatever it holds."""
    original = may_take

    def take_anyway(seen: Sighting, server: str, held: int | None, *, is_proven_dead: bool) -> bool:
        role = seen.role
        open_to_all = msgspec.structs.replace(role, in_sync=(*role.in_sync, server))
        sighting = msgspec.structs.replace(seen, role=open_to_all)
        return original(sighting, server, role.epoch, is_proven_dead=is_proven_dead)

    patch.setattr(mastership, "may_take", take_anyway)


def the_new_master_goes_on_following(patch: pytest.MonkeyPatch) -> None:
    """What the old one sends late comes over what was written since."""

    async def lead(self: Slapd, epoch: int, master: str) -> None:
        def do() -> None:
            self.take_writes(epoch, master, is_alone=False)

        await self.ask("", do)

    patch.setattr(Slapd, "lead", lead)


ABLATIONS: list[Ablation] = [
    acknowledged_by_the_master_alone,
    who_does_not_answer_is_passed_over,
    joining_without_being_compared,
    joining_is_not_waited_for,
    the_old_master_merges,
    anybody_takes_the_role,
    the_new_master_goes_on_following,
]


@pytest.mark.parametrize("ablation", ABLATIONS, ids=lambda each: each.__name__)
def test_without_a_safeguard_some_story_ends_badly(ablation: Ablation, monkeypatch: pytest.MonkeyPatch) -> None:
    ablation(monkeypatch)
    for seed in itertools.islice(itertools.count(), 150):
        if run(tell(seed)).violations:
            return
    pytest.fail("no story found the violation")


async def seen_late(world: World) -> bool:
    """A write is on the old master alone; it is looked for on the other one when that has become the master, and
    somebody has changed the same entry there. Whether it was acknowledged.
    """
    first, second = world.servers["mx1"], world.servers["mx2"]
    for server in (first, second):
        server.start()
    await until_written(world, "shared", "w0")
    await until_in_sync(world)
    role = (await look(world.roles)).role
    world.wire.cut.add(frozenset(("mx1", "mx2")))
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


def test_what_a_new_master_has_instead_of_a_write_does_not_count_as_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not run(seen_late(World(2, random.Random(1))))

    async def lack(self: World, server: str, role: Role, name: str, csn: str) -> str:
        return await self.lacks_entry(server, name, csn)

    monkeypatch.setattr(World, "_lack", lack)
    assert run(seen_late(World(2, random.Random(1))))
