"""What a queue held before it was ours: sorted while it is served, and never out of sight."""

from __future__ import annotations

import asyncio

import msgspec
from sim.checkers import NOTHING
from sim.life import Life
from sim.loop import in_virtual_time, until
from tests.switch.scene import QUICK, Stage, newest

from nightmail.journal.records import Held
from nightmail.switch.owned import OwnedQueue

_MANY = 4_100  # more than two steps
_FAR = "r0@example.net"


async def with_many(retry_s: float = 10.0) -> tuple[Stage, Life, OwnedQueue]:
    """A life that has just adopted a queue in which many messages wait, and that queue before it is sorted through."""
    stage, settings = Stage(), msgspec.structs.replace(QUICK, retry_first_s=retry_s, retry_max_s=retry_s)
    dead = await stage.life(settings)
    dead.sink.answers[_FAR] = "deferred"
    for n in range(_MANY):
        dead.submit(f"M{n:04}")
    await until(lambda: len(newest(dead).waiting) == _MANY)
    await dead.stop()
    life = await stage.life(settings)
    await until(lambda: len(life.switch.queues) == 2, step_s=0)
    adopted = next(queue for queue in life.switch.queues if queue is not newest(life))
    assert len(adopted.journal.state.messages) == _MANY
    assert 0 < len(adopted.waiting) < _MANY
    return stage, life, adopted


@in_virtual_time
async def test_a_long_queue_is_sorted_in_steps_and_all_of_it_is_delivered() -> None:
    stage, life, adopted = await with_many()
    turns = 0
    while len(adopted.waiting) < _MANY:
        turns += 1
        await asyncio.sleep(0)
    assert turns > 1
    await until(lambda: life.is_idle)
    assert await stage.findings() == NOTHING
    await life.stop()


@in_virtual_time
async def test_what_is_hurried_before_it_is_sorted_is_hurried_all_the_same() -> None:
    stage, life, adopted = await with_many(retry_s=200.0)
    hurried_at = life.parts.clock.elapsed()
    assert adopted.hurry_all() == _MANY
    await until(lambda: life.is_idle)
    assert life.parts.clock.elapsed() - hurried_at < 100  # before anything's time has come
    assert await stage.findings() == NOTHING
    await life.stop()


@in_virtual_time
async def test_what_is_held_or_ended_before_it_is_sorted_does_not_wait() -> None:
    _, life, adopted = await with_many()
    held, ended = list(adopted.journal.state.messages)[-2:]
    adopted.journal.state.messages.pop(ended)
    adopted.journal.append(Held(held), urgent=True)
    await until(lambda: adopted.journal.state.messages[held].held, step_s=0)
    await until(lambda: not adopted.rounds and len(adopted.journal.state.messages) == 1)
    assert len(adopted.waiting) == 0
    await life.stop()
