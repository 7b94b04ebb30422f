from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator

import pytest
from tests.e2e.waiting import until
from tests.eventloop import on_a_loop

from nightmail.store.lanes import Lanes


@on_a_loop
async def test_a_call_gets_what_its_function_returns_or_raises() -> None:
    lanes = Lanes("test", 2)
    assert await lanes.call(lambda a, b: a + b, 1, 2) == 3
    with pytest.raises(ZeroDivisionError):
        await lanes.call(lambda: 1 // 0)
    await lanes.close()


@on_a_loop
async def test_calls_that_hang_leave_the_other_threads_to_others() -> None:
    lanes = Lanes("test", 4)
    gate = threading.Event()
    hung = [lanes.call(gate.wait) for _ in range(3)]
    for n in range(100):
        assert await lanes.call(lambda n=n: n) == n
    gate.set()
    assert all(await asyncio.gather(*hung))
    await lanes.close()


@on_a_loop
async def test_beyond_the_bound_calls_wait_their_turn_in_order() -> None:
    lanes = Lanes("test", 2)
    gate = threading.Event()
    begun: list[int] = []
    hung = [lanes.call(gate.wait) for _ in range(2)]
    waiting = [lanes.call(begun.append, n) for n in range(20)]
    gate.set()
    await asyncio.gather(*hung, *waiting)
    assert sorted(begun) == list(range(20))
    assert len({thread.name for thread in threading.enumerate() if thread.name.startswith("test-")}) == 2
    await lanes.close()


@on_a_loop
async def test_calls_one_after_the_other_share_one_thread() -> None:
    lanes = Lanes("test", 8)
    names = set()
    for _ in range(50):
        names.add(await lanes.call(lambda: threading.current_thread().name))
        until(lambda: lanes._free, "the thread is free")  # it answers just before
    await lanes.close()
    assert names == {"test-0"}


@on_a_loop
async def test_the_answer_comes_before_the_tidying_up() -> None:
    lanes = Lanes("test", 2)
    answered, tidied = threading.Event(), threading.Event()

    def steps() -> Generator[str, None, None]:
        yield "answer"
        answered.wait()
        tidied.set()
        raise OSError("nobody hears of it")

    assert await lanes.call_in_steps(steps()) == "answer"
    assert not tidied.is_set()
    answered.set()
    await lanes.close()
    assert tidied.is_set()


@on_a_loop
async def test_a_call_that_nobody_waits_for_any_more_is_finished_in_silence() -> None:
    lanes = Lanes("test", 2)
    gate, done = threading.Event(), threading.Event()
    lanes.call(lambda: gate.wait() and done.set()).cancel()
    lanes.call(lambda: gate.wait() and 1 // 0).cancel()
    gate.set()
    await lanes.close()
    assert done.is_set()


@on_a_loop
async def test_closing_finishes_what_waits_and_takes_nothing_more() -> None:
    lanes = Lanes("test", 1)
    calls = [lanes.call(lambda n=n: n) for n in range(20)]
    await lanes.close()
    assert [await call for call in calls] == list(range(20))
    with pytest.raises(RuntimeError):
        lanes.call(lambda: None)
    await lanes.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("test-")]


def test_a_loop_that_is_gone_is_not_told_anything() -> None:
    gate, done = threading.Event(), threading.Event()

    def steps() -> Generator[None, None, None]:
        gate.wait()
        yield
        done.set()

    async def leave_it_behind() -> None:
        Lanes("test", 1).call_in_steps(steps())

    asyncio.run(leave_it_behind())
    gate.set()
    assert done.wait(10)
