"""A long queue that was taken over is sorted by time in steps, while it is served and obeys its operator."""

from __future__ import annotations

import asyncio

import msgspec
from sim.checkers import NOTHING
from sim.life import Life
from sim.loop import in_virtual_time, until
from tests.switch.scene import QUICK, Stage, newest

from nightmail.switch.operations import Operations
from nightmail.switch.owned import OwnedQueue

_MANY = 4_100  # more than two steps


async def with_many(retry_s: float = 10.0) -> tuple[Stage, Life, OwnedQueue]:
    """A life that has just adopted a queue in which many messages wait, before all of that is sorted in."""
    stage, settings = Stage(), msgspec.structs.replace(QUICK, retry_first_s=retry_s, retry_max_s=retry_s)
    dead = await stage.life(settings)
    dead.sink.answers["r0@example.net"] = "deferred"
    for n in range(_MANY):
        dead.submit(f"M{n:04}")
    await until(lambda: len(newest(dead).waiting) == _MANY)
    await dead.stop()
    life = await stage.life(settings)
    await until(lambda: len(life.switch.queues) == 2, step_s=0)
    adopted = next(queue for queue in life.switch.queues if queue is not newest(life))
    assert sorted_in(adopted) < _MANY == len(adopted.waiting)
    return stage, life, adopted


def sorted_in(queue: OwnedQueue) -> int:
    """How many messages are found once they are due."""
    return sum(map(len, queue.waiting._ticks.values()))


def operations_of(life: Life) -> Operations:
    """What an operator can ask for."""
    return Operations(lambda: life.switch.queues, life.parts.clock, lambda: None)


@in_virtual_time
async def test_a_long_queue_is_sorted_in_steps_and_all_of_it_is_delivered() -> None:
    stage, life, adopted = await with_many()
    turns = 0
    while sorted_in(adopted) < _MANY:
        turns += 1
        await asyncio.sleep(0)
    assert turns > 1
    await until(lambda: life.is_idle)
    assert await stage.findings() == NOTHING
    await life.stop()


@in_virtual_time
async def test_what_is_retried_before_it_is_sorted_in_does_not_wait_for_its_time() -> None:
    stage, life, adopted = await with_many(retry_s=200.0)
    asked_at = life.parts.clock.elapsed()
    last = list(adopted.journal.state.messages)[-1]
    operations = operations_of(life)
    assert await operations.queue_act({"action": "retry", "selection": {"ids": [last]}}) == {"count": 1}
    await until(lambda: last not in adopted.journal.state.messages)
    assert life.parts.clock.elapsed() - asked_at < 2
    assert await operations.queue_act({"action": "retry"}) == {"count": _MANY - 1}
    await until(lambda: life.is_idle)
    assert life.parts.clock.elapsed() - asked_at < 100
    assert await stage.findings() == NOTHING
    await life.stop()


@in_virtual_time
async def test_what_is_held_or_deleted_before_it_is_sorted_in_waits_no_more() -> None:
    _, life, adopted = await with_many(retry_s=200.0)
    held, deleted = list(adopted.journal.state.messages)[-2:]
    operations = operations_of(life)
    wanted = {"hold": held, "delete": deleted}
    await asyncio.gather(
        *(operations.queue_act({"action": do, "selection": {"ids": [message]}}) for do, message in wanted.items())
    )
    await asyncio.sleep(1)
    assert len(adopted.waiting) == sorted_in(adopted) == _MANY - 2
    assert adopted.journal.state.messages[held].wait_until == 0
    await life.stop()
