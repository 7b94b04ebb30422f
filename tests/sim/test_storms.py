"""Slow is not dead: healthy servers on a store that has bad moments depose nobody."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest
from sim.checkers import NOTHING
from sim.cluster import World
from sim.loop import run
from sim.store_faults import Chaos, Slow, Stalling
from sim.timeline import audit_all

HOUR_S = 3600.0
MAIL_EVERY_S = 7.0
STORES: dict[str, Callable[[random.Random], Chaos]] = {
    "stalls now and then": Stalling,
    "slow with a long tail": Slow,
}


async def an_hour_of_mail(chaos: Chaos) -> World:
    """Two servers that nothing ails take mail, some of which has to be tried again."""
    world = World(["mx1", "mx2"], chaos.chance, chaos=chaos)
    servers = [world.start("mx1", 0.98), world.start("mx2", 1.02)]
    world.delivery_takes_s = lambda: chaos.chance.uniform(0.0, 0.5)
    loop = asyncio.get_running_loop()
    end = loop.time() + HOUR_S
    while loop.time() < end:
        world.answers["r1@example.net"] = chaos.chance.choice(("delivered", "deferred"))
        for server in servers:
            world.submit(server, chaos.chance.randint(1, 3))
        await asyncio.sleep(MAIL_EVERY_S)
    assert await audit_all(world.ledger, world.archive) == NOTHING
    for server in servers:
        await server.crash()
    return world


@pytest.mark.parametrize("kind", STORES)
def test_nobody_is_deposed_in_an_hour(kind: str) -> None:
    world = run(an_hour_of_mail(STORES[kind](random.Random(7))))
    assert len(world.ledger.acknowledged) > 900
    assert world.adoptions == []
    assert {landing.header.epoch for landing in world.archive.landings} == {1}
    longest = max(landing.at - landing.began for landing in world.archive.landings)
    assert longest > 1.4, "the store had its bad moments"
