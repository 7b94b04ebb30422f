"""Stories of whole clusters in which safeguards are tried: those that chance tells, and some that aim at one."""

from __future__ import annotations

import asyncio
import random

from sim.checkers import Archive, Findings, ended
from sim.cluster import Server, World
from sim.loop import until
from sim.timeline import audit_all

from nightmail.journal.keys import log_prefix
from nightmail.journal.records import DELIVERED, Claimed, Settled
from nightmail.journal.segment import HEADER_BYTES
from sim import chance

QUEUE = "mx1.0.1"
SEEDS = 60
"""A safeguard that is missing is found within so many seeds; where the first come to nothing, they are passed over."""


def is_found(finding: str, *, first: int = 0, within: int = SEEDS) -> bool:
    """Whether so many stories that chance tells, from seed `first` on, show a violation of this kind."""
    return any(getattr(chance.tell(seed)[0], finding) for seed in range(first, first + within))


async def two_servers(seed: int = 1) -> tuple[World, Server, Server]:
    """Two servers that know each other."""
    world = World(["mx1", "mx2"], random.Random(seed))
    first, second = world.start("mx1"), world.start("mx2")
    await asyncio.sleep(2)
    return world, first, second


async def end(world: World) -> Findings:
    """Let the servers that live finish what there is, and ask the checkers."""
    await asyncio.sleep(60)
    for server in world.alive:
        await server.crash()
    return await audit_all(world.ledger, world.archive)


async def a_put_is_on_its_way_while_its_queue_is_adopted_and_closed() -> Findings:
    """A server loses sight of its partner and of the store, amid a put; that lands once all is over."""
    world, first, second = await two_servers()
    world.submit(first)
    await asyncio.sleep(1)
    world.network.cut = {("mx1", "mx2"), ("mx2", "mx1")}
    first.cut_off(hang=True)
    world.submit(first)
    await until(lambda: QUEUE in second.adopted and QUEUE not in second.running(), step_s=0.1)
    await asyncio.sleep(1)
    first.restore()
    for _ in range(10):
        world.submit(first)
        await asyncio.sleep(2)
    return await end(world)


async def an_adoption_lands_after_its_slot_was_cut_off() -> Findings:
    """A server freezes, and its partner sets out to adopt; the server goes on, and the adoption's put comes late."""
    world, first, second = await two_servers()
    world.answers["r0@example.net"] = "deferred"
    world.submit(first)
    await asyncio.sleep(2)
    held = second.store.hold_next("put_new", log_prefix(QUEUE))
    for process in first.processes:
        process.freeze()
    await until(lambda: held.is_reached, step_s=0.1)
    for process in first.processes:
        process.thaw()
    world.answers.clear()
    for _ in range(20):
        world.submit(first)
        await asyncio.sleep(2)
    await until(lambda: held.key not in world.archive.contents, step_s=0.1)
    held.answer()
    return await end(world)


async def the_store_goes_amid_a_delivery() -> Findings:
    """A message is being sent off slowly when the store goes out of reach for longer than the promise."""
    world, first, _ = await two_servers()
    world.delivery_takes_s = first.primary.sink.takes_s = lambda: 3.0
    world.submit(first)
    await asyncio.sleep(1)
    first.cut_off(hang=False)
    await asyncio.sleep(5)
    first.restore()
    return await end(world)


async def a_switch_freezes_amid_a_delivery() -> Findings:
    """The same with a store that is well and a switch that stands still: its promise ends while it sleeps."""
    world, first, _ = await two_servers()
    world.delivery_takes_s = first.primary.sink.takes_s = lambda: 3.0
    world.submit(first)
    await asyncio.sleep(1)
    first.primary.process.freeze()
    await asyncio.sleep(30)
    first.primary.process.thaw(timers_first=True)
    return await end(world)


async def a_message_waits_while_others_come_and_go() -> Findings:
    """A message is deferred, and the log goes on; then its server dies, and the partner takes over what there is."""
    world, first, _ = await two_servers()
    world.answers["r0@example.net"] = "deferred"
    world.submit(first)
    await asyncio.sleep(1)
    world.answers.clear()
    for _ in range(3):
        world.submit(first)
        await asyncio.sleep(0.5)
    await first.crash()
    return await end(world)


async def mail_comes_while_the_store_is_out_of_reach() -> Findings:
    """A server loses the store, is sent mail, and dies before the store is back."""
    world, first, _ = await two_servers()
    world.answers["r0@example.net"] = "deferred"
    first.cut_off(hang=False)
    for _ in range(3):
        world.submit(first)
        await asyncio.sleep(1)
    await first.crash()
    world.answers.clear()
    return await end(world)


async def a_server_dies_once_a_failure_is_in_the_log() -> Findings:
    """A destination refuses a message for good, and its server dies at the instant at which that is in its slot."""
    world, first, _ = await two_servers()
    world.answers["r0@example.net"] = "failed"
    world.submit(first)
    await until(lambda: any(ended(world.archive)), step_s=0.001)
    await first.crash()
    return await end(world)


async def segments_go_bad_before_their_queue_is_adopted() -> Findings:
    """An older message holds the floor, another is delivered; the segments that say so go bad; then the server dies."""
    world, first, _ = await two_servers()
    world.answers["r0@example.net"] = world.answers["r1@example.net"] = "deferred"
    world.submit(first, 2)
    world.submit(first)
    await asyncio.sleep(1)
    del world.answers["r0@example.net"]
    await until(lambda: world.ledger.delivered["M2", 0] == 1, step_s=0.1)
    await asyncio.sleep(1)
    world.answers.clear()
    for key in slots_of_the_delivery(world.archive, "M2"):
        spoil(world.archive, key)
    await first.crash()
    return await end(world)


def slots_of_the_delivery(archive: Archive, message_id: str) -> list[str]:
    """The keys of the segments that say that the message was claimed for its second attempt, and delivered."""
    found = []
    for (key, _), records in zip(archive.landed, archive.segments(), strict=True):
        own = [record for record in records if getattr(record, "id", "") == message_id]
        claimed = any(isinstance(record, Claimed) for record in own)
        settled = any(isinstance(record, Settled) and record.results[0].outcome == DELIVERED for record in own)
        if claimed or settled:
            found.append(key)
    return found


def spoil(archive: Archive, key: str) -> None:
    """A bit turns over on the disk."""
    data = bytearray(archive.contents[key])
    data[HEADER_BYTES] ^= 1
    archive.contents[key] = bytes(data)
