"""What happens to the directory's servers in one story, and what it comes to: decided by a seed."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from nightmail.directory.confirming import look
from nightmail.errors import ConfigInvalid, DirectoryUnavailable, StoreUnavailable
from nightmail.supervisor.mastership import Mastership
from sim.directory import LEASE_S, Server, World
from sim.process import Process
from sim.store_faults import Chaos

STORY_S = 60.0
_HEALS_IN_S = 120.0
_WRITERS = 4
_SHARED = 3


class Told(NamedTuple):
    """How a story ended: what was lost or came back, and how many writes of each outcome there were."""

    violations: list[str]
    outcomes: dict[str, int]
    epochs: int


async def tell(seed: int, make: Callable[[int, random.Random, Chaos], World] = World) -> Told:
    """Tell the story of a seed. Raises: TimeoutError: once everything was well again, writes were not taken."""
    chance = random.Random(seed)
    world = make(chance.choice((2, 2, 3)), chance, Chaos(random.Random(seed), delay_s=0.01, late_s=2.0))
    world.comparing_takes_s = chance.choice((0.0, 0.1, 1.5 * LEASE_S))
    for server in world.servers.values():
        server.start()
    writers = [asyncio.create_task(_write(world, f"w{number}", random.Random(seed + number))) for number in
               range(_WRITERS)]  # fmt: skip
    end = asyncio.get_running_loop().time() + STORY_S
    while asyncio.get_running_loop().time() < end:
        await asyncio.sleep(chance.expovariate(0.7))
        await _happen(world, chance)
    await _heal(world)
    await asyncio.wait_for(until_written(world), _HEALS_IN_S)
    for writer in writers:
        writer.cancel()
    await asyncio.gather(*writers, return_exceptions=True)
    epochs = await asyncio.wait_for(until_in_sync(world), _HEALS_IN_S)
    for server in world.servers.values():
        world.ledger.check(server.slapd)
        await server.crash()
    return Told(world.ledger.violations, world.outcomes, epochs)


async def _write(world: World, writer: str, chance: random.Random) -> None:
    """Change shared entries, and make and delete some of one's own."""
    number = 0
    while True:
        number += 1
        await asyncio.sleep(chance.expovariate(4))
        if chance.random() < 0.6:
            await world.write(f"shared-{chance.randrange(_SHARED)}", writer, number)
        else:
            await world.write(f"{writer}-{number}", writer, number)
            if chance.random() < 0.6:  # whether it was acknowledged or not
                await world.write(f"{writer}-{number}", writer, -1)


async def until_written(world: World, name: str = "last", writer: str = "story") -> None:
    """Write something until that is acknowledged."""
    while True:
        if await world.write(name, writer, 1):
            return
        await asyncio.sleep(LEASE_S / 4)


async def until_in_sync(world: World) -> int:
    """Wait until every replica is; the epoch."""
    while True:
        with contextlib.suppress(DirectoryUnavailable):
            role = (await look(world.roles)).role
            if len(role.in_sync) == len(world.servers) and not role.is_yielded:
                return role.epoch
        await asyncio.sleep(LEASE_S / 4)


async def _happen(world: World, chance: random.Random) -> None:
    """One thing happens, or is made good again."""
    server = chance.choice([*world.servers.values()])
    if not server.is_alive:
        if chance.random() < 0.8:
            server.start()
        return
    events: list[Callable[[], Awaitable[None]]] = [
        server.crash,
        server.slapd.kill,
        lambda: _freeze([server.supervisor], chance),
        lambda: _freeze([server.slapd.process], chance),
        lambda: _freeze([server.supervisor, server.slapd.process], chance),
        lambda: _cut_store(server, chance),
        lambda: _cut_wire(world, server, chance),
        lambda: _promote(server),
        server.stop,
    ]
    await chance.choice(events)()


async def _freeze(processes: list[Process], chance: random.Random) -> None:
    for process in processes:
        process.freeze()
    await asyncio.sleep(chance.uniform(0.1, 4 * LEASE_S))
    if chance.random() < 0.5:
        processes.reverse()
    for process in processes:
        process.thaw(timers_first=chance.random() < 0.5)
        await asyncio.sleep(chance.uniform(0, 0.05))


async def _cut_store(server: Server, chance: random.Random) -> None:
    server.store.cut(hang=chance.random() < 0.5)
    await asyncio.sleep(chance.uniform(0.1, 4 * LEASE_S))
    server.store.restore()


async def _cut_wire(world: World, server: Server, chance: random.Random) -> None:
    pairs = [frozenset((server.name, other)) for other in world.servers if other != server.name]
    world.wire.cut.update(pairs)
    await asyncio.sleep(chance.uniform(0.1, 6 * LEASE_S))
    world.wire.cut.difference_update(pairs)


async def _promote(server: Server) -> None:
    role = server.mastership.role if server.mastership is not None else None
    if (
        server.mastership is not None
        and role is not None
        and server.name in role.in_sync
        and role.master != server.name
    ):
        server.supervisor.task(_ask_for_the_role(server.mastership))


async def _ask_for_the_role(mastership: Mastership) -> None:
    with contextlib.suppress(StoreUnavailable, ConfigInvalid):
        await mastership.promote()


async def _heal(world: World) -> None:
    world.wire.cut.clear()
    for server in world.servers.values():
        server.store.restore()
        server.supervisor.thaw()
        server.slapd.process.thaw()
        if not server.is_alive:
            server.start()
