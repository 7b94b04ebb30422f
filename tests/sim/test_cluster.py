"""The simulated cluster tells the story of a takeover as the real one does."""

from __future__ import annotations

import asyncio
import random

from sim.checkers import NOTHING, audit
from sim.cluster import STORE, World
from sim.letters import envelope_of
from sim.loop import in_virtual_time, until


@in_virtual_time
async def test_a_survivor_adopts_and_delivers_what_a_dead_server_left() -> None:
    world = World(["mx1", "mx2"], random.Random(1))
    world.answers["r0@example.net"] = "deferred"
    first, second = world.start("mx1"), world.start("mx2")
    await asyncio.sleep(2)
    for _ in range(20):
        world.submit(first)
    await asyncio.sleep(1)
    world.answers.clear()
    died = second.clock.elapsed()
    await first.crash()
    await until(lambda: "mx1.0.1" in second.adopted, step_s=0.01)
    assert second.clock.elapsed() - died < STORE.idle_tick_s * 1.1 + 0.7 + 0.5
    await until(lambda: second.is_idle and len(world.ledger.delivered) == 20)
    assert await audit(world.ledger, world.archive) == NOTHING
    await second.stop()


@in_virtual_time
async def test_a_cut_of_the_heartbeat_makes_nobody_adopt_anything() -> None:
    world = World(["mx1", "mx2"], random.Random(2))
    first, second = world.start("mx1"), world.start("mx2")
    await asyncio.sleep(2)
    world.network.cut = {("mx1", "mx2"), ("mx2", "mx1")}
    for _ in range(300):
        world.submit(first)
        world.submit(second)
        await asyncio.sleep(1)
    assert not world.adoptions
    assert await audit(world.ledger, world.archive) == NOTHING
    await first.stop()
    await second.stop()


@in_virtual_time
async def test_who_stops_in_good_order_is_followed_at_once_and_nothing_comes_twice() -> None:
    world = World(["mx1", "mx2"], random.Random(3))
    world.answers["r0@example.net"] = "deferred"
    first, second = world.start("mx1"), world.start("mx2")
    await asyncio.sleep(2)
    for _ in range(20):
        world.submit(first)
    await asyncio.sleep(1)
    world.answers.clear()
    await first.stop()
    stopped = second.clock.elapsed()
    await until(lambda: "mx1.0.1" in second.adopted, step_s=0.01)
    assert second.clock.elapsed() - stopped < 1.0
    await until(lambda: second.is_idle and len(world.ledger.delivered) == 20)
    assert set(world.ledger.delivered.values()) == {1}
    assert await audit(world.ledger, world.archive) == NOTHING
    await second.stop()


@in_virtual_time
async def test_who_returns_takes_mail_at_once_and_its_old_queue_stays_where_it_is() -> None:
    world = World(["mx1", "mx2"], random.Random(4))
    world.answers["r0@example.net"] = "deferred"
    first, second = world.start("mx1"), world.start("mx2")
    await asyncio.sleep(2)
    world.submit(first)
    await asyncio.sleep(1)
    await first.crash()
    await until(lambda: "mx1.0.1" in second.adopted)
    again = world.start("mx1")
    await until(again.primary.switch.is_ready.is_set)
    assert again.primary.switch.queue_name() == "mx1.0.2"
    await asyncio.sleep(60)
    assert [queue for _, _, queue in world.adoptions] == ["mx1.0.1"]
    world.answers.clear()
    await until(lambda: second.is_idle and len(world.ledger.delivered) == 1)
    await again.stop()
    await second.stop()


@in_virtual_time
async def test_local_mail_goes_on_while_a_partner_runs_the_old_queue_and_no_drop_file_is_delivered_twice() -> None:
    world = World(["mx1", "mx2"], random.Random(5))
    first, second = world.start("mx1"), world.start("mx2")
    await asyncio.sleep(2)
    # A drop file was accepted, and its server died before it was removed.
    first.primary.submit("L1", envelope=envelope_of("L1", drop="drop-1"))
    world.answers["r0@example.net"] = "deferred"
    first.primary.submit("M1")
    await asyncio.sleep(1)
    await first.crash()
    await until(lambda: "mx1.0.1" in second.adopted)
    await asyncio.sleep(60)
    assert ("L1", 0) not in world.ledger.delivered
    removed: list[str] = []

    async def remove(name: str) -> None:
        removed.append(name)

    again = world.start("mx1")
    again.primary.switch.remove_drop = remove
    await until(lambda: again.primary.switch.generations.is_complete, within_s=30)
    assert removed == ["drop-1"]
    world.answers.clear()
    await until(lambda: second.is_idle and len(world.ledger.delivered) == 2)
    assert set(world.ledger.delivered.values()) == {1}
    await again.stop()
    await second.stop()
