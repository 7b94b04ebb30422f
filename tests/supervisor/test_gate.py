"""The replica is what it is to be: again after every start, no longer than the right lasts, and if it is not, told
again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sim.directory import World
from sim.loop import in_virtual_time, until
from sim.slapd import Slapd

from nightmail.directory.managing import Part
from nightmail.directory.role import Follow
from nightmail.supervisor.gate import Gate

LEADS = Part("mx1", 1, is_open=True)
FOLLOWS = Part("mx2", 2, is_open=False, provider="mx2")


class Scene:
    """A replica, and what keeps its gate."""

    def __init__(self) -> None:
        world = World(2, random.Random(1))
        world.wire.is_quick = True
        server = world.servers["mx1"]
        self.slapd: Slapd = server.slapd
        self.clock = server.clock
        uris = {"mx1": "mx1", "mx2": "mx2"}
        self.gate = Gate("mx1", uris, self.slapd, self.slapd, self.clock, look_every_s=0.25)
        self.slapd.started = self.gate.look_again

    async def part(self) -> Part:
        return (await self.slapd.look())[0]

    async def until(self, wanted: Part) -> None:
        """Wait until the replica is so."""
        async with asyncio.timeout(10):
            while await self.part() != wanted:  # noqa: ASYNC110 - it is asked
                await asyncio.sleep(0.01)


@asynccontextmanager
async def scene() -> AsyncIterator[Scene]:
    made = Scene()
    made.slapd.start()
    keeping = asyncio.create_task(made.gate.run())
    try:
        yield made
    finally:
        keeping.cancel()
        await asyncio.wait([keeping])
        await made.slapd.kill()


@in_virtual_time
async def test_it_takes_writes_as_long_as_the_right_lasts() -> None:
    async with scene() as at:
        began = at.clock.elapsed()
        at.gate.lead(1, began + 1)
        await at.until(LEADS)
        assert at.gate.is_open
        at.gate.lead(1, began + 2)
        await asyncio.sleep(1.5)
        assert await at.part() == LEADS
        await at.until(LEADS._replace(is_open=False))
        assert 1.9 < at.clock.elapsed() - began < 2.6
        assert not at.gate.is_open


@in_virtual_time
async def test_what_was_started_anew_is_told_again() -> None:
    async with scene() as at:
        at.gate.lead(1, at.clock.elapsed() + 100)
        await at.until(LEADS)
        await at.slapd.kill()
        assert not at.gate.is_open
        at.slapd.start()
        await at.until(LEADS)


@in_virtual_time
async def test_a_replica_that_is_not_what_it_was_told_is_told_again() -> None:
    """What was asked of it earlier may be done later."""
    async with scene() as at:
        at.gate.follow(Follow("mx2", 2, "2 life"))
        await at.until(FOLLOWS)
        at.slapd.take_writes(1, "mx1")
        await at.until(FOLLOWS)


@in_virtual_time
async def test_when_it_last_answered_is_known() -> None:
    async with scene() as at:
        at.gate.lead(1, at.clock.elapsed() + 100)
        await at.until(LEADS)
        at.slapd.process.freeze()
        frozen_at = at.clock.elapsed()
        await asyncio.sleep(3)
        assert at.gate.answered_at <= frozen_at + 0.5
        at.slapd.process.thaw()
        await until(lambda: at.gate.answered_at > frozen_at + 3)


@in_virtual_time
async def test_no_writes_are_taken_by_a_clock_that_is_behind_the_newest_change() -> None:
    async with scene() as at:
        at.clock.wall_error_s -= 1e9
        assert "in the future by this server's clock" in await at.gate.why_not_ready()
        at.gate.lead(1, at.clock.elapsed() + 100)
        await asyncio.sleep(5)
        assert not (await at.part()).is_open
        at.clock.wall_error_s += 1e9
        await at.until(LEADS)
        assert await at.gate.why_not_ready() == ""


@in_virtual_time
async def test_once_it_is_shut_for_good_it_stays_so_until_it_is_to_lead_again() -> None:
    async with scene() as at:
        at.gate.lead(1, at.clock.elapsed() + 100)
        await at.until(LEADS)
        await at.gate.shut()
        assert await at.part() == LEADS._replace(is_open=False)
        await asyncio.sleep(2)
        assert await at.part() == LEADS._replace(is_open=False)
        at.gate.lead(1, at.clock.elapsed() + 100)
        await at.until(LEADS)
