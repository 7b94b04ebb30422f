"""Virtual time passes at once, in order, and never by itself."""

from __future__ import annotations

import asyncio
import time

import pytest
from sim.loop import StandsStill, VirtualLoop, in_virtual_time, run, until
from sim.world import SeededRandomness, VirtualClock


def test_hours_pass_in_an_instant() -> None:
    async def sleep_long() -> float:
        began = asyncio.get_running_loop().time()
        await asyncio.sleep(36_000)
        return asyncio.get_running_loop().time() - began

    began = time.perf_counter()
    assert run(sleep_long()) == pytest.approx(36_000)
    assert time.perf_counter() - began < 5


@in_virtual_time
async def test_who_sleeps_shorter_wakes_first() -> None:
    order: list[float] = []

    async def wake(after_s: float) -> None:
        await asyncio.sleep(after_s)
        order.append(after_s)

    await asyncio.gather(*(wake(after_s) for after_s in (3.0, 0.001, 60.0, 0.0)))
    assert order == [0.0, 0.001, 3.0, 60.0]


@in_virtual_time
async def test_time_stands_still_while_there_is_work() -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    for _ in range(1000):
        await asyncio.sleep(0)
    assert loop.time() == began


def test_a_story_that_waits_for_nothing_is_told_so() -> None:
    async def wait_for_ever() -> None:
        await asyncio.Event().wait()

    with pytest.raises(StandsStill):
        run(wait_for_ever())


def test_a_story_that_only_ticks_is_ended() -> None:
    async def tick() -> None:
        for _ in range(1_000_000):
            await asyncio.sleep(1_000)

    with pytest.raises(StandsStill):
        run(tick())


@in_virtual_time
async def test_a_thread_is_refused() -> None:
    with pytest.raises(RuntimeError, match="thread"):
        await asyncio.to_thread(print)


@in_virtual_time
async def test_waiting_for_a_condition_ends_with_it_or_with_its_patience() -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    await until(lambda: loop.time() > began + 5)
    assert loop.time() < began + 5.1
    with pytest.raises(TimeoutError):
        await until(lambda: False, within_s=2)


@in_virtual_time
async def test_clocks_follow_the_loop_each_at_its_rate() -> None:
    true, fast = VirtualClock(), VirtualClock(rate=1.05)
    then = true.elapsed(), fast.elapsed(), true.wall()
    await asyncio.sleep(100)
    assert true.elapsed() - then[0] == pytest.approx(100)
    assert fast.elapsed() - then[1] == pytest.approx(105)
    assert true.wall() - then[2] == pytest.approx(100)


def test_a_seed_gives_the_same_chance_again() -> None:
    one, again, other = SeededRandomness(1), SeededRandomness(1), SeededRandomness(2)
    assert [one.uniform(), one.token(16)] == [again.uniform(), again.token(16)]
    assert one.token(16) != other.token(16)


def test_the_loop_is_one_of_asyncio() -> None:
    loop = VirtualLoop()
    assert isinstance(loop, asyncio.AbstractEventLoop)
    loop.close()
