from __future__ import annotations

import asyncio

from nightmail.delivery.deadlines import Deadlines

TICK_S = 0.01


class Waiting:
    def __init__(self, deadlines: Deadlines, timeout_s: float) -> None:
        deadlines.watch(self)
        self.deadline = deadlines.after(timeout_s)
        self.times_expired = 0
        self.expiry = asyncio.Event()

    def expired(self) -> None:
        self.times_expired += 1
        self.expiry.set()


def test_a_deadline_is_never_told_early_and_told_once() -> None:
    async def run() -> None:
        deadlines = Deadlines(TICK_S)
        began = asyncio.get_running_loop().time()
        short, long = Waiting(deadlines, 0.05), Waiting(deadlines, 0.15)
        await asyncio.wait_for(long.expiry.wait(), 5)
        assert asyncio.get_running_loop().time() - began >= 0.15
        assert (short.times_expired, long.times_expired) == (1, 1)

    asyncio.run(run())


def test_one_that_is_forgotten_is_told_nothing() -> None:
    async def run() -> None:
        deadlines = Deadlines(TICK_S)
        forgotten, watched = Waiting(deadlines, 0.01), Waiting(deadlines, 0.05)
        deadlines.forget(forgotten)
        await asyncio.wait_for(watched.expiry.wait(), 5)
        assert forgotten.times_expired == 0

    asyncio.run(run())


def test_a_deadline_that_is_moved_counts_from_then() -> None:
    async def run() -> None:
        deadlines = Deadlines(TICK_S)
        moved, watched = Waiting(deadlines, 0.02), Waiting(deadlines, 0.05)
        moved.deadline = deadlines.after(60)
        await asyncio.wait_for(watched.expiry.wait(), 5)
        assert moved.times_expired == 0

    asyncio.run(run())


def test_the_timer_starts_again_after_nobody_waited() -> None:
    async def run() -> None:
        deadlines = Deadlines(TICK_S)
        for _ in range(2):
            waiting = Waiting(deadlines, 0.01)
            await asyncio.wait_for(waiting.expiry.wait(), 5)
            deadlines.forget(waiting)
            rest = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_later(5 * TICK_S, rest.set_result, None)
            await rest

    asyncio.run(run())
