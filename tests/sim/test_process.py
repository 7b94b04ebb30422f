"""A frozen process does nothing, forgets nothing, and has everything at once when it thaws."""

from __future__ import annotations

import asyncio
import random

from sim.loop import in_virtual_time, run
from sim.process import OUTSIDE, Process, current
from sim.store import SimulatedStore
from sim.store_faults import Chaos

from nightmail.store.protocol import Put


@in_virtual_time
async def test_what_belongs_to_it_knows_it_and_nothing_else_does() -> None:
    process = Process("one")

    async def who() -> tuple[Process | None, Process | None]:
        return current(), await asyncio.create_task(inner())

    async def inner() -> Process | None:
        return current()

    assert await process.task(who()) == (process, process)
    assert current() is None


@in_virtual_time
async def test_its_timers_wait_and_come_all_at_once_and_its_clock_goes_on() -> None:
    process, other = Process("one"), Process("other")
    loop = asyncio.get_running_loop()
    ticks: list[tuple[str, float]] = []

    async def tick(name: str) -> None:
        for _ in range(3):
            await asyncio.sleep(1)
            ticks.append((name, loop.time() - began))

    began = loop.time()
    process.task(tick("frozen"))
    other.task(tick("other"))
    await asyncio.sleep(1.5)
    process.freeze()
    await asyncio.sleep(10)
    assert [name for name, _ in ticks] == ["frozen", "other", "other", "other"]
    process.thaw()
    await asyncio.sleep(1.5)
    assert ticks[4:] == [("frozen", 11.5), ("frozen", 12.5)]


@in_virtual_time
async def test_what_arrives_for_it_waits_in_order_and_timers_may_come_first() -> None:
    for timers_first, expected in ((False, ["data", "timer"]), (True, ["timer", "data"])):
        process = Process("one")
        order: list[str] = []
        process.call(asyncio.get_running_loop().call_later, 2.0, order.append, "timer")
        process.freeze()
        process.call(order.append, "data")
        await asyncio.sleep(5)
        assert order == []
        process.thaw(timers_first=timers_first)
        await asyncio.sleep(0.1)
        assert order == expected


@in_virtual_time
async def test_a_timer_that_is_cancelled_by_what_comes_before_it_never_runs() -> None:
    process = Process("one")
    ran: list[str] = []
    timers: list[asyncio.TimerHandle] = []
    process.call(lambda: timers.append(asyncio.get_running_loop().call_later(2.0, ran.append, "timer")))
    process.freeze()
    process.call(timers[0].cancel)
    await asyncio.sleep(5)
    process.thaw()
    await asyncio.sleep(1)
    assert ran == []


@in_virtual_time
async def test_a_put_that_was_sent_lands_while_its_sender_is_frozen() -> None:
    process = Process("one")
    store = SimulatedStore(chaos=Chaos(random.Random(1), delay_s=1.0, lost_share=0.0, failed_share=0.0))
    putting = process.task(store.put_new("a/b", [b"x"]))
    await asyncio.sleep(0)
    process.freeze()
    await asyncio.sleep(5)
    assert store.objects.contents == {"a/b": b"x"}
    assert not putting.done()
    process.thaw()
    assert await putting is Put.CREATED


@in_virtual_time
async def test_a_put_that_hangs_on_its_way_goes_on_without_its_frozen_sender_but_not_without_a_dead_one() -> None:
    frozen, dead = Process("frozen"), Process("dead")
    store = SimulatedStore()
    store.cut(hang=True)
    frozen.task(store.put_new("a/frozen", [b"x"]))
    dead.task(store.put_new("a/dead", [b"x"]))
    await asyncio.sleep(1)
    frozen.freeze()
    await dead.kill()
    store.restore()
    await asyncio.sleep(1)
    assert list(store.objects.contents) == ["a/frozen"]
    frozen.thaw()


@in_virtual_time
async def test_a_killed_process_has_nothing_left_to_do() -> None:
    process = Process("one")
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(100)
        finally:
            ended.append("cancelled")

    process.task(work())
    process.call(asyncio.get_running_loop().call_later, 5.0, ended.append, "timer")
    await asyncio.sleep(1)
    process.freeze()
    await process.kill()
    await asyncio.sleep(10)
    assert ended == ["cancelled"]


def test_a_story_ends_though_a_process_is_frozen() -> None:
    async def story() -> None:
        process = Process("one")
        process.task(asyncio.sleep(100))
        asyncio.get_running_loop().call_later(5, process.freeze, context=OUTSIDE)
        await asyncio.sleep(10)

    run(story())
